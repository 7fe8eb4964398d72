/* Dropouts of groups. */
#include "control/service_internal.h"

#include "base/suggest.h"
#include "base/units.h"

#define DAYS_30_MS 2592000000.0

static void on_dropout(struct wait *w, int code, json_t *result, const char *message)
{
    struct ix_service *service = w->service;
    struct service_group *g = ix_service_find_group(service, w->group);
    if (code < 0 || !g) {
        ix_service_refuse_text(w, g ? ix_service_kind(code) : IX_FAILURE_UNKNOWN,
                               g ? message : "the group was deleted meanwhile");
        json_decref(result);
        return;
    }
    json_int_t chosen = json_integer_value(json_object_get(result, "chosen"));
    json_int_t id = json_integer_value(json_object_get(result, "id"));
    const char *strategy = json_string_value(json_object_get(w->body, "strategy"));
    double seconds = 0;
    struct ix_error err;
    struct ix_strategy_spec spec = ix_service_strategy_spec(w->body, true);
    if (ix_script_strategy_duration(service->script, &spec, (uint64_t)chosen, &seconds, &err) < 0)
        seconds = 0;
    ix_service_strategy_deinit(&spec);
    ix_service_operation_set(service, g, OPERATION_DROPOUT, strategy, (uint64_t)chosen,
                             (uint64_t)(seconds * 1e9));
    g->operation.dropout = (uint64_t)id;
    json_decref(result);
    ix_service_answer(w, json_pack("{s:s, s:I, s:s, s:s, s:I, s:I}", "groupId", g->id, "devicesAffected",
                                   chosen, "dropoutStrategy", strategy, "status", "dropout_initiated",
                                   "estimatedDurationMs", (json_int_t)(seconds * 1000 + w->number + 0.5),
                                   "dropoutId", id));
}

static int read_mode(const json_t *body, enum ix_drop_mode *mode, struct ix_failure *failure)
{
    static const char *const names[] = {"abort", "close", "silent"};
    const json_t *value = json_object_get(body, "mode");
    const char *name = json_string_value(value);
    char suggestion[128];
    *mode = IX_DROP_ABORT;
    if (!value || json_is_null(value))
        return 0;
    for (size_t i = 0; name && i < IX_ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *mode = (enum ix_drop_mode)i;
            return 0;
        }
    }
    ix_suggest_put(suggestion, sizeof suggestion, name ? name : "", names, IX_ARRAY_LEN(names));
    return ix_service_fail(failure, IX_FAILURE_INVALID, "mode", "mode must be abort, close or silent%s",
                           suggestion);
}

static int read_config(struct ix_service *service, const json_t *body, struct wait *w,
                       struct ix_dropout_config *config, struct ix_failure *failure)
{
    static const char *const others[] = {"count", "percentage", "reconnect", "reconnectDelayMs",
                                         "mode",  NULL};
    const json_t *count = json_object_get(body, "count"), *reconnect = json_object_get(body, "reconnect");
    double delay_ms;
    uint64_t duration;
    *config = (struct ix_dropout_config){.count = -1, .percentage = -1};
    if (count && !json_is_null(count) && (!json_is_integer(count) || json_integer_value(count) < 0))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "count",
                               "count must be a whole number, 0 or more");
    if (reconnect && !json_is_boolean(reconnect) && !json_is_null(reconnect))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "reconnect", "reconnect must be true or false");
    if (ix_service_check_number(body, "percentage", 100, -1, &config->percentage, failure) < 0 ||
        ix_service_check_number(body, "reconnectDelayMs", DAYS_30_MS, 0, &delay_ms, failure) < 0 ||
        read_mode(body, &config->mode, failure) < 0)
        return -1;
    config->count = json_is_integer(count) ? (int64_t)json_integer_value(count) : -1;
    config->reconnect = json_is_true(reconnect);
    config->reconnect_delay_ns = (uint64_t)(delay_ms * 1e6);
    w->number = config->reconnect ? delay_ms : 0;
    w->body = ix_service_read_strategy(service, body, true, others, 1000, &duration, failure);
    return w->body ? 0 : -1;
}

void ix_service_group_dropout(struct ix_service *service, const char *id, const json_t *body,
                              ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    struct ix_dropout_config config;
    struct ix_error err;
    if (!w)
        return;
    struct service_group *g = ix_service_need_group(service, id, &failure);
    if (g && body && !json_is_object(body) && !json_is_null(body))
        ix_service_fail(&failure, IX_FAILURE_INVALID, "", "the body must be an object");
    else if (g && read_config(service, body, w, &config, &failure) == 0) {
        w->group = ix_strdup(g->id);
        if (!g->at_work) { /* nobody runs */
            on_dropout(w, 0, json_pack("{s:I, s:I}", "id", (json_int_t)0, "chosen", (json_int_t)0), "");
            return;
        }
        config.strategy = ix_service_strategy_spec(w->body, true);
        ix_service_expect(w, on_dropout);
        if (ix_fleet_dropout(service->fleet, g->id, &config, w->ticket, &err) < 0)
            ix_service_fail(&failure, ix_service_kind(err.code), "", "%s", err.text);
        ix_service_strategy_deinit(&config.strategy);
    }
    if (failure.kind)
        ix_service_refuse(w, &failure);
}

/* Operations on groups and devices. */
#include "control/ops.h"

#include "base/suggest.h"
#include "base/units.h"
#include "control/memory.h"
#include "control/replay.h"

#include <stdio.h>
#include <stdlib.h>

static void note_model(struct ix_run *run, const struct ix_found_model *found)
{
    struct ix_result *result = &run->result;
    for (size_t i = 0; i < result->model_count; i++)
        if (result->models[i].hash == found->model->hash)
            return;
    result->models = ix_realloc(result->models, (result->model_count + 1) * sizeof *result->models);
    result->models[result->model_count++] = (struct ix_model_fact){ix_strdup(found->id), found->model->hash};
    if (run->config.replay)
        ix_replay_compare_model(result, run->config.replay, found->id, found->model->hash);
}

static char *fresh_group_id(struct ix_run *run, const char *model_id)
{
    char *id = ix_strdup(model_id);
    for (int n = 2; ix_fleet_has(run->fleet, id); n++) {
        free(id);
        id = ix_asprintf("%s-%d", model_id, n);
    }
    return id;
}

static int check_group_id(const char *id, struct ix_error *err)
{
    size_t ok = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (!id[0] || id[ok] || ok > IX_ID_MAX)
        return ix_fail(err, -EBADMSG,
                       "group id \"%s\": 1 to %d letters, digits, dots, dashes and underscores are allowed",
                       id, IX_ID_MAX);
    return 0;
}

static json_t *names_of_commands(const struct ix_model *model)
{
    json_t *names = json_array();
    for (size_t i = 0; i < model->command_count; i++)
        json_array_append_new(names, json_string(model->commands[i].name));
    return names;
}

static int create_group(struct ix_run *run, const json_t *args, struct ix_found_model *found, uint64_t count,
                        json_t **result, struct ix_error *err)
{
    const char *broker = ix_arg_text(json_object_get(args, "connection"), "broker");
    struct ix_target *targets = NULL;
    size_t target_count = 0;
    struct ix_error unsupported;
    if (!ix_protocol_find(found->model->connection.protocol, &unsupported))
        return ix_fail(err, -ENOTSUP, "model \"%s\": %s", found->id, unsupported.text);
    int code = ix_brokers_targets(&run->brokers, found->model, broker, &targets, &target_count, err);
    if (code < 0)
        return code;
    struct ix_sources sources;
    code = ix_source_choice_of(&run->sources, targets, target_count, count, &sources, err);
    if (code < 0) {
        free(targets);
        return code;
    }
    const char *wish = ix_arg_text(args, "group");
    char *id = wish ? ix_strdup(wish) : fresh_group_id(run, found->id);
    char *tags = ix_tags_text(json_object_get(args, "tags"));
    code = check_group_id(id, err);
    if (code == 0) {
        struct ix_group_config group = {
            .id = id,
            .count = count,
            .id_pattern = ix_arg_text(args, "id"),
            .model_id = found->id,
            .model_text = found->text,
            .model_folder = found->folder,
            .model_hash = found->model->hash,
            .targets = targets,
            .target_count = target_count,
            .sources = &sources,
            .device_memory = ix_memory_of_device(found->model, ix_broker_is_here(&targets[0])),
            .broker_is_here = ix_broker_is_here(&targets[0]),
            .broker_is_embedded =
                run->brokers.is_embedded && ix_brokers_is_shared(&run->brokers, found->model, broker),
            .tags = tags,
        };
        code = ix_fleet_create(run->fleet, &group, err);
    }
    if (code == 0) {
        note_model(run, found);
        ix_run_settings_group(run, id, found->model, broker, targets, target_count);
        *result = json_pack("{s:s, s:I, s:s, s:o}", "group", id, "count", (json_int_t)count, "model",
                            found->id, "commands", names_of_commands(found->model));
    }
    free(id);
    free(tags);
    free(targets);
    ix_sources_deinit(&sources);
    return code;
}

/* The model, with TLS if it goes to the run's broker and that one's URL asks for it. */
static int find_model(struct ix_run *run, const json_t *args, struct ix_found_model *found,
                      struct ix_error *err)
{
    const json_t *reference = json_object_get(args, "model"), *own = json_object_get(args, "connection");
    int code = ix_models_find(&run->models, reference, own, found, err);
    if (code < 0 || !run->brokers.tls || found->model->connection.tls ||
        !ix_brokers_is_shared(&run->brokers, found->model, ix_arg_text(own, "broker")))
        return code;
    json_t *with_tls = own ? json_copy((json_t *)own) : json_object();
    json_object_set_new(with_tls, "tls", json_true());
    ix_found_model_deinit(found);
    code = ix_models_find(&run->models, reference, with_tls, found, err);
    json_decref(with_tls);
    return code;
}

int ix_op_group_create(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                       struct ix_error *err)
{
    (void)ticket;
    struct ix_found_model found;
    uint64_t count;
    int code = ix_arg_number(args, "count", 1, &count, err);
    if (code == 0 && (count == 0 || count > 1ull << 28))
        code = ix_fail(err, -EBADMSG, "`count` must be 1 to %llu", 1ull << 28);
    if (code == 0)
        code = find_model(run, args, &found, err);
    if (code == 0) {
        code = create_group(run, args, &found, count, result, err);
        ix_found_model_deinit(&found);
    }
    return code < 0 ? IX_HOST_CONFIGURATION : code;
}

/* {strategy, settings, function} → a spec whose texts live in *settings and *function. */
static int strategy_of(const json_t *args, bool is_dropout, struct ix_strategy_spec *spec,
                       struct ix_error *err)
{
    memset(spec, 0, sizeof *spec);
    spec->is_dropout = is_dropout;
    const char *name = ix_arg_text(args, "strategy");
    spec->name = ix_strdup(name ? name : is_dropout ? "linear" : "immediate");
    const json_t *settings = json_object_get(args, "settings");
    spec->settings = settings ? json_dumps(settings, JSON_COMPACT) : ix_strdup("{}");
    return ix_arg_function(args, "function", &spec->function, &spec->function_len, err);
}

static void strategy_deinit(struct ix_strategy_spec *spec)
{
    free(spec->name);
    free(spec->settings);
    free(spec->function);
}

int ix_op_group_launch(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                       struct ix_error *err)
{
    (void)result;
    const char *group;
    struct ix_strategy_spec strategy = {0};
    int code = ix_arg_need_text(args, "group", &group, err);
    if (code == 0)
        code = strategy_of(args, false, &strategy, err);
    if (code == 0)
        code = ix_fleet_launch(run->fleet, group, &strategy, ticket, err);
    if (code == 0 && run->config.plan)
        ix_plan_note_launch(run, group, &strategy);
    strategy_deinit(&strategy);
    return code == -EMFILE || code == -ENOMEM ? IX_HOST_CONFIGURATION : code < 0 ? code : IX_HOST_LATER;
}

int ix_op_group_stop(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                     struct ix_error *err)
{
    (void)result;
    const char *group;
    int code = ix_arg_need_text(args, "group", &group, err);
    if (code == 0)
        code = ix_fleet_stop(run->fleet, group, ix_arg_ms(args, "drainMs", 2000), ticket, err);
    return code < 0 ? code : IX_HOST_LATER;
}

static int mode_of(const json_t *args, enum ix_drop_mode *mode, struct ix_error *err)
{
    static const char *const names[] = {"abort", "close", "silent"};
    const char *name = ix_arg_text(args, "mode");
    *mode = IX_DROP_ABORT;
    for (size_t i = 0; name && i < IX_ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *mode = (enum ix_drop_mode)i;
            return 0;
        }
    }
    if (!name)
        return 0;
    char suggestion[128];
    ix_suggest_put(suggestion, sizeof suggestion, name, names, IX_ARRAY_LEN(names));
    return ix_fail(err, -EBADMSG, "mode \"%s\" is unknown%s", name, suggestion);
}

int ix_op_group_dropout(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                        struct ix_error *err)
{
    (void)result;
    const char *group;
    uint64_t count;
    char *select = NULL;
    struct ix_dropout_config dropout = {0};
    int code = ix_arg_need_text(args, "group", &group, err);
    if (code == 0)
        code = ix_arg_number(args, "count", UINT64_MAX, &count, err);
    if (code == 0)
        code = mode_of(args, &dropout.mode, err);
    if (code == 0)
        code = ix_arg_function(args, "select", &select, &dropout.select_len, err);
    if (code == 0)
        code = strategy_of(args, true, &dropout.strategy, err);
    const json_t *percentage = json_object_get(args, "percentage");
    dropout.percentage = json_is_number(percentage) ? json_number_value(percentage) : -1;
    if (code == 0 && json_is_number(percentage) && !(dropout.percentage >= 0 && dropout.percentage <= 100))
        code = ix_fail(err, -EBADMSG, "`percentage` must be 0 to 100");
    if (code == 0) {
        dropout.count = count == UINT64_MAX ? -1 : (int64_t)count;
        dropout.select = select;
        dropout.reconnect = json_is_true(json_object_get(args, "reconnect"));
        dropout.reconnect_delay_ns = ix_arg_ms(args, "reconnectDelayMs", 0);
        code = ix_fleet_dropout(run->fleet, group, &dropout, ticket, err);
    }
    strategy_deinit(&dropout.strategy);
    free(select);
    return code < 0 ? code : IX_HOST_LATER;
}

int ix_op_dropout_status(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)ticket;
    uint64_t id;
    struct ix_dropout_metrics m;
    int code = ix_arg_number(args, "id", 0, &id, err);
    if (code < 0)
        return code;
    const struct ix_dropout_facts *facts = ix_fleet_dropout_find(run->fleet, id, &m);
    if (!facts)
        return ix_fail(err, -ENOENT, "there is no dropout %llu", (unsigned long long)id);
    uint64_t handled = m.dropped + m.already_gone + m.cancelled;
    const struct ix_histogram *h = &m.back_time;
    *result = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:{s:f, s:f, s:f, s:f}}", "eligible",
        (json_int_t)facts->eligible, "chosen", (json_int_t)facts->chosen, "dropped", (json_int_t)m.dropped,
        "alreadyGone", (json_int_t)m.already_gone, "back", (json_int_t)m.back, "cancelled",
        (json_int_t)m.cancelled, "ended", (json_int_t)m.ended, "done", handled >= facts->chosen, "backMs",
        "p50", (double)ix_histogram_quantile(h, 0.5) / 1e6, "p90",
        (double)ix_histogram_quantile(h, 0.9) / 1e6, "p99", (double)ix_histogram_quantile(h, 0.99) / 1e6,
        "p100", (double)ix_histogram_quantile(h, 1) / 1e6);
    return 0;
}

int ix_op_dropout_cancel(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)result;
    uint64_t id;
    int code = ix_arg_number(args, "id", 0, &id, err);
    if (code == 0)
        code = ix_fleet_dropout_cancel(run->fleet, id, ticket, err);
    return code < 0 ? code : IX_HOST_LATER;
}

/* The most frequent refusals and losses of a group, for messages: "connection refused (412)". */
static json_t *reasons_of(struct ix_run *run, const char *group)
{
    json_t *list = json_array();
    ix_run_measure(run);
    for (size_t i = 0; i < run->now.group_count; i++) {
        const struct ix_totals *g = &run->now.groups[i];
        if (group && strcmp(g->group, group) != 0)
            continue;
        for (size_t k = 0; k < 3 && g->reasons[k].text[0]; k++)
            json_array_append_new(list, json_pack("{s:s, s:I}", "text", g->reasons[k].text, "count",
                                                  (json_int_t)g->reasons[k].count));
    }
    return list;
}

int ix_op_group_counts(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                       struct ix_error *err)
{
    (void)ticket;
    const char *group = ix_arg_text(args, "group");
    struct ix_totals t;
    if (group && !ix_fleet_has(run->fleet, group))
        return ix_fail(err, -ENOENT, "there is no group \"%s\"", group);
    ix_fleet_counts(run->fleet, group, &t);
    json_t *counts = json_object();
    json_object_set_new(counts, "count", json_integer((json_int_t)t.count));
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        json_object_set_new(counts, ix_status_names[s], json_integer(t.by_status[s]));
    json_object_set_new(counts, "connected", json_integer(t.connected));
    json_object_set_new(counts, "scheduled", json_integer((json_int_t)t.counters[IX_C_SCHEDULED]));
    json_object_set_new(counts, "subscribed", json_integer((json_int_t)t.counters[IX_C_SUBSCRIBED]));
    json_object_set_new(counts, "sent", json_integer((json_int_t)t.counters[IX_C_SENT]));
    json_object_set_new(counts, "acked", json_integer((json_int_t)t.counters[IX_C_ACKED]));
    json_object_set_new(counts, "received", json_integer((json_int_t)t.counters[IX_C_RECEIVED]));
    if (json_is_true(json_object_get(args, "reasons")))
        json_object_set_new(counts, "reasons", reasons_of(run, group));
    *result = counts;
    return 0;
}

int ix_op_group_set(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                    struct ix_error *err)
{
    (void)result;
    const char *group, *attribute;
    const json_t *changes = json_object_get(args, "changes");
    uint64_t index;
    int code = ix_arg_need_text(args, "group", &group, err);
    if (code == 0)
        code = ix_arg_need_text(args, "attribute", &attribute, err);
    if (code == 0)
        code = ix_arg_number(args, "index", UINT64_MAX, &index, err);
    if (code == 0) {
        char *text = changes ? json_dumps(changes, JSON_COMPACT | JSON_ENCODE_ANY) : ix_strdup("null");
        code = ix_fleet_set(run->fleet, group, index == UINT64_MAX ? -1 : (int64_t)index, attribute, text,
                            ticket, err);
        free(text);
    }
    return code < 0 ? code : IX_HOST_LATER;
}

/* ---- devices ---- */

int ix_op_group_each(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                     struct ix_error *err)
{
    (void)result;
    const char *group;
    uint64_t first, count;
    char *function = NULL;
    size_t len = 0;
    int code = ix_arg_need_text(args, "group", &group, err);
    if (code == 0)
        code = ix_arg_number(args, "first", 0, &first, err);
    if (code == 0)
        code = ix_arg_number(args, "count", UINT64_MAX / 2, &count, err);
    if (code == 0)
        code = ix_arg_function(args, "function", &function, &len, err);
    if (code == 0)
        code = ix_fleet_each(run->fleet, group, function, len, first, count, ticket, err);
    free(function);
    return code < 0 ? code : IX_HOST_LATER;
}

static int device_of(const json_t *args, const char **group, uint64_t *index, struct ix_error *err)
{
    int code = ix_arg_need_text(args, "group", group, err);
    return code < 0 ? code : ix_arg_number(args, "index", 0, index, err);
}

static int device_order(struct ix_run *run, const json_t *args, bool start, uint64_t ticket,
                        struct ix_error *err)
{
    const char *group;
    uint64_t index;
    int code = device_of(args, &group, &index, err);
    if (code == 0)
        code = ix_fleet_device_order(run->fleet, group, index, start, ticket, err);
    return code < 0 ? code : IX_HOST_LATER;
}

int ix_op_device_start(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                       struct ix_error *err)
{
    (void)result;
    return device_order(run, args, true, ticket, err);
}

int ix_op_device_stop(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                      struct ix_error *err)
{
    (void)result;
    return device_order(run, args, false, ticket, err);
}

int ix_op_device_status(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                        struct ix_error *err)
{
    (void)ticket;
    const char *group;
    uint64_t index;
    enum ix_device_status status;
    int code = device_of(args, &group, &index, err);
    if (code == 0)
        code = ix_fleet_device_status(run->fleet, group, index, &status, err);
    if (code == 0)
        *result = json_pack("{s:s}", "status", ix_status_names[status]);
    return code;
}

int ix_op_device_do(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                    struct ix_error *err)
{
    (void)result;
    const char *group;
    uint64_t index;
    char *function = NULL;
    size_t len = 0;
    int code = device_of(args, &group, &index, err);
    if (code == 0)
        code = ix_arg_function(args, "function", &function, &len, err);
    if (code == 0)
        code = ix_fleet_device(run->fleet, group, index, function, len, ticket, err);
    free(function);
    return code < 0 ? code : IX_HOST_LATER;
}

int ix_op_device_command(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)result;
    const char *group, *name;
    uint64_t index;
    int code = device_of(args, &group, &index, err);
    if (code == 0)
        code = ix_arg_need_text(args, "name", &name, err);
    if (code == 0) {
        const json_t *parameters = json_object_get(args, "parameters");
        char *text = parameters ? json_dumps(parameters, JSON_COMPACT | JSON_ENCODE_ANY) : ix_strdup("{}");
        code = ix_fleet_command(run->fleet, group, index, name, text, ticket, err);
        free(text);
    }
    return code < 0 ? code : IX_HOST_LATER;
}

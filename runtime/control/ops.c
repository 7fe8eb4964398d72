/* What scenarios (and services) can ask, by name: see script/host.h for the list. */
#include "control/run_internal.h"

#include "base/random.h"
#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FUNCTION_MAX (1u << 20)
#define NAME_MAX_LEN 63

struct operation {
    const char *name;
    const char *keys; /* allowed arguments, separated by spaces */
    int (*run)(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
               struct ix_error *err);
};

/* ---- arguments ---- */

static const char *text_of(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

static int need_text(const json_t *args, const char *key, const char **text, struct ix_error *err)
{
    *text = text_of(args, key);
    return *text ? 0 : ix_fail(err, -EINVAL, "`%s` must be a text", key);
}

/* A whole number ≥ 0; `missing` if the key is absent. */
static int number_of(const json_t *args, const char *key, uint64_t missing, uint64_t *out,
                     struct ix_error *err)
{
    const json_t *value = json_object_get(args, key);
    *out = missing;
    if (!value || json_is_null(value))
        return 0;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0) || number > 9e15 || number != floor(number))
        return ix_fail(err, -EINVAL, "`%s` must be a whole number, 0 or more", key);
    *out = (uint64_t)number;
    return 0;
}

static uint64_t ms_of(const json_t *args, const char *key, uint64_t missing_ms)
{
    const json_t *value = json_object_get(args, key);
    double ms = json_is_number(value) ? json_number_value(value) : (double)missing_ms;
    return ms > 0 ? (uint64_t)(ms * (double)IX_MS) : 0;
}

/* A packed function in base64 → bytes that the caller frees; NULL and length 0 if there is none. */
static int function_of(const json_t *args, const char *key, char **data, size_t *len, struct ix_error *err)
{
    const char *text = text_of(args, key);
    *data = NULL;
    *len = 0;
    if (!text)
        return 0;
    *data = ix_malloc(FUNCTION_MAX);
    int64_t n = ix_text_base64_decode(text, strlen(text), *data, FUNCTION_MAX);
    if (n <= 0) {
        free(*data);
        *data = NULL;
        return ix_fail(err, -EINVAL, "`%s` is not a packed function, or one of more than 1 MiB", key);
    }
    *len = (size_t)n;
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *ix_tags_text(const json_t *tags)
{
    char *parts[32];
    size_t count = 0;
    const char *key;
    json_t *value;
    struct ix_buf out;
    ix_buf_init(&out, 4096);
    json_object_foreach((json_t *)tags, key, value)
    {
        if (count == IX_ARRAY_LEN(parts))
            break;
        char *number = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        parts[count++] = ix_asprintf("%s:%s", key, number ? number : json_string_value(value));
        free(number);
    }
    qsort(parts, count, sizeof *parts, compare_texts);
    for (size_t i = 0; i < count; i++) {
        ix_buf_printf(&out, "%s%s", i ? "," : "", parts[i]);
        free(parts[i]);
    }
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

/* ---- groups ---- */

static void note_model(struct ix_run *run, const struct ix_found_model *found)
{
    struct ix_result *result = &run->result;
    for (size_t i = 0; i < result->model_count; i++)
        if (result->models[i].hash == found->model->hash)
            return;
    result->models = ix_realloc(result->models, (result->model_count + 1) * sizeof *result->models);
    result->models[result->model_count++] = (struct ix_model_fact){ix_strdup(found->id), found->model->hash};
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
    if (!id[0] || id[ok] || ok > NAME_MAX_LEN)
        return ix_fail(err, -EINVAL,
                       "group id \"%s\": 1 to %d letters, digits, dots, dashes and underscores are allowed",
                       id, NAME_MAX_LEN);
    return 0;
}

static int create_group(struct ix_run *run, const json_t *args, struct ix_found_model *found, uint64_t count,
                        json_t **result, struct ix_error *err)
{
    const char *broker = text_of(json_object_get(args, "connection"), "broker");
    struct ix_target *targets = NULL;
    size_t target_count = 0;
    struct ix_error unsupported;
    if (!ix_protocol_find(found->model->connection.protocol, &unsupported))
        return ix_fail(err, -ENOTSUP, "model \"%s\": %s", found->id, unsupported.text);
    int code = ix_run_broker_targets(run, found->model, broker, &targets, &target_count, err);
    if (code < 0)
        return code;
    const char *wish = text_of(args, "group");
    char *id = wish ? ix_strdup(wish) : fresh_group_id(run, found->id);
    char *tags = ix_tags_text(json_object_get(args, "tags"));
    code = check_group_id(id, err);
    if (code == 0) {
        struct ix_group_config group = {
            .id = id,
            .count = count,
            .id_pattern = text_of(args, "id"),
            .model_id = found->id,
            .model_text = found->text,
            .model_folder = found->folder,
            .model_hash = found->model->hash,
            .targets = targets,
            .target_count = target_count,
            .tags = tags,
        };
        code = ix_fleet_create(run->fleet, &group, err);
    }
    if (code == 0) {
        note_model(run, found);
        *result = json_pack("{s:s, s:I, s:s}", "group", id, "count", (json_int_t)count, "model", found->id);
    }
    free(id);
    free(tags);
    free(targets);
    return code;
}

static int op_group_create(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                           struct ix_error *err)
{
    (void)ticket;
    struct ix_found_model found;
    uint64_t count;
    int code = number_of(args, "count", 1, &count, err);
    if (code == 0 && (count == 0 || count > 1ull << 28))
        code = ix_fail(err, -EINVAL, "`count` must be 1 to %llu", 1ull << 28);
    if (code == 0)
        code = ix_models_find(&run->models, json_object_get(args, "model"),
                              json_object_get(args, "connection"), &found, err);
    if (code < 0)
        return code;
    code = create_group(run, args, &found, count, result, err);
    ix_found_model_deinit(&found);
    return code;
}

/* {strategy, settings, function} → a spec whose texts live in *settings and *function. */
static int strategy_of(const json_t *args, bool is_dropout, struct ix_strategy_spec *spec,
                       struct ix_error *err)
{
    memset(spec, 0, sizeof *spec);
    spec->is_dropout = is_dropout;
    const char *name = text_of(args, "strategy");
    spec->name = ix_strdup(name ? name : is_dropout ? "linear" : "immediate");
    const json_t *settings = json_object_get(args, "settings");
    spec->settings = settings ? json_dumps(settings, JSON_COMPACT) : ix_strdup("{}");
    return function_of(args, "function", &spec->function, &spec->function_len, err);
}

static void strategy_deinit(struct ix_strategy_spec *spec)
{
    free(spec->name);
    free(spec->settings);
    free(spec->function);
}

static int op_group_launch(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                           struct ix_error *err)
{
    (void)result;
    const char *group;
    struct ix_strategy_spec strategy = {0};
    int code = need_text(args, "group", &group, err);
    if (code == 0)
        code = strategy_of(args, false, &strategy, err);
    if (code == 0)
        code = ix_fleet_launch(run->fleet, group, &strategy, ticket, err);
    strategy_deinit(&strategy);
    return code < 0 ? code : IX_HOST_LATER;
}

static int op_group_stop(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)result;
    const char *group;
    int code = need_text(args, "group", &group, err);
    if (code == 0)
        code = ix_fleet_stop(run->fleet, group, ms_of(args, "drainMs", 2000), ticket, err);
    return code < 0 ? code : IX_HOST_LATER;
}

static int mode_of(const json_t *args, enum ix_drop_mode *mode, struct ix_error *err)
{
    static const char *const names[] = {"abort", "close", "silent"};
    const char *name = text_of(args, "mode");
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
    return ix_fail(err, -EINVAL, "mode \"%s\" is unknown%s", name, suggestion);
}

static int op_group_dropout(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                            struct ix_error *err)
{
    (void)result;
    const char *group;
    uint64_t count;
    char *select = NULL;
    struct ix_dropout_config dropout = {0};
    int code = need_text(args, "group", &group, err);
    if (code == 0)
        code = number_of(args, "count", UINT64_MAX, &count, err);
    if (code == 0)
        code = mode_of(args, &dropout.mode, err);
    if (code == 0)
        code = function_of(args, "select", &select, &dropout.select_len, err);
    if (code == 0)
        code = strategy_of(args, true, &dropout.strategy, err);
    const json_t *percentage = json_object_get(args, "percentage");
    dropout.percentage = json_is_number(percentage) ? json_number_value(percentage) : -1;
    if (code == 0 && json_is_number(percentage) && !(dropout.percentage >= 0 && dropout.percentage <= 100))
        code = ix_fail(err, -EINVAL, "`percentage` must be 0 to 100");
    if (code == 0) {
        dropout.count = count == UINT64_MAX ? -1 : (int64_t)count;
        dropout.select = select;
        dropout.reconnect = json_is_true(json_object_get(args, "reconnect"));
        dropout.reconnect_delay_ns = ms_of(args, "reconnectDelayMs", 0);
        code = ix_fleet_dropout(run->fleet, group, &dropout, ticket, err);
    }
    strategy_deinit(&dropout.strategy);
    free(select);
    return code < 0 ? code : IX_HOST_LATER;
}

static int op_dropout_status(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                             struct ix_error *err)
{
    (void)ticket;
    uint64_t id;
    struct ix_dropout_metrics m;
    int code = number_of(args, "id", 0, &id, err);
    if (code < 0)
        return code;
    const struct ix_dropout_facts *facts = ix_fleet_dropout_find(run->fleet, id, &m);
    if (!facts)
        return ix_fail(err, -ENOENT, "there is no dropout %llu", (unsigned long long)id);
    uint64_t ended = m.dropped + m.already_gone + m.cancelled;
    const struct ix_histogram *h = &m.back_time;
    *result = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:{s:f, s:f, s:f, s:f}}", "eligible",
                        (json_int_t)facts->eligible, "chosen", (json_int_t)facts->chosen, "dropped",
                        (json_int_t)m.dropped, "alreadyGone", (json_int_t)m.already_gone, "back",
                        (json_int_t)m.back, "cancelled", (json_int_t)m.cancelled, "done",
                        ended >= facts->chosen, "backMs", "p50", (double)ix_histogram_quantile(h, 0.5) / 1e6,
                        "p90", (double)ix_histogram_quantile(h, 0.9) / 1e6, "p99",
                        (double)ix_histogram_quantile(h, 0.99) / 1e6, "p100",
                        (double)ix_histogram_quantile(h, 1) / 1e6);
    return 0;
}

static int op_dropout_cancel(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                             struct ix_error *err)
{
    (void)result;
    uint64_t id;
    int code = number_of(args, "id", 0, &id, err);
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

static int op_group_counts(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                           struct ix_error *err)
{
    (void)ticket;
    const char *group = text_of(args, "group");
    struct ix_totals t;
    if (group && !ix_fleet_has(run->fleet, group))
        return ix_fail(err, -ENOENT, "there is no group \"%s\"", group);
    ix_fleet_counts(run->fleet, group, &t);
    json_t *counts = json_object();
    json_object_set_new(counts, "count", json_integer((json_int_t)t.count));
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        json_object_set_new(counts, ix_status_names[s], json_integer(t.by_status[s]));
    json_object_set_new(counts, "connected", json_integer(t.connected));
    json_object_set_new(counts, "sent", json_integer((json_int_t)t.counters[IX_C_SENT]));
    json_object_set_new(counts, "acked", json_integer((json_int_t)t.counters[IX_C_ACKED]));
    json_object_set_new(counts, "received", json_integer((json_int_t)t.counters[IX_C_RECEIVED]));
    if (json_is_true(json_object_get(args, "reasons")))
        json_object_set_new(counts, "reasons", reasons_of(run, group));
    *result = counts;
    return 0;
}

static int op_group_set(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                        struct ix_error *err)
{
    (void)result;
    const char *group, *attribute;
    const json_t *changes = json_object_get(args, "changes");
    uint64_t index;
    int code = need_text(args, "group", &group, err);
    if (code == 0)
        code = need_text(args, "attribute", &attribute, err);
    if (code == 0)
        code = number_of(args, "index", UINT64_MAX, &index, err);
    if (code == 0) {
        char *text = changes ? json_dumps(changes, JSON_COMPACT | JSON_ENCODE_ANY) : ix_strdup("null");
        code = ix_fleet_set(run->fleet, group, index == UINT64_MAX ? -1 : (int64_t)index, attribute, text,
                            ticket, err);
        free(text);
    }
    return code < 0 ? code : IX_HOST_LATER;
}

/* ---- devices ---- */

static int op_group_each(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)result;
    const char *group;
    uint64_t first, count;
    char *function = NULL;
    size_t len = 0;
    int code = need_text(args, "group", &group, err);
    if (code == 0)
        code = number_of(args, "first", 0, &first, err);
    if (code == 0)
        code = number_of(args, "count", UINT64_MAX / 2, &count, err);
    if (code == 0)
        code = function_of(args, "function", &function, &len, err);
    if (code == 0)
        code = ix_fleet_each(run->fleet, group, function, len, first, count, ticket, err);
    free(function);
    return code < 0 ? code : IX_HOST_LATER;
}

static int device_of(const json_t *args, const char **group, uint64_t *index, struct ix_error *err)
{
    int code = need_text(args, "group", group, err);
    return code < 0 ? code : number_of(args, "index", 0, index, err);
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

static int op_device_start(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                           struct ix_error *err)
{
    (void)result;
    return device_order(run, args, true, ticket, err);
}

static int op_device_stop(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                          struct ix_error *err)
{
    (void)result;
    return device_order(run, args, false, ticket, err);
}

static int op_device_do(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                        struct ix_error *err)
{
    (void)result;
    const char *group;
    uint64_t index;
    char *function = NULL;
    size_t len = 0;
    int code = device_of(args, &group, &index, err);
    if (code == 0)
        code = function_of(args, "function", &function, &len, err);
    if (code == 0)
        code = ix_fleet_device(run->fleet, group, index, function, len, ticket, err);
    free(function);
    return code < 0 ? code : IX_HOST_LATER;
}

static int op_device_command(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                             struct ix_error *err)
{
    (void)result;
    const char *group, *name;
    uint64_t index;
    int code = device_of(args, &group, &index, err);
    if (code == 0)
        code = need_text(args, "name", &name, err);
    if (code == 0) {
        const json_t *parameters = json_object_get(args, "parameters");
        char *text = parameters ? json_dumps(parameters, JSON_COMPACT | JSON_ENCODE_ANY) : ix_strdup("{}");
        code = ix_fleet_command(run->fleet, group, index, name, text, ticket, err);
        free(text);
    }
    return code < 0 ? code : IX_HOST_LATER;
}

/* ---- measuring ---- */

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *view_to_json(const struct ix_metric_view *view)
{
    static const char *const kinds[] = {"none", "counter", "gauge", "rate", "trend"};
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string(kinds[view->kind]));
    json_object_set_new(o, "count", json_integer((json_int_t)view->count));
    json_object_set_new(o, "value", number_or_null(view->value));
    if (view->kind == IX_METRIC_RATE)
        json_object_set_new(o, "rate", number_or_null(view->count ? view->value / (double)view->count : NAN));
    if (view->kind != IX_METRIC_TREND)
        return o;
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {{"min", -1}, {"med", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}};
    const struct ix_histogram *h = &view->trend;
    json_object_set_new(o, "count", json_integer((json_int_t)h->count));
    json_object_set_new(o, "avg", number_or_null(h->count ? ix_histogram_mean(h) / 1e6 : NAN));
    for (size_t i = 0; i < IX_ARRAY_LEN(quantiles); i++) {
        uint64_t ns = quantiles[i].q < 0 ? h->min : ix_histogram_quantile(h, quantiles[i].q);
        json_object_set_new(o, quantiles[i].name, number_or_null(h->count ? (double)ns / 1e6 : NAN));
    }
    return o;
}

static int op_metric_get(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)ticket;
    const char *name;
    int code = need_text(args, "name", &name, err);
    if (code < 0)
        return code;
    char *tags = ix_tags_text(json_object_get(args, "tags"));
    struct ix_metric_view *view = ix_calloc(1, sizeof *view);
    ix_run_measure(run);
    if (ix_snapshot_metric(&run->now, name, tags, view)) {
        *result = view_to_json(view);
    } else {
        char suggestion[512];
        size_t count;
        const char *const *names = ix_metric_names(&count);
        ix_suggest_put(suggestion, sizeof suggestion, name, names, count);
        code = ix_fail(err, -ENOENT, "there is no metric \"%s\"%s", name, suggestion);
    }
    free(view);
    free(tags);
    return code;
}

static int op_metric_add(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)ticket;
    const char *name, *kind;
    int code = need_text(args, "name", &name, err);
    if (code == 0)
        code = need_text(args, "kind", &kind, err);
    if (code < 0)
        return code;
    const json_t *tags_json = json_object_get(args, "tags");
    char *tags =
        json_is_string(tags_json) ? ix_strdup(json_string_value(tags_json)) : ix_tags_text(tags_json);
    const json_t *value = json_object_get(args, "value");
    double number = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
    code = ix_run_metric_add(run, kind, name, tags, number, err);
    free(tags);
    *result = json_object();
    return code;
}

static int op_check_add(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                        struct ix_error *err)
{
    (void)ticket;
    const char *name;
    int code = need_text(args, "name", &name, err);
    if (code < 0)
        return code;
    char *tags = ix_tags_text(json_object_get(args, "tags"));
    uint64_t at_ns = ix_loop_update(&run->loop) - run->start_ns;
    code = ix_checks_add(&run->result.checks, name, tags, json_is_true(json_object_get(args, "passed")),
                         at_ns, err);
    free(tags);
    *result = json_object();
    return code;
}

static int op_event_add(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                        struct ix_error *err)
{
    (void)ticket;
    const char *name;
    int code = need_text(args, "name", &name, err);
    if (code < 0)
        return code;
    const json_t *data = json_object_get(args, "data");
    char *text = data && !json_is_null(data) ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    ix_series_event(&run->result.series, ix_loop_update(&run->loop), name, text);
    free(text);
    *result = json_object();
    return 0;
}

/* ---- subscriptions ---- */

static int op_subscribe_open(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                             struct ix_error *err)
{
    (void)result;
    const char *topic, *username = text_of(args, "username"), *password = text_of(args, "password");
    uint64_t qos;
    int code = need_text(args, "topic", &topic, err);
    if (code == 0)
        code = number_of(args, "qos", 2, &qos, err);
    if (code == 0 && qos > 2)
        code = ix_fail(err, -EINVAL, "`qos` must be 0, 1 or 2");
    if (code == 0)
        code = ix_run_subscribe(run, topic, (int)qos, username ? username : "", password ? password : "",
                                ticket, err);
    return code < 0 ? code : IX_HOST_LATER;
}

static int op_subscribe_stats(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                              struct ix_error *err)
{
    (void)ticket;
    uint64_t id;
    int code = number_of(args, "id", 0, &id, err);
    if (code < 0)
        return code;
    const struct subscription *s = ix_run_subscription(run, id);
    if (!s)
        return ix_fail(err, -ENOENT, "the subscription was closed");
    *result = json_pack("{s:I, s:I}", "received", (json_int_t)s->received, "dropped", (json_int_t)s->dropped);
    return 0;
}

static int op_subscribe_close(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                              struct ix_error *err)
{
    (void)ticket;
    uint64_t id;
    int code = number_of(args, "id", 0, &id, err);
    if (code < 0)
        return code;
    ix_run_unsubscribe(run, id);
    *result = json_object();
    return 0;
}

static const struct operation operations[] = {
    {"group.create", "group model count id connection tags", op_group_create},
    {"group.launch", "group strategy settings function", op_group_launch},
    {"group.stop", "group drainMs", op_group_stop},
    {"group.dropout",
     "group strategy settings function count percentage select mode reconnect reconnectDelayMs",
     op_group_dropout},
    {"dropout.status", "id", op_dropout_status},
    {"dropout.cancel", "id", op_dropout_cancel},
    {"group.counts", "group reasons", op_group_counts},
    {"group.set", "group attribute changes index", op_group_set},
    {"group.each", "group function first count", op_group_each},
    {"device.start", "group index", op_device_start},
    {"device.stop", "group index", op_device_stop},
    {"device.do", "group index function", op_device_do},
    {"device.command", "group index name parameters", op_device_command},
    {"metric.get", "name tags", op_metric_get},
    {"metric.add", "kind name tags value", op_metric_add},
    {"check.add", "name passed tags", op_check_add},
    {"event.add", "name data", op_event_add},
    {"subscribe.open", "topic qos limit username password", op_subscribe_open},
    {"subscribe.stats", "id", op_subscribe_stats},
    {"subscribe.close", "id", op_subscribe_close},
};

static bool is_word_of(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

int ix_run_call(void *context, const char *operation, const json_t *arguments, uint64_t ticket,
                json_t **result, struct ix_error *err)
{
    struct ix_run *run = context;
    const char *names[IX_ARRAY_LEN(operations)];
    for (size_t i = 0; i < IX_ARRAY_LEN(operations); i++) {
        const struct operation *op = &operations[i];
        names[i] = op->name;
        if (strcmp(op->name, operation) != 0)
            continue;
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)arguments, key, value)
        {
            if (!is_word_of(op->keys, key))
                return ix_fail(err, -EINVAL, "%s has no argument \"%s\"; known: %s", operation, key,
                               op->keys);
        }
        return op->run(run, arguments, ticket, result, err);
    }
    char suggestion[512];
    ix_suggest_put(suggestion, sizeof suggestion, operation, names, IX_ARRAY_LEN(operations));
    return ix_fail(err, -EINVAL, "there is no operation \"%s\"%s", operation, suggestion);
}

/* Operations on metrics, checks, events and subscriptions. */
#include "control/ops.h"

#include "base/suggest.h"

#include <math.h>
#include <stdlib.h>

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

/* Those of the script first: who asks for one of them has most likely mistyped it. */
static void suggest_metric(const struct ix_snapshot *now, const char *name, char *out, size_t size)
{
    size_t known;
    const char *const *names = ix_metric_names(&known);
    const char **all = ix_calloc(now->custom_count + known, sizeof *all);
    for (size_t i = 0; i < now->custom_count; i++)
        all[i] = now->custom[i].name;
    memcpy(all + now->custom_count, names, known * sizeof *all);
    ix_suggest_put(out, size, name, all, now->custom_count + known);
    free(all);
}

int ix_op_metric_get(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                     struct ix_error *err)
{
    (void)ticket;
    const char *name;
    int code = ix_arg_need_text(args, "name", &name, err);
    if (code < 0)
        return code;
    char *tags = ix_tags_text(json_object_get(args, "tags"));
    struct ix_metric_view *view = ix_calloc(1, sizeof *view);
    ix_run_measure(run);
    if (ix_snapshot_metric(&run->now, name, tags, view)) {
        *result = view_to_json(view);
    } else if (strncmp(name, "delivery.", 9) == 0 && ix_metric_find(name)) {
        code = ix_fail(err, -ENOENT,
                       "\"%s\" has no value: nothing observes this run; t:observe does, or --observe", name);
    } else {
        char suggestion[512];
        suggest_metric(&run->now, name, suggestion, sizeof suggestion);
        code = ix_fail(err, -ENOENT, "there is no metric \"%s\"%s", name, suggestion);
    }
    free(view);
    free(tags);
    return code;
}

int ix_op_metric_add(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                     struct ix_error *err)
{
    (void)ticket;
    const char *name, *kind;
    int code = ix_arg_need_text(args, "name", &name, err);
    if (code == 0)
        code = ix_arg_need_text(args, "kind", &kind, err);
    if (code < 0)
        return code;
    const json_t *tags_json = json_object_get(args, "tags");
    char *tags =
        json_is_string(tags_json) ? ix_strdup(json_string_value(tags_json)) : ix_tags_text(tags_json);
    const json_t *value = json_object_get(args, "value");
    double number = json_is_boolean(value) ? json_is_true(value) : value ? json_number_value(value) : NAN;
    code = ix_run_metric_add(run, kind, name, tags, number, err);
    free(tags);
    *result = json_object();
    return code;
}

int ix_op_check_add(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                    struct ix_error *err)
{
    (void)ticket;
    const char *name;
    int code = ix_arg_need_text(args, "name", &name, err);
    if (code < 0)
        return code;
    char *tags = ix_tags_text(json_object_get(args, "tags"));
    uint64_t at_ns = ix_loop_update(&run->loop) - run->start_ns;
    code = ix_checks_add(&run->result.checks, name, tags, json_is_true(json_object_get(args, "passed")),
                         ix_arg_text(args, "reason"), at_ns, err);
    free(tags);
    *result = json_object();
    return code;
}

int ix_op_event_add(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                    struct ix_error *err)
{
    (void)ticket;
    const char *name;
    int code = ix_arg_need_text(args, "name", &name, err);
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

int ix_op_subscribe_open(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                         struct ix_error *err)
{
    (void)result;
    const char *topic, *username = ix_arg_text(args, "username"), *password = ix_arg_text(args, "password");
    uint64_t qos, limit = 0;
    int code = ix_arg_need_text(args, "topic", &topic, err);
    if (code == 0)
        code = ix_arg_number(args, "qos", 2, &qos, err);
    if (code == 0 && qos > 2)
        code = ix_fail(err, -EBADMSG, "`qos` must be 0, 1 or 2");
    if (code == 0)
        code = ix_arg_number(args, "limit", 0, &limit, err);
    if (code == 0)
        code = ix_run_subscribe(run, topic, (int)qos, limit, username ? username : "",
                                password ? password : "", ticket, err);
    return code < 0 ? code : IX_HOST_LATER;
}

/* ---- the delivery ledger ---- */

static int read_way(const json_t *args, enum ix_mark_way *way, struct ix_error *err)
{
    static const char *const ways[] = {"auto", "field", "property"};
    const char *carry = ix_arg_text(args, "carry");
    *way = IX_MARK_AUTO;
    for (size_t i = 0; carry && i < IX_ARRAY_LEN(ways); i++) {
        if (strcmp(carry, ways[i]) == 0) {
            *way = (enum ix_mark_way)i;
            return 0;
        }
    }
    return carry ? ix_fail(err, -EBADMSG, "`carry` must be auto, field or property, not \"%s\"", carry) : 0;
}

/* The number is plain: what a field's name must be to stand in JSON and in options as it is. */
static bool is_plain_name(const char *text)
{
    return *text && strlen(text) <= IX_MARK_FIELD_MAX && ix_id_is_plain(text, strlen(text));
}

int ix_op_observe_open(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                       struct ix_error *err)
{
    (void)result;
    char *topics[IX_TOPICS_MAX];
    const json_t *list = json_object_get(args, "topics");
    const char *field = ix_arg_text(args, "field"), *username = ix_arg_text(args, "username"),
               *password = ix_arg_text(args, "password");
    struct ix_observe spec = {.topics = topics,
                              .field = (char *)(field ? field : IX_MARK_FIELD),
                              .username = (char *)(username ? username : ""),
                              .password = (char *)(password ? password : "")};
    uint64_t qos, observers, late, settle;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > IX_TOPICS_MAX)
        return ix_fail(err, -EBADMSG, "`topics` must be a list of 1 to %d topic filters", IX_TOPICS_MAX);
    for (; spec.topic_count < json_array_size(list); spec.topic_count++) {
        topics[spec.topic_count] = (char *)json_string_value(json_array_get(list, spec.topic_count));
        if (!topics[spec.topic_count])
            return ix_fail(err, -EBADMSG, "`topics` must be texts");
    }
    if (!is_plain_name(spec.field))
        return ix_fail(err, -EBADMSG, "`field` must have 1 to %d letters, digits, \".\", \"_\" or \"-\"",
                       IX_MARK_FIELD_MAX);
    int code = ix_arg_number(args, "qos", 1, &qos, err);
    code = code < 0 ? code : ix_arg_number(args, "observers", 1, &observers, err);
    code = code < 0 ? code : ix_arg_number(args, "lateAfterMs", 0, &late, err);
    code = code < 0 ? code : ix_arg_number(args, "settleMs", IX_SETTLE_NS / 1000000, &settle, err);
    code = code < 0 ? code : read_way(args, &spec.way, err);
    if (code == 0 && (qos > 2 || observers < 1 || observers > IX_OBSERVERS_MAX))
        code = ix_fail(err, -EBADMSG, "`qos` must be 0, 1 or 2, `observers` 1 to %d", IX_OBSERVERS_MAX);
    if (code < 0)
        return code;
    spec.qos = (int)qos;
    spec.observers = observers;
    spec.late_ns = late * 1000000;
    spec.settle_ns = settle * 1000000;
    code = ix_run_observe(run, &spec, ticket, NULL, err);
    return code < 0 ? code : IX_HOST_LATER;
}

int ix_op_subscribe_stats(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                          struct ix_error *err)
{
    (void)ticket;
    uint64_t id;
    int code = ix_arg_number(args, "id", 0, &id, err);
    if (code < 0)
        return code;
    const struct subscription *s = ix_run_subscription(run, id);
    if (!s)
        return ix_fail(err, -ENOENT, "the subscription was closed");
    *result = json_pack("{s:I, s:I}", "received", (json_int_t)s->received, "dropped", (json_int_t)s->dropped);
    return 0;
}

int ix_op_subscribe_close(struct ix_run *run, const json_t *args, uint64_t ticket, json_t **result,
                          struct ix_error *err)
{
    (void)ticket;
    uint64_t id;
    int code = ix_arg_number(args, "id", 0, &id, err);
    if (code < 0)
        return code;
    ix_run_unsubscribe(run, id);
    *result = json_object();
    return 0;
}

/* Parts of a result as JSON. */
#include "control/report_json.h"

#include "base/text.h"
#include "control/judge.h"
#include "control/report_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *count(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *milliseconds(uint64_t ns)
{
    return ix_report_number((double)ns / 1e6);
}

/* Lowest value of a bucket in ns (metrics/histogram.h). */
static uint64_t bucket_low(size_t index)
{
    if (index < 64)
        return index;
    return (uint64_t)(64 + index % 64) << (index / 64 - 1);
}

static json_t *trend(const struct ix_histogram *h)
{
    static const struct {
        const char *name;
        double q;
    } shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}};
    json_t *object = json_object();
    json_object_set_new(object, "count", count(h->count));
    json_object_set_new(object, "min", h->count ? milliseconds(h->min) : json_null());
    json_object_set_new(object, "avg", h->count ? ix_report_number(ix_histogram_mean(h) / 1e6) : json_null());
    for (size_t i = 0; i < IX_ARRAY_LEN(shares); i++)
        json_object_set_new(object, shares[i].name,
                            h->count ? milliseconds(ix_histogram_quantile(h, shares[i].q)) : json_null());
    json_object_set_new(object, "max", h->count ? milliseconds(h->max) : json_null());
    json_t *few = json_array();
    for (size_t i = 0; i < IX_ARRAY_LEN(shares); i++)
        if (!ix_histogram_supports(h, shares[i].q))
            json_array_append_new(few, json_string(shares[i].name));
    json_object_set_new(object, "fewSamples", few);
    json_t *buckets = json_array();
    for (size_t i = 0; i < IX_HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i])
            json_array_append_new(buckets,
                                  json_pack("[o,o]", milliseconds(bucket_low(i)), count(h->buckets[i])));
    json_object_set_new(object, "buckets", buckets);
    return object;
}

static json_t *models(const struct ix_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->model_count; i++) {
        char hash[17];
        snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)result->models[i].hash);
        json_array_append_new(
            list, json_pack("{s:o,s:s}", "id", ix_report_string(result->models[i].id), "hash", hash));
    }
    return list;
}

static json_t *hash_text(uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
    return json_string(text);
}

json_t *ix_json_run(const struct ix_result *result)
{
    char seed[24], started[IX_ISO8601_LEN + 1];
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)result->seed);
    ix_text_iso8601(started, result->started_wall_ns);
    json_t *run = json_object();
    json_object_set_new(run, "id", ix_report_string(result->run_id));
    json_object_set_new(run, "scenario", ix_report_string(result->scenario));
    json_object_set_new(run, "path", ix_report_string(result->path));
    json_object_set_new(run, "description", ix_report_string(result->description));
    json_object_set_new(run, "scenarioHash", hash_text(result->scenario_hash));
    json_object_set_new(run, "broker", ix_report_string(result->broker));
    json_object_set_new(run, "seed", json_string(seed));
    json_object_set_new(run, "started", result->started_wall_ns ? json_string(started) : json_null());
    json_object_set_new(run, "seconds", ix_report_number(result->seconds));
    json_object_set_new(run, "workers", count(result->workers));
    json_object_set_new(run, "workerRestarts", count(result->worker_restarts));
    json_object_set_new(run, "models", models(result));
    json_object_set_new(run, "options", result->options ? json_incref(result->options) : json_object());
    json_object_set_new(run, "tags", result->tags ? json_incref(result->tags) : json_object());
    json_object_set_new(run, "settings", result->settings ? json_incref(result->settings) : json_object());
    json_object_set_new(run, "command", result->command ? json_incref(result->command) : json_array());
    json_object_set_new(run, "host", result->host ? json_incref(result->host) : json_object());
    json_object_set_new(run, "replay", result->replay ? json_incref(result->replay) : json_null());
    return run;
}

static json_t *lines(const char *text)
{
    json_t *list = json_array();
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        char *line = ix_strndup(text, len);
        json_array_append_new(list, ix_report_string(line));
        free(line);
        text += len;
        text += *text == '\n';
    }
    return list;
}

/* A limit that is off is null. */
static json_t *limit_count(uint64_t value)
{
    return value == UINT64_MAX ? json_null() : count(value);
}

static json_t *limits(const struct ix_limits *l)
{
    json_t *object = json_object();
    json_object_set_new(object, "degradedLatenessMs",
                        l->degraded_lateness_ns == UINT64_MAX ? json_null()
                                                              : milliseconds(l->degraded_lateness_ns));
    json_object_set_new(object, "invalidLatenessMs",
                        l->invalid_lateness_ns == UINT64_MAX ? json_null()
                                                             : milliseconds(l->invalid_lateness_ns));
    json_object_set_new(object, "degradedBusy", ix_report_number(l->degraded_busy));
    json_object_set_new(object, "degradedWait", ix_report_number(l->degraded_wait));
    json_object_set_new(object, "busyForSeconds", ix_report_number(l->busy_for_s));
    json_object_set_new(object, "degradedSteal", ix_report_number(l->degraded_steal));
    json_object_set_new(object, "degradedRestarts", limit_count(l->degraded_restarts));
    json_object_set_new(object, "degradedDropped", limit_count(l->degraded_dropped));
    json_object_set_new(object, "invalidOwnFault", ix_report_number(l->invalid_own_fault));
    json_object_set_new(object, "invalidOverrun", limit_count(l->invalid_overrun));
    return object;
}

static json_t *figures(const struct ix_result *result)
{
    struct ix_judge_figures f;
    ix_judge_measure(result, &f);
    json_t *object = json_object();
    json_object_set_new(object, "latenessP99Ms",
                        f.lateness_samples ? milliseconds(f.lateness_p99_ns) : json_null());
    json_object_set_new(object, "busiest", ix_report_number(f.busiest));
    json_object_set_new(object, "waited", ix_report_number(f.waited));
    json_object_set_new(object, "steal", ix_report_number(result->steal));
    json_object_set_new(object, "restarts", count(result->worker_restarts));
    json_object_set_new(object, "dropped", count(result->frames_dropped));
    json_object_set_new(object, "logLinesDropped", count(result->log_dropped));
    json_object_set_new(object, "ownFaultShare", ix_report_number(f.own_fault));
    json_object_set_new(object, "overrun", count(result->observer_overrun));
    return object;
}

json_t *ix_json_verdict(const struct ix_result *result)
{
    json_t *verdict = json_object();
    json_object_set_new(verdict, "outcome", ix_report_string(result->outcome));
    json_object_set_new(verdict, "exitCode", json_integer(result->exit_code));
    json_object_set_new(verdict, "validity", json_string(ix_validity_names[result->validity]));
    json_object_set_new(verdict, "reasons", lines(result->validity_reasons));
    json_object_set_new(verdict, "advice", lines(result->advice));
    json_object_set_new(verdict, "interrupted", json_boolean(result->interrupted));
    json_object_set_new(verdict, "endedEarly", ix_report_string(result->early));
    json_object_set_new(verdict, "error", ix_report_string(result->error));
    json_object_set_new(verdict, "ownFault", count(result->own_fault));
    json_object_set_new(verdict, "limits", limits(&result->limits));
    json_object_set_new(verdict, "figures", figures(result));
    json_object_set_new(verdict, "suspect", ix_result_suspects(result));
    return verdict;
}

json_t *ix_json_check(const struct ix_check *check)
{
    return json_pack("{s:o,s:o,s:b,s:o,s:o,s:o,s:o}", "name", ix_report_string(check->name), "tags",
                     ix_report_tags(check->tags), "passed", check->fails == 0, "passes", count(check->passes),
                     "fails", count(check->fails), "firstFailSeconds",
                     check->fails ? ix_report_number((double)check->first_fail_ns / 1e9) : json_null(),
                     "reason", check->reason ? ix_report_string(check->reason) : json_null());
}

json_t *ix_json_threshold(const struct ix_threshold *t)
{
    json_t *object = json_object();
    json_object_set_new(object, "metric", ix_report_string(t->metric));
    json_object_set_new(object, "tags", ix_report_tags(t->tags));
    json_object_set_new(object, "threshold", ix_report_string(t->text));
    json_object_set_new(object, "overSeconds",
                        t->over_ns ? ix_report_number((double)t->over_ns / 1e9) : json_null());
    json_object_set_new(object, "abortOnFail", json_boolean(t->abort_on_fail));
    json_object_set_new(object, "evaluated", json_boolean(t->evaluated));
    json_object_set_new(object, "passed", json_boolean(t->evaluated && t->passed));
    json_object_set_new(object, "measured", ix_report_number(t->measured));
    json_object_set_new(object, "reason", ix_report_string(t->reason));
    return object;
}

static json_t *devices(const struct ix_totals *totals)
{
    json_t *by_status = json_object();
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        json_object_set_new(by_status, ix_status_names[s], json_integer(totals->by_status[s]));
    return json_pack("{s:o,s:I,s:o}", "count", count(totals->count), "connected",
                     (json_int_t)totals->connected, "byStatus", by_status);
}

/* What became of every message that came due; its sums hold to the message (snapshot.h). */
static json_t *ledger(const struct ix_totals *totals)
{
    const uint64_t *c = totals->counters;
    json_t *never = json_pack("{s:o,s:o,s:o,s:o}", "offline", count(c[IX_C_NEVER_SENT_OFFLINE]),
                              "backpressure", count(c[IX_C_NEVER_SENT_BACKPRESSURE]), "error",
                              count(c[IX_C_NEVER_SENT_ERROR]), "late", count(c[IX_C_NEVER_SENT_LATE]));
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "scheduled", count(c[IX_C_SCHEDULED]),
                     "neverSent", never, "waiting", count(totals->waiting), "inDoubt",
                     count(ix_totals_in_doubt(totals)), "sent", count(c[IX_C_SENT]), "acknowledged",
                     count(c[IX_C_ACKED]), "lost", count(c[IX_C_LOST]), "lostWithWorker",
                     count(c[IX_C_LOST_WORKER]), "inFlight", count(ix_totals_in_flight(totals)));
}

json_t *ix_json_totals(const struct ix_totals *totals, bool observed)
{
    json_t *object = json_object(), *counters = json_object(), *reasons = json_array(),
           *trends = json_object();
    for (size_t c = 0; c < (observed ? IX_C_COUNT : IX_C_D_SENT); c++)
        json_object_set_new(counters, ix_counter_names[c], count(totals->counters[c]));
    for (size_t r = 0; r < IX_SEGMENT_REASONS && totals->reasons[r].text[0]; r++)
        json_array_append_new(reasons,
                              json_pack("{s:o,s:o}", "reason", ix_report_string(totals->reasons[r].text),
                                        "count", count(totals->reasons[r].count)));
    for (size_t t = 0; t < (observed ? IX_T_COUNT : IX_T_DELIVERY); t++)
        json_object_set_new(trends, ix_trend_names[t], trend(&totals->trends[t]));
    if (totals->group[0]) {
        json_object_set_new(object, "group", ix_report_string(totals->group));
        json_object_set_new(object, "tags", ix_report_tags(totals->tags));
        json_object_set_new(object, "protocol", ix_report_string(totals->protocol));
    }
    json_object_set_new(object, "devices", devices(totals));
    json_object_set_new(object, "ledger", ledger(totals));
    json_object_set_new(object, "counters", counters);
    json_object_set_new(object, "reasons", reasons);
    json_object_set_new(object, "trends", trends);
    return object;
}

json_t *ix_json_custom(const struct ix_custom_totals *custom)
{
    static const char *const kinds[] = {"none", "counter", "gauge", "rate", "trend"};
    double value = custom->value;
    if (custom->kind == IX_CUSTOM_RATE)
        value = custom->count ? value / (double)custom->count : NAN;
    if (custom->kind == IX_CUSTOM_TREND)
        value = NAN;
    json_t *object = json_pack("{s:o,s:o,s:s,s:o,s:o}", "name", ix_report_string(custom->name), "tags",
                               ix_report_tags(custom->tags), "kind", kinds[custom->kind], "value",
                               ix_report_number(value), "count", count(custom->count));
    if (custom->kind == IX_CUSTOM_TREND)
        json_object_set_new(object, "trend", trend(&custom->trend));
    return object;
}

json_t *ix_json_latency(const struct ix_snapshot *snapshot)
{
    struct ix_latency_row *rows;
    size_t count = ix_snapshot_latency(snapshot, &rows);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:o,s:o,s:o,s:o}", "protocol", ix_report_string(rows[i].protocol), "qos",
                            rows[i].qos < 0 ? json_null() : json_integer(rows[i].qos), "response",
                            trend(&rows[i].response), "service", trend(&rows[i].service)));
    free(rows);
    return list;
}

json_t *ix_json_dropout(const struct ix_dropout_result *d)
{
    json_t *object = json_object();
    json_object_set_new(object, "id", count(d->id));
    json_object_set_new(object, "group", ix_report_string(d->group));
    json_object_set_new(object, "strategy", ix_report_string(d->strategy));
    json_object_set_new(object, "t", ix_report_number(d->t));
    json_object_set_new(object, "eligible", count(d->eligible));
    json_object_set_new(object, "chosen", count(d->chosen));
    json_object_set_new(object, "dropped", count(d->dropped));
    json_object_set_new(object, "alreadyGone", count(d->already_gone));
    json_object_set_new(object, "back", count(d->back));
    json_object_set_new(object, "cancelled", count(d->cancelled));
    json_object_set_new(object, "backTime", trend(&d->back_time));
    return object;
}

static json_t *point_delivery(const struct ix_point_delivery *d)
{
    json_t *object = json_object();
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"sent", d->sent},           {"delivered", d->delivered}, {"lost", d->lost},
                  {"inFlight", d->in_flight},  {"missing", d->missing},     {"duplicated", d->duplicated},
                  {"reordered", d->reordered}, {"late", d->late},           {"corrupt", d->corrupt}};
    const struct {
        const char *name;
        double value;
    } times[] = {
        {"latencyP50", d->p50}, {"latencyP95", d->p95}, {"latencyP99", d->p99}, {"latencyMax", d->max}};
    for (size_t i = 0; i < IX_ARRAY_LEN(counts); i++)
        json_object_set_new(object, counts[i].name, count(counts[i].value));
    for (size_t i = 0; i < IX_ARRAY_LEN(times); i++)
        json_object_set_new(object, times[i].name, ix_report_number(times[i].value));
    return object;
}

json_t *ix_json_point(const struct ix_point *p)
{
    json_t *object = json_object(), *by_status = json_object();
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        json_object_set_new(by_status, ix_status_names[s], json_integer(p->by_status[s]));
    json_object_set_new(object, "t", ix_report_number(p->t));
    json_object_set_new(object, "seconds", ix_report_number(p->seconds));
    json_object_set_new(object, "byStatus", by_status);
    json_object_set_new(object, "connected", json_integer(p->connected));
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"scheduled", p->scheduled},
                  {"sent", p->sent},
                  {"acked", p->acked},
                  {"lost", p->lost},
                  {"neverSent", p->never_sent},
                  {"received", p->received},
                  {"connects", p->connects},
                  {"refused", p->refused},
                  {"connectionsLost", p->connection_lost},
                  {"connectionsDropped", p->dropped},
                  {"reconnected", p->reconnected}};
    for (size_t i = 0; i < IX_ARRAY_LEN(counts); i++)
        json_object_set_new(object, counts[i].name, count(counts[i].value));
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"latencyP50", p->latency_p50},
                   {"latencyP95", p->latency_p95},
                   {"latencyP99", p->latency_p99},
                   {"latencyMax", p->latency_max},
                   {"serviceP99", p->service_p99},
                   {"latenessP99", p->lateness_p99},
                   {"latenessMax", p->lateness_max},
                   {"busy", p->busy},
                   {"wait", p->wait}};
    for (size_t i = 0; i < IX_ARRAY_LEN(numbers); i++)
        json_object_set_new(object, numbers[i].name, ix_report_number(numbers[i].value));
    if (p->delivery.observed)
        json_object_set_new(object, "delivery", point_delivery(&p->delivery));
    return object;
}

json_t *ix_json_event(const struct ix_event *event)
{
    json_t *data = event->data ? json_loads(event->data, JSON_DECODE_ANY, NULL) : NULL;
    if (!data)
        data = ix_report_string(event->data);
    return json_pack("{s:o,s:o,s:o}", "t", ix_report_number(event->t), "name", ix_report_string(event->name),
                     "data", data);
}

/* The formats json and ndjson. */
#include "control/report_json.h"

#include <stdlib.h>

#define NUMBERS JSON_REAL_PRECISION(12)

/* Appends the text and gives the value back. */
static void put_json(struct ix_buf *out, json_t *value, size_t flags)
{
    char *text = json_dumps(value, flags | NUMBERS);
    if (text)
        ix_buf_str(out, text);
    else
        out->overflow = true;
    ix_buf_char(out, '\n');
    free(text);
    json_decref(value);
}

static json_t *checks(const struct ix_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->checks.count; i++)
        json_array_append_new(list, ix_json_check(&result->checks.items[i]));
    return list;
}

static json_t *thresholds(const struct ix_result *result)
{
    json_t *list = json_array();
    size_t count;
    const struct ix_threshold *items = ix_thresholds_list(result->thresholds, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, ix_json_threshold(&items[i]));
    return list;
}

static json_t *workers(const struct ix_snapshot *final)
{
    json_t *list = json_array();
    for (size_t i = 0; i < final->worker_count; i++) {
        const struct ix_worker_totals *w = &final->workers[i];
        json_array_append_new(list,
                              json_pack("{s:I,s:I,s:f,s:f,s:I,s:I}", "worker", (json_int_t)w->worker, "epoch",
                                        (json_int_t)w->epoch, "busySeconds", (double)w->busy_ns / 1e9,
                                        "cpuSeconds", (double)w->cpu_ns / 1e9, "luaBytes",
                                        (json_int_t)w->lua_bytes, "devices", (json_int_t)w->devices));
    }
    return list;
}

/* What is known at the end, without the run over time. */
static void set_figures(json_t *object, const struct ix_result *result)
{
    const struct ix_snapshot *final = &result->final;
    json_t *groups = json_array(), *custom = json_array(), *dropouts = json_array();
    for (size_t i = 0; i < final->group_count; i++)
        json_array_append_new(groups, ix_json_totals(&final->groups[i], final->observed));
    for (size_t i = 0; i < final->custom_count; i++)
        json_array_append_new(custom, ix_json_custom(&final->custom[i]));
    for (size_t i = 0; i < result->dropout_count; i++)
        json_array_append_new(dropouts, ix_json_dropout(&result->dropouts[i]));
    json_object_set_new(object, "totals", ix_json_totals(&final->all, final->observed));
    json_object_set_new(object, "peakConnectsPerSecond", json_real(result->series.peak_connects_per_s));
    json_object_set_new(object, "clocks", result->clocks ? json_incref(result->clocks) : json_array());
    json_object_set_new(object, "delivery", result->delivery ? json_incref(result->delivery) : json_null());
    json_object_set_new(object, "latency", ix_json_latency(final));
    json_object_set_new(object, "groups", groups);
    json_object_set_new(object, "metrics", custom);
    json_object_set_new(object, "dropouts", dropouts);
    json_object_set_new(object, "workers", workers(final));
}

void ix_report_json(const struct ix_result *result, struct ix_buf *out)
{
    json_t *series = json_array(), *events = json_array();
    for (size_t i = 0; i < result->series.count; i++)
        json_array_append_new(series, ix_json_point(&result->series.points[i]));
    for (size_t i = 0; i < result->series.event_count; i++)
        json_array_append_new(events, ix_json_event(&result->series.events[i]));
    json_t *object = json_object();
    json_object_set_new(object, "format", json_string("iotix.result"));
    json_object_set_new(object, "formatVersion", json_integer(1));
    json_object_set_new(object, "iotix", json_string(ix_result_version(result)));
    json_object_set_new(object, "run", ix_json_run(result));
    json_object_set_new(object, "verdict", ix_json_verdict(result));
    json_object_set_new(object, "checks", checks(result));
    json_object_set_new(object, "thresholds", thresholds(result));
    set_figures(object, result);
    json_object_set_new(object, "series", series);
    json_object_set_new(object, "events", events);
    json_object_set_new(object, "eventsDropped", json_integer((json_int_t)result->series.events_dropped));
    put_json(out, object, JSON_INDENT(1));
}

/* {"type": …} in front of the fields of `value`. */
static void put_line(struct ix_buf *out, const char *type, json_t *value)
{
    json_t *line = json_object();
    json_object_set_new(line, "type", json_string(type));
    json_object_update(line, value);
    json_decref(value);
    put_json(out, line, JSON_COMPACT);
}

void ix_report_ndjson(const struct ix_result *result, struct ix_buf *out)
{
    const struct ix_series *series = &result->series;
    json_t *run = ix_json_run(result);
    json_object_set_new(run, "iotix", json_string(ix_result_version(result)));
    put_line(out, "run", run);
    size_t e = 0;
    for (size_t p = 0; p < series->count; p++) {
        for (; e < series->event_count && series->events[e].t <= series->points[p].t; e++)
            put_line(out, "event", ix_json_event(&series->events[e]));
        put_line(out, "point", ix_json_point(&series->points[p]));
    }
    for (; e < series->event_count; e++)
        put_line(out, "event", ix_json_event(&series->events[e]));
    for (size_t i = 0; i < result->checks.count; i++)
        put_line(out, "check", ix_json_check(&result->checks.items[i]));
    size_t count;
    const struct ix_threshold *items = ix_thresholds_list(result->thresholds, &count);
    for (size_t i = 0; i < count; i++)
        put_line(out, "threshold", ix_json_threshold(&items[i]));
    json_t *summary = ix_json_verdict(result);
    set_figures(summary, result);
    put_line(out, "summary", summary);
}

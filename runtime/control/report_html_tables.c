/* The tables of the HTML report below its plots. */
#include "control/judge.h"
#include "control/report_html.h"

#include "base/text.h"
#include "base/units.h"
#include "control/report_text.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_SHOWN 200

static void open_table(struct ix_buf *out, const char *title, const char *head)
{
    ix_buf_printf(out, "<section><h2>%s</h2><div class=\"card\"><table>", title);
    if (*head)
        ix_buf_printf(out, "<thead><tr>%s</tr></thead>", head);
    ix_buf_str(out, "<tbody>");
}

static void close_table(struct ix_buf *out)
{
    ix_buf_str(out, "</tbody></table></div></section>\n");
}

static void put_more(struct ix_buf *out, size_t count, int columns)
{
    if (count <= ROWS_SHOWN)
        return;
    ix_buf_printf(out, "<tr><td class=\"muted\" colspan=\"%d\">and ", columns);
    ix_units_put_count(out, count - ROWS_SHOWN);
    ix_buf_str(out, " more</td></tr>");
}

static void put_number(struct ix_buf *out, uint64_t value)
{
    ix_buf_str(out, "<td class=\"n\">");
    ix_units_put_count(out, value);
    ix_buf_str(out, "</td>");
}

static void put_name(struct ix_buf *out, const char *name, const char *tags)
{
    ix_buf_str(out, "<td class=\"name\">");
    ix_report_escape(out, name);
    if (tags && *tags) {
        ix_buf_str(out, " <span class=\"muted\">{");
        ix_report_escape(out, tags);
        ix_buf_str(out, "}</span>");
    }
    ix_buf_str(out, "</td>");
}

static void put_figure(struct ix_buf *out, const char *name, uint64_t value, bool always)
{
    if (!value && !always)
        return;
    ix_buf_str(out, "<tr>");
    put_name(out, name, NULL);
    put_number(out, value);
    ix_buf_str(out, "</tr>");
}

static void put_messages(const struct ix_result *result, struct ix_buf *out)
{
    const uint64_t *c = result->final.all.counters;
    open_table(out, "Messages", "");
    put_figure(out, "scheduled", c[IX_C_SCHEDULED], true);
    put_figure(out, "sent", c[IX_C_SENT], true);
    put_figure(out, "acknowledged", c[IX_C_ACKED], true);
    put_figure(out, "lost", c[IX_C_LOST], true);
    put_figure(out, "of these when a worker died", c[IX_C_LOST_WORKER], false);
    put_figure(out, "in flight at the end", ix_totals_in_flight(&result->final.all), false);
    put_figure(out, "never sent: offline", c[IX_C_NEVER_SENT_OFFLINE], false);
    put_figure(out, "never sent: backpressure", c[IX_C_NEVER_SENT_BACKPRESSURE], false);
    put_figure(out, "never sent: error", c[IX_C_NEVER_SENT_ERROR], false);
    put_figure(out, "never sent: late, by iotix's own fault", c[IX_C_NEVER_SENT_LATE], false);
    put_figure(out, "waiting for room at the end", result->final.all.waiting, false);
    put_figure(out, "in doubt, begun by a worker that died", ix_totals_in_doubt(&result->final.all), false);
    put_figure(out, "received", c[IX_C_RECEIVED], false);
    put_figure(out, "payload bytes sent", c[IX_C_BYTES_SENT], false);
    put_figure(out, "payload bytes received", c[IX_C_BYTES_RECEIVED], false);
    put_figure(out, "commands received", c[IX_C_COMMANDS], false);
    put_figure(out, "commands answered", c[IX_C_COMMANDS_ANSWERED], false);
    put_figure(out, "commands not understood", c[IX_C_COMMANDS_INVALID], false);
    put_figure(out, "behaviours fired", c[IX_C_BEHAVIORS_FIRED], false);
    put_figure(out, "script errors", c[IX_C_SCRIPT_ERRORS], false);
    close_table(out);
}

static void put_connections(const struct ix_result *result, struct ix_buf *out)
{
    const struct ix_totals *all = &result->final.all;
    const uint64_t *c = all->counters;
    open_table(out, "Connections", "");
    put_figure(out, "attempts", c[IX_C_CONNECT_ATTEMPTS], true);
    put_figure(out, "accepted", c[IX_C_CONNECTED], true);
    put_figure(out, "refused", c[IX_C_REFUSED], true);
    put_figure(out, "no answer", c[IX_C_CONNECT_FAILED], true);
    put_figure(out, "lost", c[IX_C_CONNECTION_LOST], false);
    put_figure(out, "dropped", c[IX_C_DROPPED], false);
    put_figure(out, "back again", c[IX_C_RECONNECTED], false);
    put_figure(out, "most accepted in one second", (uint64_t)(result->series.peak_connects_per_s + 0.5),
               false);
    for (size_t i = 0; i < IX_SEGMENT_REASONS && all->reasons[i].text[0]; i++) {
        ix_buf_str(out, "<tr><td class=\"name\"><span class=\"muted\">because of</span> ");
        ix_report_escape(out, all->reasons[i].text);
        ix_buf_str(out, "</td>");
        put_number(out, all->reasons[i].count);
        ix_buf_str(out, "</tr>");
    }
    close_table(out);
}

static void put_times_row(struct ix_buf *out, const char *name, const char *doc, const struct ix_histogram *h)
{
    if (!h->count)
        return;
    static const double shares[] = {0.5, 0.9, 0.95, 0.99, 0.999, 1};
    ix_buf_printf(out, "<tr><td class=\"name\">%s<br><small>%s</small></td>", name, doc);
    for (size_t i = 0; i < IX_ARRAY_LEN(shares); i++) {
        ix_buf_str(out, "<td class=\"n\">");
        ix_units_put_duration(out, ix_histogram_quantile(h, shares[i]));
        if (!ix_histogram_supports(h, shares[i]))
            ix_buf_str(out, "<small>*</small>");
        ix_buf_str(out, "</td>");
    }
    put_number(out, h->count);
    ix_buf_str(out, "</tr>");
}

static void put_times_by_qos(const struct ix_snapshot *final, struct ix_buf *out)
{
    struct ix_latency_row *rows;
    size_t count = ix_snapshot_latency(final, &rows);
    for (size_t i = 0; count > 1 && i < count; i++) {
        char name[64];
        snprintf(name, sizeof(name), rows[i].qos < 0 ? "%s" : "%s, QoS %d", rows[i].protocol, rows[i].qos);
        put_times_row(out, name, "due instant to acknowledgement", &rows[i].response);
        put_times_row(out, name, "send to acknowledgement", &rows[i].service);
    }
    free(rows);
}

static void put_times(const struct ix_result *result, struct ix_buf *out)
{
    const struct ix_snapshot *final = &result->final;
    bool any = false;
    for (size_t t = 0; t < IX_T_COUNT; t++)
        any = any || final->all.trends[t].count;
    if (!any)
        return;
    open_table(out, "Times",
               "<th>time</th><th class=\"n\">p50</th><th class=\"n\">p90</th><th class=\"n\">p95</th>"
               "<th class=\"n\">p99</th><th class=\"n\">p99.9</th><th class=\"n\">max</th>"
               "<th class=\"n\">samples</th>");
    for (size_t t = 0; t < IX_T_COUNT; t++)
        put_times_row(out, ix_trend_names[t], ix_metric_find(ix_trend_names[t])->doc, &final->all.trends[t]);
    put_times_by_qos(final, out);
    close_table(out);
    ix_buf_str(out,
               "<p class=\"muted\">* too few samples for this percentile (p99 needs 100, p99.9 needs 1,000): "
               "it is the largest of them, or nearly</p>\n");
}

static void put_groups(const struct ix_snapshot *final, struct ix_buf *out)
{
    if (!final->group_count)
        return;
    open_table(
        out, "Groups",
        "<th>group</th><th class=\"n\">devices</th><th class=\"n\">connected</th><th class=\"n\">sent</th>"
        "<th class=\"n\">acknowledged</th><th class=\"n\">never sent</th><th class=\"n\">p95 latency</th>");
    for (size_t i = 0; i < final->group_count && i < ROWS_SHOWN; i++) {
        const struct ix_totals *g = &final->groups[i];
        const uint64_t *c = g->counters;
        ix_buf_str(out, "<tr>");
        put_name(out, g->group, g->tags);
        put_number(out, g->count);
        put_number(out, g->connected > 0 ? (uint64_t)g->connected : 0);
        put_number(out, c[IX_C_SENT]);
        put_number(out, c[IX_C_ACKED]);
        put_number(out, ix_never_sent(c));
        ix_buf_str(out, "<td class=\"n\">");
        if (g->trends[IX_T_RESPONSE].count)
            ix_units_put_duration(out, ix_histogram_quantile(&g->trends[IX_T_RESPONSE], 0.95));
        ix_buf_str(out, "</td></tr>");
    }
    put_more(out, final->group_count, 7);
    close_table(out);
}

static void put_dropouts(const struct ix_result *result, struct ix_buf *out)
{
    if (!result->dropout_count)
        return;
    open_table(out, "Dropouts",
               "<th>group</th><th>strategy</th><th class=\"n\">at</th><th class=\"n\">eligible</th>"
               "<th class=\"n\">chosen</th><th class=\"n\">dropped</th><th class=\"n\">already gone</th>"
               "<th class=\"n\">back</th><th class=\"n\">half back</th><th class=\"n\">99 % back</th>"
               "<th class=\"n\">all back</th>");
    for (size_t i = 0; i < result->dropout_count && i < ROWS_SHOWN; i++) {
        const struct ix_dropout_result *d = &result->dropouts[i];
        static const double shares[] = {0.5, 0.99, 1};
        ix_buf_str(out, "<tr>");
        put_name(out, d->group, NULL);
        put_name(out, d->strategy, NULL);
        ix_buf_str(out, "<td class=\"n\">");
        ix_units_put_duration(out, d->t > 0 ? (uint64_t)(d->t * 1e9) : 0);
        ix_buf_str(out, "</td>");
        const uint64_t counts[] = {d->eligible, d->chosen, d->dropped, d->already_gone, d->back};
        for (size_t c = 0; c < IX_ARRAY_LEN(counts); c++)
            put_number(out, counts[c]);
        for (size_t s = 0; s < IX_ARRAY_LEN(shares); s++) {
            ix_buf_str(out, "<td class=\"n\">");
            if (d->back_time.count)
                ix_units_put_duration(out, ix_histogram_quantile(&d->back_time, shares[s]));
            ix_buf_str(out, "</td>");
        }
        ix_buf_str(out, "</tr>");
    }
    put_more(out, result->dropout_count, 11);
    close_table(out);
}

static void put_custom(const struct ix_snapshot *final, struct ix_buf *out)
{
    if (!final->custom_count)
        return;
    open_table(out, "Metrics of the script",
               "<th>metric</th><th class=\"n\">value</th><th class=\"n\">p95</th><th class=\"n\">max</th>"
               "<th class=\"n\">samples</th>");
    for (size_t i = 0; i < final->custom_count && i < ROWS_SHOWN; i++) {
        const struct ix_custom_totals *m = &final->custom[i];
        ix_buf_str(out, "<tr>");
        put_name(out, m->name, m->tags);
        ix_buf_str(out, "<td class=\"n\">");
        if (m->kind == IX_CUSTOM_RATE && m->count)
            ix_buf_printf(out, "%.4g %%", 100 * m->value / (double)m->count);
        else if (m->kind == IX_CUSTOM_TREND && m->trend.count) {
            ix_buf_str(out, "p50 ");
            ix_units_put_duration(out, ix_histogram_quantile(&m->trend, 0.5));
        } else if (m->kind == IX_CUSTOM_COUNTER || m->kind == IX_CUSTOM_GAUGE)
            ix_buf_printf(out, "%.15g", m->value);
        ix_buf_str(out, "</td><td class=\"n\">");
        if (m->trend.count)
            ix_units_put_duration(out, ix_histogram_quantile(&m->trend, 0.95));
        ix_buf_str(out, "</td><td class=\"n\">");
        if (m->trend.count)
            ix_units_put_duration(out, m->trend.max);
        ix_buf_str(out, "</td>");
        put_number(out, m->count);
        ix_buf_str(out, "</tr>");
    }
    put_more(out, final->custom_count, 5);
    close_table(out);
}

static void put_events(const struct ix_series *series, struct ix_buf *out)
{
    if (!series->event_count)
        return;
    open_table(out, "Events", "<th class=\"n\">at</th><th>event</th><th>data</th>");
    for (size_t i = 0; i < series->event_count && i < ROWS_SHOWN; i++) {
        ix_buf_str(out, "<tr><td class=\"n\">");
        ix_units_put_duration(out, (uint64_t)(series->events[i].t * 1e9));
        ix_buf_str(out, "</td>");
        put_name(out, series->events[i].name, NULL);
        ix_buf_str(out, "<td class=\"name\"><code>");
        ix_report_escape(out, series->events[i].data);
        ix_buf_str(out, "</code></td></tr>");
    }
    put_more(out, series->event_count + (size_t)series->events_dropped, 3);
    close_table(out);
}

static void put_fact(struct ix_buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    ix_buf_printf(out, "<tr><td>%s</td><td class=\"name\">", name);
    ix_report_escape(out, value);
    ix_buf_str(out, "</td></tr>");
}

static void put_json_fact(struct ix_buf *out, const char *name, const json_t *value)
{
    if (!value || !json_object_size(value))
        return;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    if (text)
        put_fact(out, name, text);
    free(text);
}

/* {name: {value, origin}}: one row each. */
static void put_settings(struct ix_buf *out, json_t *settings)
{
    const char *name;
    json_t *setting;
    json_object_foreach(settings, name, setting)
    {
        json_t *value = json_object_get(setting, "value");
        char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
        ix_buf_str(out, "<tr><td>setting <code>");
        ix_report_escape(out, name);
        ix_buf_str(out, "</code></td><td class=\"name\"><code>");
        ix_report_escape(out, text);
        ix_buf_str(out, "</code> <span class=\"muted\">");
        ix_report_escape(out, json_string_value(json_object_get(setting, "origin")));
        ix_buf_str(out, "</span></td></tr>");
        free(text);
    }
}

static void put_run(const struct ix_result *result, struct ix_buf *out)
{
    char text[320], started[IX_ISO8601_LEN + 1];
    ix_text_iso8601(started, result->started_wall_ns);
    open_table(out, "Run", "");
    put_fact(out, "run", result->run_id);
    put_fact(out, "scenario file", result->path);
    put_fact(out, "broker", result->broker);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)result->seed);
    put_fact(out, "seed", text);
    if (result->started_wall_ns)
        put_fact(out, "started", started);
    for (size_t i = 0; i < result->model_count; i++) {
        char *model = ix_asprintf("%s (hash %016llx)", result->models[i].id,
                                  (unsigned long long)result->models[i].hash);
        put_fact(out, "model", model);
        free(model);
    }
    snprintf(text, sizeof(text), "%zu, restarts: %llu", result->workers,
             (unsigned long long)result->worker_restarts);
    put_fact(out, "workers", text);
    struct ix_buf limits;
    ix_buf_init(&limits, 4096);
    for (const struct ix_limit_doc *limit = ix_limit_docs; limit->name; limit++) {
        ix_buf_printf(&limits, "%s%s ", limits.len ? ", " : "", limit->name);
        ix_judge_put_limit(&limits, &result->limits, limit);
    }
    put_fact(out, "limits of the generator", ix_buf_cstr(&limits));
    ix_buf_deinit(&limits);
    put_json_fact(out, "host", result->host);
    if (result->replay)
        put_json_fact(out, "repeats", result->replay);
    put_json_fact(out, "options", result->options);
    put_json_fact(out, "tags", result->tags);
    put_settings(out, result->settings);
    close_table(out);
}

void ix_html_tables(const struct ix_result *result, struct ix_buf *out)
{
    ix_buf_str(out, "<div class=\"pair\">");
    put_messages(result, out);
    put_connections(result, out);
    ix_buf_str(out, "</div>");
    ix_html_delivery(result, out);
    put_times(result, out);
    put_groups(&result->final, out);
    put_dropouts(result, out);
    put_custom(&result->final, out);
    put_events(&result->series, out);
    put_run(result, out);
}

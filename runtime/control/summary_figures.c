/* The sections of figures of the summary. Lines with nothing to say are left out. */
#include "control/clocks_view.h"
#include "control/summary_page.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_SHOWN   20
#define REASONS_SHOWN  10
#define DROPOUTS_SHOWN 20
#define CUSTOM_SHOWN   50

static uint64_t positive(int64_t value)
{
    return value > 0 ? (uint64_t)value : 0;
}

/* "990 running, 10 error": one item of such a list, if there are any. */
static void put_item(struct ix_buf *out, uint64_t count, const char *what, bool *any)
{
    if (!count)
        return;
    if (*any)
        ix_buf_str(out, ", ");
    *any = true;
    ix_units_put_count(out, count);
    ix_buf_printf(out, " %s", what);
}

static void put_more(struct ix_page *page, size_t count, size_t shown)
{
    if (count <= shown)
        return;
    ix_buf_str(page->out, "  \xe2\x80\xa6 and ");
    ix_units_put_count(page->out, count - shown);
    ix_buf_str(page->out, " more\n");
}

/* ---- devices ---- */

static void put_states(struct ix_page *page, const char *name, const struct ix_totals *totals)
{
    struct ix_buf *out = page->out;
    ix_buf_str(out, "  ");
    size_t start = out->len;
    ix_page_user_text(out, name);
    ix_page_pad_or_break(out, start, 16);
    ix_page_count_right(out, totals->count, 11);
    ix_page_count_right(out, positive(totals->connected), 11);
    ix_buf_str(out, "   ");
    bool any = false;
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        put_item(out, positive(totals->by_status[s]), ix_status_names[s], &any);
    ix_buf_char(out, '\n');
}

static void put_devices(struct ix_page *page, const struct ix_snapshot *final)
{
    if (!final->all.count)
        return;
    ix_page_heading(page, "DEVICES");
    ix_buf_printf(page->out, "%22s%11s   by state\n", "count", "connected");
    if (final->group_count != 1)
        put_states(page, "all", &final->all);
    for (size_t i = 0; i < final->group_count && i < GROUPS_SHOWN; i++)
        put_states(page, final->groups[i].group, &final->groups[i]);
    put_more(page, final->group_count, GROUPS_SHOWN);
}

/* ---- connections and messages ---- */

/* "  label               1,234": the line's end is the caller's. */
static void put_figure(struct ix_page *page, const char *name, uint64_t count)
{
    ix_page_label(page, name);
    ix_page_count_right(page->out, count, 13);
}

static void put_line(struct ix_page *page, const char *name, uint64_t count)
{
    if (!count)
        return;
    put_figure(page, name, count);
    ix_buf_char(page->out, '\n');
}

static void put_reasons(struct ix_page *page, const struct ix_reason *reasons)
{
    size_t count = 0;
    while (count < IX_SEGMENT_REASONS && reasons[count].text[0])
        count++;
    for (size_t i = 0; i < count && i < REASONS_SHOWN; i++) {
        ix_page_label(page, i ? "" : "because of");
        ix_page_count_right(page->out, reasons[i].count, 13);
        ix_buf_str(page->out, "   ");
        ix_page_user_text(page->out, reasons[i].text);
        ix_buf_char(page->out, '\n');
    }
    put_more(page, count, REASONS_SHOWN);
}

static void put_advice(struct ix_page *page, const char *lines)
{
    while (lines && *lines) {
        size_t len = strcspn(lines, "\n");
        char *line = ix_asprintf("→ %.*s", (int)len, lines);
        ix_page_wrapped(page->out, line, 4);
        free(line);
        lines += len + (lines[len] == '\n');
    }
}

static void put_connections(struct ix_page *page, const struct ix_result *result)
{
    const struct ix_totals *all = &result->final.all;
    const uint64_t *c = all->counters;
    if (!c[IX_C_CONNECT_ATTEMPTS] && !c[IX_C_CONNECTED])
        return;
    ix_page_heading(page, "CONNECTIONS\n");
    put_line(page, "attempts", c[IX_C_CONNECT_ATTEMPTS]);
    put_figure(page, "accepted", c[IX_C_CONNECTED]);
    if (result->series.peak_connects_per_s > 0) {
        ix_buf_str(page->out, "   peak ");
        ix_units_put_count(page->out, (uint64_t)(result->series.peak_connects_per_s + 0.5));
        ix_buf_str(page->out, "/s");
    }
    ix_buf_char(page->out, '\n');
    put_line(page, "refused", c[IX_C_REFUSED]);
    put_line(page, "no answer", c[IX_C_CONNECT_FAILED]);
    put_line(page, "lost", c[IX_C_CONNECTION_LOST]);
    put_line(page, "dropped", c[IX_C_DROPPED]);
    put_line(page, "back again", c[IX_C_RECONNECTED]);
    put_reasons(page, all->reasons);
    put_advice(page, result->advice);
}

/* "99.87 %"; never rounded up to 100 %. */
static void put_share(struct ix_buf *out, uint64_t part, uint64_t whole)
{
    double share = whole ? 100.0 * (double)part / (double)whole : 0;
    if (part < whole && share > 99.99)
        ix_buf_str(out, "> 99.99 %");
    else
        ix_buf_printf(out, "%.4g %%", share);
}

static void put_rate(struct ix_buf *out, uint64_t count, double seconds)
{
    double rate = seconds > 0 ? (double)count / seconds : 0;
    if (rate < 100)
        ix_buf_printf(out, "%.3g/s", rate);
    else {
        ix_units_put_count(out, (uint64_t)(rate + 0.5));
        ix_buf_str(out, "/s");
    }
}

static void put_never_sent(struct ix_page *page, const uint64_t *c)
{
    uint64_t never = ix_never_sent(c);
    if (!never)
        return;
    put_figure(page, "never sent", never);
    ix_buf_str(page->out, "   ");
    bool any = false;
    put_item(page->out, c[IX_C_NEVER_SENT_OFFLINE], "offline", &any);
    put_item(page->out, c[IX_C_NEVER_SENT_BACKPRESSURE], "backpressure", &any);
    put_item(page->out, c[IX_C_NEVER_SENT_ERROR], "error", &any);
    put_item(page->out, c[IX_C_NEVER_SENT_LATE], "late: iotix itself was away", &any);
    ix_buf_char(page->out, '\n');
}

static void put_lost(struct ix_page *page, const uint64_t *c)
{
    if (!c[IX_C_LOST_WORKER]) {
        put_line(page, "lost", c[IX_C_LOST]);
        return;
    }
    put_figure(page, "lost", c[IX_C_LOST]);
    ix_buf_str(page->out, "   ");
    bool any = false;
    put_item(page->out, c[IX_C_LOST_WORKER], "with a worker that died", &any);
    ix_buf_char(page->out, '\n');
}

static void put_received(struct ix_page *page, const uint64_t *c, double seconds)
{
    struct ix_buf *out = page->out;
    if (c[IX_C_RECEIVED]) {
        put_figure(page, "received", c[IX_C_RECEIVED]);
        ix_buf_str(out, "   ");
        put_rate(out, c[IX_C_RECEIVED], seconds);
        ix_buf_str(out, " on average\n");
    }
    put_line(page, "refused subs", c[IX_C_SUBSCRIBE_FAILED]);
    if (c[IX_C_BYTES_SENT] || c[IX_C_BYTES_RECEIVED]) {
        ix_page_label(page, "payload");
        struct ix_buf cell;
        ix_buf_init(&cell, 64);
        ix_units_put_bytes(&cell, c[IX_C_BYTES_SENT]);
        ix_page_right(out, &cell, 13);
        ix_buf_deinit(&cell);
        ix_buf_str(out, " sent");
        if (c[IX_C_BYTES_RECEIVED]) {
            ix_buf_str(out, ", ");
            ix_units_put_bytes(out, c[IX_C_BYTES_RECEIVED]);
            ix_buf_str(out, " received");
        }
        ix_buf_char(out, '\n');
    }
    if (c[IX_C_COMMANDS]) {
        put_figure(page, "commands", c[IX_C_COMMANDS]);
        ix_buf_str(out, "   ");
        bool any = false;
        put_item(out, c[IX_C_COMMANDS_ANSWERED], "answered", &any);
        put_item(out, c[IX_C_COMMANDS_INVALID], "not understood", &any);
        ix_buf_char(out, '\n');
    }
    put_line(page, "behaviours", c[IX_C_BEHAVIORS_FIRED]);
    put_line(page, "script errors", c[IX_C_SCRIPT_ERRORS]);
}

static void put_messages(struct ix_page *page, const struct ix_result *result)
{
    const uint64_t *c = result->final.all.counters;
    struct ix_buf *out = page->out;
    if (!c[IX_C_SCHEDULED] && !c[IX_C_SENT] && !c[IX_C_RECEIVED] && !c[IX_C_SUBSCRIBE_FAILED])
        return;
    ix_page_heading(page, "MESSAGES\n");
    if (!c[IX_C_SCHEDULED] && !c[IX_C_SENT]) { /* they only listen */
        put_received(page, c, result->seconds);
        return;
    }
    put_line(page, "scheduled", c[IX_C_SCHEDULED]);
    put_figure(page, "sent", c[IX_C_SENT]);
    ix_buf_str(out, "   ");
    put_rate(out, c[IX_C_SENT], result->seconds);
    ix_buf_str(out, " on average\n");
    put_figure(page, "acknowledged", c[IX_C_ACKED]);
    if (c[IX_C_SENT]) {
        ix_buf_str(out, "   ");
        put_share(out, c[IX_C_ACKED], c[IX_C_SENT]);
        ix_buf_str(out, " of those sent");
    }
    ix_buf_char(out, '\n');
    put_lost(page, c);
    put_line(page, "in flight", ix_totals_in_flight(&result->final.all));
    put_never_sent(page, c);
    put_line(page, "waiting", result->final.all.waiting);
    put_line(page, "in doubt", ix_totals_in_doubt(&result->final.all));
    put_received(page, c, result->seconds);
}

/* ---- times ---- */

static void put_times_row(struct ix_page *page, const char *name, const struct ix_histogram *h, bool *few)
{
    if (!h->count)
        return;
    struct ix_buf *out = page->out;
    static const double shares[] = {0.5, 0.95, 0.99, 1};
    ix_page_label(page, name);
    for (size_t i = 0; i < IX_ARRAY_LEN(shares); i++)
        ix_page_duration_right(out, ix_histogram_quantile(h, shares[i]), 11);
    ix_page_count_right(out, h->count, 13);
    if (h->count < 100) {
        ix_buf_char(out, '*');
        *few = true;
    }
    ix_buf_char(out, '\n');
}

/* Only where there is more than one kind of messages. */
static void put_times_by_qos(struct ix_page *page, const struct ix_snapshot *final, bool *few)
{
    struct ix_latency_row *rows;
    size_t count = ix_snapshot_latency(final, &rows);
    for (size_t i = 0; count > 1 && i < count; i++) {
        char name[2][40];
        for (int service = 0; service < 2; service++)
            snprintf(name[service], sizeof(name[service]), rows[i].qos < 0 ? "%s %s" : "%s %s q%d",
                     rows[i].protocol, service ? "service" : "latency", rows[i].qos);
        put_times_row(page, name[0], &rows[i].response, few);
        put_times_row(page, name[1], &rows[i].service, few);
    }
    free(rows);
}

static void put_times(struct ix_page *page, const struct ix_result *result)
{
    const struct ix_snapshot *final = &result->final;
    const struct ix_histogram *trends = final->all.trends;
    bool any = false, few = false;
    for (size_t t = 0; t < IX_T_COUNT; t++)
        any = any || trends[t].count;
    if (!any)
        return;
    ix_page_heading(page, "TIMES");
    ix_buf_printf(page->out, "%25s%11s%11s%11s%13s\n", "p50", "p95", "p99", "max", "samples");
    put_times_row(page, "publish latency", &trends[IX_T_RESPONSE], &few);
    put_times_row(page, "publish service", &trends[IX_T_SERVICE], &few);
    put_times_by_qos(page, final, &few);
    put_times_row(page, "publish lateness", &trends[IX_T_LATENESS], &few);
    put_times_row(page, "receive latency", &trends[IX_T_RECEIVE], &few);
    put_times_row(page, "delivery latency", &trends[IX_T_DELIVERY], &few);
    put_times_row(page, "delivery transit", &trends[IX_T_TRANSIT], &few);
    put_times_row(page, "connect time", &trends[IX_T_CONNECT], &few);
    put_times_row(page, "outage", &trends[IX_T_OUTAGE], &few);
    put_times_row(page, "schedule lateness", &trends[IX_T_SCHEDULE], &few);
    ix_page_clocks(page, result->clocks);
    if (result->was_slow)
        ix_buf_str(page->out,
                   "  ! this host's own delays are a part of these times: the generator was late itself\n");
    if (few)
        ix_buf_str(page->out, "  * fewer than 100 samples: p99 is the largest of them\n");
}

/* ---- dropouts ---- */

static void put_dropout(struct ix_page *page, const struct ix_dropout_result *dropout)
{
    struct ix_buf *out = page->out;
    ix_buf_printf(out, "  %llu: ", (unsigned long long)dropout->id);
    ix_page_user_text(out, dropout->group);
    ix_buf_str(out, ", ");
    ix_page_user_text(out, dropout->strategy);
    ix_buf_str(out, " at ");
    ix_units_put_duration(out, dropout->t > 0 ? (uint64_t)(dropout->t * 1e9) : 0);
    ix_buf_str(out, "\n     ");
    ix_units_put_count(out, dropout->chosen);
    ix_buf_str(out, " of ");
    ix_units_put_count(out, dropout->eligible);
    ix_buf_str(out, " chosen, ");
    ix_units_put_count(out, dropout->dropped);
    ix_buf_str(out, " dropped");
    bool any = true;
    put_item(out, dropout->already_gone, "already gone", &any);
    put_item(out, dropout->cancelled, "cancelled", &any);
    ix_buf_str(out, ", ");
    ix_units_put_count(out, dropout->back);
    ix_buf_str(out, " back\n");
    const struct ix_histogram *h = &dropout->back_time;
    if (!h->count)
        return;
    static const int shares[] = {50, 90, 99, 100};
    ix_buf_str(out, "     back within");
    for (size_t i = 0; i < IX_ARRAY_LEN(shares); i++) {
        ix_buf_printf(out, "   %d %%: ", shares[i]);
        ix_units_put_duration(out, ix_histogram_quantile(h, shares[i] / 100.0));
    }
    ix_buf_char(out, '\n');
}

static void put_dropouts(struct ix_page *page, const struct ix_result *result)
{
    if (!result->dropout_count)
        return;
    ix_page_heading(page, "DROPOUTS\n");
    for (size_t i = 0; i < result->dropout_count && i < DROPOUTS_SHOWN; i++)
        put_dropout(page, &result->dropouts[i]);
    put_more(page, result->dropout_count, DROPOUTS_SHOWN);
}

/* ---- metrics of scripts ---- */

static void put_custom_value(struct ix_buf *out, const struct ix_custom_totals *custom)
{
    const struct ix_histogram *h = &custom->trend;
    switch (custom->kind) {
    case IX_CUSTOM_RATE:
        if (custom->count)
            put_share(out, (uint64_t)custom->value, custom->count);
        else
            ix_buf_str(out, "no samples");
        break;
    case IX_CUSTOM_TREND:
        if (!h->count) {
            ix_buf_str(out, "no samples");
            break;
        }
        ix_buf_str(out, "p50 ");
        ix_units_put_duration(out, ix_histogram_quantile(h, 0.5));
        ix_buf_str(out, "   p95 ");
        ix_units_put_duration(out, ix_histogram_quantile(h, 0.95));
        ix_buf_str(out, "   max ");
        ix_units_put_duration(out, h->max);
        break;
    default:
        ix_buf_printf(out, "%.15g", custom->value);
    }
}

static void put_custom_line(struct ix_page *page, const char *name, const char *tags,
                            const struct ix_custom_totals *value)
{
    ix_buf_str(page->out, "  ");
    size_t start = page->out->len;
    ix_page_user_text(page->out, name);
    if (*tags) {
        ix_buf_char(page->out, '{');
        ix_page_user_text(page->out, tags);
        ix_buf_char(page->out, '}');
    }
    ix_page_pad(page->out, start, 34);
    put_custom_value(page->out, value);
    ix_buf_char(page->out, '\n');
}

/* A metric's sum over all tags, as thresholds without tags see it; false if `from` is not its first series. */
static bool sum_custom(const struct ix_snapshot *final, size_t from, struct ix_custom_totals *sum)
{
    for (size_t i = 0; i < final->custom_count; i++) {
        const struct ix_custom_totals *custom = &final->custom[i];
        if (strcmp(custom->name, final->custom[from].name) != 0)
            continue;
        if (i < from)
            return false;
        if (i == from) {
            *sum = *custom;
            continue;
        }
        sum->value += custom->value;
        sum->count += custom->count;
        if (custom->trend.count)
            ix_histogram_merge(&sum->trend, &custom->trend);
    }
    return true;
}

static void put_custom(struct ix_page *page, const struct ix_snapshot *final)
{
    if (!final->custom_count)
        return;
    ix_page_heading(page, "METRICS OF THE SCRIPT\n");
    struct ix_custom_totals *sum = ix_malloc(sizeof(*sum));
    size_t lines = 0;
    for (size_t i = 0; i < final->custom_count; i++) {
        const char *name = final->custom[i].name;
        if (!sum_custom(final, i, sum))
            continue;
        if (lines++ < CUSTOM_SHOWN)
            put_custom_line(page, name, "", sum);
        for (size_t k = i; k < final->custom_count; k++) {
            const struct ix_custom_totals *custom = &final->custom[k];
            if (*custom->tags && strcmp(custom->name, name) == 0 && lines++ < CUSTOM_SHOWN)
                put_custom_line(page, name, custom->tags, custom);
        }
    }
    free(sum);
    put_more(page, lines, CUSTOM_SHOWN);
}

void ix_page_figures(struct ix_page *page, const struct ix_result *result)
{
    put_devices(page, &result->final);
    put_connections(page, result);
    put_messages(page, result);
    ix_page_delivery(page, result);
    put_times(page, result);
    put_dropouts(page, result);
    put_custom(page, &result->final);
}

/* One page, complete in itself: no script, nothing loaded. */
#include "control/report_html.h"

#include "base/text.h"
#include "base/units.h"
#include "control/report_text.h"

#include <stdlib.h>
#include <string.h>

#define CHECKS_SHOWN 1000

static const char *class_of(const struct ix_result *result)
{
    if (result->exit_code != IX_EXIT_PASSED)
        return "bad";
    return result->validity == IX_VALID ? "good" : "warn";
}

static void put_header(const struct ix_result *result, struct ix_buf *out)
{
    char started[IX_ISO8601_LEN + 1];
    ix_text_iso8601(started, result->started_wall_ns);
    ix_buf_str(out, "<header><div><h1>");
    ix_report_escape(out, result->scenario ? result->scenario : "run");
    ix_buf_str(out, "</h1>");
    if (result->description && *result->description) {
        ix_buf_str(out, "<p>");
        ix_report_escape(out, result->description);
        ix_buf_str(out, "</p>");
    }
    ix_buf_str(out, "<p class=\"muted\">");
    if (result->started_wall_ns)
        ix_buf_printf(out, "%.10s %.8s UTC \xc2\xb7 ", started, started + 11);
    ix_buf_printf(out, "seed %llu \xc2\xb7 iotix %s", (unsigned long long)result->seed,
                  ix_result_version(result));
    if (result->broker && *result->broker) {
        ix_buf_str(out, " \xc2\xb7 ");
        ix_report_escape(out, result->broker);
    }
    ix_buf_printf(out, "</p></div><span class=\"badge big %s\">%s</span></header>\n", class_of(result),
                  result->outcome);
}

static void put_error(const struct ix_result *result, struct ix_buf *out)
{
    if (result->early) {
        ix_buf_str(out, "<div class=\"note bad\"><strong>Ended early:</strong> ");
        ix_report_escape(out, result->early);
        ix_buf_str(out, "</div>\n");
    }
    if (!result->error)
        return;
    ix_buf_str(out, "<div class=\"note bad\"><pre>");
    ix_report_escape(out, result->error);
    ix_buf_str(out, "</pre></div>\n");
}

static void put_validity(const struct ix_result *result, struct ix_buf *out)
{
    if (result->validity == IX_VALID)
        return;
    ix_buf_printf(out, "<div class=\"note %s\"><strong>The generator's part is %s.</strong> %s<ul>",
                  result->validity == IX_INVALID ? "bad" : "warn", ix_validity_names[result->validity],
                  result->validity == IX_INVALID
                      ? "These figures say more about this host than about the broker."
                      : "Read the figures with care.");
    const char *text = result->validity_reasons ? result->validity_reasons : "";
    while (*text) {
        size_t len = strcspn(text, "\n");
        char *line = ix_strndup(text, len);
        ix_buf_str(out, "<li>");
        ix_report_escape(out, line);
        ix_buf_str(out, "</li>");
        free(line);
        text += len;
        text += *text == '\n';
    }
    ix_buf_str(out, "</ul></div>\n");
}

/* "1 of 2 checks and 1 of 4 thresholds failed": what the verdict rests on. */
static void put_reason(const struct ix_result *result, struct ix_buf *out)
{
    size_t count, failed[2] = {0, 0};
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &count);
    size_t all[2] = {result->checks.count, count};
    static const char *const names[2][2] = {{"check", "checks"}, {"threshold", "thresholds"}};
    for (size_t i = 0; i < all[0]; i++)
        failed[0] += result->checks.items[i].fails > 0;
    for (size_t i = 0; i < all[1]; i++)
        failed[1] += !(thresholds[i].evaluated && thresholds[i].passed);
    bool bad = failed[0] || failed[1], any = false;
    if (!all[0] && !all[1])
        return;
    ix_buf_printf(out, "<p class=\"reason %s\">", bad ? "bad" : "good");
    for (size_t i = 0; i < 2; i++) {
        if (!(bad ? failed[i] : all[i]))
            continue;
        ix_buf_str(out, any ? " and " : "");
        if (bad || all[i] > 1)
            ix_units_put_count(out, bad ? failed[i] : all[i]);
        if (bad)
            ix_buf_str(out, " of ");
        if (bad)
            ix_units_put_count(out, all[i]);
        ix_buf_printf(out, "%s%s", bad || all[i] > 1 ? " " : "the ", names[i][all[i] != 1]);
        any = true;
    }
    ix_buf_str(out, bad ? " failed</p>\n" : " passed</p>\n");
}

/* ---- tiles ---- */

static void open_tile(struct ix_buf *out)
{
    ix_buf_str(out, "<div class=\"tile\"><b>");
}

static void close_tile(struct ix_buf *out, const char *name)
{
    ix_buf_printf(out, "</b><span>%s</span></div>", name);
}

static void put_count_tile(struct ix_buf *out, uint64_t count, const char *name)
{
    open_tile(out);
    ix_units_put_count(out, count);
    close_tile(out, name);
}

static void put_time_tile(struct ix_buf *out, const struct ix_histogram *h, double q, const char *name)
{
    if (!h->count)
        return;
    open_tile(out);
    ix_units_put_duration(out, ix_histogram_quantile(h, q));
    ix_buf_printf(out, "</b><span>%s of %s", name, (double)h->count * (1 - q) < 1 - 1e-9 ? "only " : "");
    ix_units_put_count(out, h->count);
    ix_buf_str(out, h->count == 1 ? " sample</span></div>" : " samples</span></div>");
}

static void put_tiles(const struct ix_result *result, struct ix_buf *out)
{
    const struct ix_totals *all = &result->final.all;
    const uint64_t *c = all->counters;
    ix_buf_str(out, "<div class=\"tiles\">");
    put_count_tile(out, all->count, all->count == 1 ? "device" : "devices");
    put_count_tile(out, c[IX_C_SENT], "messages sent");
    if (c[IX_C_SENT]) {
        open_tile(out);
        double share = 100.0 * (double)c[IX_C_ACKED] / (double)c[IX_C_SENT];
        if (c[IX_C_ACKED] < c[IX_C_SENT] && share > 99.99)
            ix_buf_str(out, "&gt; 99.99 %");
        else
            ix_buf_printf(out, "%.4g %%", share);
        close_tile(out, "acknowledged");
    }
    if (result->final.observed && c[IX_C_D_SENT])
        put_count_tile(out, c[IX_C_D_DELIVERED], "delivered to an observer");
    put_time_tile(out, &all->trends[IX_T_RESPONSE], 0.95, "latency p95");
    put_time_tile(out, &all->trends[IX_T_LATENESS], 0.99, "lateness p99");
    open_tile(out);
    ix_units_put_duration(out, result->seconds > 0 ? (uint64_t)(result->seconds * 1e9) : 0);
    close_tile(out, "duration");
    ix_buf_str(out, "</div>\n");
}

/* ---- checks and thresholds ---- */

static void put_badge(struct ix_buf *out, bool passed)
{
    ix_buf_printf(out, "<td class=\"pre\"><span class=\"badge %s\">%s</span></td>", passed ? "good" : "bad",
                  passed ? "passed" : "failed");
}

static void put_tags(struct ix_buf *out, const char *tags)
{
    if (!*tags)
        return;
    ix_buf_str(out, " <span class=\"muted\">{");
    ix_report_escape(out, tags);
    ix_buf_str(out, "}</span>");
}

static void put_check(const struct ix_check *check, struct ix_buf *out)
{
    ix_buf_str(out, "<tr>");
    put_badge(out, check->fails == 0);
    ix_buf_str(out, "<td class=\"name\">");
    ix_report_escape(out, check->name);
    put_tags(out, check->tags);
    if (check->reason) {
        ix_buf_str(out, "<br><span class=\"muted\">");
        ix_report_escape(out, check->reason);
        ix_buf_str(out, "</span>");
    }
    ix_buf_str(out, "</td><td class=\"n\">");
    ix_units_put_count(out, check->passes);
    ix_buf_str(out, " of ");
    ix_units_put_count(out, check->passes + check->fails);
    ix_buf_str(out, "</td><td class=\"n\">");
    if (check->fails)
        ix_units_put_duration(out, check->first_fail_ns);
    ix_buf_str(out, "</td></tr>");
}

static void put_checks(const struct ix_result *result, struct ix_buf *out)
{
    const struct ix_checks *checks = &result->checks;
    if (!checks->count)
        return;
    ix_buf_str(out, "<h2>Checks</h2><div class=\"card\"><table><thead><tr><th>verdict</th><th>check</th>"
                    "<th class=\"n\">passed</th><th class=\"n\">first failed at</th></tr></thead><tbody>");
    size_t shown = 0;
    for (int failed = 1; failed >= 0; failed--)
        for (size_t i = 0; i < checks->count; i++)
            if ((checks->items[i].fails > 0) == failed && shown++ < CHECKS_SHOWN)
                put_check(&checks->items[i], out);
    if (shown > CHECKS_SHOWN) {
        ix_buf_str(out, "<tr><td class=\"muted\" colspan=\"4\">and ");
        ix_units_put_count(out, shown - CHECKS_SHOWN);
        ix_buf_str(out, " more</td></tr>");
    }
    ix_buf_str(out, "</tbody></table></div>\n");
}

static void put_threshold(const struct ix_threshold *t, struct ix_buf *out)
{
    ix_buf_str(out, "<tr>");
    put_badge(out, t->evaluated && t->passed);
    ix_buf_str(out, "<td class=\"name\">");
    ix_report_escape(out, t->metric);
    put_tags(out, t->tags);
    ix_buf_str(out, "</td><td class=\"name\"><code>");
    ix_report_escape(out, t->text);
    ix_buf_str(out, "</code></td><td class=\"name\">");
    ix_report_escape(out, t->evaluated ? t->reason : "not evaluated");
    ix_buf_str(out, "</td></tr>");
}

static void put_thresholds(const struct ix_result *result, struct ix_buf *out)
{
    size_t count;
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &count);
    if (!count)
        return;
    ix_buf_str(out, "<h2>Thresholds</h2><div class=\"card\"><table><thead><tr><th>verdict</th><th>metric</th>"
                    "<th>threshold</th><th>measured</th></tr></thead><tbody>");
    for (int failed = 1; failed >= 0; failed--)
        for (size_t i = 0; i < count; i++)
            if ((thresholds[i].evaluated && thresholds[i].passed) != failed)
                put_threshold(&thresholds[i], out);
    ix_buf_str(out, "</tbody></table></div>\n");
}

void ix_report_html(const struct ix_result *result, struct ix_buf *out)
{
    ix_buf_str(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                    "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    ix_report_escape(out, result->scenario ? result->scenario : "run");
    ix_buf_printf(out, ": %s \xc2\xb7 iotix</title>\n<style>\n%s</style></head><body><main>\n",
                  result->outcome, ix_html_style);
    put_header(result, out);
    put_reason(result, out);
    put_error(result, out);
    put_validity(result, out);
    put_tiles(result, out);
    put_checks(result, out);
    put_thresholds(result, out);
    ix_html_plots(result, out);
    ix_html_tables(result, out);
    ix_buf_printf(out, "<footer>iotix %s \xc2\xb7 exit code %d</footer></main></body></html>\n",
                  ix_result_version(result), result->exit_code);
}

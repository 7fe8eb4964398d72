/* The summary on the terminal: verdict, checks, thresholds, and what the run was. */
#include "control/summary_page.h"

#include "control/judge.h"

#include "base/text.h"
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#define GOOD "\xe2\x9c\x93"
#define BAD  "\xe2\x9c\x97"

/* ---- verdict ---- */

struct tally {
    size_t checks, checks_passed, thresholds, thresholds_passed;
};

static struct tally count_all(const struct ix_result *result)
{
    struct tally tally = {0};
    tally.checks = result->checks.count;
    for (size_t i = 0; i < result->checks.count; i++)
        tally.checks_passed += result->checks.items[i].fails == 0;
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &tally.thresholds);
    for (size_t i = 0; i < tally.thresholds; i++)
        tally.thresholds_passed += thresholds[i].evaluated && thresholds[i].passed;
    return tally;
}

static void put_outcome(struct ix_page *page, const struct ix_result *result)
{
    char text[32];
    size_t i = 0;
    for (; result->outcome[i] && i + 1 < sizeof(text); i++)
        text[i] = (char)(result->outcome[i] >= 'a' && result->outcome[i] <= 'z' ? result->outcome[i] - 32
                                                                                : result->outcome[i]);
    text[i] = '\0';
    ix_page_paint(page, IX_BOLD);
    ix_page_painted(page,
                    result->exit_code == IX_EXIT_PASSED ? result->validity == IX_VALID ? IX_GREEN : IX_YELLOW
                                                        : IX_RED,
                    text);
}

static void put_verdict(struct ix_page *page, const struct ix_result *result)
{
    struct ix_buf *out = page->out;
    struct tally tally = count_all(result);
    put_outcome(page, result);
    ix_buf_str(out, "  ");
    ix_page_user_text(out, result->scenario ? result->scenario : "run");
    ix_buf_str(out, ": ");
    if (tally.checks) {
        ix_units_put_count(out, tally.checks_passed);
        ix_buf_str(out, " of ");
        ix_page_count_of(out, tally.checks, "check, ", "checks, ");
    }
    if (tally.thresholds) {
        ix_units_put_count(out, tally.thresholds_passed);
        ix_buf_str(out, " of ");
        ix_page_count_of(out, tally.thresholds, "threshold, ", "thresholds, ");
    }
    ix_page_count_of(out, result->final.all.count, "device, ", "devices, ");
    ix_units_put_duration(out, result->seconds > 0 ? (uint64_t)(result->seconds * 1e9) : 0);
    ix_buf_char(out, '\n');
}

static void put_error(struct ix_page *page, const struct ix_result *result)
{
    const char *text = result->error;
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        ix_buf_str(page->out, "  ");
        ix_page_paint(page, IX_RED);
        char *line = ix_strndup(text, len);
        ix_page_user_text(page->out, line);
        free(line);
        ix_page_paint(page, IX_PLAIN);
        ix_buf_char(page->out, '\n');
        text += len;
        text += *text == '\n';
    }
}

static void put_early(struct ix_page *page, const struct ix_result *result)
{
    if (!result->early)
        return;
    ix_page_paint(page, IX_YELLOW);
    struct ix_buf text;
    ix_buf_init(&text, 1 << 16);
    ix_buf_str(&text, "ENDED EARLY: ");
    ix_page_user_text(&text, result->early);
    ix_page_wrapped(page->out, ix_buf_cstr(&text), 2);
    ix_buf_deinit(&text);
    ix_page_paint(page, IX_PLAIN);
}

static void put_validity(struct ix_page *page, const struct ix_result *result)
{
    if (result->validity == IX_VALID)
        return;
    ix_buf_str(page->out, "  the generator's part is ");
    ix_page_painted(page, result->validity == IX_INVALID ? IX_RED : IX_YELLOW,
                    ix_validity_names[result->validity]);
    ix_buf_str(page->out, result->validity == IX_INVALID
                              ? ": these figures say more about this host than about the broker\n"
                              : ": read the figures with care\n");
    const char *text = result->validity_reasons ? result->validity_reasons : "";
    while (*text) {
        size_t len = strcspn(text, "\n");
        char *line = ix_strndup(text, len);
        ix_page_wrapped(page->out, line, 4);
        free(line);
        text += len;
        text += *text == '\n';
    }
}

/* ---- checks and thresholds ---- */

#define PASSED_SHOWN 40
#define FAILED_SHOWN 200
#define SAID_COLUMN  44

static void mark(struct ix_page *page, bool passed)
{
    ix_buf_str(page->out, "  ");
    ix_page_painted(page, passed ? IX_GREEN : IX_RED, passed ? GOOD : BAD);
    ix_buf_char(page->out, ' ');
}

static void put_check(struct ix_page *page, const struct ix_check *check)
{
    struct ix_buf *out = page->out;
    mark(page, check->fails == 0);
    size_t start = out->len;
    ix_page_user_text(out, check->name);
    if (*check->tags) {
        ix_buf_str(out, " {");
        ix_page_user_text(out, check->tags);
        ix_buf_char(out, '}');
    }
    uint64_t all = check->passes + check->fails;
    if (all > 1 || check->fails) {
        enum { SAID_WIDTH = 32 }; /* "0 of 1, first failed at 10.5 s" */
        if (ix_page_columns(out->data + start, out->len - start) + SAID_WIDTH + 5 > IX_PAGE_WIDTH)
            ix_buf_str(out, "\n      ");
        else
            ix_page_pad(out, start, SAID_COLUMN);
        ix_units_put_count(out, check->passes);
        ix_buf_str(out, " of ");
        ix_units_put_count(out, all);
    }
    if (check->fails) {
        ix_buf_str(out, all > 1 ? ", first failed at " : ", failed at ");
        ix_units_put_duration(out, check->first_fail_ns);
    }
    ix_buf_char(out, '\n');
    if (check->reason) {
        struct ix_buf reason;
        ix_buf_init(&reason, 1 << 16);
        ix_page_user_text(&reason, check->reason);
        ix_page_wrapped(out, ix_buf_cstr(&reason), 6);
        ix_buf_deinit(&reason);
    }
}

static void put_left_out(struct ix_page *page, size_t count)
{
    if (!count)
        return;
    ix_buf_str(page->out, "    \xe2\x80\xa6 and ");
    ix_units_put_count(page->out, count);
    ix_buf_str(page->out, " more\n");
}

static void put_checks(struct ix_page *page, const struct ix_result *result)
{
    if (!result->checks.count)
        return;
    ix_page_heading(page, "CHECKS\n");
    size_t left_out = 0, shown = 0;
    for (int failed = 1; failed >= 0; failed--, shown = 0)
        for (size_t i = 0; i < result->checks.count; i++) {
            const struct ix_check *check = &result->checks.items[i];
            if ((check->fails > 0) != failed)
                continue;
            if (shown++ < (failed ? FAILED_SHOWN : PASSED_SHOWN))
                put_check(page, check);
            else
                left_out++;
        }
    put_left_out(page, left_out);
}

#define SUSPECT "this host's own delays are a part of that, so it is not the broker's fault alone"

static void put_threshold(struct ix_page *page, const struct ix_result *result,
                          const struct ix_threshold *threshold)
{
    struct ix_buf *out = page->out;
    mark(page, threshold->evaluated && threshold->passed);
    size_t start = out->len;
    ix_page_user_text(out, threshold->metric);
    if (*threshold->tags) {
        ix_buf_char(out, '{');
        ix_page_user_text(out, threshold->tags);
        ix_buf_char(out, '}');
    }
    ix_buf_char(out, ' ');
    ix_page_user_text(out, threshold->text);
    const char *said = threshold->evaluated ? threshold->reason : "not evaluated";
    size_t have = ix_page_columns(out->data + start, out->len - start) + 1;
    if (4 + (have > SAID_COLUMN ? have : SAID_COLUMN) + ix_page_columns(said, strlen(said)) > IX_PAGE_WIDTH)
        ix_buf_str(out, "\n      ");
    else
        ix_page_pad(out, start, SAID_COLUMN);
    ix_page_user_text(out, said);
    ix_buf_char(out, '\n');
    if (!(threshold->evaluated && threshold->passed) && ix_result_is_suspect(result, threshold->metric))
        ix_page_wrapped(out, SUSPECT, 6);
}

static void put_thresholds(struct ix_page *page, const struct ix_result *result)
{
    size_t count;
    const struct ix_threshold *thresholds = ix_thresholds_list(result->thresholds, &count);
    if (!count)
        return;
    ix_page_heading(page, "THRESHOLDS\n");
    for (int failed = 1; failed >= 0; failed--)
        for (size_t i = 0; i < count; i++)
            if ((thresholds[i].evaluated && thresholds[i].passed) != failed)
                put_threshold(page, result, &thresholds[i]);
}

/* ---- what the run was ---- */

static void put_text(struct ix_page *page, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    ix_page_label(page, name);
    ix_page_user_text(page->out, text);
    ix_buf_char(page->out, '\n');
}

static void put_models(struct ix_page *page, const struct ix_result *result)
{
    for (size_t i = 0; i < result->model_count; i++) {
        ix_page_label(page, i ? "" : result->model_count == 1 ? "model" : "models");
        ix_page_user_text(page->out, result->models[i].id);
        ix_buf_printf(page->out, "  (hash %016llx)\n", (unsigned long long)result->models[i].hash);
    }
}

/* Only those that are not the defaults, and who said so: the scenario, the command line, or who reports now. */
static void put_limits(struct ix_page *page, const struct ix_result *result)
{
    const struct ix_limits *limits = &result->limits;
    struct ix_buf text;
    bool any = false;
    ix_buf_init(&text, 64);
    for (const struct ix_limit_doc *limit = ix_limit_docs; limit->name; limit++) {
        if (memcmp((const char *)limits + limit->offset, (const char *)&ix_default_limits + limit->offset,
                   8) == 0)
            continue;
        ix_page_label(page, any ? "" : "limits");
        ix_buf_clear(&text);
        ix_judge_put_limit(&text, limits, limit);
        char *name = ix_asprintf("limit.%s", limit->name);
        const json_t *setting = json_object_get(result->settings, name);
        const char *value = json_string_value(json_object_get(setting, "value"));
        const char *origin = json_string_value(json_object_get(setting, "origin"));
        bool as_run = value && origin && strcmp(value, ix_buf_cstr(&text)) == 0;
        ix_buf_printf(page->out, "%s %s  (%s)\n", limit->name, ix_buf_cstr(&text),
                      as_run ? origin : "of this report");
        free(name);
        any = true;
    }
    ix_buf_deinit(&text);
}

static void put_replay(struct ix_page *page, const json_t *replay)
{
    size_t i;
    json_t *difference;
    put_text(page, "repeats", json_string_value(json_object_get(replay, "of")));
    json_array_foreach(json_object_get(replay, "differences"), i, difference)
        put_text(page, i ? "" : "but", json_string_value(difference));
}

static void put_host(struct ix_page *page, const json_t *host)
{
    const char *kernel = json_string_value(json_object_get(host, "kernel"));
    if (!kernel)
        return;
    ix_page_label(page, "host");
    ix_page_count_of(page->out, (uint64_t)json_integer_value(json_object_get(host, "cores")), "core, ",
                     "cores, ");
    ix_units_put_bytes(page->out, (uint64_t)json_integer_value(json_object_get(host, "memoryBytes")));
    ix_buf_str(page->out, ", ");
    ix_page_user_text(page->out, kernel);
    ix_buf_char(page->out, '\n');
}

/* A list of many brokers would fill the page. */
static void put_setting_value(struct ix_buf *out, const json_t *value)
{
    enum { SHOWN = 60 };
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    size_t len = text ? strlen(text) : 0, cut = SHOWN;
    while (len > SHOWN && cut && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut--; /* not inside of a character */
    if (len > SHOWN)
        text[cut] = '\0';
    ix_page_user_text(out, text ? text : "");
    ix_buf_str(out, len > SHOWN ? "…" : "");
    free(text);
}

/* What was given on the command line or by the environment; all of them, whole, are in the JSON report. */
static void put_settings(struct ix_page *page, const json_t *settings)
{
    const char *name;
    json_t *setting;
    bool any = false;
    json_object_foreach((json_t *)settings, name, setting)
    {
        const char *origin = json_string_value(json_object_get(setting, "origin"));
        if (!origin || (strcmp(origin, "command line") != 0 && strcmp(origin, "environment") != 0) ||
            strncmp(name, "limit.", 6) == 0 || strcmp(name, "seed") == 0)
            continue;
        ix_page_label(page, any ? "" : "settings");
        ix_page_user_text(page->out, name);
        ix_buf_char(page->out, ' ');
        put_setting_value(page->out, json_object_get(setting, "value"));
        ix_buf_printf(page->out, "  (%s)\n", origin);
        any = true;
    }
}

static void put_run(struct ix_page *page, const struct ix_result *result)
{
    struct ix_buf *out = page->out;
    ix_page_heading(page, "RUN\n");
    put_text(page, "scenario", result->path);
    put_text(page, "run", result->run_id);
    put_text(page, "broker", result->broker);
    put_models(page, result);
    ix_page_label(page, "seed");
    ix_buf_printf(out, "%llu\n", (unsigned long long)result->seed);
    if (result->workers) {
        ix_page_label(page, "workers");
        ix_units_put_count(out, result->workers);
        if (result->worker_restarts) {
            ix_buf_str(out, ", ");
            ix_page_count_of(out, result->worker_restarts, "restart", "restarts");
        }
        ix_buf_char(out, '\n');
    }
    put_settings(page, result->settings);
    put_limits(page, result);
    put_replay(page, result->replay);
    if (result->journal_level)
        put_text(page, "journal", "became coarser over time (--data-limit); totals and verdict are exact");
    put_host(page, result->host);
    ix_page_label(page, "iotix");
    ix_buf_str(out, ix_result_version(result));
    if (result->started_wall_ns) {
        char started[IX_ISO8601_LEN + 1];
        ix_text_iso8601(started, result->started_wall_ns);
        ix_buf_printf(out, ", started %s", started);
    }
    ix_buf_char(out, '\n');
}

static void put_last_line(struct ix_page *page, const struct ix_result *result)
{
    ix_buf_char(page->out, '\n');
    put_outcome(page, result);
    if (result->validity == IX_DEGRADED)
        ix_buf_str(page->out, " (degraded)");
    if (result->exit_code)
        ix_buf_printf(page->out, "  exit code %d", result->exit_code);
    ix_buf_char(page->out, '\n');
}

void ix_result_summary(const struct ix_result *result, bool colour, struct ix_buf *out)
{
    struct ix_page page = {out, colour};
    put_verdict(&page, result);
    put_early(&page, result);
    put_error(&page, result);
    put_validity(&page, result);
    put_checks(&page, result);
    put_thresholds(&page, result);
    ix_page_figures(&page, result);
    put_run(&page, result);
    put_last_line(&page, result);
}

/* iotix report: from the journal of a run back to its summary and reports; the list of runs. */
#include "base/text.h"
#include "base/units.h"
#include "cli/commands.h"
#include "control/data_dir.h"
#include "control/journal.h"
#include "control/judge.h"
#include "control/report.h"
#include "control/summary_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char summary[] =
    "Without RUN: the runs that left a journal, newest first. With RUN: the summary of that run, and reports "
    "of\n"
    "it where asked for, the same as the run itself wrote. RUN is an id (or its beginning), \"last\", a "
    "folder,\n"
    "or a journal file. A run whose controller died is shown as far as it was measured.\n"
    "\n"
    "Exit codes: that of the run (iotix help run); 105 for a run that died or still goes on; 104 if there is "
    "no\n"
    "such run, or a report can't be written.";

static void put_state(struct ix_buf *out, const struct ix_run_entry *run)
{
    if (run->state == IX_RUN_LIVE)
        ix_buf_str(out, "running");
    else if (run->state == IX_RUN_DIED)
        ix_buf_str(out, "ended early");
    else {
        ix_buf_str(out, run->outcome ? run->outcome : "");
        if (run->exit_code)
            ix_buf_printf(out, " (%d)", run->exit_code);
    }
}

static int list_runs(const char *data_dir)
{
    struct ix_run_list list;
    struct ix_error err;
    if (ix_run_list_open(data_dir, &list, &err) < 0) {
        fprintf(stderr, "iotix report: %s\n", err.text);
        return IX_EXIT_CONFIGURATION;
    }
    struct ix_buf out;
    ix_buf_init(&out, 16 << 20);
    if (list.count)
        ix_buf_str(&out,
                   "RUN               STARTED                       LENGTH  VERDICT            SCENARIO\n");
    else
        ix_buf_printf(&out, "no run has left a journal in %s/runs yet\n", data_dir);
    for (size_t i = 0; i < list.count; i++) {
        struct ix_run_entry *run = &list.items[i];
        char started[IX_ISO8601_LEN + 1] = "?";
        ix_run_entry_read(run);
        if (run->started_wall_ns)
            ix_text_iso8601(started, run->started_wall_ns);
        size_t start = out.len;
        ix_page_user_text(&out, run->id);
        ix_page_pad(&out, start, 18);
        ix_buf_printf(&out, "%-24s", started);
        ix_page_duration_right(&out, run->seconds > 0 ? (uint64_t)(run->seconds * 1e9) : 0, 12);
        ix_buf_str(&out, "  ");
        start = out.len;
        put_state(&out, run);
        ix_page_pad(&out, start, 19);
        ix_page_user_text(&out, run->scenario ? run->scenario : "?");
        ix_buf_char(&out, '\n');
    }
    fputs(ix_buf_cstr(&out), stdout);
    ix_buf_deinit(&out);
    ix_run_list_close(&list);
    return 0;
}

static int write_reports(const struct ix_result *result, const struct ix_option_list *outputs)
{
    int code = 0;
    for (size_t i = 0; i < outputs->count; i++) {
        const struct ix_report_format *format;
        const char *file;
        struct ix_error err;
        if (ix_report_parse(outputs->items[i], &format, &file, &err) == 0 &&
            ix_report_write(format, result, file, &err) == 0)
            continue;
        fprintf(stderr, "iotix report: %s\n", err.text);
        code = -EIO;
    }
    return code;
}

/* By other limits than the run had. */
static int judge_again(struct ix_result *result, const struct ix_option_list *limits, struct ix_error *err)
{
    for (size_t i = 0; i < limits->count; i++)
        if (ix_judge_set_limit(&result->limits, limits->items[i], err) < 0)
            return err->code;
    if (limits->count)
        ix_result_judge(result, result->preset);
    return 0;
}

static int report(const char *data_dir, const char *name, const struct ix_option_list *outputs,
                  const struct ix_option_list *limits)
{
    char *path = NULL;
    struct ix_error err;
    const struct ix_report_format *format;
    const char *file;
    for (size_t i = 0; i < outputs->count; i++)
        if (ix_report_parse(outputs->items[i], &format, &file, &err) < 0) {
            fprintf(stderr, "iotix report: %s\n", err.text);
            return IX_EXIT_CONFIGURATION;
        }
    struct ix_result *result = ix_calloc(1, sizeof(*result));
    ix_result_init(result);
    int code = ix_run_find(data_dir, name, &path, &err);
    if (code == 0)
        code = ix_journal_load(path, result, &err);
    if (code == 0)
        code = judge_again(result, limits, &err);
    int status = IX_EXIT_CONFIGURATION;
    if (code < 0) {
        fprintf(stderr, "iotix report: %s\n", err.text);
    } else {
        struct ix_buf text;
        ix_buf_init(&text, 16 << 20);
        ix_result_summary(result, isatty(STDOUT_FILENO) && !getenv("NO_COLOR"), &text);
        fputs(ix_buf_cstr(&text), stdout);
        fflush(stdout);
        ix_buf_deinit(&text);
        status = result->exit_code;
        if (write_reports(result, outputs) < 0 && status == IX_EXIT_PASSED)
            status = IX_EXIT_CONFIGURATION;
    }
    ix_result_deinit(result);
    free(result);
    free(path);
    return status;
}

struct wish {
    struct ix_option_list outputs, limits;
    const char *data_dir;
};

#define INTO(field) IX_OPTION_INTO(struct wish, field)
static const struct ix_option options[] = {
    {"--out", 'o', IX_OPT_LIST, "KIND=FILE",
     "writes a report: junit, json, html, csv, ndjson (repeatable; - is stdout)", INTO(outputs)},
    {"--limit", 0, IX_OPT_LIST, "NAME=VALUE",
     "judges the generator by another limit than the run did (iotix help run lists them; repeatable)",
     INTO(limits)},
    {"--data-dir", 0, IX_OPT_TEXT, "FOLDER",
     "where the runs are (default: $XDG_STATE_HOME/iotix, else ~/.local/state/iotix)", INTO(data_dir)},
};
#undef INTO

int ix_command_report(int argc, char **argv)
{
    struct wish w = {0};
    const struct ix_command_line line = {.usage = "iotix report [RUN] [options]",
                                         .summary = summary,
                                         .options = options,
                                         .option_count = IX_ARRAY_LEN(options),
                                         .into = &w,
                                         .min_arguments = 0,
                                         .max_arguments = 1};
    const char **arguments = ix_calloc((size_t)argc + 1, sizeof *arguments);
    char *data_dir = NULL;
    size_t count;
    int status;
    struct ix_error err;
    if (ix_command_begin(&line, argc, argv, arguments, &count, &status)) {
        if (ix_data_dir_path(w.data_dir, &data_dir, &err) < 0) {
            fprintf(stderr, "iotix report: %s\n", err.text);
            status = IX_EXIT_CONFIGURATION;
        } else if (count == 0 && (w.outputs.count || w.limits.count)) {
            fprintf(stderr, "iotix report: %s needs a run: iotix report last …\n",
                    w.outputs.count ? "--out" : "--limit");
            status = IX_EXIT_CONFIGURATION;
        } else {
            status = count ? report(data_dir, arguments[0], &w.outputs, &w.limits) : list_runs(data_dir);
        }
    }
    free(data_dir);
    free(arguments);
    return status;
}

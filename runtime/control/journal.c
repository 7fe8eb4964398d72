#include "control/journal.h"

#include "base/log.h"
#include "control/data_dir.h"
#include "control/journal_frames.h"
#include "control/journal_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ix_journal {
    struct ix_journal_file *file;
    char *path;
    struct ix_buf frame, part;
    struct ix_snapshot before;
    struct ix_result figures; /* scalars as last written */
    struct ix_buf facts;      /* as last written */
    char *delivery_look;      /* likewise */
    size_t models, events, checks, dropouts;
    size_t dropouts_before;                  /* written, over, and forgotten */
    struct ix_check *seen_checks;            /* numbers as last written; texts are not theirs */
    struct ix_dropout_result *seen_dropouts; /* as last written */
    bool said;                               /* that it can't be written */
    /* Becoming coarser: how often it did, at which size it does next, and what all but the end may take. */
    unsigned level;
    uint64_t coarser_at, room, points;
};

const struct ix_field ix_journal_verdict_fields[] = {
    {"preset", IX_F_U64, 8, offsetof(struct ix_journal_verdict, preset)},
    {"exitCode", IX_F_U64, 8, offsetof(struct ix_journal_verdict, exit_code)},
    {"outcome", IX_F_TEXT, 8, offsetof(struct ix_journal_verdict, outcome)},
    {"seconds", IX_F_F64, 8, offsetof(struct ix_journal_verdict, seconds)},
    {"level", IX_F_U64, 8, offsetof(struct ix_journal_verdict, level)},
    {"validity", IX_F_U64, 8, offsetof(struct ix_journal_verdict, validity)},
    {"wasSlow", IX_F_U64, 8, offsetof(struct ix_journal_verdict, was_slow)},
    {"reasons", IX_F_TEXT, 8, offsetof(struct ix_journal_verdict, reasons)},
    {"thresholdResults", IX_F_JSON, 8, offsetof(struct ix_journal_verdict, thresholds)},
    {NULL, IX_F_U64, 0, 0},
};

void ix_journal_verdict_deinit(struct ix_journal_verdict *verdict)
{
    free(verdict->outcome);
    free(verdict->reasons);
    json_decref(verdict->thresholds);
}

static void append(struct ix_journal *j, enum ix_journal_frame type)
{
    ix_journal_file_append(j->file, (uint8_t)type, &j->frame);
}

/* ---- making it ---- */

static void make_room(const char *data_dir, uint64_t limit)
{
    struct ix_run_list list;
    if (ix_run_list_open(data_dir, &list, NULL) < 0)
        return;
    ix_run_list_evict(&list, limit - limit / 4, IX_RUNS_MAX - 1);
    ix_run_list_close(&list);
}

int ix_journal_open(const char *data_dir, uint64_t data_limit, const char *run_id,
                    struct ix_journal **journal, struct ix_error *err)
{
    char *root = NULL, *runs = NULL, *folder = NULL, *path = NULL;
    struct ix_journal_file *file = NULL;
    int code = ix_data_dir_open(data_dir, &root, err);
    if (code == 0) {
        make_room(root, data_limit);
        code = ix_data_dir_sub(root, "runs", &runs, err);
    }
    if (code == 0)
        code = ix_data_dir_sub(runs, run_id, &folder, err);
    if (code == 0) {
        path = ix_asprintf("%s/journal", folder);
        code = ix_journal_file_create(path, data_limit / 4, &file, err);
        if (code < 0)
            rmdir(folder);
    }
    free(root);
    free(runs);
    free(folder);
    if (code < 0) {
        free(path);
        return code;
    }
    struct ix_journal *j = ix_calloc(1, sizeof(*j));
    j->file = file;
    j->path = path;
    j->room = data_limit / 4 - data_limit / 32;
    j->coarser_at = j->room / 4;
    ix_buf_init(&j->frame, IX_JOURNAL_FRAME_MAX);
    ix_buf_init(&j->part, IX_JOURNAL_FRAME_MAX);
    ix_buf_init(&j->facts, IX_JOURNAL_FRAME_MAX);
    ix_snapshot_init(&j->before);
    ix_journal_names_pack(&j->frame);
    append(j, IX_J_NAMES);
    *journal = j;
    return 0;
}

/* ---- what is new ---- */

static void write_facts(struct ix_journal *j, const struct ix_result *result)
{
    ix_buf_clear(&j->frame);
    ix_fields_pack(ix_result_facts, result, NULL, &j->frame);
    ix_pack_u8(&j->frame, 6);
    ix_buf_str(&j->frame, "limits");
    ix_buf_clear(&j->part);
    ix_fields_pack(ix_limits_fields, &result->limits, NULL, &j->part);
    ix_pack_bytes(&j->frame, j->part.data, j->part.len);
    if (j->frame.len == j->facts.len && memcmp(j->frame.data, j->facts.data, j->frame.len) == 0)
        return;
    append(j, IX_J_FACTS);
    ix_buf_clear(&j->facts);
    ix_buf_put(&j->facts, j->frame.data, j->frame.len);
}

static void write_lists(struct ix_journal *j, const struct ix_result *result)
{
    for (; j->models < result->model_count; j->models++) {
        ix_buf_clear(&j->frame);
        ix_fields_pack(ix_model_fields, &result->models[j->models], NULL, &j->frame);
        append(j, IX_J_MODEL);
    }
    for (; j->events < result->series.event_count; j->events++) {
        ix_buf_clear(&j->frame);
        ix_fields_pack(ix_event_fields, &result->series.events[j->events], NULL, &j->frame);
        append(j, IX_J_EVENT);
    }
}

static void write_checks(struct ix_journal *j, const struct ix_checks *checks)
{
    if (checks->count > j->checks)
        j->seen_checks = ix_realloc(j->seen_checks, checks->count * sizeof(*j->seen_checks));
    for (size_t i = 0; i < checks->count; i++) {
        const struct ix_check *check = &checks->items[i];
        if (i < j->checks && j->seen_checks[i].passes == check->passes &&
            j->seen_checks[i].fails == check->fails)
            continue;
        ix_buf_clear(&j->frame);
        ix_pack_var(&j->frame, i);
        ix_fields_pack(ix_check_fields, check, NULL, &j->frame);
        append(j, IX_J_CHECK);
        j->seen_checks[i] = *check;
    }
    j->checks = checks->count;
}

/* Those that the result leaves out by now were written as they ended. */
static void forget_dropouts(struct ix_journal *j, size_t before)
{
    if (before <= j->dropouts_before)
        return;
    size_t over = before - j->dropouts_before;
    over = over < j->dropouts ? over : j->dropouts;
    j->dropouts -= over;
    j->dropouts_before += over;
    memmove(j->seen_dropouts, j->seen_dropouts + over, j->dropouts * sizeof(*j->seen_dropouts));
}

static void write_dropouts(struct ix_journal *j, const struct ix_result *result)
{
    forget_dropouts(j, result->dropouts_before);
    for (size_t i = 0; i < result->dropout_count; i++) {
        size_t place = result->dropouts_before + i;
        if (place < j->dropouts_before)
            continue;
        const struct ix_dropout_result *d = &result->dropouts[i];
        size_t at = place - j->dropouts_before;
        const struct ix_dropout_result *seen = at < j->dropouts ? &j->seen_dropouts[at] : NULL;
        if (seen && memcmp(seen, d, offsetof(struct ix_dropout_result, back_time)) == 0 &&
            ix_histogram_is_same(&seen->back_time, &d->back_time))
            continue;
        ix_buf_clear(&j->frame);
        ix_pack_var(&j->frame, place);
        ix_fields_pack(ix_dropout_fields, d, seen, &j->frame);
        append(j, IX_J_DROPOUT);
        if (!seen)
            j->seen_dropouts = ix_realloc(j->seen_dropouts, ++j->dropouts * sizeof(*j->seen_dropouts));
        j->seen_dropouts[at] = *d;
    }
}

static void write_look(struct ix_journal *j, const json_t *look)
{
    char *text = look ? json_dumps(look, JSON_COMPACT) : NULL;
    if (text && (!j->delivery_look || strcmp(j->delivery_look, text) != 0)) {
        ix_buf_clear(&j->frame);
        ix_buf_str(&j->frame, text);
        append(j, IX_J_LOOK);
        free(j->delivery_look);
        j->delivery_look = text;
        text = NULL;
    }
    free(text);
}

static void write_snapshot(struct ix_journal *j, const struct ix_result *result,
                           const struct ix_snapshot *snapshot, enum ix_journal_tick tick)
{
    ix_buf_clear(&j->part);
    ix_fields_pack(ix_result_figures, result, &j->figures, &j->part);
    memcpy(&j->figures, result, sizeof(j->figures));
    ix_buf_clear(&j->frame);
    ix_pack_u8(&j->frame, (uint8_t)tick);
    ix_pack_bytes(&j->frame, j->part.data, j->part.len);
    ix_journal_snapshot_pack(snapshot, &j->before, &j->frame);
    append(j, IX_J_SNAPSHOT);
}

/* ---- coarser and coarser ---- */

/* From the first step on points only, then every second one, every fourth … */
static bool is_kept(struct ix_journal *j, enum ix_journal_tick tick)
{
    if (tick == IX_TICK_FINAL || j->level == 0)
        return true;
    return tick == IX_TICK_POINT && j->points++ % (1ull << (j->level - 1)) == 0;
}

static void become_coarser(struct ix_journal *j)
{
    uint64_t size = ix_journal_file_size(j->file);
    if (size < j->coarser_at || j->level == 40)
        return;
    if (j->level++ == 0)
        ix_log(IX_LOG_WARN,
               "the journal %s has taken a quarter of its share (--data-limit): from here on it keeps fewer "
               "points "
               "over time; totals and percentiles stay exact",
               j->path);
    j->coarser_at = size + (j->room > size ? (j->room - size) / 4 : 0);
}

static void say_fault(struct ix_journal *j, int fault)
{
    if (!fault || j->said)
        return;
    j->said = true;
    ix_log(IX_LOG_WARN,
           "the journal %s can't be written any more: %s%s; the run goes on without it, and its own reports "
           "will "
           "be complete",
           j->path, ix_journal_fault_text(fault), fault == -E2BIG ? " (--data-limit)" : "");
}

void ix_journal_tick(struct ix_journal *j, const struct ix_result *result, const struct ix_snapshot *snapshot,
                     enum ix_journal_tick tick)
{
    if (!j)
        return;
    int fault = ix_journal_file_fault(j->file);
    if (!fault)
        write_dropouts(j, result); /* the result forgets those that are over */
    if (!fault && is_kept(j, tick)) {
        write_facts(j, result);
        write_lists(j, result);
        write_checks(j, &result->checks);
        if (tick != IX_TICK_FINAL)
            write_look(j, result->delivery_look);
        write_snapshot(j, result, snapshot, tick);
        become_coarser(j);
    }
    say_fault(j, fault);
}

static json_t *threshold_results(const struct ix_result *result)
{
    size_t count;
    const struct ix_threshold *items = ix_thresholds_list(result->thresholds, &count);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:b, s:b, s:s}", "evaluated", items[i].evaluated, "passed",
                                              items[i].passed, "reason", items[i].reason));
    return list;
}

void ix_journal_end(struct ix_journal *j, const struct ix_result *result, enum ix_exit preset)
{
    if (!j)
        return;
    struct ix_journal_verdict verdict = {preset,
                                         (uint64_t)result->exit_code,
                                         (char *)result->outcome,
                                         result->seconds,
                                         j->level,
                                         result->validity,
                                         result->was_slow,
                                         result->validity_reasons,
                                         j->level ? threshold_results(result) : NULL};
    if (!ix_journal_file_fault(j->file)) {
        write_facts(j, result);
        write_lists(j, result);
        write_checks(j, &result->checks);
        ix_buf_clear(&j->frame);
        ix_fields_pack(ix_result_end, result, NULL, &j->frame);
        ix_fields_pack(ix_journal_verdict_fields, &verdict, NULL, &j->frame);
        append(j, IX_J_END);
    }
    json_decref(verdict.thresholds); /* the texts are the result's */
    int fault = ix_journal_file_fault(j->file);
    say_fault(j, fault);
    int late = ix_journal_file_close(j->file);
    if (!fault && late < 0)
        ix_log(IX_LOG_WARN, "the journal %s is incomplete: %s", j->path, ix_journal_fault_text(late));
    ix_buf_deinit(&j->frame);
    ix_buf_deinit(&j->part);
    ix_buf_deinit(&j->facts);
    ix_snapshot_deinit(&j->before);
    free(j->delivery_look);
    free(j->seen_checks);
    free(j->seen_dropouts);
    free(j->path);
    free(j);
}

/* A run over time: what is looked at once an interval, what the journal keeps of it, and the last figures. */
#include "control/run_internal.h"

#include "base/log.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

/* A controller that is killed loses no more than this of its journal … */
#define JOURNAL_EVERY_NS (500 * IX_MS)
/* … unless looking takes so long that it should happen less often. */
#define LOOK_MAX_NS (20 * IX_MS)

static void collect_dropout(struct ix_run *run, size_t place, struct ix_dropout_result *d)
{
    struct ix_dropout_metrics m;
    const struct ix_dropout_facts *facts = ix_fleet_dropout_at(run->fleet, place, &m);
    d->id = facts->id;
    d->t = facts->start_ns > run->start_ns ? (double)(facts->start_ns - run->start_ns) / 1e9 : 0;
    d->eligible = facts->eligible;
    d->chosen = facts->chosen;
    d->dropped = m.dropped;
    d->already_gone = m.already_gone;
    d->back = m.back;
    d->cancelled = m.cancelled;
    d->back_time = m.back_time;
    snprintf(d->group, sizeof d->group, "%s", facts->group);
    snprintf(d->strategy, sizeof d->strategy, "%s", facts->strategy);
}

static void collect_dropouts(struct ix_run *run)
{
    struct ix_result *result = &run->result;
    for (size_t i = 0; ix_fleet_dropout_at(run->fleet, result->dropouts_before + i, NULL); i++) {
        if (i == result->dropout_count) {
            result->dropouts = ix_realloc(result->dropouts, (i + 1) * sizeof *result->dropouts);
            memset(&result->dropouts[result->dropout_count++], 0, sizeof *result->dropouts);
        }
        collect_dropout(run, result->dropouts_before + i, &result->dropouts[i]);
    }
}

/* Into the journal; those that are over are then left out until the end, since each takes 20 KB. */
static void journal_dropouts_and(struct ix_run *run, enum ix_journal_tick tick)
{
    struct ix_result *result = &run->result;
    collect_dropouts(run);
    ix_journal_tick(run->journal, result, &run->now, tick);
    size_t over = 0;
    while (over < result->dropout_count &&
           ix_fleet_dropout_at(run->fleet, result->dropouts_before + over, NULL)->is_over)
        over++;
    result->dropout_count -= over;
    result->dropouts_before += over;
    if (over)
        memmove(result->dropouts, result->dropouts + over, result->dropout_count * sizeof *result->dropouts);
}

static void look(struct ix_run *run, uint64_t now_ns)
{
    struct ix_result *result = &run->result;
    ix_run_measure(run);
    result->seconds = (double)(now_ns - run->start_ns) / 1e9;
    result->worker_restarts = ix_workers_restarts(run->workers);
    result->frames_dropped = ix_workers_dropped(run->workers);
    result->log_dropped = ix_log_dropped();
    for (size_t i = 0; i < run->now.worker_count; i++) {
        result->frames_dropped += run->now.workers[i].frames_dropped;
        result->log_dropped += run->now.workers[i].log_dropped;
    }
    ix_run_steal(run);
    result->workers = 0;
    for (uint32_t i = 0; i < ix_workers_count(run->workers); i++)
        result->workers += ix_workers_role(run->workers, i) == IX_WORKER_DEVICES;
}

static void advise(struct ix_run *run)
{
    run->advice.embedded = run->brokers.is_embedded;
    if (!run->config.plan)
        ix_advice_look(&run->advice, &run->now.all, run->brokers.targets, run->brokers.target_count,
                       &run->result.advice);
}

static void point(struct ix_run *run, uint64_t now_ns)
{
    struct ix_result *result = &run->result;
    const struct ix_point *latest = ix_series_add(&result->series, &run->now);
    advise(run);
    if (run->config.progress)
        run->config.progress(run->config.context, result, &run->now, latest);
    ix_log_flush(now_ns);
    if (run->config.plan)
        ix_plan_note_tick(run, latest);
    if (!result->thresholds)
        return;
    int failed = ix_thresholds_evaluate(result->thresholds, &run->now, &result->checks, run->start_ns, false);
    if (failed < 0 || run->phase != RUN_RUNNING)
        return;
    if (run->config.plan)
        ix_plan_note_abort(run, (size_t)failed);
    ix_script_cancel(run->script, "a threshold failed that asks to abort");
}

static void on_tick(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_run *run = (struct ix_run *)((char *)entry - offsetof(struct ix_run, tick));
    bool is_point = --run->ticks_left == 0;
    uint64_t before = uv_hrtime();
    look(run, now_ns);
    if (is_point)
        point(run, now_ns);
    if (run->journal)
        ix_run_ledger_look(run, now_ns);
    if (run->journal)
        journal_dropouts_and(run, is_point ? IX_TICK_POINT : IX_TICK_BETWEEN);
    if (is_point)
        run->ticks_left = run->ticks_a_point;
    run->next_tick_ns += run->tick_ns;
    if (uv_hrtime() - before > LOOK_MAX_NS && run->ticks_left > 1) {
        run->next_tick_ns += run->tick_ns;
        run->ticks_left--;
    }
    ix_wheel_add(run->loop.wheel, &run->tick, run->next_tick_ns);
}

static void open_journal(struct ix_run *run)
{
    const struct ix_run_config *config = &run->config;
    struct ix_error err;
    if (ix_journal_open(config->data_dir, config->data_limit ? config->data_limit : IX_DATA_LIMIT,
                        run->result.run_id, &run->journal, &err) < 0)
        ix_log(IX_LOG_WARN, "this run leaves no journal for iotix report: %s", err.text);
}

void ix_run_ticks_begin(struct ix_run *run)
{
    uint64_t interval = run->config.interval_ns;
    if (!run->config.plan)
        open_journal(run);
    run->ticks_a_point = run->journal ? (unsigned)((interval + JOURNAL_EVERY_NS - 1) / JOURNAL_EVERY_NS) : 1;
    run->ticks_left = run->ticks_a_point;
    run->tick_ns = interval / run->ticks_a_point;
    run->next_tick_ns = ix_loop_update(&run->loop) + run->tick_ns;
    run->tick.fire = on_tick;
    /* At once: a run that is killed in its first half second has a journal that says so. */
    look(run, run->next_tick_ns - run->tick_ns);
    ix_journal_tick(run->journal, &run->result, &run->now, IX_TICK_BETWEEN);
    ix_wheel_add(run->loop.wheel, &run->tick, run->next_tick_ns);
}

void ix_run_ticks_end(struct ix_run *run)
{
    ix_wheel_cancel(run->loop.wheel, &run->tick);
    look(run, ix_loop_update(&run->loop));
    advise(run);
    ix_snapshot_copy(&run->before_drain, &run->now);
    if (run->journal)
        journal_dropouts_and(run, IX_TICK_BETWEEN);
}

void ix_run_ticks_finish(struct ix_run *run)
{
    struct ix_result *result = &run->result;
    double seconds = result->seconds;
    look(run, ix_loop_update(&run->loop));
    ix_run_ledger_close(run);
    result->seconds = seconds; /* draining is no part of it */
    ix_snapshot_keep_states(&run->now, &run->before_drain);
    ix_snapshot_copy(&result->final, &run->now);
    ix_series_add(&result->series, &run->now);
    ix_log_flush(UINT64_MAX);
    result->dropouts_before = result->dropout_count = 0;
    collect_dropouts(run);
    ix_journal_tick(run->journal, result, &run->now, IX_TICK_FINAL);
}

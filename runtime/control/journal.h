/* The journal of a run: DATA/runs/ID/journal, written while it runs, so that `iotix report` finds what was measured
 * however the run ended.
 *
 * It holds facts (scenario, options, settings, host, models), events, checks and dropouts as they come, and twice
 * a second (or once an interval, if that is shorter) what the workers' counters and histograms gained. A report
 * repeats from these what the run itself did: series, thresholds with their windows, verdict. So whoever measures
 * something new in a snapshot needs nothing here, and a new fact is one line in journal_fields.c.
 *
 * A run's journal has at most a quarter of the data limit (default 1 GiB, IX_DATA_LIMIT): about a day of a busy fleet
 * of some groups takes it. It covers the whole run nevertheless: with each quarter of what is left, the journal looks
 * half as often, down to a point every few minutes after weeks. Totals and histograms are sums, and stay exact; only the
 * course over time becomes coarser, and what a killed controller had not written yet longer. An eighth is kept
 * for the end, which then holds the verdict too, since thresholds with windows can't be judged anew. */
#ifndef IX_CONTROL_JOURNAL_H
#define IX_CONTROL_JOURNAL_H

#include "control/journal_runs.h"
#include "control/result.h"

struct ix_journal;

/* Makes the run's folder, after the oldest ended runs made room for it. */
int ix_journal_open(const char *data_dir, uint64_t data_limit, const char *run_id,
                    struct ix_journal **journal, struct ix_error *err);

enum ix_journal_tick {
    IX_TICK_BETWEEN, /* more often than points of the series */
    IX_TICK_POINT,   /* ix_series_add and ix_thresholds_evaluate saw this snapshot too */
    IX_TICK_FINAL,   /* it is result->final, and ix_series_add saw it */
};
/* Writes what is new. Says once, in the log, when it can't any more. NULL: does nothing. */
void ix_journal_tick(struct ix_journal *journal, const struct ix_result *result,
                     const struct ix_snapshot *snapshot, enum ix_journal_tick tick);
/* The run is over and judged: `preset` as ix_result_judge got it. Waits until all is written, and frees. */
void ix_journal_end(struct ix_journal *journal, const struct ix_result *result, enum ix_exit preset);

/* Rebuilds a result, judged, from a journal: that of a run that ended is what the run itself had. For one that has no
 * end, result->early says why: its controller died, it still runs, or the journal could not be written any
 * more. `result` is to be initialised; on an error it can only be deinitialised. */
int ix_journal_load(const char *path, struct ix_result *result, struct ix_error *err);

#endif

/* Thresholds in k6's words: "p(95)<500ms", "rate<1%", "count==0", "avg<20ms over 5m".
 *
 *  kind      aggregates                          values
 *  counter   count, rate (per second)            1000, 1k, 2.5M
 *  gauge     value, min, max (once a second)     1000, 1k
 *  rate      rate                                0.01, 1%
 *  trend     avg min max med p(N) sum, count     500 (ms), 500us, 1.5s, 2m
 *
 * With a window, a threshold must hold in every window of that length that the run has, looked at once a
 * second (long windows move in steps of a 60th); a run shorter than the window is one window. */
#ifndef IX_CONTROL_THRESHOLDS_H
#define IX_CONTROL_THRESHOLDS_H

#include "control/checks.h"
#include "control/snapshot.h"

#include <jansson.h>

struct ix_threshold {
    char *metric; /* without tags */
    char *tags;   /* "group:env" or "" */
    char *text;   /* as written: "p(95)<500ms" */
    bool abort_on_fail;
    uint64_t delay_abort_ns; /* no abort before this much of the run has passed */
    uint64_t over_ns;        /* window, 0 = the whole run */
    /* after evaluation */
    bool evaluated;
    bool passed;
    double measured;  /* trends in ms; NaN without samples */
    char reason[200]; /* "p(95) was 812 ms, must be < 500 ms"; "no samples"; passed: "p(95) was 1.2 ms" */
};

struct ix_thresholds;

/* From the scenario's table: {metric or "metric{tag:value}": text | {threshold, abortOnFail, delayAbort,
 * over} | list of these}. Every fault at once. Unknown built-in names are no fault yet: scripts may declare
 * a custom metric of that name; ix_thresholds_check_metrics knows. */
int ix_thresholds_parse(const json_t *table, struct ix_thresholds **thresholds, struct ix_error *err);
void ix_thresholds_free(struct ix_thresholds *thresholds);

/* Metrics that are neither built in nor `declared` by the scenario's files ({name: kind}; NULL: none), with a
 * suggestion, and rules that make no sense for the kind of a declared one. Every fault at once. */
int ix_thresholds_check_metrics(const struct ix_thresholds *thresholds, const json_t *declared,
                                struct ix_error *err);

/* Evaluates all against a snapshot (once a second while the run lasts: `final` false; windows are kept
 * inside). A threshold whose failure asked for the abort stays failed. In the end an aggregate of a trend or
 * rate without samples fails. Returns the place of a failed threshold that asks to abort, or -1. "checks" is
 * a rate over all checks ("checks{name:…}" narrows). */
int ix_thresholds_evaluate(struct ix_thresholds *thresholds, const struct ix_snapshot *snapshot,
                           const struct ix_checks *checks, uint64_t run_start_ns, bool final);

/* Where no broker answers, nobody can tell how long it takes or what it delivers: thresholds on that ask for no abort. */
void ix_thresholds_hold_aborts(struct ix_thresholds *thresholds);

/* What an evaluation found before, for the threshold at that place (if there is one). */
void ix_thresholds_set_result(struct ix_thresholds *thresholds, size_t place, bool evaluated, bool passed,
                              const char *reason);

const struct ix_threshold *ix_thresholds_list(const struct ix_thresholds *thresholds, size_t *count);

#endif

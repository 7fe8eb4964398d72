/* Everything that a run leaves behind: the source of summary, verdict, exit code and all reports. */
#ifndef IX_CONTROL_RESULT_H
#define IX_CONTROL_RESULT_H

#include "base/buf.h"
#include "control/series.h"
#include "control/thresholds.h"

enum ix_exit {
    IX_EXIT_PASSED = 0,
    IX_EXIT_FAILED = 99, /* checks or thresholds */
    IX_EXIT_CONFIGURATION = 104,
    IX_EXIT_INTERRUPTED = 105,
    IX_EXIT_SCRIPT = 107,
    IX_EXIT_INVALID = 111 /* the generator itself could not keep up, or broke down */
};

enum ix_validity { IX_VALID, IX_DEGRADED, IX_INVALID };
extern const char *const ix_validity_names[];

/* Limits of the generator's judgement on itself, printed with the verdict (control/judge.h names them). UINT64_MAX and
 * infinity: off. */
struct ix_limits {
    uint64_t degraded_lateness_ns; /* p99, default 50 ms */
    uint64_t invalid_lateness_ns;  /* p99, default 1 s */
    double degraded_busy;          /* share of a worker's loop for busy_for_s, default 0.9 */
    double degraded_wait;          /* share of a worker's time without the CPU it wanted, default 0.5 */
    double busy_for_s;             /* how long these two must last, default 5 */
    double degraded_steal;         /* share of the machine's CPU time that others took, default 0.1 */
    uint64_t degraded_restarts;    /* more of them, default 0 */
    uint64_t degraded_dropped;     /* more frames between processes dropped, default 0 */
    double invalid_own_fault;      /* share of ticks never sent through our own fault, default 0.001 */
    uint64_t invalid_overrun;      /* more messages that observers could not account for, default 0 */
};
extern const struct ix_limits ix_default_limits;

struct ix_dropout_result {
    uint64_t id;
    char group[64];
    char strategy[64];
    double t; /* start, seconds since the run's start */
    uint64_t eligible, chosen, dropped, already_gone, back, cancelled;
    struct ix_histogram back_time;
};

struct ix_model_fact {
    char *id;
    uint64_t hash;
};

struct ix_result {
    char *scenario;         /* name */
    char *path;             /* file */
    uint64_t scenario_hash; /* of its text */
    char *description;
    char *run_id;
    char *broker; /* as shown: "embedded mosquitto on 127.0.0.1:40123" */
    uint64_t seed;
    int64_t started_wall_ns;
    double seconds;          /* length of the run */
    json_t *options;         /* effective t.options */
    json_t *tags;            /* of the run: {name: text}; NULL: none */
    json_t *settings;        /* effective settings with their origin: {name: {value, origin}} */
    json_t *command;         /* options of the command line: ["--name=value", …]; NULL: none */
    json_t *replay;          /* {of: run, differences: [text, …]}; NULL: it repeats none */
    json_t *threshold_table; /* as the scenario wrote it; NULL: none */
    json_t *host;            /* facts of this machine: {name: value}; NULL: unknown */
    char *version;           /* of the iotix that ran it; NULL: this one */
    struct ix_model_fact *models;
    size_t model_count;
    size_t workers;
    uint64_t worker_restarts;
    uint64_t own_fault; /* messages never sent through our own fault: messages.neverSent.late */
    /* Messages of which observers could not say what became of them through their own fault: not delivered while
     * they were overrun or restarted, or too far behind. */
    uint64_t observer_overrun;
    uint64_t observer_held_ns, observer_held_most_ns; /* held up by this host: in all, and longest */
    json_t *delivery;      /* account of the observers (control/delivery.h); NULL: nothing was observed */
    json_t *delivery_look; /* the last look at it while it was open; NULL: none */
    json_t *clocks;        /* of other hosts (control/clocks_view.h); NULL: not known */
    struct ix_snapshot final;
    struct ix_series series;
    struct ix_checks checks;
    struct ix_thresholds *thresholds; /* may be NULL */
    struct ix_dropout_result *dropouts;
    size_t dropout_count;
    size_t dropouts_before; /* while the run goes on: earlier ones, which are over and left out of the list */
    char *advice;           /* lines: what ran out and what to do about it (advice.h); NULL: nothing */
    char *error;            /* script or configuration error that ended the run, or NULL */
    bool interrupted;
    char *early; /* why what is here is not the whole run: its controller died, or it goes on; NULL: it is */
    /* this host while the run lasted */
    double steal;            /* share of its CPU time that a hypervisor gave to others */
    uint64_t frames_dropped; /* between our own processes: their queues were full */
    uint64_t log_dropped;    /* lines beyond 10 a second and process; nothing is judged by them */
    /* verdict */
    struct ix_limits limits;
    enum ix_validity validity;
    char *validity_reasons; /* lines; "" when valid */
    bool was_slow;          /* late, busy or starved: its own delays are part of what it timed */
    uint64_t journal_level; /* of one that was rebuilt: how often its journal became coarser; 0: it did not */
    enum ix_exit preset;    /* as the judgement got it */
    enum ix_exit exit_code;
    const char
        *outcome; /* "passed", "failed", "invalid", "interrupted", "script error", "bad configuration" */
};

void ix_result_init(struct ix_result *result);
void ix_result_deinit(struct ix_result *result);
/* The version of iotix that ran it. */
const char *ix_result_version(const struct ix_result *result);

/* Fills validity, reasons, exit_code (precedence 104 > 107 > 105 > 111 > 99) and outcome. `preset`: the
 * code of an error that ended the run (104 or 107), or 0. An invalid run never passes; one that ended early (`early`)
 * counts as interrupted. */
void ix_result_judge(struct ix_result *result, enum ix_exit preset);

/* A verdict that was found before, in place of a new one. */
void ix_result_keep_verdict(struct ix_result *result, enum ix_validity validity, const char *reasons,
                            bool was_slow, enum ix_exit code);

/* The summary that `iotix run` prints: verdict first, then checks, thresholds, devices by state, connects and
 * refusals by reason, messages, bytes, rates, latency and lateness percentiles, dropouts, workers, seed and
 * version. Aligned columns; ANSI colours if `colour`. */
void ix_result_summary(const struct ix_result *result, bool colour, struct ix_buf *out);

#endif

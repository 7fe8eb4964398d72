/* One run of a scenario: broker, workers, script, measuring, verdict, summary and reports. */
#ifndef IX_CONTROL_RUN_H
#define IX_CONTROL_RUN_H

#include "control/report.h"
#include "worker/wire.h"

struct ix_plan;

struct ix_run_config {
    struct ix_plan *plan; /* NULL: a run; else nothing connects, and time is virtual (control/plan.h) */
    const char *path;     /* scenario file */
    const char *text;     /* its text; NULL: it is read from `path`, which else is only a name */
    const char *folder;   /* of models and data files; NULL: that of `path` */
    const char
        *broker; /* "auto", "embedded" or a list "host:port,…"; NULL: MQTT_BROKER_HOST/PORT, else auto */
    bool broker_force;       /* also for addresses that the scenario sets itself */
    const char *bind;        /* source addresses "ADDR[-ADDR][,…]", "auto" or "none"; NULL: auto */
    double connect_rate;     /* connections a second; 0: as devices start */
    uint64_t connect_window; /* connections under way at the same time; 0: no limit */
    bool seed_given;
    uint64_t seed;
    uint32_t workers;      /* 0: one per core */
    const json_t *options; /* {name: text} of -e */
    const char *const *allowed_env;
    size_t allowed_env_count;
    const char *const *outputs; /* "format=file" */
    size_t output_count;
    const char *const
        *observe; /* topic filters of the delivery ledger; none: unless the scenario asks for it */
    size_t observe_count;
    uint64_t observers;                              /* 0: one */
    const char *observe_username, *observe_password; /* of the observers at the broker; NULL: none */
    struct ix_wire_tls observe_tls;                  /* also if the broker's address asks for it */
    uint64_t late_after_ns;                          /* 0: nothing is late */
    const char *const *limits; /* "NAME=VALUE" of the judgement on itself (control/judge.h) */
    size_t limit_count;
    const json_t *command; /* the command line's options, to repeat the run: ["--name=value", …]; or NULL */
    const json_t *replay;  /* of which run it is a repetition (control/replay.h); or NULL */
    uint64_t interval_ns;  /* of progress lines and of points in reports */
    const char *data_dir;  /* of the journal (control/data_dir.h); NULL: the default */
    uint64_t data_limit;   /* bytes of all journals together; 0: IX_DATA_LIMIT */
    /* Once an interval while the run lasts; NULL: quiet. `snapshot` and `point` are the latest. */
    void (*progress)(void *context, const struct ix_result *result, const struct ix_snapshot *snapshot,
                     const struct ix_point *point);
    /* Before the summary: the progress line is over. */
    void (*finished)(void *context);
    void *context;
    bool colour;
};

/* Runs it to the end and prints the summary on stdout; the exit code (enum ix_exit). Errors that come before
 * anything was measured are printed on stderr. */
int ix_run(const struct ix_run_config *config);

#endif

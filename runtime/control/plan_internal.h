/* Shared by plan.c (following), plan_needs.c (sums) and plan_print.c. */
#ifndef IX_CONTROL_PLAN_INTERNAL_H
#define IX_CONTROL_PLAN_INTERNAL_H

#include "control/fleet_internal.h"
#include "control/limits.h"
#include "control/plan.h"
#include "control/run_internal.h"

#define IX_PLAN_NOTES_MAX 16

struct plan_launch {
    struct plan_launch *next;
    char *group;
    char *strategy;
    json_t *settings;
    double t; /* seconds since the start */
};

struct plan_group {
    const char *id;
    const char *model;
    uint64_t count;
    double connected_after; /* of the first launch, seconds; < 0: not all were ever connected */
    bool assumed;           /* too large to be followed: figures from the model alone */
    /* recommended */
    const char *strategy;
    unsigned batch_size, delay_ms; /* 0: the strategy has none */
    double seconds;                /* that it takes */
};

struct ix_plan {
    struct ix_plan_options options;
    /* seen on the way */
    struct plan_launch *launches, **launches_end;
    char *notes[IX_PLAN_NOTES_MAX];
    size_t note_count;
    uint64_t http_requests;
    uint64_t bytes_before;
    double peak_messages, peak_bytes; /* per second, of one interval */
    uint64_t peak_connected;
    double *connected_after; /* by place of the group; NAN: not yet */
    size_t connected_count;
    bool complete;
    char *stopped;       /* why it was not followed to the end */
    enum ix_exit failed; /* it can't run, or errs where nothing from outside was assumed; 0: neither */
    /* sums */
    struct plan_group *groups;
    size_t group_count;
    struct ix_limits_of_host host;
    struct ix_demand demand;
    uint64_t workers, observers;
    uint64_t files_worker, files_controller,
        files_all;          /* the fullest worker's; of the host, brokers' ends included */
    double seconds;         /* length of the scenario, as far as it was followed */
    double connect_seconds; /* in which devices connected */
    double connects_average, connects_peak, messages_average, messages_peak, bytes_average, bytes_peak;
    uint64_t messages, bytes, dropped;
    double cpu_publishing; /* cores, by measured costs of a message */
    struct ix_shortage shortages[IX_SHORT_COUNT];
    size_t shortage_count;
};

void ix_plan_note(struct ix_plan *plan, const char *format, ...) IX_PRINTF(2, 3);
/* plan_needs.c */
void ix_plan_sum_up(struct ix_run *run, struct ix_plan *plan);
/* plan_print.c */
void ix_plan_print_text(const struct ix_run *run, const struct ix_plan *plan, struct ix_buf *out);
json_t *ix_plan_json(const struct ix_run *run, const struct ix_plan *plan);

#endif

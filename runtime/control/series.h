/* The run over time: one point an interval, from differences of snapshots. Bounded: past the limit
 * neighbouring points are joined and the interval doubles. */
#ifndef IX_CONTROL_SERIES_H
#define IX_CONTROL_SERIES_H

#include "control/snapshot.h"

#define IX_SERIES_MAX 3600

/* What observers saw in an interval. */
struct ix_point_delivery {
    bool observed;
    uint64_t sent, delivered, lost, duplicated, reordered, late, corrupt;
    uint64_t missing, in_flight; /* at its end */
    double p50, p95, p99, max;   /* from the due instant to the arrival, ms; NaN without samples */
};

struct ix_point {
    double t;       /* end of the interval, seconds since the run's start */
    double seconds; /* its length */
    int64_t by_status[IX_D_STATUS_COUNT];
    int64_t connected;
    uint64_t scheduled, sent, acked, lost, never_sent, received;
    uint64_t connects, refused, connection_lost, dropped, reconnected;
    double latency_p50, latency_p95, latency_p99, latency_max; /* response, ms; NaN without samples */
    double service_p99;
    double lateness_p99, lateness_max;
    double busy; /* busiest worker's loop, 0..1 */
    double
        wait; /* time without the CPU it wanted, of the worker that had most of it, 0..1; both are corrected when a
                    worker comes to tell that had not for some points */
    struct ix_point_delivery delivery;
};

struct ix_event {
    double t; /* seconds since the run's start */
    char *name;
    char *data; /* JSON or NULL */
};

struct ix_series {
    struct ix_point *points;
    size_t count;
    struct ix_event *events; /* at most 10,000; further ones are counted */
    size_t event_count;
    uint64_t events_dropped;
    double peak_connects_per_s; /* of one second */
    struct ix_snapshot before;  /* the previous snapshot */
    uint64_t start_ns;
    struct ix_point last;                   /* the latest interval, not joined */
    size_t stride;                          /* intervals joined in one point: 1, 2, 4 … */
    size_t joined;                          /* of these, in the last point */
    double second_connects, second_seconds; /* the second that is being measured for the peak */
};

void ix_series_init(struct ix_series *series, uint64_t run_start_ns);
void ix_series_deinit(struct ix_series *series);
/* Adds the point from the previous snapshot to this one and returns it as measured (in `points` it may be
 * joined with its neighbours: sums add up, percentiles are averaged by samples, maxima stay). */
const struct ix_point *ix_series_add(struct ix_series *series, const struct ix_snapshot *snapshot);
void ix_series_event(struct ix_series *series, uint64_t at_ns, const char *name, const char *data);

#endif

/* What all workers have measured up to one instant: their segments, added up. */
#ifndef IX_CONTROL_SNAPSHOT_H
#define IX_CONTROL_SNAPSHOT_H

#include "metrics/segment.h"

struct ix_totals {
    char group[64]; /* "" for the sum of all groups */
    char tags[172]; /* of the group, "key:value,key:value" */
    char protocol[16];
    uint64_t count; /* devices that the group has, placed or not */
    uint64_t counters[IX_C_COUNT];
    int64_t by_status[IX_D_STATUS_COUNT]; /* devices never placed count as created */
    int64_t connected;
    uint64_t waiting;                             /* among IX_C_SCHEDULED, which counts them here */
    struct ix_reason reasons[IX_SEGMENT_REASONS]; /* most frequent first; text "" ends */
    uint8_t qos;                                  /* 1 + that of its messages; 0: not known, and for sums */
    uint8_t other_qos; /* bit q: scripts sent some with that QoS too; then by_qos has all of the group's */
    struct ix_histogram trends[IX_T_COUNT];
};

/* The ledger: scheduled = never sent + sent + waiting + in doubt; sent = acknowledged + lost + in flight. What is
 * in doubt was begun by a worker that was killed before it noted the outcome: one message for each at most. */
static inline uint64_t ix_never_sent(const uint64_t *counters)
{
    return counters[IX_C_NEVER_SENT_OFFLINE] + counters[IX_C_NEVER_SENT_BACKPRESSURE] +
           counters[IX_C_NEVER_SENT_ERROR] + counters[IX_C_NEVER_SENT_LATE];
}
static inline uint64_t ix_totals_in_flight(const struct ix_totals *t)
{
    uint64_t done = t->counters[IX_C_ACKED] + t->counters[IX_C_LOST];
    return t->counters[IX_C_SENT] > done ? t->counters[IX_C_SENT] - done : 0;
}
static inline uint64_t ix_totals_in_doubt(const struct ix_totals *t)
{
    uint64_t known = ix_never_sent(t->counters) + t->counters[IX_C_SENT] + t->waiting;
    return t->counters[IX_C_SCHEDULED] > known ? t->counters[IX_C_SCHEDULED] - known : 0;
}

/* Times of the messages of one group with one QoS; only for groups with more than one. They are part of the group's
 * trends too. */
struct ix_qos_totals {
    char group[64];
    uint8_t qos;
    struct ix_histogram response, service;
};

struct ix_custom_totals { /* one (name, tags) */
    enum ix_custom_kind kind;
    char name[80];
    char tags[172];
    double value;   /* counter: sum, gauge: last value set anywhere, rate: true samples */
    uint64_t count; /* samples */
    struct ix_histogram trend;
};

/* One worker's own state. */
struct ix_worker_totals {
    uint32_t worker;
    uint32_t epoch; /* 1 for the first process, +1 with each restart */
    uint64_t busy_ns, cpu_ns, lua_bytes;
    uint64_t devices;  /* placed on it */
    uint64_t wait_ns;  /* time in which it wanted a CPU and had none */
    uint64_t alive_ns; /* when it measured these */
    uint64_t frames_dropped, log_dropped;
};

/* What the controller knows of a group, for the sums. */
struct ix_group_facts {
    const char *id;
    const char *tags;     /* may be NULL */
    const char *protocol; /* "mqtt"; NULL is the same */
    uint64_t count;
};

struct ix_snapshot {
    uint64_t at_ns;
    bool observed;                  /* the delivery ledger is kept: delivery.* has values */
    uint64_t ungrouped[IX_C_COUNT]; /* what belongs to no group */
    struct ix_totals all;
    struct ix_totals *groups;
    size_t group_count;
    struct ix_custom_totals *custom;
    size_t custom_count;
    struct ix_worker_totals *workers;
    size_t worker_count;
    struct ix_qos_totals *by_qos;
    size_t by_qos_count;
    /* Room, kept for the next take; samples already seen of each segment's gauges, to know which one was set
     * last. */
    size_t group_room, custom_room, worker_room, by_qos_room;
    uint64_t *seen;
    size_t seen_room;
};

/* Memory grows once and is reused by the next ix_snapshot_take on the same struct. */
void ix_snapshot_init(struct ix_snapshot *snapshot);
void ix_snapshot_deinit(struct ix_snapshot *snapshot);
/* Segments keep their place from take to take; new ones are added behind. A group that a segment knows and
 * `groups` does not (it was deleted) stays in the sums: counters never go back. */
void ix_snapshot_take(struct ix_snapshot *snapshot, const struct ix_segment *const *segments,
                      size_t segment_count, const struct ix_group_facts *groups, size_t group_count,
                      uint64_t now_ns);
/* `all` from the groups, as a take leaves it. */
void ix_snapshot_sum(struct ix_snapshot *snapshot);
/* Adds a series that no segment has (the scenario's own); after each take, because that forgets its samples.
 */
void ix_snapshot_add_custom(struct ix_snapshot *snapshot, const struct ix_custom_totals *own);
/* Gives all and each group the device states of an earlier snapshot: those before everything was stopped. */
void ix_snapshot_keep_states(struct ix_snapshot *snapshot, const struct ix_snapshot *earlier);
void ix_snapshot_copy(struct ix_snapshot *into, const struct ix_snapshot *from);

/* A metric by the name that users write: counters ("messages.sent"), trends ("publish.latency"), gauges
 * ("devices.connected", "devices.running", …), rates ("connect.success"), custom ones. "mqtt." in front
 * narrows to that protocol. `tags`: "key:value,…" that the series must carry ("group:NAME" always works);
 * "" = all. */
enum ix_metric_kind { IX_METRIC_NONE, IX_METRIC_COUNTER, IX_METRIC_GAUGE, IX_METRIC_RATE, IX_METRIC_TREND };
extern const char *const ix_metric_kind_names[]; /* "counter" … */

struct ix_metric_view {
    enum ix_metric_kind kind;
    double value;   /* counter, gauge; rate: true samples */
    uint64_t count; /* samples of a rate or trend */
    size_t series;  /* groups or custom series that carry the tags; 0: the filter matches nothing */
    struct ix_histogram trend;
};
/* false if no such metric exists (known names without samples exist). "checks" is not in a snapshot. */
bool ix_snapshot_metric(const struct ix_snapshot *snapshot, const char *name, const char *tags,
                        struct ix_metric_view *view);
/* Times of publishing, one row for each protocol and QoS that has samples; at most IX_LATENCY_ROWS. The caller frees
 * *rows. */
#define IX_LATENCY_ROWS 9
struct ix_latency_row {
    char protocol[16];
    int qos; /* -1: not known */
    struct ix_histogram response, service;
};
size_t ix_snapshot_latency(const struct ix_snapshot *snapshot, struct ix_latency_row **rows);
/* The same of one metric, `publish.latency` or `publish.service`, for the groups that `protocol` ("": any) and the
 * tags besides "qos:N" let through; *series counts the groups. */
void ix_snapshot_qos_trend(const struct ix_snapshot *snapshot, bool service, const char *protocol,
                           const char *tags, struct ix_histogram *trend, size_t *series);
/* The N of a "qos:N" in a list of tags (*rest: the list without it; the caller frees it), or -1. */
int ix_tags_qos(const char *tags, char **rest);
/* True if the list "key:value,key:value" has every pair of `filter`. */
bool ix_tags_match(const char *filter, const char *group, const char *tags);

/* Every built-in metric, for thresholds, "did you mean" and the manual. */
struct ix_metric_doc {
    const char *name;
    enum ix_metric_kind kind;
    const char *doc; /* one line */
};
const struct ix_metric_doc *ix_metric_docs(size_t *count);
/* The built-in metric of that name, with or without a protocol in front; NULL if there is none. */
const struct ix_metric_doc *ix_metric_find(const char *name);
/* The names alone; *count of them. */
const char *const *ix_metric_names(size_t *count);

#endif

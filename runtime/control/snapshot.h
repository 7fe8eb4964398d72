/* What all workers have measured up to one instant: their segments, added up. */
#ifndef IX_CONTROL_SNAPSHOT_H
#define IX_CONTROL_SNAPSHOT_H

#include "metrics/segment.h"

struct ix_totals {
    char group[64]; /* "" for the sum of all groups */
    char tags[172]; /* of the group, "key:value,key:value" */
    uint64_t count; /* devices that the group has, placed or not */
    uint64_t counters[IX_C_COUNT];
    int64_t by_status[IX_D_STATUS_COUNT]; /* devices never placed count as created */
    int64_t connected;
    struct ix_reason reasons[IX_SEGMENT_REASONS]; /* most frequent first; text "" ends */
    struct ix_histogram trends[IX_T_COUNT];
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
    uint64_t devices;
};

/* What the controller knows of a group, for the sums. */
struct ix_group_facts {
    const char *id;
    const char *tags;
    uint64_t count;
};

struct ix_snapshot {
    uint64_t at_ns;
    struct ix_totals all;
    struct ix_totals *groups;
    size_t group_count;
    struct ix_custom_totals *custom;
    size_t custom_count;
    struct ix_worker_totals *workers;
    size_t worker_count;
};

/* Memory grows once and is reused by the next ix_snapshot_take on the same struct. */
void ix_snapshot_init(struct ix_snapshot *snapshot);
void ix_snapshot_deinit(struct ix_snapshot *snapshot);
void ix_snapshot_take(struct ix_snapshot *snapshot, const struct ix_segment *const *segments,
                      size_t segment_count, const struct ix_group_facts *groups, size_t group_count,
                      uint64_t now_ns);
void ix_snapshot_copy(struct ix_snapshot *into, const struct ix_snapshot *from);

/* A metric by the name that users write: counters ("messages.sent"), trends ("publish.latency"), gauges
 * ("devices.connected", "devices.running", …), custom ones. "mqtt." in front narrows to that protocol.
 * `tags`: "key:value,…" that the series must carry ("group:NAME" always works); "" = all. */
enum ix_metric_kind { IX_METRIC_NONE, IX_METRIC_COUNTER, IX_METRIC_GAUGE, IX_METRIC_RATE, IX_METRIC_TREND };
struct ix_metric_view {
    enum ix_metric_kind kind;
    double value;   /* counter, gauge; rate: true samples */
    uint64_t count; /* samples of a rate or trend */
    struct ix_histogram trend;
};
/* false if no such metric exists (known names without samples exist). */
bool ix_snapshot_metric(const struct ix_snapshot *snapshot, const char *name, const char *tags,
                        struct ix_metric_view *view);
/* All built-in names, for "did you mean"; *count of them. */
const char *const *ix_metric_names(size_t *count);

#endif

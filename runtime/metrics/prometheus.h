/* Prometheus text format 0.0.4. Names by its conventions: snake case, "iotix_" in front, base units (seconds, bytes),
 * counters end in "_total". */
#ifndef IX_METRICS_PROMETHEUS_H
#define IX_METRICS_PROMETHEUS_H

#include "base/buf.h"
#include "metrics/histogram.h"

/* The lines HELP and TYPE of a family, in front of its samples; `type` is counter, gauge or histogram. */
void ix_prometheus_family(struct ix_buf *out, const char *name, const char *type, const char *help);

/* One sample. `labels`: pairs of name and value, ended by NULL; NULL: none. Values are escaped, names are not. */
void ix_prometheus_sample(struct ix_buf *out, const char *name, const char *const *labels, double value);
/* The same without labels, after its family. */
void ix_prometheus_single(struct ix_buf *out, const char *name, const char *type, const char *help,
                          double value);

/* A histogram of durations: buckets in seconds at ix_prometheus_bounds_s, and +Inf, _sum and _count. A sample counts in
 * the first bucket that its value, known to 1/128, does not exceed. */
#define IX_PROMETHEUS_BOUNDS 16
extern const double ix_prometheus_bounds_s[IX_PROMETHEUS_BOUNDS];
void ix_prometheus_histogram(struct ix_buf *out, const char *name, const char *const *labels,
                             const struct ix_histogram *histogram);

/* Any histogram: `counts` has count + 1 entries, of samples up to each bound and beyond the last. */
void ix_prometheus_buckets(struct ix_buf *out, const char *name, const char *const *labels,
                           const double *bounds, const uint64_t *counts, size_t count, double sum);

/* "messages.neverSent.offline" → "iotix_messages_never_sent_offline", with `end` behind it. */
void ix_prometheus_name(struct ix_buf *out, const char *metric, const char *end);

#endif

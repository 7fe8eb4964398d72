/* One threshold as parsed: thresholds_parse.c makes them, thresholds.c evaluates them. */
#ifndef IX_CONTROL_THRESHOLD_RULE_H
#define IX_CONTROL_THRESHOLD_RULE_H

#include "control/thresholds.h"

enum ix_aggregate {
    IX_AGG_COUNT,
    IX_AGG_RATE,
    IX_AGG_VALUE,
    IX_AGG_AVG,
    IX_AGG_MIN,
    IX_AGG_MAX,
    IX_AGG_MED,
    IX_AGG_SUM,
    IX_AGG_PERCENTILE
};

enum ix_comparison { IX_OP_LE, IX_OP_LT, IX_OP_GE, IX_OP_GT, IX_OP_EQ, IX_OP_NE };

/* What the value was written with; the metric's kind says which of them make sense. */
enum ix_unit { IX_UNIT_NONE, IX_UNIT_PERCENT, IX_UNIT_DURATION, IX_UNIT_SCALE };

/* State of the metric at one instant, for windows. */
struct ix_window_point {
    uint64_t at_ns;
    double value;
    double min, max; /* of a gauge since the previous point */
    uint64_t count;
    struct ix_histogram trend; /* trends only */
};

struct ix_window {
    struct ix_window_point *points; /* oldest first; NULL until the first evaluation */
    size_t count;
};

struct ix_rule {
    enum ix_aggregate aggregate;
    enum ix_comparison comparison;
    enum ix_unit unit;
    double percent;     /* N of p(N) */
    double limit;       /* durations in ms, percent as a share, scales applied */
    char label[24];     /* "p(95)" */
    char bound[48];     /* "< 500ms" */
    bool delivery;      /* "delivery.*": only an observer has it */
    bool aborted;       /* its failure ended the run: not evaluated any more */
    bool window_failed; /* in some window; then measured and reason are of the first one */
    bool gauge_seen;
    double gauge_min, gauge_max;               /* of the whole run */
    double gauge_recent_min, gauge_recent_max; /* since the last window point */
    struct ix_window window;
};

struct ix_thresholds {
    struct ix_threshold *items;
    struct ix_rule *rules; /* one for each item */
    size_t count;
};

/* Parses "p(95)<500ms over 5m". `over_ns` is set only if the text has a window. */
int ix_rule_parse(const char *text, struct ix_rule *rule, uint64_t *over_ns, struct ix_error *err);

/* NULL if aggregate and unit make sense for a metric of that kind; else the reason, in `text`. */
const char *ix_rule_mismatch(const struct ix_rule *rule, const char *metric, enum ix_metric_kind kind,
                             char *text, size_t size);

#endif

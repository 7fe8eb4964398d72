/* What the generator says about itself: is what was measured the broker's doing, or this host's?
 *
 * Each limit has a name, for `limits` of a scenario and `--limit NAME=VALUE`, which wins; passing it makes the run
 * degraded or invalid, as the name says. */
#ifndef IX_CONTROL_JUDGE_H
#define IX_CONTROL_JUDGE_H

#include "control/result.h"

enum ix_limit_kind { IX_LIMIT_DURATION, IX_LIMIT_SHARE, IX_LIMIT_SECONDS, IX_LIMIT_COUNT };

struct ix_limit_doc {
    const char *name; /* "lateness.degraded" */
    enum ix_limit_kind kind;
    size_t offset;   /* in struct ix_limits: uint64_t ns, double, double, uint64_t */
    const char *doc; /* what passes it */
};
extern const struct ix_limit_doc ix_limit_docs[]; /* name NULL ends */

/* "lateness.degraded=20ms", "busy.degraded=80%", "restarts.degraded=off": -EINVAL with a suggestion. */
int ix_judge_set_limit(struct ix_limits *limits, const char *text, struct ix_error *err);
/* Several of them; the first fault ends it. */
int ix_judge_set_words(struct ix_limits *limits, const char *const *words, size_t count,
                       struct ix_error *err);
/* Whether one of them sets this limit. */
bool ix_judge_is_named(const struct ix_limit_doc *limit, const char *const *words, size_t count);
/* {name: text or number}, as a scenario says them; numbers are shares, counts or seconds. */
int ix_judge_set_limits(struct ix_limits *limits, const json_t *table, struct ix_error *err);
/* "50 ms", "90 %", "off". */
void ix_judge_put_limit(struct ix_buf *out, const struct ix_limits *limits, const struct ix_limit_doc *limit);

/* The figures that the limits are for. */
struct ix_judge_figures {
    uint64_t lateness_p99_ns, lateness_samples;
    double busiest,
        waited; /* the busiest interval of a worker's loop; the time its busiest worker waited for a CPU */
    double own_fault; /* share of what was scheduled */
};
void ix_judge_measure(const struct ix_result *result, struct ix_judge_figures *figures);

/* Whether this host's own delays are a part of the metric, in a run whose generator was late, busy or starved: then it
 * says nothing, or less, about the broker. */
bool ix_result_is_suspect(const struct ix_result *result, const char *metric);
/* The names of all such metrics that this result has; the caller decrefs the list, which is empty for a good run. */
json_t *ix_result_suspects(const struct ix_result *result);

#endif

/* Log-linear histograms of durations in ns: 64 sub-buckets per octave, 1 ns to 2^43 ns (2.4 hours).
 *
 * Fixed size, mergeable by addition, relative error of a percentile ≤ 1/128 (a bucket's midpoint), and
 * never above the maximum. One writer; readers of the shared memory may see a sample late, never torn. */
#ifndef IX_METRICS_HISTOGRAM_H
#define IX_METRICS_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IX_HISTOGRAM_SUB_BITS 6
#define IX_HISTOGRAM_MAX_BITS 43
#define IX_HISTOGRAM_BUCKETS  ((IX_HISTOGRAM_MAX_BITS - IX_HISTOGRAM_SUB_BITS + 1) << IX_HISTOGRAM_SUB_BITS)

struct ix_histogram {
    uint64_t count;
    uint64_t sum; /* ns; room for 584 years of summed time */
    uint64_t min; /* UINT64_MAX while empty, once initialised */
    uint64_t max;
    uint64_t buckets[IX_HISTOGRAM_BUCKETS];
};

void ix_histogram_init(struct ix_histogram *h);

/* Values of 64 and more lose bits below the leading 7; index rises with the value. */
static inline size_t ix_histogram_index(uint64_t value)
{
    if (value < (1u << IX_HISTOGRAM_SUB_BITS))
        return (size_t)value;
    if (value >> IX_HISTOGRAM_MAX_BITS)
        return IX_HISTOGRAM_BUCKETS - 1;
    int shift = 63 - __builtin_clzll(value) - IX_HISTOGRAM_SUB_BITS;
    return ((size_t)(shift + 1) << IX_HISTOGRAM_SUB_BITS) + (size_t)((value >> shift) - 64);
}

static inline void ix_histogram_add(struct ix_histogram *h, uint64_t value)
{
    h->buckets[ix_histogram_index(value)]++;
    h->sum += value;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
}

/* into += from. */
void ix_histogram_merge(struct ix_histogram *into, const struct ix_histogram *from);

/* into = now − before, the samples that came between two snapshots. min and max are then those of the
 * buckets (bounded by now's). `into` may be one of the two. */
void ix_histogram_diff(struct ix_histogram *into, const struct ix_histogram *now,
                       const struct ix_histogram *before);

/* The value that `q` (0..1) of the samples do not exceed, in ns; 0 without samples. q = 1 is the maximum. */
uint64_t ix_histogram_quantile(const struct ix_histogram *h, double q);
/* Whether there are samples enough for a percentile to be one: at least one lies beyond it (100 for 0.99). */
static inline bool ix_histogram_supports(const struct ix_histogram *h, double q)
{
    return q >= 1.0 || (double)h->count * (1.0 - q) >= 1.0 - 1e-9;
}
double ix_histogram_mean(const struct ix_histogram *h);

#endif

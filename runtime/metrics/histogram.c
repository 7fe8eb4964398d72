#include "metrics/histogram.h"

#include <math.h>
#include <string.h>

#define SUB (1u << IX_HISTOGRAM_SUB_BITS)

static uint64_t bucket_low(size_t index)
{
    if (index < SUB)
        return index;
    return (uint64_t)(index % SUB + SUB) << (index / SUB - 1);
}

static uint64_t bucket_width(size_t index)
{
    return index < SUB ? 1 : 1ull << (index / SUB - 1);
}

void ix_histogram_init(struct ix_histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

void ix_histogram_merge(struct ix_histogram *into, const struct ix_histogram *from)
{
    if (from->count == 0)
        return;
    for (size_t i = 0; i < IX_HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->sum += from->sum;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
}

void ix_histogram_diff(struct ix_histogram *into, const struct ix_histogram *now,
                       const struct ix_histogram *before)
{
    uint64_t count = 0, sum = now->sum - before->sum, min = now->min, max = now->max;
    size_t first = IX_HISTOGRAM_BUCKETS, last = 0;
    for (size_t i = 0; i < IX_HISTOGRAM_BUCKETS; i++) {
        uint64_t samples = now->buckets[i] - before->buckets[i];
        into->buckets[i] = samples;
        if (samples == 0)
            continue;
        count += samples;
        first = first < i ? first : i;
        last = i;
    }
    into->count = count;
    into->sum = sum;
    into->min = UINT64_MAX;
    into->max = 0;
    if (count == 0)
        return;
    uint64_t low = bucket_low(first), high = bucket_low(last) + bucket_width(last) - 1;
    into->min = low > min ? low : min;
    into->max = last == IX_HISTOGRAM_BUCKETS - 1 || high > max ? max : high;
}

uint64_t ix_histogram_quantile(const struct ix_histogram *h, double q)
{
    if (h->count == 0)
        return 0;
    if (q >= 1.0)
        return h->max;
    double wanted = ceil(q * (double)h->count);
    uint64_t rank = wanted >= 1.0 ? (uint64_t)wanted : 1, seen = 0;
    for (size_t i = 0; i < IX_HISTOGRAM_BUCKETS - 1; i++) {
        seen += h->buckets[i];
        if (seen >= rank) {
            uint64_t middle = bucket_low(i) + bucket_width(i) / 2;
            return middle > h->max ? h->max : middle < h->min ? h->min : middle;
        }
    }
    return h->max; /* the last bucket also holds whatever is larger than it */
}

double ix_histogram_mean(const struct ix_histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0.0;
}

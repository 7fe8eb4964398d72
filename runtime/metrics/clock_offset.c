#include "metrics/clock_offset.h"

#define LONGEST (60 * 1000000000ull) /* round trip */
#define FAR     (1ull << 61)         /* 73 years */
#define DRIFT   10000 /* one of so many: 100 millionths, more than clocks of computers drift from each other */

void ix_clock_offset_add(struct ix_clock_offset *offset, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
    if (t4 < t1 || t3 < t2 || t4 - t1 < t3 - t2 || t4 - t1 > LONGEST)
        return; /* no clocks that run alike, or too long ago */
    uint64_t far = t2 - t1 + FAR, further = t3 - t4 + FAR;
    if (far > 2 * FAR || further > 2 * FAR)
        return; /* no clock at all */
    uint64_t bound = ((t4 - t1) - (t3 - t2) + 1) / 2;
    int64_t found = ((int64_t)(t2 - t1) + (int64_t)(t3 - t4)) / 2;
    if (offset->samples++ && bound > ix_clock_offset_bound(offset, t4))
        return;
    if (offset->samples == 1)
        offset->first_ns = found;
    offset->offset_ns = found;
    offset->bound_ns = bound;
    offset->at_ns = t4;
}

uint64_t ix_clock_offset_bound(const struct ix_clock_offset *offset, uint64_t now_ns)
{
    uint64_t age = now_ns > offset->at_ns ? now_ns - offset->at_ns : offset->at_ns - now_ns;
    return offset->bound_ns + age / DRIFT;
}

bool ix_clock_offset_age(struct ix_clock_offset *offset, uint64_t sent_ns, uint64_t now_ns, uint64_t *age_ns)
{
    if (!offset->samples)
        return false;
    int64_t age = (int64_t)(now_ns - sent_ns + (uint64_t)offset->offset_ns);
    uint64_t bound = ix_clock_offset_bound(offset, now_ns);
    if (age < 0 && 0 - (uint64_t)age > bound)
        return false;
    if (bound > offset->worst_ns)
        offset->worst_ns = bound;
    *age_ns = age > 0 ? (uint64_t)age : 0;
    return true;
}

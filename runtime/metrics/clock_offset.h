/* How far the clock of another host is from ours, measured by questions and answers through the broker:
 *
 *   we ask at t1 (our clock), it arrives there at t2 and is answered at t3 (theirs), the answer is here at t4 (ours)
 *   offset = ((t2 − t1) + (t3 − t4)) / 2, and wrong by half of the round trip (t4 − t1) − (t3 − t2) at most.
 *
 * The sample with the smallest bound counts. Clocks drift: a sample's bound grows with its age, by 100 millionths, until
 * a newer one is better. */
#ifndef IX_METRICS_CLOCK_OFFSET_H
#define IX_METRICS_CLOCK_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

struct ix_clock_offset {
    uint32_t clock;    /* name of the other clock (generator/stamp.h); 0: this place is free */
    uint32_t samples;  /* answers so far; 0: not measured */
    int64_t offset_ns; /* theirs − ours, by the sample that counts … */
    uint64_t bound_ns; /* … which was wrong by so much at most … */
    uint64_t at_ns;    /* … and was taken then, by our clock */
    uint64_t worst_ns; /* the largest bound with which an instant was translated */
    int64_t first_ns;  /* offset by the first sample that counted */
    uint64_t timed;    /* messages whose time it gave */
    uint64_t untimed;  /* messages without: they came before it was measured, or it can't be */
};

void ix_clock_offset_add(struct ix_clock_offset *offset, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4);
uint64_t ix_clock_offset_bound(const struct ix_clock_offset *offset, uint64_t now_ns);
/* How long a message took that was sent at `sent_ns` by the other clock and is here at `now_ns`; 0 where the error makes it
 * less. False: it isn't measured, or the result is less than nothing by more than the error. */
bool ix_clock_offset_age(struct ix_clock_offset *offset, uint64_t sent_ns, uint64_t now_ns, uint64_t *age_ns);

#endif

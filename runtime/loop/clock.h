/* The only source of time. Real: CLOCK_MONOTONIC. Virtual: whatever its owner set last. */
#ifndef IX_LOOP_CLOCK_H
#define IX_LOOP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct ix_clock {
    bool is_virtual;
    uint64_t virtual_ns;    /* current instant of a virtual clock */
    int64_t wall_offset_ns; /* wall = monotonic + offset (whole ms), fixed when the run starts: wall-clock
                               steps change neither schedules nor timestamps */
};

void ix_clock_init_real(struct ix_clock *clock);
/* Starts at instant 0 with the given wall time. */
void ix_clock_init_virtual(struct ix_clock *clock, int64_t wall_ns);
/* Moves a virtual clock forwards; going back is a broken invariant. */
void ix_clock_advance(struct ix_clock *clock, uint64_t to_ns);

/* Monotonic instant in ns. Real clocks are comparable between processes of one host. */
uint64_t ix_clock_now(const struct ix_clock *clock);

/* The next whole millisecond at or after an instant: schedules start there, since the wheel's slots are 1 ms
 * and what lies between them would come late by up to one. */
static inline uint64_t ix_clock_whole_ms(uint64_t instant_ns)
{
    return (instant_ns + 999999) / 1000000 * 1000000;
}

/* Wall-clock time (ns since the epoch) of an instant. */
static inline int64_t ix_clock_wall(const struct ix_clock *clock, uint64_t instant_ns)
{
    return (int64_t)instant_ns + clock->wall_offset_ns;
}

#endif

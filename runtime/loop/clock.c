#include "loop/clock.h"

#include "base/error.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void ix_clock_init_real(struct ix_clock *clock)
{
    *clock = (struct ix_clock){0};
    int64_t offset = (int64_t)(read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC));
    clock->wall_offset_ns = offset - offset % 1000000;
}

void ix_clock_init_virtual(struct ix_clock *clock, int64_t wall_ns)
{
    *clock = (struct ix_clock){.is_virtual = true, .wall_offset_ns = wall_ns};
}

void ix_clock_advance(struct ix_clock *clock, uint64_t to_ns)
{
    IX_REQUIRE(clock->is_virtual && to_ns >= clock->virtual_ns);
    clock->virtual_ns = to_ns;
}

uint64_t ix_clock_now(const struct ix_clock *clock)
{
    return clock->is_virtual ? clock->virtual_ns : read_clock(CLOCK_MONOTONIC);
}

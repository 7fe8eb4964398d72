/* The event loop of a process: libuv, one clock, one timing wheel, and the books it keeps on itself. */
#ifndef IX_LOOP_LOOP_H
#define IX_LOOP_LOOP_H

#include "base/error.h"
#include "loop/clock.h"
#include "loop/wheel.h"

#include <uv.h>

struct ix_loop {
    uv_loop_t uv;
    struct ix_clock clock;
    struct ix_wheel *wheel;
    uint64_t now_ns; /* clock at the start of this batch of due entries or callbacks: one read per turn */
    uint64_t *turn_counter; /* incremented once per turn; own_turns unless a segment's counter is set */
    uint64_t own_turns;
    uv_timer_t timer; /* armed for the wheel's next instant; stopped while the wheel is empty */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t more; /* active while due entries are left: sockets are polled between batches */
    struct ix_deferred *deferred;
};

/* A batch of due entries: at most 256, or 2 ms. */
#define IX_LOOP_BATCH    256
#define IX_LOOP_BATCH_NS 2000000ull

int ix_loop_init(struct ix_loop *loop, struct ix_error *err);

/* Closes every handle that is left, runs until they are gone; requires uv_loop_close to succeed. */
void ix_loop_deinit(struct ix_loop *loop);

/* Runs until ix_loop_stop. */
void ix_loop_run(struct ix_loop *loop);
void ix_loop_stop(struct ix_loop *loop);

/* Reads the clock and remembers it as loop->now_ns. */
uint64_t ix_loop_update(struct ix_loop *loop);

/* Runs `run(context)` once on the next turn, outside of any library's callback. Libraries that must not be
 * re-entered (libmosquitto) are freed and reconnected from here. */
void ix_loop_defer(struct ix_loop *loop, void (*run)(void *context), void *context);

/* ns of this loop's life spent in callbacks, not waiting (for "a loop > 90 % busy"). */
uint64_t ix_loop_busy_ns(struct ix_loop *loop);

#endif

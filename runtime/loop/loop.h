/* The event loop of a process: one clock, one timing wheel, descriptors by the ten thousand (loop/poll.h), libuv for
 * everything else, and the books it keeps on itself.
 *
 * The loop sleeps in an epoll set of its own, until a descriptor is ready or the wheel's next instant has come, and
 * gives libuv a turn only when that has something to do: most turns of a worker just send what is due, and libuv's
 * timers, which count whole milliseconds, would be part of every latency that counts from a due instant. */
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
    /* The clock as an entry of the wheel, a deferred call or a descriptor of loop/poll.h finds it (read every 16
     * entries). A callback of a handle of libuv calls ix_loop_update first. */
    uint64_t now_ns;
    uint64_t polled_ns;     /* what it was when sockets were last asked before this turn */
    uint64_t *turn_counter; /* incremented once per turn; own_turns unless a segment's counter is set */
    uint64_t own_turns;
    int poll_fd;              /* the epoll set in which the loop sleeps: loop/poll.h */
    struct ix_uv_set *uv_set; /* libuv's own set, as one descriptor of it */
    uv_prepare_t keeper;      /* always active: without such a handle libuv would not look at its set */
    struct ix_deferred *deferred;
    bool is_stopped;
    bool has_run;
    uint64_t awake_before_ns; /* what its thread had been awake when it first ran */
    uint64_t busy_ns;         /* since then, when it was last asked for */
};

/* A batch of due entries: at most 256, or 2 ms. */
#define IX_LOOP_BATCH    256
#define IX_LOOP_BATCH_NS 2000000ull

/* How late the kernel may wake us, so that it can wake several at once; 0 would mean its default, 50 µs. */
#define IX_LOOP_SLACK_NS 1

/* The clock is real. Also ignores SIGPIPE for the process (writes answer with EPIPE instead), and lets the kernel wake
 * its thread at the instant it asked for, not up to 50 µs later. */
int ix_loop_init(struct ix_loop *loop, struct ix_error *err);

/* Makes the clock virtual, at instant 0, before anything is in the wheel. The loop then leaves the wheel to
 * ix_loop_run_virtual. */
void ix_loop_set_virtual(struct ix_loop *loop, int64_t wall_ns);

/* Fires everything due up to `to_ns` in order; the clock stands at each entry's instant (rounded up to ms)
 * while it fires, and at `to_ns` afterwards. An entry that is always overdue is a broken invariant. */
void ix_loop_run_virtual(struct ix_loop *loop, uint64_t to_ns);

/* One step of it: what was deferred, then what is due next, if that is not after `to_ns`. False: nothing is left until
 * then, and the clock stands where it stood. */
bool ix_loop_step_virtual(struct ix_loop *loop, uint64_t to_ns);

/* Runs deferred calls, kills and reaps children that still run, closes every handle that is left, and runs
 * until they are gone; requires uv_loop_close to succeed. */
void ix_loop_deinit(struct ix_loop *loop);

/* Runs until ix_loop_stop; returns at once if that was called before. */
void ix_loop_run(struct ix_loop *loop);
void ix_loop_stop(struct ix_loop *loop);

/* Reads the clock and remembers it as loop->now_ns. */
uint64_t ix_loop_update(struct ix_loop *loop);

/* Runs `run(context)` once on the next turn, outside of any library's callback. Libraries that must not be
 * re-entered (libmosquitto) are freed and reconnected from here. */
void ix_loop_defer(struct ix_loop *loop, void (*run)(void *context), void *context);

/* Runs what was deferred, and what that defers, now; not from inside the loop. For whoever ends before it does. */
void ix_loop_run_deferred(struct ix_loop *loop);

/* ns of this loop's life in which its thread did not sleep: it worked, or waited for a CPU (for "a loop > 90 % busy").
 * Call it in the loop's own thread; it reads a file in /proc. */
uint64_t ix_loop_busy_ns(struct ix_loop *loop);

#endif

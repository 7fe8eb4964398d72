/* Descriptors that are watched by the ten thousand: as uv_poll_t, in 16 bytes instead of 160, with one system call
 * to begin instead of five and none to end. */
#ifndef IX_LOOP_POLL_H
#define IX_LOOP_POLL_H

#include "loop/loop.h"

#include <sys/epoll.h>

/* Lives in its owner, which sets `fd` and `ready`; the rest is zero. */
struct ix_poll {
    /* Some of `events`, or EPOLLERR or EPOLLHUP, which nobody has to ask for. Comes again in each turn until what it
     * reports is over. loop->now_ns is of this turn. */
    void (*ready)(struct ix_poll *poll, uint32_t events);
    int fd;
    uint32_t events; /* what is waited for; 0: not watched */
};

/* EPOLLIN, EPOLLOUT or both; 0 ends it. -errno: nothing has changed. */
int ix_poll_set(struct ix_loop *loop, struct ix_poll *poll, uint32_t events);

/* The descriptor is closed, or about to be: `ready` is not called any more. The memory must stay until it is closed, and
 * for the rest of this turn: ix_loop_defer. */
static inline void ix_poll_forget(struct ix_poll *poll)
{
    poll->events = 0;
}

/* For loop.c: makes the loop's set; -errno. */
int ix_poll_open(struct ix_loop *loop);
/* For loop.c: sleeps until a descriptor is ready, or until `until_ns` (UINT64_MAX: for ever; in the past: not at all) or
 * a signal has come, and calls `ready` of those that are. */
void ix_poll_wait(struct ix_loop *loop, uint64_t until_ns);

#endif

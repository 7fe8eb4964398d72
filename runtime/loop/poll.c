#include "loop/poll.h"

#include "base/units.h"

#define BATCH   1024         /* in a turn; the rest is still ready in the next one */
#define LONG_NS (50 * IX_MS) /* what a sleep below it may be late is less than waking up twice costs */

/* The kernel may end a sleep late by a thousandth of its length, by a 200th in a process of low priority: a long one
 * ends a little early, and a short one follows. */
static uint64_t sleep_ns(const struct ix_loop *loop, uint64_t until_ns)
{
    uint64_t now = ix_clock_now(&loop->clock), wait = until_ns > now ? until_ns - now : 0;
    return wait > LONG_NS ? wait - wait / 128 : wait;
}

/* epoll_pwait2 is missing in kernels before 5.11, and forbidden by old sandboxes of containers: there, the last
 * millisecond of a sleep is rounded up. */
static int wait_for(int fd, struct epoll_event *batch, uint64_t wait_ns)
{
    static bool is_missing;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / IX_S), .tv_nsec = (long)(wait_ns % IX_S)};
    int count = is_missing ? -1 : epoll_pwait2(fd, batch, BATCH, wait_ns == UINT64_MAX ? NULL : &wait, NULL);
    if (count >= 0 || (!is_missing && errno != ENOSYS && errno != EPERM))
        return count;
    is_missing = true;
    uint64_t ms = wait_ns / IX_MS + (wait_ns % IX_MS != 0);
    return epoll_wait(fd, batch, BATCH, wait_ns == UINT64_MAX ? -1 : ms < INT_MAX ? (int)ms : INT_MAX);
}

void ix_poll_wait(struct ix_loop *loop, uint64_t until_ns)
{
    struct epoll_event batch[BATCH];
    int count =
        wait_for(loop->poll_fd, batch, until_ns == UINT64_MAX ? UINT64_MAX : sleep_ns(loop, until_ns));
    IX_REQUIRE(count >= 0 || errno == EINTR);
    ix_loop_update(loop);
    for (int i = 0; i < count; i++) {
        struct ix_poll *poll = batch[i].data.ptr;
        uint32_t wanted =
            poll->events ? poll->events | EPOLLERR | EPOLLHUP : 0; /* an earlier one may have ended it */
        if (batch[i].events & wanted)
            poll->ready(poll, batch[i].events & wanted);
    }
}

int ix_poll_open(struct ix_loop *loop)
{
    loop->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->poll_fd < 0 ? -errno : 0;
}

int ix_poll_set(struct ix_loop *loop, struct ix_poll *poll, uint32_t events)
{
    if (events == poll->events)
        return 0;
    struct epoll_event what = {.events = events, .data.ptr = poll};
    int operation = events == 0 ? EPOLL_CTL_DEL : poll->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(loop->poll_fd, operation, poll->fd, &what) < 0)
        return -errno;
    poll->events = events;
    return 0;
}

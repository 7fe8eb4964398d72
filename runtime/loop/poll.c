#include "loop/poll.h"

#define BATCH 1024 /* in a turn; the rest is still ready in the next one */

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct ix_loop *loop = handle->data;
    struct epoll_event batch[BATCH];
    int count = epoll_wait(loop->poll_set_fd, batch, BATCH, 0);
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
    loop->poll_set_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->poll_set_fd < 0)
        return -errno;
    uv_poll_init(&loop->uv, &loop->poll_set, loop->poll_set_fd);
    uv_poll_start(&loop->poll_set, UV_READABLE, on_readable);
    loop->poll_set.data = loop;
    return 0;
}

int ix_poll_set(struct ix_loop *loop, struct ix_poll *poll, uint32_t events)
{
    if (events == poll->events)
        return 0;
    struct epoll_event what = {.events = events, .data.ptr = poll};
    int operation = events == 0 ? EPOLL_CTL_DEL : poll->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(loop->poll_set_fd, operation, poll->fd, &what) < 0)
        return -errno;
    poll->events = events;
    return 0;
}

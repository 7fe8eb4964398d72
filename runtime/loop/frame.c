#include "loop/frame.h"

#include "base/buf.h"
#include "base/pack.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEADER_LEN  5
#define READ_LEN    (64u << 10)
#define READS_MAX   16         /* per turn: the other handles get theirs */
#define KEEP_BUFFER (1u << 20) /* larger buffers are given back once they are empty */

struct ix_pipe {
    uv_poll_t poll;
    int fd;
    int events; /* what poll watches */
    bool freed;
    bool closed;
    int write_error;
    struct ix_pipe_events on;
    void *context;
    struct ix_buf in;
    struct ix_buf out;
    size_t sent; /* bytes of `out` that the kernel has */
    size_t queue_limit;
    uint64_t dropped;
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct ix_pipe *pipe)
{
    int events = UV_READABLE | (ix_frame_queued(pipe) ? UV_WRITABLE : 0);
    if (pipe->closed || pipe->freed || events == pipe->events)
        return;
    pipe->events = events;
    uv_poll_start(&pipe->poll, events, on_poll);
}

int ix_pipe_open(struct ix_loop *loop, int fd, size_t queue_limit, const struct ix_pipe_events *events,
                 void *context, struct ix_pipe **result, struct ix_error *err)
{
    struct ix_pipe *pipe = ix_calloc(1, sizeof(*pipe));
    int rc = uv_poll_init(&loop->uv, &pipe->poll, fd);
    if (rc < 0) {
        free(pipe);
        return ix_fail(err, rc, "can't watch descriptor %d: %s", fd, uv_strerror(rc));
    }
    pipe->poll.data = pipe;
    pipe->fd = fd;
    pipe->on = *events;
    pipe->context = context;
    pipe->queue_limit = queue_limit;
    ix_buf_init(&pipe->in, IX_FRAME_MAX + HEADER_LEN + READ_LEN);
    ix_buf_init(&pipe->out, SIZE_MAX / 2); /* bounded by queue_limit */
    watch(pipe);
    *result = pipe;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ix_pipe *pipe = handle->data;
    ix_buf_deinit(&pipe->in);
    ix_buf_deinit(&pipe->out);
    free(pipe);
}

void ix_pipe_free(struct ix_pipe *pipe)
{
    if (!pipe || pipe->freed)
        return;
    pipe->freed = true;
    uv_close((uv_handle_t *)&pipe->poll, on_handle_closed);
    close(pipe->fd);
}

static void finish(struct ix_pipe *pipe, int code)
{
    if (pipe->closed || pipe->freed)
        return;
    pipe->closed = true;
    uv_poll_stop(&pipe->poll);
    if (pipe->on.closed)
        pipe->on.closed(pipe->context, code);
}

static void shrink(struct ix_buf *buf)
{
    if (buf->cap > KEEP_BUFFER)
        ix_buf_deinit(buf);
    ix_buf_clear(buf);
}

/* Hands the kernel what it takes now; 0 or a negative errno. */
static int write_some(struct ix_pipe *pipe, const struct iovec *parts, int count, size_t *written)
{
    ssize_t put;
    do
        put = writev(pipe->fd, parts, count);
    while (put < 0 && errno == EINTR);
    *written = put < 0 ? 0 : (size_t)put;
    if (put >= 0 || errno == EAGAIN)
        return 0;
    /* The reason is told by `closed`, after what the peer still sent was read. */
    return pipe->write_error = -errno;
}

static int write_queue(struct ix_pipe *pipe)
{
    size_t written;
    do {
        struct iovec rest = {pipe->out.data + pipe->sent, ix_frame_queued(pipe)};
        int rc = write_some(pipe, &rest, 1, &written);
        if (rc < 0) {
            pipe->sent = pipe->out.len; /* nobody will read it */
            return rc;
        }
        pipe->sent += written;
    } while (written && ix_frame_queued(pipe));
    if (!ix_frame_queued(pipe)) {
        pipe->sent = 0;
        shrink(&pipe->out);
    } else if (pipe->sent > pipe->out.len / 2) {
        pipe->out.len -= pipe->sent;
        memmove(pipe->out.data, pipe->out.data + pipe->sent, pipe->out.len);
        pipe->sent = 0;
    }
    return 0;
}

int ix_frame_send(struct ix_pipe *pipe, uint8_t type, const void *payload, size_t len)
{
    if (len > IX_FRAME_MAX)
        return -EMSGSIZE;
    if (pipe->closed || pipe->freed)
        return -EPIPE;
    if (pipe->write_error)
        return pipe->write_error;
    size_t total = HEADER_LEN + len, queued = ix_frame_queued(pipe);
    if (total > pipe->queue_limit || queued > pipe->queue_limit - total) {
        pipe->dropped++;
        return -ENOBUFS;
    }
    unsigned char header[HEADER_LEN] = {(unsigned char)len, (unsigned char)(len >> 8),
                                        (unsigned char)(len >> 16), (unsigned char)(len >> 24), type};
    size_t written = 0;
    if (!queued) {
        struct iovec parts[2] = {{header, HEADER_LEN}, {(void *)payload, len}};
        int rc = write_some(pipe, parts, len ? 2 : 1, &written);
        if (rc < 0)
            return rc;
    }
    if (written < HEADER_LEN) {
        ix_buf_put(&pipe->out, header + written, HEADER_LEN - written);
        written = HEADER_LEN;
    }
    if (written < total)
        ix_buf_put(&pipe->out, (const char *)payload + (written - HEADER_LEN), total - written);
    watch(pipe);
    return 0;
}

size_t ix_frame_queued(const struct ix_pipe *pipe)
{
    return pipe->out.len - pipe->sent;
}

uint64_t ix_frame_dropped(const struct ix_pipe *pipe)
{
    return pipe->dropped;
}

int ix_frame_flush(struct ix_pipe *pipe, int timeout_ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000;
    while (!pipe->closed && ix_frame_queued(pipe)) {
        int rc = write_queue(pipe);
        if (rc < 0)
            return rc;
        if (!ix_frame_queued(pipe))
            break;
        uint64_t now = uv_hrtime();
        if (now >= end)
            return -ETIMEDOUT;
        struct pollfd wanted = {.fd = pipe->fd, .events = POLLOUT};
        if (poll(&wanted, 1, (int)((end - now + 999999) / 1000000)) < 0 && errno != EINTR)
            return -errno;
    }
    watch(pipe);
    return ix_frame_queued(pipe) ? -EPIPE : pipe->write_error;
}

/* Hands out the whole frames at the front of `in`; false when the pipe is at its end. */
static bool take_frames(struct ix_pipe *pipe)
{
    size_t at = 0;
    while (pipe->in.len - at >= HEADER_LEN) {
        struct ix_reader header = ix_reader_of(pipe->in.data + at, HEADER_LEN);
        size_t len = ix_read_u32(&header);
        uint8_t type = ix_read_u8(&header);
        if (len > IX_FRAME_MAX) {
            finish(pipe, -EPROTO);
            return false;
        }
        if (pipe->in.len - at - HEADER_LEN < len)
            break;
        pipe->on.frame(pipe->context, type, pipe->in.data + at + HEADER_LEN, len);
        if (pipe->freed || pipe->closed)
            return false;
        at += HEADER_LEN + len;
    }
    if (at == pipe->in.len)
        shrink(&pipe->in);
    else if (at) {
        pipe->in.len -= at;
        memmove(pipe->in.data, pipe->in.data + at, pipe->in.len);
    }
    return true;
}

/* Reads until nothing is left, or enough for one turn. `watching` false: the poll handle has failed, so that
 * nothing left means the end. */
static void read_frames(struct ix_pipe *pipe, bool watching)
{
    for (int reads = 0; reads < READS_MAX || !watching; reads++) {
        IX_REQUIRE(ix_buf_reserve(&pipe->in, READ_LEN));
        ssize_t got = read(pipe->fd, pipe->in.data + pipe->in.len, READ_LEN);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN && watching)
            return;
        if (got <= 0) {
            bool cut = pipe->in.len > 0;
            int code = got < 0 ? -errno : cut ? -EPROTO : 0;
            if (code == -EAGAIN || code == -EBADF) /* a pipe that we only write, without a reader */
                code = -EPIPE;
            finish(pipe, pipe->write_error ? pipe->write_error : code);
            return;
        }
        pipe->in.len += (size_t)got;
        if (!take_frames(pipe))
            return;
        if ((size_t)got < READ_LEN && watching)
            return;
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct ix_pipe *pipe = handle->data;
    if (status < 0) { /* libuv has stopped the handle; reading tells why */
        pipe->events = 0;
        read_frames(pipe, false);
        return;
    }
    if (events & UV_WRITABLE && ix_frame_queued(pipe))
        write_queue(pipe);
    if (events & UV_READABLE)
        read_frames(pipe, true);
    if (!pipe->freed) /* its memory lives until the handle's close callback */
        watch(pipe);
}

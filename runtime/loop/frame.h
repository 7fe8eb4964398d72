/* Framed messages over a pipe: u32 length of the payload, u8 type, payload. Little endian, payloads of at
 * most IX_FRAME_MAX bytes.
 *
 * The sending queue is bounded: past `queue_limit` bytes ix_frame_send refuses with -ENOBUFS and counts the
 * drop, so that a stuck reader can't fill the writer's memory. */
#ifndef IX_LOOP_FRAME_H
#define IX_LOOP_FRAME_H

#include "loop/loop.h"

#define IX_FRAME_MAX (64u << 20)

struct ix_pipe;

struct ix_pipe_events {
    /* One whole frame; the payload is valid during the call only. */
    void (*frame)(void *context, uint8_t type, const void *payload, size_t len);
    /* End of file (0) or a fault (code < 0; -EPROTO: a frame cut short or too long). Called at most once,
     * after all that the peer had sent; free the pipe then or later with ix_pipe_free. */
    void (*closed)(void *context, int code);
};

/* Takes over a connected stream descriptor (socketpair or pipe), on success only. `events` is copied. */
int ix_pipe_open(struct ix_loop *loop, int fd, size_t queue_limit, const struct ix_pipe_events *events,
                 void *context, struct ix_pipe **pipe, struct ix_error *err);
/* May be called from its own callbacks; no callback follows. What is queued is lost. */
void ix_pipe_free(struct ix_pipe *pipe);

/* -ENOBUFS: the queue is full (counted as dropped); -EMSGSIZE; -EPIPE or the like: the peer is gone. */
int ix_frame_send(struct ix_pipe *pipe, uint8_t type, const void *payload, size_t len);
size_t ix_frame_queued(const struct ix_pipe *pipe);
uint64_t ix_frame_dropped(const struct ix_pipe *pipe);

/* Blocking flush of what is queued, for at most `timeout_ms`: for the last words of a process. -ETIMEDOUT. */
int ix_frame_flush(struct ix_pipe *pipe, int timeout_ms);

#endif

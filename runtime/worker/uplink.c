/* What a worker says to its controller. Callbacks may come while a frame is being built in w->out: they have buffers of
 * their own. */
#include "worker/internal.h"

#define FAILURES_PER_S 20
#define LINE_MAX_LEN   (64u << 10)
#define EVENT_MAX      (1u << 20)

bool ix_worker_send_buffer(struct ix_worker *w, uint8_t type, const struct ix_buf *frame)
{
    if (frame->overflow)
        return false;
    if (w->pipe)
        return ix_frame_send(w->pipe, type, frame->data, frame->len) == 0;
    w->local->up(w->local->context, type, frame->data, frame->len);
    return true;
}

bool ix_worker_send(struct ix_worker *w, uint8_t type)
{
    bool sent = ix_worker_send_buffer(w, type, &w->out);
    ix_buf_clear(&w->out);
    return sent;
}

void ix_worker_send_result(struct ix_worker *w, uint64_t ticket, int code, const char *message,
                           const void *data, size_t len)
{
    ix_pack_u64(&w->out, ticket);
    ix_pack_u32(&w->out, (uint32_t)-code);
    ix_pack_str(&w->out, message);
    ix_pack_bytes(&w->out, data, len);
    ix_worker_send(w, IX_UP_RESULT);
}

void ix_worker_send_fatal(struct ix_worker *w, const struct ix_error *err)
{
    ix_pack_u32(&w->out, (uint32_t)-err->code);
    ix_pack_str(&w->out, err->text);
    ix_worker_send(w, IX_UP_FATAL);
    if (w->pipe)
        ix_frame_flush(w->pipe, 1000);
    w->status = 1;
    if (!w->local)
        ix_loop_stop(w->loop);
}

void ix_worker_tell_log(void *context, enum ix_log_level level, const char *line)
{
    struct ix_buf frame;
    ix_buf_init(&frame, LINE_MAX_LEN);
    ix_pack_u8(&frame, (uint8_t)level);
    ix_pack_str(&frame, line);
    ix_worker_send_buffer(context, IX_UP_LOG, &frame);
    ix_buf_deinit(&frame);
}

void ix_worker_tell_repeat(void *context, enum ix_log_level level, const char *group, const char *reason,
                           uint64_t times)
{
    struct ix_buf frame;
    ix_buf_init(&frame, LINE_MAX_LEN);
    ix_pack_u8(&frame, (uint8_t)level);
    ix_pack_str(&frame, group);
    ix_pack_str(&frame, reason);
    ix_pack_u64(&frame, times);
    ix_worker_send_buffer(context, IX_UP_REPEAT, &frame);
    ix_buf_deinit(&frame);
}

enum ix_error_fate ix_worker_tell_device_error(void *context, const char *group, uint64_t index,
                                               const char *message)
{
    struct ix_worker *w = context;
    if (w->failures++ >= FAILURES_PER_S)
        return IX_ERROR_UNTOLD;
    struct ix_buf frame;
    ix_buf_init(&frame, EVENT_MAX);
    ix_pack_str(&frame, group);
    ix_pack_u64(&frame, index);
    ix_pack_str(&frame, message);
    ix_worker_send_buffer(w, IX_UP_FAILURE, &frame);
    ix_buf_deinit(&frame);
    return IX_ERROR_TOLD; /* the device stops; whether the run does is the controller's decision */
}

void ix_worker_tell_record_failed(void *context, const char *group, const struct ix_error *err)
{
    struct ix_buf frame;
    ix_buf_init(&frame, LINE_MAX_LEN);
    ix_pack_str(&frame, group);
    ix_pack_str(&frame, err->text);
    ix_worker_send_buffer(context, IX_UP_LATE_FAILURE, &frame);
    ix_buf_deinit(&frame);
}

void ix_worker_tell_event(void *context, const char *name, const char *json)
{
    struct ix_buf frame;
    ix_buf_init(&frame, EVENT_MAX);
    ix_pack_str(&frame, name);
    ix_pack_str(&frame, json);
    ix_worker_send_buffer(context, IX_UP_EVENT, &frame);
    ix_buf_deinit(&frame);
}

/* Answers without end: the queue is what the client did not take yet; while it is empty, the connection sleeps. */
#include "api/server_internal.h"

#include <stdlib.h>
#include <string.h>

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct ix_stream *s = context;
    size_t left = s->queue.len - s->sent, len = left < max ? left : max;
    if (s->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (len > 0) {
        memcpy(out, s->queue.data + s->sent, len);
        s->sent += len;
        if (s->sent == s->queue.len) {
            ix_buf_clear(&s->queue);
            s->sent = 0;
        }
        return (ssize_t)len;
    }
    if (s->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    s->exchange->suspended = true;
    MHD_suspend_connection(s->exchange->connection);
    return 0;
}

static void wake(struct ix_stream *s)
{
    struct ix_exchange *x = s->exchange;
    if (!x->suspended)
        return;
    x->suspended = false;
    MHD_resume_connection(x->connection);
    ix_server_kick(x->server);
}

struct ix_stream *ix_exchange_answer_stream(struct ix_exchange *x, const char *type, size_t queue_max,
                                            ix_stream_closed *closed, void *context,
                                            void (*full)(struct ix_exchange *x))
{
    struct ix_server *server = x->server;
    if (server->facts.streams >= server->config.streams) {
        full(x);
        return NULL;
    }
    if (strcmp(x->method, "HEAD") == 0) {
        ix_exchange_answer_static(x, 200, type, "", 0);
        return NULL;
    }
    struct ix_stream *s = ix_calloc(1, sizeof(*s));
    *s = (struct ix_stream){.exchange = x, .closed = closed, .context = context};
    ix_buf_init(&s->queue, queue_max);
    server->facts.streams++;
    ix_exchange_set_header(x, "Content-Type", type);
    x->stream = s;
    ix_exchange_respond(x, 200,
                        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, s, NULL));
    return s;
}

/* What was taken makes room for what comes. */
static void compact(struct ix_buf *queue, size_t *sent)
{
    if (*sent == 0)
        return;
    memmove(queue->data, queue->data + *sent, queue->len - *sent);
    queue->len -= *sent;
    *sent = 0;
}

int ix_stream_send(struct ix_stream *s, const void *data, size_t len)
{
    if (s->ended || s->cut)
        return -EPIPE;
    compact(&s->queue, &s->sent);
    if (s->queue.len + len > s->queue.max) {
        s->cut = true;
        s->exchange->server->facts.cut_off++;
        ix_client_cut(s->exchange->server, s->exchange->client);
        wake(s);
        return -ENOBUFS;
    }
    ix_buf_put(&s->queue, data, len);
    wake(s);
    return 0;
}

void ix_stream_end(struct ix_stream *s)
{
    s->ended = true;
    wake(s);
}

void ix_stream_free(struct ix_stream *s)
{
    struct ix_exchange *x = s->exchange;
    x->server->facts.streams--;
    x->stream = NULL;
    if (s->closed)
        s->closed(s->context);
    ix_buf_deinit(&s->queue);
    free(s);
}

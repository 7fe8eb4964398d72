#include "api/events.h"

#include "api/problem.h"

#include <stdlib.h>

#define QUEUE_MAX    (512u << 10) /* bytes that wait for one client */
#define HEARTBEAT_MS 15000
#define RETRY_MS     2000

struct subscriber {
    struct subscriber *next, *previous;
    struct ix_events *events;
    struct ix_stream *stream;
};

struct ix_events {
    struct ix_service *service;
    struct ix_service_listener *listener; /* while somebody listens */
    struct subscriber *subscribers;
    size_t count;
    uv_timer_t heartbeat;
    struct ix_buf text;
};

static void send_all(struct ix_events *events, const char *data, size_t len)
{
    for (struct subscriber *s = events->subscribers; s; s = s->next)
        ix_stream_send(s->stream, data, len);
}

static void on_heartbeat(uv_timer_t *timer)
{
    send_all(timer->data, ":\n\n", 3);
}

static void write_event(struct ix_buf *out, const char *name, const json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(15));
    ix_buf_printf(out, "event: %s\ndata: ", name);
    ix_buf_str(out, text ? text : "{}"); /* compact: one line */
    ix_buf_str(out, "\n\n");
    free(text);
}

static void on_event(void *context, const char *name, const json_t *data)
{
    struct ix_events *events = context;
    ix_buf_clear(&events->text);
    write_event(&events->text, name, data);
    if (!events->text.overflow)
        send_all(events, events->text.data, events->text.len);
    uv_timer_again(&events->heartbeat);
}

static void on_closed(void *context)
{
    struct subscriber *s = context;
    struct ix_events *events = s->events;
    if (s->previous)
        s->previous->next = s->next;
    else
        events->subscribers = s->next;
    if (s->next)
        s->next->previous = s->previous;
    free(s);
    if (--events->count > 0)
        return;
    uv_timer_stop(&events->heartbeat);
    ix_service_unlisten(events->service, events->listener);
    events->listener = NULL;
}

static void on_full(struct ix_exchange *x)
{
    ix_problem_answer(x, 503, NULL, "as many clients as allowed listen to events already; try again later");
}

struct ix_events *ix_events_new(struct ix_loop *loop, struct ix_service *service)
{
    struct ix_events *events = ix_calloc(1, sizeof(*events));
    events->service = service;
    ix_buf_init(&events->text, QUEUE_MAX);
    uv_timer_init(&loop->uv, &events->heartbeat);
    events->heartbeat.data = events;
    return events;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct ix_events *events = handle->data;
    ix_buf_deinit(&events->text);
    free(events);
}

void ix_events_free(struct ix_events *events)
{
    if (events)
        uv_close((uv_handle_t *)&events->heartbeat, on_timer_closed);
}

static void send_greeting(struct ix_events *events, struct ix_stream *stream)
{
    json_t *stats = ix_service_stats(events->service);
    ix_buf_clear(&events->text);
    ix_buf_printf(&events->text, "retry: %d\n\n", RETRY_MS);
    if (stats)
        write_event(&events->text, "stats", stats);
    json_decref(stats);
    ix_stream_send(stream, events->text.data, events->text.len);
}

void ix_events_answer(struct ix_events *events, struct ix_exchange *x)
{
    struct subscriber *s = ix_calloc(1, sizeof(*s));
    s->events = events;
    ix_exchange_set_header(x, "X-Accel-Buffering", "no"); /* a proxy in between must not wait for more */
    s->stream = ix_exchange_answer_stream(x, "text/event-stream", QUEUE_MAX, on_closed, s, on_full);
    if (!s->stream) {
        free(s);
        return;
    }
    s->next = events->subscribers;
    if (events->subscribers)
        events->subscribers->previous = s;
    events->subscribers = s;
    if (events->count++ == 0) {
        events->listener = ix_service_listen(events->service, on_event, events);
        uv_timer_start(&events->heartbeat, on_heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
    }
    send_greeting(events, s->stream);
}

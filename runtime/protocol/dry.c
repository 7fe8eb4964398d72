#include "protocol/dry.h"

#include <mosquitto.h>
#include <stdlib.h>

#define ANSWER_NS 1000000

struct ix_transport {
    struct ix_loop *loop;
    const struct ix_link_events *events;
};

struct ix_link {
    struct ix_wheel_entry answer;
    struct ix_transport *transport;
    void *owner;
    unsigned subscribing; /* subscriptions to be confirmed */
    bool connected;
};

struct subscription {
    struct subscription *next;
    uint64_t id;
    void (*message)(void *context, uint64_t id, const struct ix_message *message);
    void *context;
    char filter[];
};
static struct subscription *subscriptions;

void ix_dry_subscribe(uint64_t id, const char *filter,
                      void (*message)(void *context, uint64_t id, const struct ix_message *message),
                      void *context)
{
    size_t size = strlen(filter) + 1;
    struct subscription *s = ix_calloc(1, sizeof *s + size);
    *s = (struct subscription){.next = subscriptions, .id = id, .message = message, .context = context};
    memcpy(s->filter, filter, size);
    subscriptions = s;
}

void ix_dry_unsubscribe(uint64_t id)
{
    for (struct subscription **at = &subscriptions; *at; at = &(*at)->next) {
        struct subscription *s = *at;
        if (s->id != id)
            continue;
        *at = s->next;
        free(s);
        return;
    }
}

static int dry_open(struct ix_loop *loop, const struct ix_connection_spec *spec,
                    const struct ix_target *target, const struct ix_link_events *events,
                    struct ix_transport **transport, struct ix_error *err)
{
    (void)spec, (void)target, (void)err;
    *transport = ix_calloc(1, sizeof **transport);
    **transport = (struct ix_transport){loop, events};
    return 0;
}

static void dry_release(struct ix_transport *transport)
{
    free(transport);
}

static void on_answer(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_link *link = (struct ix_link *)entry;
    const struct ix_link_events *events = link->transport->events;
    if (!link->connected) {
        link->connected = true;
        events->connected(link->owner, false);
        return;
    }
    void *owner = link->owner;
    unsigned count = link->subscribing;
    link->subscribing = 0;
    while (count-- && events->subscribed)
        events->subscribed(owner, true);
}

static void answer_later(struct ix_link *link)
{
    struct ix_loop *loop = link->transport->loop;
    ix_wheel_add(loop->wheel, &link->answer, ix_clock_now(&loop->clock) + ANSWER_NS);
}

static int dry_connect(struct ix_transport *transport, const struct ix_identity *identity, void *owner,
                       struct ix_link **out, struct ix_error *err)
{
    (void)identity, (void)err;
    struct ix_link *link = ix_calloc(1, sizeof *link);
    *link = (struct ix_link){.answer.fire = on_answer, .transport = transport, .owner = owner};
    answer_later(link);
    *out = link;
    return 0;
}

static int dry_publish(struct ix_link *link, const struct ix_message *message, uint16_t *token)
{
    (void)link;
    *token = 0;
    for (struct subscription *s = subscriptions, *next; s; s = next) {
        bool matches = false;
        next = s->next;
        if (mosquitto_topic_matches_sub(s->filter, message->topic, &matches) == MOSQ_ERR_SUCCESS && matches)
            s->message(s->context, s->id, message);
    }
    return IX_PUBLISHED;
}

static int dry_subscribe(struct ix_link *link, const char *filter, int qos)
{
    (void)filter, (void)qos;
    link->subscribing++;
    answer_later(link);
    return 0;
}

static void dry_close(struct ix_link *link, enum ix_way way)
{
    (void)way;
    ix_wheel_cancel(link->transport->loop->wheel, &link->answer);
    free(link);
}

static void dry_silence(struct ix_link *link)
{
    ix_wheel_cancel(link->transport->loop->wheel, &link->answer);
}

const struct ix_protocol *ix_dry_find(enum ix_protocol_kind kind, struct ix_error *err)
{
    static const struct ix_protocol dry = {.name = "dry",
                                           .open = dry_open,
                                           .release = dry_release,
                                           .connect = dry_connect,
                                           .publish = dry_publish,
                                           .subscribe = dry_subscribe,
                                           .close = dry_close,
                                           .silence = dry_silence};
    (void)kind, (void)err;
    return &dry;
}

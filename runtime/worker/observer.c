#include "worker/observer.h"

#include "base/log.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_NS (1 * IX_S)
#define READY_NS (10 * IX_S)

struct observed;

/* One client of a subscription at one broker. */
struct client {
    struct observed *observed;
    struct ix_target target;
    struct ix_transport *transport;
    struct ix_link *link;
    struct ix_wheel_entry retry;
    bool accepted; /* the subscription was accepted at least once */
    char id[64];
};

struct observed { /* one subscription */
    struct ix_observer *observer;
    struct observed *next;
    uint64_t ticket; /* 0 once answered */
    uint64_t id;
    char *topic;
    char *username;
    char *password;
    int qos;
    struct ix_wheel_entry deadline;
    char problem[192]; /* the last reason why it isn't ready */
    struct client *clients;
    size_t client_count;
};

struct ix_observer {
    struct ix_loop *loop;
    uint64_t run;
    struct ix_observer_events events;
    void *context;
    struct ix_connection_spec spec;
    struct observed *subscriptions;
};

static void answer(struct observed *o, int code, const char *message)
{
    if (!o->ticket)
        return;
    uint64_t ticket = o->ticket;
    o->ticket = 0;
    ix_wheel_cancel(o->observer->loop->wheel, &o->deadline);
    o->observer->events.ready(o->observer->context, ticket, code, message);
}

static void connect_client(struct client *c)
{
    struct observed *o = c->observed;
    struct ix_identity identity = {
        .client_id = c->id,
        .username = o->username[0] ? o->username : NULL,
        .password = o->password[0] ? o->password : NULL,
    };
    struct ix_error err;
    if (ix_protocol_mqtt.connect(c->transport, &identity, c, &c->link, &err) < 0) {
        c->link = NULL;
        snprintf(o->problem, sizeof o->problem, "%s", err.text);
        ix_wheel_add(o->observer->loop->wheel, &c->retry, o->observer->loop->now_ns + RETRY_NS);
    }
}

static void on_retry(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    connect_client((struct client *)((char *)entry - offsetof(struct client, retry)));
}

static void on_deadline(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct observed *o = (struct observed *)((char *)entry - offsetof(struct observed, deadline));
    char text[384];
    snprintf(text, sizeof text, "subscription to \"%s\" was not accepted within 10 s: %s", o->topic,
             o->problem[0] ? o->problem : "the broker did not answer");
    answer(o, -ETIMEDOUT, text);
}

static void on_connected(void *owner, bool session_present)
{
    (void)session_present;
    struct client *c = owner;
    if (ix_protocol_mqtt.subscribe(c->link, c->observed->topic, c->observed->qos) < 0)
        snprintf(c->observed->problem, sizeof c->observed->problem, "the subscription could not be sent");
}

static void on_subscribed(void *owner, bool accepted)
{
    struct client *c = owner;
    struct observed *o = c->observed;
    if (!accepted) {
        char text[256];
        snprintf(text, sizeof text, "%s:%u refused the subscription to \"%s\"", c->target.server_name,
                 c->target.port, o->topic);
        answer(o, -EACCES, text);
        return;
    }
    c->accepted = true;
    for (size_t i = 0; i < o->client_count; i++)
        if (!o->clients[i].accepted)
            return;
    answer(o, 0, "");
}

static void on_closed(void *owner, enum ix_outcome outcome, const char *reason)
{
    struct client *c = owner;
    struct ix_observer *observer = c->observed->observer;
    c->link = NULL;
    snprintf(c->observed->problem, sizeof c->observed->problem, "%s:%u: %s", c->target.server_name,
             c->target.port, reason);
    ix_log_repeat(IX_LOG_WARN, "observer",
                  outcome == IX_LOST ? "connection lost; what is published until it is back goes unseen"
                                     : reason);
    ix_wheel_add(observer->loop->wheel, &c->retry, observer->loop->now_ns + RETRY_NS);
}

static void on_message(void *owner, const struct ix_message *message)
{
    struct observed *o = ((struct client *)owner)->observed;
    o->observer->events.message(o->observer->context, o->id, message,
                                ix_clock_now(&o->observer->loop->clock));
}

static const struct ix_link_events link_events = {
    .connected = on_connected,
    .subscribed = on_subscribed,
    .closed = on_closed,
    .message = on_message,
};

struct ix_observer *ix_observer_new(struct ix_loop *loop, uint64_t run,
                                    const struct ix_observer_events *events, void *context)
{
    struct ix_observer *observer = ix_calloc(1, sizeof *observer);
    observer->loop = loop;
    observer->run = run;
    observer->events = *events;
    observer->context = context;
    observer->spec = (struct ix_connection_spec){
        .protocol = IX_PROTOCOL_MQTT,
        .mqtt_version = 4,
        .keep_alive_s = 60,
        .clean_session = true,
        .connect_timeout_ns = 10 * IX_S,
        .max_inflight = 20,
    };
    return observer;
}

static void free_observed(struct observed *o)
{
    struct ix_observer *observer = o->observer;
    ix_wheel_cancel(observer->loop->wheel, &o->deadline);
    for (size_t i = 0; i < o->client_count; i++) {
        struct client *c = &o->clients[i];
        ix_wheel_cancel(observer->loop->wheel, &c->retry);
        if (c->link)
            ix_protocol_mqtt.close(c->link, IX_WAY_CLOSE);
        if (c->transport)
            ix_protocol_mqtt.release(c->transport);
    }
    free(o->clients);
    free(o->topic);
    free(o->username);
    free(o->password);
    free(o);
}

void ix_observer_free(struct ix_observer *observer)
{
    if (!observer)
        return;
    while (observer->subscriptions) {
        struct observed *o = observer->subscriptions;
        observer->subscriptions = o->next;
        free_observed(o);
    }
    free(observer);
}

void ix_observer_subscribe(struct ix_observer *observer, const struct ix_observer_subscription *s)
{
    struct observed *o = ix_calloc(1, sizeof *o);
    o->observer = observer;
    o->ticket = s->ticket;
    o->id = s->id;
    o->topic = ix_strdup(s->topic);
    o->username = ix_strdup(s->username);
    o->password = ix_strdup(s->password);
    o->qos = s->qos;
    o->client_count = s->target_count;
    o->clients = ix_calloc(s->target_count, sizeof *o->clients);
    o->deadline.fire = on_deadline;
    o->next = observer->subscriptions;
    observer->subscriptions = o;
    for (size_t i = 0; i < s->target_count; i++) {
        struct client *c = &o->clients[i];
        c->observed = o;
        c->target = s->targets[i];
        c->retry.fire = on_retry;
        snprintf(c->id, sizeof c->id, "iotix-observer-%08x-%llu-%zu", (unsigned)observer->run,
                 (unsigned long long)s->id, i);
        struct ix_error err;
        if (ix_protocol_mqtt.open(observer->loop, &observer->spec, &c->target, &link_events, &c->transport,
                                  &err) < 0) {
            c->transport = NULL;
            answer(o, err.code, err.text);
            return;
        }
    }
    if (o->ticket)
        ix_wheel_add(observer->loop->wheel, &o->deadline, ix_loop_update(observer->loop) + READY_NS);
    for (size_t i = 0; i < o->client_count; i++)
        connect_client(&o->clients[i]);
}

void ix_observer_unsubscribe(struct ix_observer *observer, uint64_t id)
{
    for (struct observed **at = &observer->subscriptions; *at; at = &(*at)->next) {
        struct observed *o = *at;
        if (o->id != id)
            continue;
        *at = o->next;
        free_observed(o);
        return;
    }
}

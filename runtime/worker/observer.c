#include "worker/observer.h"

#include "base/log.h"
#include "base/units.h"
#include "worker/broker_watch.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_NS         (1 * IX_S)
#define READY_NS         (10 * IX_S)
#define LEDGER_RETRY_NS  (100 * IX_MS)
#define LEDGER_SESSION_S 120
#define LOOK_NS          (100 * IX_MS)
#define HELD_NS          (50 * IX_MS)
#define BUSY_NS          (300 * IX_MS) /* since the latest message */
#define LOOKS_OF_OVERRUN 10            /* in a row */
#define PACKETS_KEPT     4096          /* more than are under way when a connection breaks */
#define PACKETS_JUST_NOW 32

struct observed;

/* One client of a subscription at one broker. */
struct client {
    struct observed *observed;
    struct ix_target target;
    struct ix_transport *transport;
    struct ix_link *link;
    struct ix_wheel_entry retry;
    bool accepted;          /* all topics were accepted at least once */
    size_t answers;         /* of topics, on this connection */
    uint64_t away_since_ns; /* 0: it is subscribed, or never was */
    unsigned full_looks;
    struct ix_broker_watch watch;   /* of the ledger */
    uint64_t heard_ns;              /* the latest message */
    uint16_t packets[PACKETS_KEPT]; /* ids of the latest by QoS 1 and 2 on this connection */
    size_t packet_count;
    uint64_t earlier[65536 / 64]; /* a bit for each id that was among the latest on the one before */
    char id[64];
};

struct observed { /* one subscription */
    struct ix_observer *observer;
    struct observed *next;
    uint64_t ticket; /* 0 once answered */
    uint64_t id;
    char **topics;
    size_t topic_count;
    bool is_ledger;
    struct ix_connection_spec spec;
    char *username;
    char *password;
    struct ix_wire_tls tls; /* owns the files that `spec` names */
    int qos;
    struct ix_wheel_entry deadline;
    char problem[192]; /* the last reason why it isn't ready */
    struct client *clients;
    size_t client_count;
};

struct ix_observer {
    struct ix_loop *loop;
    uint64_t run;
    struct ix_segment *segment;
    struct ix_observer_events events;
    void *context;
    struct observed *subscriptions;
    struct ix_wheel_entry look;
    uint64_t look_ns; /* when it is due */
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

static const struct ix_link_events link_events;

static int open_transport(struct client *c, struct ix_error *err)
{
    struct observed *o = c->observed;
    int code =
        ix_protocol_mqtt.open(o->observer->loop, &o->spec, &c->target, &link_events, &c->transport, err);
    if (code < 0)
        c->transport = NULL;
    return code;
}

static void retry_later(struct client *c)
{
    struct ix_loop *loop = c->observed->observer->loop;
    ix_wheel_add(loop->wheel, &c->retry,
                 loop->now_ns + (c->observed->is_ledger ? LEDGER_RETRY_NS : RETRY_NS));
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
        retry_later(c);
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
    char text[512];
    snprintf(text, sizeof text, "subscription to \"%s\" was not accepted within 10 s: %s%s", o->topics[0],
             o->problem[0] ? o->problem : "the broker did not answer",
             o->tls.is_on
                 ? ""
                 : " (observers speak TLS if the run's broker is given as mqtts://HOST:PORT, bench: -S)");
    answer(o, -ETIMEDOUT, text);
}

/* What came on the connection before may come again on this one, unless it is of a new session. */
static void turn_over(struct client *c, bool session_present)
{
    if (!session_present)
        memset(c->earlier, 0, sizeof c->earlier);
    for (size_t i = 0; i < PACKETS_KEPT && i < c->packet_count && session_present; i++)
        c->earlier[c->packets[i] / 64] |= 1ull << (c->packets[i] % 64);
    c->packet_count = 0;
}

static void on_connected(void *owner, bool session_present)
{
    struct client *c = owner;
    struct observed *o = c->observed;
    c->answers = 0;
    if (o->is_ledger)
        turn_over(c, session_present);
    if (o->is_ledger && session_present && o->qos == 2)
        o->observer->segment->torn++;
    /* Subscribing again is harmless, and sure. */
    for (size_t i = 0; i < o->topic_count && c->link; i++)
        if (ix_protocol_mqtt.subscribe(c->link, o->topics[i], o->qos) < 0)
            snprintf(o->problem, sizeof o->problem, "the subscription to \"%s\" could not be sent",
                     o->topics[i]);
}

static void on_subscribed(void *owner, bool accepted)
{
    struct client *c = owner;
    struct observed *o = c->observed;
    if (c->answers >= o->topic_count) /* of the watch: as it likes */
        return;
    if (!accepted) {
        char text[256];
        snprintf(text, sizeof text, "%s:%u refused the subscription to \"%s\"", c->target.server_name,
                 c->target.port, o->topics[c->answers < o->topic_count ? c->answers : 0]);
        answer(o, -EACCES, text);
        return;
    }
    if (++c->answers < o->topic_count)
        return;
    c->accepted = true;
    if (o->is_ledger)
        ix_watch_connected(&c->watch, c->link);
    if (c->away_since_ns) {
        o->observer->segment->away_ns += ix_loop_update(o->observer->loop) - c->away_since_ns;
        o->observer->segment->away--;
    }
    c->away_since_ns = 0;
    for (size_t i = 0; i < o->client_count; i++)
        if (!o->clients[i].accepted)
            return;
    answer(o, 0, "");
}

/* A broker that does not speak MQTT 5 is asked again by 3.1.1. Properties are not seen then. */
static bool fall_back(struct client *c, enum ix_outcome outcome, const char *reason)
{
    struct observed *o = c->observed;
    struct ix_error err;
    if (outcome != IX_REFUSED || o->spec.mqtt_version != 5 || !strstr(reason, "protocol"))
        return false;
    ix_log(IX_LOG_WARN,
           "observer: %s:%u does not speak MQTT 5; observing by MQTT 3.1.1, which does not carry "
           "sequences beside payloads",
           c->target.server_name, c->target.port);
    o->spec.mqtt_version = 4;
    o->spec.clean_session = true;
    o->spec.session_expiry_s = 0;
    for (size_t i = 0; i < o->client_count; i++) {
        if (o->clients[i].link || !o->clients[i].transport)
            continue;
        ix_protocol_mqtt.release(o->clients[i].transport);
        if (open_transport(&o->clients[i], &err) < 0)
            snprintf(o->problem, sizeof o->problem, "%s", err.text);
    }
    return true;
}

static void on_closed(void *owner, enum ix_outcome outcome, const char *reason)
{
    struct client *c = owner;
    struct ix_observer *observer = c->observed->observer;
    c->link = NULL;
    if (fall_back(c, outcome, reason)) {
        retry_later(c);
        return;
    }
    if (c->accepted && !c->away_since_ns) {
        c->away_since_ns = ix_loop_update(observer->loop);
        observer->segment->away++;
    }
    c->full_looks = 0;
    snprintf(c->observed->problem, sizeof c->observed->problem, "%s:%u: %s", c->target.server_name,
             c->target.port, reason);
    ix_log_repeat(IX_LOG_WARN, "observer",
                  outcome == IX_LOST ? "connection lost; what is published until it is back goes unseen"
                                     : reason);
    retry_later(c);
}

/* Whether the broker repeats a packet: it has no confirmation from the connection before, or (by QoS 2) has just sent
 * it. Brokers may use an id again as soon as it is confirmed. */
static bool is_repeated(struct client *c, const struct ix_message *message)
{
    uint16_t packet = message->packet;
    uint64_t *word = &c->earlier[packet / 64], bit = 1ull << (packet % 64);
    bool repeated = *word & bit;
    *word &= ~bit;
    for (size_t i = 1; message->qos == 2 && i <= PACKETS_JUST_NOW && i <= c->packet_count; i++)
        repeated = repeated || c->packets[(c->packet_count - i) % PACKETS_KEPT] == packet;
    c->packets[c->packet_count++ % PACKETS_KEPT] = packet;
    return repeated;
}

static void on_message(void *owner, const struct ix_message *message)
{
    struct client *c = owner;
    struct observed *o = c->observed;
    uint64_t now = ix_clock_now(&o->observer->loop->clock);
    if (!o->is_ledger) {
        o->observer->events.message(o->observer->context, o->id, message, now);
        return;
    }
    if (ix_watch_message(&c->watch, message, now))
        return;
    struct ix_message own = *message;
    own.duplicate = message->qos > 0 && is_repeated(c, message);
    c->heard_ns = now;
    o->observer->events.arrived(o->observer->context, &own, now);
}

static void on_answered(void *owner, uint16_t token)
{
    ix_watch_answered(&((struct client *)owner)->watch, token);
}

static const struct ix_link_events link_events = {
    .connected = on_connected,
    .subscribed = on_subscribed,
    .closed = on_closed,
    .message = on_message,
    .answered = on_answered,
};

/* A socket that stays more than half full makes the broker wait, and in the end drop what is for us. */
static void look_at(struct client *c)
{
    uint32_t waiting, room;
    if (!c->link || !ix_protocol_mqtt.backlog(c->link, &waiting, &room) || waiting < room / 2) {
        c->full_looks = 0;
        return;
    }
    if (++c->full_looks < LOOKS_OF_OVERRUN)
        return;
    c->full_looks = 0;
    c->observed->observer->segment->overruns++;
    ix_log_repeat(IX_LOG_WARN, "observer", "messages arrive faster than they can be accounted for");
}

/* Asks the brokers, and notes what they said, for the controller. */
static void watch(struct observed *o, uint64_t now_ns)
{
    struct ix_segment *segment = o->observer->segment;
    uint64_t answered = UINT64_MAX, renewed = UINT64_MAX, dropped = 0;
    uint32_t counting = 0;
    for (size_t i = 0; i < o->client_count; i++) {
        struct client *c = &o->clients[i];
        const struct ix_broker_watch *w = &c->watch;
        if (c->link && c->answers >= o->topic_count)
            ix_watch_look(&c->watch, c->link, now_ns < c->heard_ns + BUSY_NS, now_ns);
        if (w->answered_ns < answered) {
            answered = w->answered_ns;
            segment->silent = (uint32_t)i + 1;
        }
        if (!w->counts)
            continue;
        counting++;
        dropped += w->dropped;
        renewed = w->renewed_ns < renewed ? w->renewed_ns : renewed;
    }
    segment->broker_dropped = dropped;
    segment->counting = counting;
    segment->renewed_ns = counting ? renewed : 0;
    __atomic_store_n(&segment->answered_ns, answered, __ATOMIC_RELEASE);
}

static void on_look(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_observer *observer = (struct ix_observer *)((char *)entry - offsetof(struct ix_observer, look));
    for (struct observed *o = observer->subscriptions; o; o = o->next) {
        for (size_t i = 0; i < o->client_count; i++)
            look_at(&o->clients[i]);
        if (o->is_ledger)
            watch(o, now_ns);
    }
    uint64_t held_ns = now_ns > observer->look_ns ? now_ns - observer->look_ns : 0;
    if (held_ns > HELD_NS) {
        observer->segment->held_ns += held_ns;
        if (held_ns > observer->segment->held_most_ns)
            observer->segment->held_most_ns = held_ns;
    }
    observer->look_ns = now_ns + LOOK_NS;
    ix_wheel_add(observer->loop->wheel, &observer->look, now_ns + LOOK_NS);
}

struct ix_observer *ix_observer_new(struct ix_loop *loop, uint64_t run, struct ix_segment *segment,
                                    const struct ix_observer_events *events, void *context)
{
    struct ix_observer *observer = ix_calloc(1, sizeof *observer);
    observer->loop = loop;
    observer->run = run;
    observer->segment = segment;
    observer->events = *events;
    observer->context = context;
    observer->look.fire = on_look;
    observer->look_ns = ix_loop_update(loop) + LOOK_NS;
    ix_wheel_add(loop->wheel, &observer->look, observer->look_ns);
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
    for (size_t i = 0; i < o->topic_count; i++)
        free(o->topics[i]);
    free(o->topics);
    free(o->username);
    free(o->password);
    ix_wire_tls_deinit(&o->tls);
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
    ix_wheel_cancel(observer->loop->wheel, &observer->look);
    free(observer);
}

static char *copy(const char *text)
{
    return text ? ix_strdup(text) : NULL;
}

static void copy_tls(struct observed *o, const struct ix_wire_tls *tls)
{
    o->tls = (struct ix_wire_tls){tls->is_on, tls->insecure, copy(tls->ca_file), copy(tls->cert_file),
                                  copy(tls->key_file)};
    o->spec.tls = tls->is_on;
    o->spec.insecure = tls->insecure;
    o->spec.ca_file = o->tls.ca_file;
    o->spec.cert_file = o->tls.cert_file;
    o->spec.key_file = o->tls.key_file;
}

void ix_observer_subscribe(struct ix_observer *observer, const struct ix_observer_subscription *s)
{
    struct observed *o = ix_calloc(1, sizeof *o);
    o->observer = observer;
    o->ticket = s->ticket;
    o->id = s->id;
    o->topics = ix_calloc(s->topic_count, sizeof *o->topics);
    for (; o->topic_count < s->topic_count; o->topic_count++)
        o->topics[o->topic_count] = ix_strdup(s->topics[o->topic_count]);
    o->is_ledger = s->is_ledger;
    o->spec = (struct ix_connection_spec){
        .protocol = IX_PROTOCOL_MQTT,
        .mqtt_version = s->is_ledger ? 5 : 4,
        .keep_alive_s = 60,
        .clean_session = !s->is_ledger,
        .session_expiry_s = s->is_ledger ? LEDGER_SESSION_S : 0,
        .connect_timeout_ns = 10 * IX_S,
        .max_inflight = 20,
        .receive_maximum = UINT16_MAX, /* the broker's window must not be what we measure */
    };
    copy_tls(o, s->tls);
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
        snprintf(c->id, sizeof c->id, "iotix-observer-%08x-%llu-%u-%zu", (unsigned)observer->run,
                 (unsigned long long)s->id, observer->segment->worker, i);
        struct ix_error err;
        if (open_transport(c, &err) < 0) {
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

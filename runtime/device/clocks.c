#include "device/clocks.h"

#include "base/log.h"
#include "base/units.h"
#include "device/internal.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC      "ixC1"
#define QUESTIONS  8 /* of a burst */
#define STEP_NS    (20 * IX_MS)
#define REST_NS    (5 * IX_S)
#define RETRY_NS   (2 * IX_S)
#define WAITING    4096 /* messages whose time waits until their clock is measured */
#define TOPIC_MAX  80
#define LETTER_LEN (4 + 8 * 3 + TOPIC_MAX)

/* One client at one broker. */
struct peer {
    struct ix_clocks *clocks;
    struct peer *next;
    struct ix_target target;
    struct ix_transport *transport;
    struct ix_link *link;
    char *username, *password; /* NULL: none */
    char id[TOPIC_MAX];
    bool up, answers, asks;
    struct ix_wheel_entry retry;
};

struct waiting {
    struct ix_group_metrics *metrics;
    uint32_t clock;
    uint64_t sent_ns, now_ns;
};

struct ix_clocks {
    struct ix_engine *engine;
    struct peer *peers;
    char inbox[TOPIC_MAX]; /* where answers come */
    struct ix_wheel_entry ask;
    unsigned asked; /* of the burst */
    struct waiting *waiting;
    size_t waiting_count;
};

/* A question, or its answer: MAGIC, t1, and of an answer t2 and t3; behind a question the topic of its answer. */
struct letter {
    uint64_t t1, t2, t3;
    char topic[TOPIC_MAX];
};

static size_t put_letter(char *out, const struct letter *letter)
{
    uint64_t times[3] = {htole64(letter->t1), htole64(letter->t2), htole64(letter->t3)};
    size_t len = strlen(letter->topic);
    memcpy(out, MAGIC, 4);
    memcpy(out + 4, times, sizeof times);
    memcpy(out + 4 + sizeof times, letter->topic, len);
    return 4 + sizeof times + len;
}

static bool read_letter(const struct ix_message *message, struct letter *letter)
{
    uint64_t times[3];
    size_t head = 4 + sizeof times;
    if (message->retain || message->len < head || message->len - head >= TOPIC_MAX ||
        memcmp(message->payload, MAGIC, 4) != 0)
        return false;
    memcpy(times, (const char *)message->payload + 4, sizeof times);
    *letter = (struct letter){le64toh(times[0]), le64toh(times[1]), le64toh(times[2]), ""};
    memcpy(letter->topic, (const char *)message->payload + head, message->len - head);
    return true;
}

static void send_letter(struct peer *p, const char *topic, const struct letter *letter)
{
    char payload[LETTER_LEN];
    uint16_t token;
    struct ix_message message = {.topic = topic, .payload = payload, .len = put_letter(payload, letter)};
    (void)ix_protocol_mqtt.publish(p->link, &message, &token); /* the next one may get through */
}

/* ---- what is known of clocks ---- */

static struct ix_clock_offset *find(struct ix_engine *engine, uint32_t clock, bool add)
{
    struct ix_clock_offset *clocks = engine->segment->clocks;
    for (size_t i = 0; i < IX_SEGMENT_CLOCKS; i++) {
        if (clocks[i].clock == clock)
            return &clocks[i];
        if (clocks[i].clock || !add)
            continue;
        clocks[i].clock = clock;
        return &clocks[i];
    }
    return NULL;
}

static void note(struct ix_clock_offset *offset, struct ix_group_metrics *metrics, uint64_t sent_ns,
                 uint64_t now_ns)
{
    uint64_t age;
    if (ix_clock_offset_age(offset, sent_ns, now_ns, &age)) {
        ix_histogram_add(&metrics->trends[IX_T_RECEIVE], age);
        offset->timed++;
    } else {
        offset->untimed++;
    }
}

/* Those of a clock that is measured now; at the end of a first burst, when the best sample is known. */
static void settle_waiting(struct ix_clocks *clocks)
{
    size_t kept = 0;
    for (size_t i = 0; i < clocks->waiting_count; i++) {
        const struct waiting *w = &clocks->waiting[i];
        struct ix_clock_offset *offset = find(clocks->engine, w->clock, false);
        if (!offset || !offset->samples) {
            clocks->waiting[kept++] = *w;
            continue;
        }
        offset->untimed--;
        note(offset, w->metrics, w->sent_ns, w->now_ns);
    }
    clocks->waiting_count = kept;
}

/* ---- clients ---- */

static void on_connected(void *owner, bool session_present)
{
    struct peer *p = owner;
    char own[TOPIC_MAX];
    (void)session_present;
    snprintf(own, sizeof own, "iotix/clock/%08x", ix_stamp_clock());
    if (p->answers && ix_protocol_mqtt.subscribe(p->link, own, 0) < 0)
        return;
    if (p->asks && ix_protocol_mqtt.subscribe(p->link, p->clocks->inbox, 0) < 0)
        return;
    p->up = true;
}

static void connect_peer(struct peer *p)
{
    struct ix_identity identity = {.client_id = p->id, .username = p->username, .password = p->password};
    struct ix_error err;
    struct ix_loop *loop = p->clocks->engine->loop;
    if (ix_protocol_mqtt.connect(p->transport, &identity, p, &p->link, &err) < 0) {
        p->link = NULL;
        ix_wheel_add(loop->wheel, &p->retry, ix_clock_now(&loop->clock) + RETRY_NS);
    }
}

static void on_retry(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    connect_peer((struct peer *)((char *)entry - offsetof(struct peer, retry)));
}

static void on_closed(void *owner, enum ix_outcome outcome, const char *reason)
{
    struct peer *p = owner;
    struct ix_loop *loop = p->clocks->engine->loop;
    p->link = NULL;
    p->up = false;
    if (outcome != IX_LOST)
        ix_log_repeat(IX_LOG_WARN, "the client that compares clocks with other hosts", reason);
    ix_wheel_add(loop->wheel, &p->retry, ix_clock_now(&loop->clock) + RETRY_NS);
}

static void on_message(void *owner, const struct ix_message *message)
{
    struct peer *p = owner;
    struct ix_clocks *clocks = p->clocks;
    struct letter letter;
    uint64_t now = ix_engine_now(clocks->engine);
    if (!read_letter(message, &letter))
        return;
    if (strcmp(message->topic, clocks->inbox) == 0) {
        uint32_t clock = (uint32_t)strtoul(letter.topic, NULL, 16);
        struct ix_clock_offset *offset = find(clocks->engine, clock, false);
        if (offset)
            ix_clock_offset_add(offset, letter.t1, letter.t2, letter.t3, now);
    } else if (p->answers && strncmp(letter.topic, "iotix/clock/", 12) == 0 && !strpbrk(letter.topic, "+#")) {
        struct letter answer = {.t1 = letter.t1, .t2 = now};
        snprintf(answer.topic, sizeof answer.topic, "%08x", ix_stamp_clock());
        answer.t3 = ix_engine_now(clocks->engine);
        send_letter(p, letter.topic, &answer);
    }
}

static const struct ix_link_events peer_events = {
    .connected = on_connected, .closed = on_closed, .message = on_message};

static char *render(const struct ix_template *text, const struct ix_template_scope *scope)
{
    struct ix_buf out;
    ix_buf_init(&out, 64 << 10);
    if (text)
        ix_template_render(text, scope, &out);
    char *result = text ? ix_strdup(ix_buf_cstr(&out)) : NULL;
    ix_buf_deinit(&out);
    return result;
}

static void free_peer(struct peer *p)
{
    ix_wheel_cancel(p->clocks->engine->loop->wheel, &p->retry);
    if (p->link)
        ix_protocol_mqtt.close(p->link, IX_WAY_CLOSE);
    if (p->transport)
        ix_protocol_mqtt.release(p->transport);
    free(p->username);
    free(p->password);
    free(p);
}

/* The client at the device's broker: found, or opened; NULL: it can't be. */
static struct peer *peer_of(struct ix_clocks *clocks, struct ix_device *d)
{
    struct ix_group *group = d->group;
    const struct ix_target *target = &group->targets[d->row->index % group->target_count];
    size_t number = 0;
    for (struct peer *p = clocks->peers; p; p = p->next, number++)
        if (p->target.port == target->port && strcmp(p->target.address, target->address) == 0)
            return p;
    struct peer *p = ix_calloc(1, sizeof *p);
    struct ix_connection_spec spec = group->model->connection;
    struct ix_template_scope scope = ix_device_scope(d, ix_engine_now(clocks->engine));
    struct ix_error err;
    spec.clean_session = true;
    spec.session_expiry_s = 0;
    p->clocks = clocks;
    p->target = *target;
    p->retry.fire = on_retry;
    p->username = render(spec.username, &scope);
    p->password = render(spec.password, &scope);
    snprintf(p->id, sizeof p->id, "iotix-clock-%08x-%u-%zu", ix_stamp_clock(), (unsigned)getpid(), number);
    if (ix_protocol_mqtt.open(clocks->engine->loop, &spec, target, &peer_events, &p->transport, &err) < 0) {
        p->transport = NULL;
        ix_log_repeat(IX_LOG_WARN, "the client that compares clocks with other hosts", "can't be opened");
    }
    p->next = clocks->peers;
    clocks->peers = p;
    return p;
}

/* What the peer does from now on. */
static void use_peer(struct peer *p, bool answers, bool asks)
{
    if (!p->transport || ((p->answers || !answers) && (p->asks || !asks)))
        return;
    bool first = !p->answers && !p->asks;
    p->answers = p->answers || answers;
    p->asks = p->asks || asks;
    if (first)
        connect_peer(p);
    else if (p->up)
        on_connected(p, false); /* subscribing again is harmless */
}

/* ---- asking ---- */

static void on_ask(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_clocks *clocks = (struct ix_clocks *)((char *)entry - offsetof(struct ix_clocks, ask));
    const struct ix_clock_offset *known = clocks->engine->segment->clocks;
    bool any = false;
    for (struct peer *p = clocks->peers; p; p = p->next)
        for (size_t i = 0; p->up && p->asks && i < IX_SEGMENT_CLOCKS && known[i].clock; i++) {
            char topic[TOPIC_MAX];
            struct letter question = {.t1 = ix_engine_now(clocks->engine)};
            snprintf(topic, sizeof topic, "iotix/clock/%08x", known[i].clock);
            memcpy(question.topic, clocks->inbox, sizeof question.topic);
            send_letter(p, topic, &question);
            any = true;
        }
    clocks->asked += any;
    if (clocks->asked >= QUESTIONS)
        settle_waiting(clocks);
    bool burst = !any || clocks->asked % QUESTIONS;
    ix_wheel_add(clocks->engine->loop->wheel, &clocks->ask, now_ns + (burst ? STEP_NS : REST_NS));
}

static struct ix_clocks *clocks_of(struct ix_engine *engine)
{
    if (engine->clocks)
        return engine->clocks;
    struct ix_clocks *clocks = ix_calloc(1, sizeof *clocks);
    clocks->engine = engine;
    clocks->ask.fire = on_ask;
    snprintf(clocks->inbox, sizeof clocks->inbox, "iotix/clock/%08x/%x%llx", ix_stamp_clock(),
             (unsigned)getpid(), (unsigned long long)ix_engine_now(engine));
    engine->clocks = clocks;
    return clocks;
}

void ix_clocks_answer(struct ix_device *d)
{
    struct ix_engine *engine = d->group->engine;
    if (engine->segment->worker == 0 && d->group->protocol == &ix_protocol_mqtt && d->group->is_stamping)
        use_peer(peer_of(clocks_of(engine), d), true, false);
}

void ix_clocks_received(struct ix_device *d, const struct ix_stamp *stamp, uint64_t now_ns)
{
    struct ix_engine *engine = d->group->engine;
    struct ix_clock_offset *offset = find(engine, stamp->clock, true);
    if (!offset || d->group->protocol != &ix_protocol_mqtt)
        return;
    struct ix_clocks *clocks = clocks_of(engine);
    use_peer(peer_of(clocks, d), false, true);
    if (!offset->samples && !offset->untimed) { /* a new one */
        clocks->asked = 0;
        ix_wheel_add(engine->loop->wheel, &clocks->ask, now_ns);
    }
    if (offset->samples && clocks->asked >= QUESTIONS) {
        note(offset, d->group->metrics, stamp->sent_ns, now_ns);
        return;
    }
    offset->untimed++;
    if (!clocks->waiting)
        clocks->waiting = ix_calloc(WAITING, sizeof *clocks->waiting);
    if (clocks->waiting_count < WAITING)
        clocks->waiting[clocks->waiting_count++] =
            (struct waiting){d->group->metrics, stamp->clock, stamp->sent_ns, now_ns};
}

void ix_clocks_settle(struct ix_engine *engine)
{
    if (engine->clocks)
        settle_waiting(engine->clocks);
}

void ix_clocks_free(struct ix_engine *engine)
{
    struct ix_clocks *clocks = engine->clocks;
    if (!clocks)
        return;
    ix_wheel_cancel(engine->loop->wheel, &clocks->ask);
    while (clocks->peers) {
        struct peer *p = clocks->peers;
        clocks->peers = p->next;
        free_peer(p);
    }
    free(clocks->waiting);
    free(clocks);
    engine->clocks = NULL;
}

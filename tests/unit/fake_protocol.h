/* A device engine in virtual time over a protocol that does what a test tells it: accepts, refuses, loses,
 * acknowledges. */
#ifndef IX_TESTS_FAKE_PROTOCOL_H
#define IX_TESTS_FAKE_PROTOCOL_H

#include "base/random.h"
#include "check.h"
#include "device/engine.h"

#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define S  1000000000ull

enum answer { ACCEPT, REFUSE, UNREACHABLE };

struct ix_transport {
    const struct ix_link_events *events;
};

struct ix_link {
    struct ix_wheel_entry connect, ack; /* when the server answers */
    struct ix_transport *transport;
    void *owner;
    char client_id[64];
    bool is_up, is_silent;
    uint16_t tokens[64];
    size_t token_count;
    struct ix_link *next;
};

static struct {
    struct ix_clock *clock;
    struct ix_wheel *wheel;
    struct ix_link *links;
    enum answer answer;
    uint64_t connect_ns, ack_ns; /* how long the server takes */
    bool holds_acks, refuses_publish;
    size_t room; /* unacknowledged messages that a link takes; 0: any number */
    uint16_t last_token;
    size_t connects, closes, aborts, silences, published, subscribed, open_transports;
    char topic[256], payload[4096], filter[256], client_id[64], will[256];
    size_t payload_len;
    int qos;
} fake;

static inline void fake_answer(struct ix_wheel_entry *entry, uint64_t now)
{
    (void)now;
    struct ix_link *link = (struct ix_link *)entry;
    const struct ix_link_events *events = link->transport->events;
    if (fake.answer == ACCEPT) {
        link->is_up = true;
        events->connected(link->owner, false);
        return;
    }
    void *owner = link->owner;
    struct ix_link **place = &fake.links;
    while (*place != link)
        place = &(*place)->next;
    *place = link->next;
    free(link);
    if (fake.answer == REFUSE)
        events->closed(owner, IX_REFUSED, "not authorised");
    else
        events->closed(owner, IX_FAILED, "connection refused");
}

static inline void fake_ack(struct ix_wheel_entry *entry, uint64_t now)
{
    (void)now;
    struct ix_link *link = (struct ix_link *)((char *)entry - offsetof(struct ix_link, ack));
    const struct ix_link_events *events = link->transport->events;
    void *owner = link->owner;
    uint16_t tokens[64];
    size_t count = link->token_count;
    memcpy(tokens, link->tokens, sizeof(tokens));
    link->token_count = 0;
    for (size_t i = 0; i < count; i++)
        events->acked(owner, tokens[i], !fake.refuses_publish);
}

static inline int fake_open(struct ix_loop *loop, const struct ix_connection_spec *spec,
                            const struct ix_target *target, const struct ix_link_events *events,
                            struct ix_transport **transport, struct ix_error *err)
{
    (void)loop, (void)spec, (void)target, (void)err;
    *transport = ix_calloc(1, sizeof(**transport));
    (*transport)->events = events;
    fake.open_transports++;
    return 0;
}

static inline void fake_release(struct ix_transport *transport)
{
    fake.open_transports--;
    free(transport);
}

static inline int fake_connect(struct ix_transport *transport, const struct ix_identity *identity,
                               void *owner, struct ix_link **out, struct ix_error *err)
{
    (void)err;
    struct ix_link *link = ix_calloc(1, sizeof(*link));
    link->connect.fire = fake_answer;
    link->ack.fire = fake_ack;
    link->transport = transport;
    link->owner = owner;
    link->next = fake.links;
    fake.links = link;
    fake.connects++;
    snprintf(link->client_id, sizeof(link->client_id), "%s", identity->client_id);
    snprintf(fake.client_id, sizeof(fake.client_id), "%s", identity->client_id);
    snprintf(fake.will, sizeof(fake.will), "%s %.*s", identity->will_topic ? identity->will_topic : "",
             (int)identity->will_len, identity->will_payload ? (const char *)identity->will_payload : "");
    ix_wheel_add(fake.wheel, &link->connect, ix_clock_now(fake.clock) + fake.connect_ns);
    *out = link;
    return 0;
}

static inline int fake_publish(struct ix_link *link, const struct ix_message *message, uint16_t *token)
{
    assert_true(link->is_up && !link->is_silent);
    fake.published++;
    snprintf(fake.topic, sizeof(fake.topic), "%s", message->topic);
    fake.payload_len = message->len < sizeof(fake.payload) ? message->len : sizeof(fake.payload) - 1;
    memcpy(fake.payload, message->payload, fake.payload_len);
    fake.payload[fake.payload_len] = '\0';
    fake.qos = message->qos;
    if (message->qos == 0)
        return IX_PUBLISHED;
    assert_true(link->token_count < IX_ARRAY_LEN(link->tokens));
    *token = ++fake.last_token;
    link->tokens[link->token_count++] = *token;
    if (!fake.holds_acks)
        ix_wheel_add(fake.wheel, &link->ack, ix_clock_now(fake.clock) + fake.ack_ns);
    return 0;
}

static inline bool fake_has_room(const struct ix_link *link, int qos)
{
    (void)qos;
    return !fake.room || link->token_count < fake.room;
}

/* Acknowledges the first `count` messages of a link that holds its answers back. */
static inline void fake_acknowledge(struct ix_link *link, size_t count)
{
    for (; count && link->token_count; count--) {
        uint16_t token = link->tokens[0];
        link->token_count--;
        memmove(link->tokens, link->tokens + 1, link->token_count * sizeof(token));
        link->transport->events->acked(link->owner, token, true);
    }
}

static inline int fake_subscribe(struct ix_link *link, const char *filter, int qos)
{
    (void)qos;
    assert_true(link->is_up);
    snprintf(fake.filter, sizeof(fake.filter), "%s", filter);
    fake.subscribed++;
    return 0;
}

static inline void fake_drop(struct ix_link *link)
{
    struct ix_link **place = &fake.links;
    while (*place != link)
        place = &(*place)->next;
    *place = link->next;
    ix_wheel_cancel(fake.wheel, &link->connect);
    ix_wheel_cancel(fake.wheel, &link->ack);
    free(link);
}

static inline void fake_close(struct ix_link *link, enum ix_way way)
{
    if (way == IX_WAY_CLOSE)
        fake.closes++;
    else
        fake.aborts++;
    fake_drop(link);
}

static inline void fake_silence(struct ix_link *link)
{
    link->is_silent = true;
    ix_wheel_cancel(fake.wheel, &link->ack);
    fake.silences++;
}

static const struct ix_protocol fake_protocol = {.name = "fake",
                                                 .open = fake_open,
                                                 .release = fake_release,
                                                 .connect = fake_connect,
                                                 .publish = fake_publish,
                                                 .has_room = fake_has_room,
                                                 .subscribe = fake_subscribe,
                                                 .close = fake_close,
                                                 .silence = fake_silence};

static inline const struct ix_protocol *find_fake(enum ix_protocol_kind kind, struct ix_error *err)
{
    (void)kind, (void)err;
    return &fake_protocol;
}

/* Stands in for the real ones, so that no client library is linked. */
const struct ix_protocol *ix_protocol_find(enum ix_protocol_kind kind, struct ix_error *err)
{
    (void)kind, (void)err;
    return NULL;
}

static inline struct ix_link *fake_link_of(const char *client_id)
{
    struct ix_link *link = fake.links;
    while (link && strcmp(link->client_id, client_id) != 0)
        link = link->next;
    return link;
}

/* The server ends an accepted connection. */
static inline void fake_lose(const char *client_id)
{
    struct ix_link *link = fake_link_of(client_id);
    assert_non_null(link);
    const struct ix_link_events *events = link->transport->events;
    void *owner = link->owner;
    fake_drop(link);
    events->closed(owner, IX_LOST, "connection lost");
}

static inline void fake_receive(const char *client_id, const char *topic, const char *payload)
{
    struct ix_link *link = fake_link_of(client_id);
    assert_non_null(link);
    struct ix_message message = {.topic = topic, .payload = payload, .len = strlen(payload), .qos = 1};
    link->transport->events->message(link->owner, &message);
}

/* ---- strategies: "linear" with {"delayMs": n} as at(k) = k · delay ---- */

static inline int linear_at_places(void *context, const uint64_t *places, size_t count, double *seconds,
                                   struct ix_error *err)
{
    double delay = *(double *)context;
    for (size_t i = 0; i < count; i++)
        seconds[i] = (double)places[i] * delay;
    return delay < 0 ? ix_fail(err, -EINVAL, "linear.lua:3: at(1) is negative") : 0;
}

static inline int linear_open(void *context, const struct ix_strategy_spec *spec, uint64_t count,
                              uint64_t key, struct ix_schedule *schedule, struct ix_error *err)
{
    (void)context, (void)count, (void)key, (void)err;
    double *delay = ix_malloc(sizeof(*delay));
    *delay = spec->settings ? strtod(spec->settings, NULL) / 1000 : 0;
    *schedule = (struct ix_schedule){.at_places = linear_at_places, .close = free, .context = delay};
    return 0;
}

/* ---- the engine under test ---- */

static struct {
    struct ix_loop loop;
    struct ix_segment *segment;
    struct ix_engine *engine;
    struct ix_engine_config config;
    uint64_t sequence;
    uint64_t dues[200000];
    size_t due_count;
} rig;

static inline void note_published(void *context, const struct ix_device *d, size_t stream, uint64_t due_ns,
                                  const struct ix_message *message)
{
    (void)context, (void)d, (void)stream, (void)message;
    if (rig.due_count < IX_ARRAY_LEN(rig.dues))
        rig.dues[rig.due_count++] = due_ns;
}

static inline int rig_start(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    memset(&rig, 0, sizeof(rig));
    /* 2026-01-31T23:59:59Z at instant 0 */
    ix_clock_init_virtual(&rig.loop.clock, 1769903999ll * (int64_t)S);
    rig.loop.wheel = ix_wheel_new(0);
    fake.clock = &rig.loop.clock;
    fake.wheel = rig.loop.wheel;
    fake.connect_ns = 5 * MS;
    fake.ack_ns = 3 * MS;
    struct ix_error err;
    int fd = ix_segment_create(0, &err);
    rig.segment = ix_segment_map(fd, true, &err);
    assert_non_null(rig.segment);
    rig.config = (struct ix_engine_config){.loop = &rig.loop,
                                           .segment = rig.segment,
                                           .seed = 42,
                                           .find_protocol = find_fake,
                                           .hooks.schedule_open = linear_open,
                                           .published = note_published};
    rig.engine = ix_engine_new(&rig.config);
    return 0;
}

static inline int rig_end(void **state)
{
    (void)state;
    ix_engine_free(rig.engine);
    assert_null(fake.links);
    assert_number(fake.open_transports, 0);
    assert_number(ix_wheel_count(rig.loop.wheel), 0);
    ix_wheel_free(rig.loop.wheel);
    ix_segment_unmap(rig.segment);
    return 0;
}

/* The process is gone, connections with it; a successor takes over the segment. A crash tidies nothing up:
 * the segment is as it was before the engine was freed. */
static inline void rig_restart(void)
{
    enum { GROUPS = 4, DROPOUTS = 64 };
    static struct ix_group_metrics groups[GROUPS];
    static struct ix_dropout_metrics dropouts[DROPOUTS];
    size_t row_bytes = rig.segment->rows_used * sizeof(rig.segment->rows[0]);
    struct ix_device_row *rows = ix_malloc(row_bytes + 1);
    memcpy(groups, rig.segment->groups, sizeof(groups));
    memcpy(dropouts, rig.segment->dropouts, sizeof(dropouts));
    memcpy(rows, rig.segment->rows, row_bytes);
    ix_engine_free(rig.engine);
    memcpy(rig.segment->groups, groups, sizeof(groups));
    memcpy(rig.segment->dropouts, dropouts, sizeof(dropouts));
    memcpy(rig.segment->rows, rows, row_bytes);
    free(rows);
    rig.engine = ix_engine_new(&rig.config);
}

/* Virtual time goes on to `until`; everything due happens at its own instant. */
static inline void run_until(uint64_t until)
{
    for (;;) {
        uint64_t next = ix_wheel_next(rig.loop.wheel);
        if (next > until)
            break;
        if (next > rig.loop.clock.virtual_ns)
            ix_clock_advance(&rig.loop.clock, next);
        ix_wheel_run(rig.loop.wheel, rig.loop.clock.virtual_ns, 256);
    }
    ix_clock_advance(&rig.loop.clock, until);
}

static inline int apply(struct ix_record *record, struct ix_error *err)
{
    if (!record->sequence)
        record->sequence = ++rig.sequence;
    if (!record->subkey)
        record->subkey = "";
    return ix_engine_apply(rig.engine, record, err);
}

static inline void must_apply(struct ix_record *record)
{
    struct ix_error err = {0};
    int rc = apply(record, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
}

static inline struct ix_record spec_of(const char *group, uint64_t count, const char *model)
{
    static struct ix_target target = {"127.0.0.1", "localhost", 1883};
    struct ix_record record = {.kind = IX_RECORD_SPEC,
                               .group = (char *)group,
                               .spec = {.id_pattern = "{groupId}-{index}",
                                        .count = count,
                                        .model = (char *)model,
                                        .targets = &target,
                                        .target_count = 1}};
    memset(record.spec.shards, 0xff, sizeof(record.spec.shards));
    return record;
}

static inline struct ix_record launch_of(const char *group, uint64_t start_ns, const char *delay_ms)
{
    return (struct ix_record){
        .kind = IX_RECORD_LAUNCH,
        .group = (char *)group,
        .launch = {.start_ns = start_ns, .strategy = {.name = "linear", .settings = (char *)delay_ms}}};
}

static inline struct ix_record stop_of(const char *group, uint64_t at_ns, uint64_t drain_ns)
{
    return (struct ix_record){
        .kind = IX_RECORD_STOP, .group = (char *)group, .stop = {.at_ns = at_ns, .drain_ns = drain_ns}};
}

static inline void add_group(const char *group, uint64_t count, const char *model)
{
    struct ix_record record = spec_of(group, count, model);
    must_apply(&record);
}

static inline void launch(const char *group, uint64_t start_ns, const char *delay_ms)
{
    struct ix_record record = launch_of(group, start_ns, delay_ms);
    must_apply(&record);
}

static inline void stop(const char *group, uint64_t at_ns, uint64_t drain_ns)
{
    struct ix_record record = stop_of(group, at_ns, drain_ns);
    must_apply(&record);
}

static inline const struct ix_group_metrics *metrics(const char *group)
{
    const struct ix_group_metrics *m = ix_segment_find_group(rig.segment, group);
    assert_non_null(m);
    return m;
}

static inline uint64_t counter(const char *group, enum ix_counter counter)
{
    return metrics(group)->counters[counter];
}

static inline int64_t in_status(const char *group, enum ix_device_status status)
{
    return metrics(group)->by_status[status];
}

static inline const struct ix_device_row *row(const char *group, uint64_t index)
{
    struct ix_device *d = ix_device_find(rig.engine, group, index);
    assert_non_null(d);
    return d->row;
}

/* Both identities of the ledger, at any moment. */
static inline void check_ledger(const char *group)
{
    const uint64_t *c = metrics(group)->counters;
    uint64_t never = c[IX_C_NEVER_SENT_OFFLINE] + c[IX_C_NEVER_SENT_BACKPRESSURE] + c[IX_C_NEVER_SENT_ERROR] +
                     c[IX_C_NEVER_SENT_LATE];
    uint64_t inflight = 0;
    struct ix_device *d;
    for (uint64_t i = 0; (d = ix_device_find(rig.engine, group, i)); i++)
        inflight += d->inflight_count;
    assert_number(c[IX_C_SCHEDULED], never + c[IX_C_SENT]);
    assert_number(c[IX_C_SENT], c[IX_C_ACKED] + c[IX_C_LOST] + inflight);
}

#endif

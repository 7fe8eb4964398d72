/* Messages on their way: sent and not yet acknowledged. One pool for all devices of a worker, a chain for
 * each device, so that a device without any costs nothing. */
#include "base/units.h"
#include "device/internal.h"

#define FIRST_SIZE 256
#define LATE_NS    (50 * IX_MS) /* a delay that is not the ordinary one of a loop */
#define ANSWER_NS  (50 * IX_MS) /* what a server on a busy host may take for an answer */

/* Entry 0 is never used: 0 means none. */
static uint32_t take(struct ix_engine *engine)
{
    if (!engine->inflight_free) {
        uint32_t old = engine->inflight_size ? engine->inflight_size : 1;
        uint32_t size = engine->inflight_size ? engine->inflight_size * 2 : FIRST_SIZE;
        engine->inflight = ix_realloc(engine->inflight, size * sizeof(*engine->inflight));
        for (uint32_t i = size; i-- > old;) {
            engine->inflight[i].next = engine->inflight_free;
            engine->inflight_free = i;
        }
        engine->inflight_size = size;
    }
    uint32_t entry = engine->inflight_free;
    engine->inflight_free = engine->inflight[entry].next;
    return entry;
}

static void give_back(struct ix_engine *engine, uint32_t entry)
{
    engine->inflight[entry].next = engine->inflight_free;
    engine->inflight_free = entry;
}

bool ix_inflight_has_room(const struct ix_device *d, int qos)
{
    return qos == 0 || d->inflight_count < d->group->model->connection.max_inflight;
}

enum ix_counter ix_inflight_whose_fault(const struct ix_device *d, uint64_t due_ns)
{
    const struct ix_engine *engine = d->group->engine;
    if (!d->inflight)
        return IX_C_NEVER_SENT_BACKPRESSURE;
    const struct ix_inflight *newest = &engine->inflight[d->inflight];
    bool late = ix_engine_now(engine) > due_ns + LATE_NS ||
                (!d->group->queues && newest->sent_ns > newest->due_ns + LATE_NS);
    return late && newest->sent_ns + ANSWER_NS > engine->loop->polled_ns ? IX_C_NEVER_SENT_LATE
                                                                         : IX_C_NEVER_SENT_BACKPRESSURE;
}

static int never_sent(struct ix_device *d, enum ix_counter counter, int rc)
{
    ix_device_count(d, counter, 1);
    return rc;
}

int ix_inflight_publish(struct ix_device *d, const struct ix_message *message, uint64_t due_ns)
{
    struct ix_engine *engine = d->group->engine;
    if (d->stage != IX_S_UP && !(engine->ready_ns && d->stage == IX_S_DRAINING))
        return never_sent(d, IX_C_NEVER_SENT_OFFLINE, -ENOTCONN);
    if (!ix_inflight_has_room(d, message->qos))
        return never_sent(d, IX_C_NEVER_SENT_BACKPRESSURE, -EAGAIN);
    uint64_t sent = ix_engine_now(engine);
    uint16_t token = 0;
    int rc = engine->ledger.map ? ix_ledger_publish(d, message, due_ns, sent, &token)
                                : d->group->protocol->publish(d->link, message, &token);
    if (rc == -EAGAIN || rc == -ENOBUFS)
        return never_sent(d, IX_C_NEVER_SENT_BACKPRESSURE, -EAGAIN);
    if (rc == -ENOTCONN)
        return never_sent(d, IX_C_NEVER_SENT_OFFLINE, rc);
    if (rc < 0)
        return never_sent(d, IX_C_NEVER_SENT_ERROR, rc);
    ix_device_count(d, IX_C_SENT, 1);
    ix_device_count(d, IX_C_BYTES_SENT, message->len);
    /* What waited for room was not late through us. */
    ix_device_trend(d, IX_T_LATENESS, due_ns > engine->ready_ns ? due_ns : engine->ready_ns, sent);
    d->row->sent++;
    d->row->bytes_sent += message->len;
    if (rc == IX_PUBLISHED) {
        ix_device_acked(d, message->qos, due_ns, sent, ix_engine_now(engine));
        return 0;
    }
    uint32_t entry = take(engine);
    engine->inflight[entry] = (struct ix_inflight){
        .due_ns = due_ns, .sent_ns = sent, .next = d->inflight, .token = token, .qos = (uint8_t)message->qos};
    d->inflight = entry;
    d->inflight_count++;
    return 0;
}

void ix_inflight_acked(struct ix_device *d, uint16_t token, bool accepted)
{
    struct ix_engine *engine = d->group->engine;
    uint32_t *link = &d->inflight;
    while (*link && engine->inflight[*link].token != token)
        link = &engine->inflight[*link].next;
    uint32_t entry = *link;
    if (!entry)
        return; /* of an earlier session; counted as lost when that ended */
    const struct ix_inflight *message = &engine->inflight[entry];
    *link = message->next;
    d->inflight_count--;
    if (accepted) {
        ix_device_acked(d, message->qos, message->due_ns, message->sent_ns, ix_engine_now(engine));
    } else {
        ix_device_count(d, IX_C_LOST, 1);
    }
    give_back(engine, entry);
}

void ix_inflight_lose(struct ix_device *d)
{
    struct ix_engine *engine = d->group->engine;
    ix_device_count(d, IX_C_LOST, d->inflight_count);
    while (d->inflight) {
        uint32_t entry = d->inflight;
        d->inflight = engine->inflight[entry].next;
        give_back(engine, entry);
    }
    d->inflight_count = 0;
}

/* The publishers' part of the delivery ledger: which message gets which sequence, and what was never sent. */
#include "device/internal.h"
#include "protocol/topic.h"

#include <stdlib.h>

#define PAYLOAD_MAX (16u << 20)

static uint32_t row_of(const struct ix_device *d)
{
    return (uint32_t)(d->row - d->group->engine->segment->rows);
}

/* ---- slots ---- */

/* Streams of a device that have a place in its block: those of its telemetry, then that of its children. */
static uint32_t block_size(const struct ix_group *group)
{
    size_t streams = group->model->attribute_count;
    if (group->model->connection.combined || streams == 0)
        streams = 1;
    return (uint32_t)streams + (group->gateway != NULL);
}

/* Place of a stream in the block; UINT32_MAX: it has none there. */
static uint32_t place_of(const struct ix_group *group, uint16_t stream)
{
    if (stream == 0)
        return UINT32_MAX;
    if (stream == IX_LEDGER_CHILDREN)
        return block_size(group) - 1;
    return group->model->connection.combined ? 0 : stream - 1u;
}

static void fill(struct ix_ledger_slot *slot, const struct ix_device *d, uint16_t ledger_group,
                 uint16_t stream, int qos)
{
    slot->index = d->row->index;
    slot->stream = stream;
    slot->qos = (uint8_t)qos;
    __atomic_store_n(&slot->group, ledger_group, __ATOMIC_RELEASE); /* last: from now on it is in use */
}

/* First slot of the device's block; NULL: the ledger is full, or does not know the group. */
static struct ix_ledger_slot *block_of(const struct ix_device *d)
{
    struct ix_engine *engine = d->group->engine;
    uint32_t *base = &engine->segment->ledger_rows[row_of(d)], first;
    if (*base)
        return &engine->ledger.map->slots[*base - 1];
    uint16_t group = ix_ledger_group(engine->ledger.map, d->group->id, false);
    uint32_t size = block_size(d->group);
    if (!group || !ix_ledger_take(engine->ledger.map, &engine->ledger.taker, size, &first))
        return NULL;
    struct ix_ledger_slot *slots = &engine->ledger.map->slots[first];
    bool combined = d->group->model->connection.combined;
    for (uint32_t i = 0; i < size; i++) {
        bool children = d->group->gateway && i == size - 1;
        uint16_t stream = children ? IX_LEDGER_CHILDREN : combined ? 1 : (uint16_t)(i + 1);
        fill(&slots[i], d, group, stream, d->group->model->connection.qos);
    }
    *base = first + 1;
    return slots;
}

/* Publishes of scripts have a slot for each QoS, in a chain behind the block's first. */
static struct ix_ledger_slot *slot_of(const struct ix_device *d, uint16_t stream, int qos)
{
    struct ix_ledger_slot *block = block_of(d), *slots = d->group->engine->ledger.map->slots;
    if (!block)
        return NULL;
    uint32_t place = place_of(d->group, stream), first;
    if (place != UINT32_MAX && block[place].qos == qos)
        return &block[place];
    struct ix_ledger_slot *last = block;
    while (last->more) {
        last = &slots[last->more - 1];
        if (last->qos == qos && last->stream == stream)
            return last;
    }
    if (!ix_ledger_take(d->group->engine->ledger.map, &d->group->engine->ledger.taker, 1, &first))
        return NULL;
    fill(&slots[first], d, block->group, stream, qos);
    last->more = first + 1;
    return &slots[first];
}

/* ---- which messages ---- */

static bool is_observed(const struct ix_engine_ledger *ledger, const char *topic)
{
    if (ledger->filter_count == 0)
        return topic[0] != '$';
    for (size_t i = 0; i < ledger->filter_count; i++)
        if (ix_topic_matches(ledger->filters[i], topic))
            return true;
    return false;
}

void ix_ledger_never_sent(const struct ix_device *d, uint64_t n)
{
    struct ix_engine *engine = d->group->engine;
    if (engine->ledger.filter_count) {
        struct ix_template_scope scope = ix_device_scope((struct ix_device *)d, ix_engine_now(engine));
        ix_buf_clear(&engine->ledger.payload);
        ix_template_render(d->group->model->connection.topic, &scope, &engine->ledger.payload);
        if (!is_observed(&engine->ledger, ix_buf_cstr(&engine->ledger.payload)))
            return;
    }
    struct ix_ledger_slot *block = block_of(d);
    if (block)
        block->never_sent = n < UINT32_MAX - block->never_sent ? block->never_sent + (uint32_t)n : UINT32_MAX;
}

/* All slots of the device whose block begins there: neighbours, and a chain. */
static void cut_slots(struct ix_ledger *ledger, uint32_t first, uint32_t unacked)
{
    struct ix_ledger_slot *slots = ledger->slots;
    for (uint32_t i = first;
         i < IX_LEDGER_SLOTS && slots[i].group == slots[first].group && slots[i].index == slots[first].index;
         i++)
        ix_ledger_cut(&slots[i], unacked);
    for (uint32_t more = slots[first].more; more; more = slots[more - 1].more)
        ix_ledger_cut(&slots[more - 1], unacked);
}

void ix_ledger_connection_broke(const struct ix_device *d)
{
    struct ix_engine *engine = d->group->engine;
    uint32_t base = engine->ledger.map ? engine->segment->ledger_rows[row_of(d)] : 0;
    if (base)
        cut_slots(engine->ledger.map, base - 1, d->inflight_count);
}

/* ---- sending ---- */

static uint32_t late_us(uint64_t due_ns, uint64_t now_ns)
{
    uint64_t late = now_ns > due_ns ? (now_ns - due_ns) / 1000 : 0;
    return late < UINT32_MAX ? (uint32_t)late : UINT32_MAX;
}

/* `out` = the message with its mark; false: it can't carry one. */
static bool put_mark(struct ix_engine_ledger *ledger, const struct ix_device *d,
                     const struct ix_message *message, const struct ix_mark *mark, char text[IX_MARK_LEN + 1],
                     struct ix_message *out)
{
    *out = *message;
    bool version_5 = d->group->model->connection.mqtt_version == 5 &&
                     d->group->model->connection.protocol == IX_PROTOCOL_MQTT;
    bool fits = ix_mark_fits(message->payload, message->len);
    if (ledger->way != IX_MARK_IN_PROPERTY && fits) {
        ix_mark_insert(&ledger->payload, message->payload, message->len, ledger->key, ledger->key_len, mark);
        out->payload = ledger->payload.data;
        out->len = ledger->payload.len;
        return !ledger->payload.overflow;
    }
    if (!version_5 || ledger->way == IX_MARK_IN_FIELD)
        return false;
    ix_mark_put(text, mark, message->payload, message->len);
    text[IX_MARK_LEN] = '\0';
    out->mark = text;
    return true;
}

static int publish_unwatched(struct ix_device *d, const struct ix_message *message, uint16_t *token)
{
    int rc = d->group->protocol->publish(d->link, message, token);
    if (rc >= 0)
        ix_device_count(d, IX_C_D_UNWATCHED, 1);
    return rc;
}

int ix_ledger_publish(struct ix_device *d, const struct ix_message *message, uint64_t due_ns, uint64_t now_ns,
                      uint16_t *token)
{
    struct ix_engine *engine = d->group->engine;
    struct ix_engine_ledger *ledger = &engine->ledger;
    if (!is_observed(ledger, message->topic))
        return d->group->protocol->publish(d->link, message, token);
    struct ix_ledger_slot *slot = slot_of(d, message->stream, message->qos);
    if (!slot)
        return publish_unwatched(d, message, token);
    char text[IX_MARK_LEN + 1];
    struct ix_message marked;
    uint32_t number = (uint32_t)(slot - ledger->map->slots);
    struct ix_mark mark = {.run = ledger->map->run,
                           .slot = number,
                           .sequence = (uint32_t)slot->sent,
                           .sent_us = now_ns / 1000,
                           .late_us = late_us(due_ns, now_ns),
                           .connection = slot->connection};
    if (!put_mark(ledger, d, message, &mark, text, &marked))
        return publish_unwatched(d, message, token);
    /* A successor must know if this process dies between here and the count. */
    __atomic_store_n(&engine->segment->ledger_pending, number + 1, __ATOMIC_RELEASE);
    int rc = d->group->protocol->publish(d->link, &marked, token);
    if (rc >= 0) {
        __atomic_store_n(&slot->sent, slot->sent + 1, __ATOMIC_RELEASE);
        ix_device_count(d, IX_C_D_SENT, 1);
    }
    __atomic_store_n(&engine->segment->ledger_pending, 0, __ATOMIC_RELEASE);
    return rc;
}

/* ---- beginning and end ---- */

int ix_ledger_check_group(const struct ix_group *group, struct ix_error *err)
{
    const struct ix_engine_ledger *ledger = &group->engine->ledger;
    if (!ledger->map || ledger->way == IX_MARK_IN_PROPERTY)
        return 0;
    for (size_t i = 0; i < group->model->attribute_count; i++)
        if (strlen(group->model->attributes[i].name) + 4 == ledger->key_len &&
            strncmp(group->model->attributes[i].json_key, ledger->key, ledger->key_len - 1) == 0)
            return ix_fail(
                err, -EINVAL,
                "model \"%s\" has an attribute \"%s\" of its own, where observed messages carry their "
                "sequence: choose another name by `field` of t:observe",
                group->model->id, group->model->attributes[i].name);
    return 0;
}

void ix_ledger_take_over(struct ix_engine *engine)
{
    struct ix_segment *segment = engine->segment;
    uint32_t pending = segment->ledger_pending;
    for (uint32_t row = 0; row < segment->rows_used; row++)
        if (segment->ledger_rows[row])
            cut_slots(engine->ledger.map, segment->ledger_rows[row] - 1, UINT8_MAX);
    if (!pending)
        return;
    struct ix_ledger_slot *slot = &engine->ledger.map->slots[pending - 1];
    const char *id = engine->ledger.map->groups[slot->group - 1];
    uint64_t key = ix_hash64(id, strlen(id));
    slot->doubt = 1;
    for (uint32_t row = 0; row < segment->rows_used; row++)
        if (segment->rows[row].group_key == key && segment->rows[row].index == slot->index)
            segment->ledger_rows[row] = 0;
    segment->ledger_pending = 0;
}

int ix_engine_observe(struct ix_engine *engine, const struct ix_observation *observation,
                      struct ix_error *err)
{
    struct ix_engine_ledger *ledger = &engine->ledger;
    if (ledger->map)
        return 0;
    ledger->way = observation->way;
    int len = snprintf(ledger->key, sizeof ledger->key, "\"%s\":\"", observation->field);
    if (len >= (int)sizeof ledger->key)
        return ix_fail(err, -EINVAL, "the name of the field \"%s\" is too long", observation->field);
    ledger->key_len = (size_t)len;
    ledger->map = observation->ledger;
    for (struct ix_group *group = engine->groups; group; group = group->next) {
        int code = ix_ledger_check_group(group, err);
        if (code < 0) {
            ledger->map = NULL;
            return code;
        }
    }
    ledger->filters = ix_calloc(observation->filter_count + 1, sizeof *ledger->filters);
    bool all = false;
    for (size_t i = 0; i < observation->filter_count; i++)
        all = all || strcmp(observation->filters[i], "#") == 0;
    for (size_t i = 0; i < observation->filter_count && !all; i++)
        ledger->filters[ledger->filter_count++] = ix_strdup(observation->filters[i]);
    ix_buf_init(&ledger->payload, PAYLOAD_MAX);
    ix_ledger_take_over(engine);
    return 0;
}

void ix_ledger_deinit(struct ix_engine *engine)
{
    struct ix_engine_ledger *ledger = &engine->ledger;
    for (size_t i = 0; i < ledger->filter_count; i++)
        free(ledger->filters[i]);
    free(ledger->filters);
    if (ledger->map)
        ix_buf_deinit(&ledger->payload);
    ledger->map = NULL;
}

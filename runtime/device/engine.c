#include "device/clocks.h"
#include "device/internal.h"

#include <stdlib.h>

#define TEXT_MAX    65536
#define PAYLOAD_MAX (16u << 20)

static void init_buffers(struct ix_engine *engine)
{
    ix_buf_init(&engine->id, TEXT_MAX);
    ix_buf_init(&engine->topic, TEXT_MAX);
    ix_buf_init(&engine->payload, PAYLOAD_MAX);
    ix_buf_init(&engine->response, PAYLOAD_MAX);
    ix_buf_init(&engine->client_id, TEXT_MAX);
    ix_buf_init(&engine->username, TEXT_MAX);
    ix_buf_init(&engine->password, TEXT_MAX);
    ix_buf_init(&engine->will_topic, TEXT_MAX);
    ix_buf_init(&engine->will_payload, PAYLOAD_MAX);
}

static void deinit_buffers(struct ix_engine *engine)
{
    ix_buf_deinit(&engine->id);
    ix_buf_deinit(&engine->topic);
    ix_buf_deinit(&engine->payload);
    ix_buf_deinit(&engine->response);
    ix_buf_deinit(&engine->client_id);
    ix_buf_deinit(&engine->username);
    ix_buf_deinit(&engine->password);
    ix_buf_deinit(&engine->will_topic);
    ix_buf_deinit(&engine->will_payload);
}

/* Rows that a predecessor freed may be taken again; the gauges of its groups are counted anew as their specs
 * come back. What it had not seen acknowledged went with its connections, what waited in its devices with them; of a
 * message that it had begun and not noted as sent it stays in doubt whether it was. */
static void take_over_segment(struct ix_engine *engine)
{
    struct ix_segment *segment = engine->segment;
    engine->inherited = segment->rows_used;
    engine->died_in = segment->sampling;
    segment->sampling = (struct ix_sampling){0};
    for (uint32_t row = segment->rows_used; row-- > 0;) {
        if (segment->rows[row].group_key == 0)
            engine->free_rows[engine->free_count++] = row;
    }
    for (size_t i = 0; i < IX_SEGMENT_GROUPS && segment->groups[i].group[0]; i++) {
        struct ix_group_metrics *metrics = &segment->groups[i];
        memset(metrics->by_status, 0, sizeof(metrics->by_status));
        metrics->connected = 0;
        uint64_t *counters = metrics->counters;
        uint64_t settled = counters[IX_C_ACKED] + counters[IX_C_LOST];
        if (counters[IX_C_SENT] < settled) /* it died between two of its counters */
            counters[IX_C_SENT] = settled;
        counters[IX_C_LOST_WORKER] += counters[IX_C_SENT] - settled;
        counters[IX_C_LOST] += counters[IX_C_SENT] - settled;
        counters[IX_C_SCHEDULED] += metrics->waiting;
        counters[IX_C_NEVER_SENT_LATE] += metrics->waiting;
        metrics->waiting = 0;
    }
}

static void drained_fire(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_engine *engine =
        (struct ix_engine *)((char *)entry - offsetof(struct ix_engine, drained_wheel));
    void (*drained)(void *) = engine->drained;
    engine->drained = NULL;
    if (drained)
        drained(engine->drained_context);
}

struct ix_engine *ix_engine_new(const struct ix_engine_config *config)
{
    struct ix_engine *engine = ix_calloc(1, sizeof(*engine));
    engine->config = *config;
    if (!engine->config.find_protocol)
        engine->config.find_protocol = ix_protocol_find;
    engine->loop = config->loop;
    engine->segment = config->segment;
    engine->free_rows = ix_calloc(IX_SEGMENT_ROWS, sizeof(*engine->free_rows));
    engine->stamp_ms = INT64_MIN;
    engine->drained_wheel.fire = drained_fire;
    init_buffers(engine);
    take_over_segment(engine);
    return engine;
}

void ix_engine_free(struct ix_engine *engine)
{
    if (!engine)
        return;
    engine->draining = true;
    engine->drained = NULL;
    while (engine->groups) {
        struct ix_group *group = engine->groups;
        engine->groups = group->next;
        ix_group_free(group, false);
    }
    ix_wheel_cancel(engine->loop->wheel, &engine->drained_wheel);
    ix_clocks_free(engine);
    ix_pace_deinit(engine);
    for (size_t i = 0; i < IX_ARRAY_LEN(engine->chunks); i++)
        free(engine->chunks[i]);
    free(engine->inflight);
    free(engine->free_rows);
    deinit_buffers(engine);
    ix_ledger_deinit(engine);
    free(engine);
}

struct ix_group *ix_engine_group(struct ix_engine *engine, const char *id)
{
    for (struct ix_group *group = engine->groups; group; group = group->next) {
        if (strcmp(group->id, id) == 0)
            return group;
    }
    return NULL;
}

int ix_engine_take_row(struct ix_engine *engine, uint32_t *row, struct ix_error *err)
{
    if (engine->free_count)
        *row = engine->free_rows[--engine->free_count];
    else if (engine->segment->rows_used < IX_SEGMENT_ROWS)
        *row = engine->segment->rows_used++;
    else
        return ix_fail(err, -ENOSPC, "one worker holds at most %d devices; use more workers",
                       IX_SEGMENT_ROWS);
    return 0;
}

int ix_engine_apply(struct ix_engine *engine, const struct ix_record *record, struct ix_error *err)
{
    if (engine->draining)
        return ix_fail(err, -ESHUTDOWN, "group \"%s\": this worker is ending", record->group);
    if (record->kind == IX_RECORD_SPEC)
        return ix_group_apply_spec(engine, record, err);
    struct ix_group *group = ix_engine_group(engine, record->group);
    if (!group)
        return ix_fail(err, -ENOENT, "group \"%s\" is not known to this worker", record->group);
    switch (record->kind) {
    case IX_RECORD_SPEC:
        break;
    case IX_RECORD_LAUNCH:
        return ix_group_launch(group, record, err);
    case IX_RECORD_STOP:
        ix_group_stop(group, record);
        return 0;
    case IX_RECORD_DROPOUT:
        return ix_group_dropout(group, record, err);
    case IX_RECORD_DEVICE:
        ix_group_order_device(group, record);
        return 0;
    case IX_RECORD_SET:
        return ix_group_set(group, record, err);
    }
    return ix_fail(err, -EINVAL, "a record of unknown kind %d", (int)record->kind);
}

int ix_engine_eligible(struct ix_engine *engine, const char *id,
                       bool (*accept)(void *context, struct ix_device *d), void *context,
                       struct ix_bitmap *bits, struct ix_error *err)
{
    struct ix_group *group = ix_engine_group(engine, id);
    if (!group)
        return ix_fail(err, -ENOENT, "group \"%s\" is not known to this worker", id);
    for (uint64_t position = 0; position < group->slot_count; position++) {
        struct ix_device *d = ix_engine_slot(engine, group->slots[position]);
        if (d->row->status != IX_D_RUNNING || (d->row->flags & IX_ROW_DROP_PENDING) ||
            d->row->index >= bits->bits)
            continue;
        if (!accept || accept(context, d))
            ix_bitmap_set(bits, d->row->index);
    }
    return 0;
}

void ix_engine_each(struct ix_engine *engine, const char *id, uint64_t first, uint64_t count,
                    void (*visit)(void *context, struct ix_device *d), void *context)
{
    struct ix_group *group = ix_engine_group(engine, id);
    if (!group)
        return;
    uint64_t end = count > UINT64_MAX - first ? UINT64_MAX : first + count;
    for (uint64_t position = ix_place_position(&group->place, first); position < group->slot_count;
         position++) {
        struct ix_device *d = ix_engine_slot(engine, group->slots[position]);
        if (d->row->index >= end)
            return;
        if (d->row->flags & IX_ROW_GONE)
            continue;
        visit(context, d);
    }
}

void ix_engine_idle(struct ix_engine *engine)
{
    if (engine->draining && engine->drained && engine->active == 0 && !engine->jobs &&
        !ix_wheel_has(&engine->drained_wheel))
        ix_wheel_add(engine->loop->wheel, &engine->drained_wheel, ix_engine_now(engine));
}

void ix_engine_drain(struct ix_engine *engine, uint64_t drain_ns, void (*done)(void *context), void *context)
{
    engine->drained = done;
    engine->drained_context = context;
    engine->draining = true;
    for (struct ix_group *group = engine->groups; group; group = group->next)
        ix_group_drain(group, drain_ns);
    ix_clocks_settle(engine);
    ix_engine_idle(engine);
}

struct ix_device *ix_device_find(struct ix_engine *engine, const char *id, uint64_t index)
{
    struct ix_group *group = ix_engine_group(engine, id);
    return group ? ix_group_device(group, index) : NULL;
}

struct ix_device_ref ix_device_ref_of(const struct ix_device *d)
{
    const struct ix_engine *engine = d->group->engine;
    return (struct ix_device_ref){(uint32_t)(d->row - engine->segment->rows), d->generation};
}

struct ix_device *ix_device_deref(struct ix_engine *engine, struct ix_device_ref ref)
{
    if (ref.slot >= IX_SEGMENT_ROWS || !engine->chunks[ref.slot / IX_SLOT_CHUNK])
        return NULL;
    struct ix_device *d = ix_engine_slot(engine, ref.slot);
    return d->group && d->generation == ref.generation ? d : NULL;
}

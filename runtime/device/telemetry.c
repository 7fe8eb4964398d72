/* When samples are due and what is sent. Tick k of a stream is due at base + phase + k · interval; nothing is
 * stored per stream: the last instant handled (row->cursor_ns) says what comes next. */
#include "base/random.h"
#include "device/internal.h"

uint64_t ix_telemetry_random_phase(uint64_t key, uint64_t counter, uint64_t interval_ns)
{
    return ix_random_below(ix_random_u64(key, counter), interval_ns / 1000000) * 1000000;
}

uint64_t ix_telemetry_phase(const struct ix_device *d, size_t stream)
{
    const struct ix_attribute *attribute = &d->group->model->attributes[stream];
    if (attribute->phase == IX_PHASE_ZERO)
        return 0;
    if (attribute->phase == IX_PHASE_FIXED)
        return attribute->phase_ns;
    bool combined = d->group->model->connection.combined;
    uint64_t key = ix_random_key(ix_device_random_key(d), IX_DRAWS_PHASE);
    uint64_t span = combined ? d->group->combined_phase_ns : attribute->interval_ns;
    return ix_telemetry_random_phase(key, combined ? 0 : stream, span);
}

uint64_t ix_telemetry_after_cursor(const struct ix_device_row *row, uint64_t first_ns, uint64_t interval_ns)
{
    if (!(row->flags & IX_ROW_TICKED) || row->cursor_ns < first_ns)
        return first_ns;
    return first_ns + ((row->cursor_ns - first_ns) / interval_ns + 1) * interval_ns;
}

uint64_t ix_telemetry_share(uint64_t total, uint64_t devices, uint64_t index)
{
    return total ? total / devices + (index < total % devices) : UINT64_MAX;
}

/* True once a stream has given the values that fall to this device. */
static bool is_over(const struct ix_device *d, const struct ix_attribute *attribute, uint64_t first_ns,
                    uint64_t instant_ns)
{
    return attribute->total && (instant_ns - first_ns) / attribute->interval_ns >=
                                   ix_telemetry_share(attribute->total, d->group->count, d->row->index);
}

static uint64_t stream_next(const struct ix_device *d, size_t stream)
{
    const struct ix_attribute *attribute = &d->group->model->attributes[stream];
    uint64_t first = d->row->base_ns + ix_telemetry_phase(d, stream);
    uint64_t next = ix_telemetry_after_cursor(d->row, first, attribute->interval_ns);
    return is_over(d, attribute, first, next) ? UINT64_MAX : next;
}

bool ix_telemetry_is_due(const struct ix_device *d, size_t stream, uint64_t instant_ns, uint64_t *tick)
{
    uint64_t first = d->row->base_ns + ix_telemetry_phase(d, stream);
    uint64_t interval = d->group->model->attributes[stream].interval_ns;
    if (instant_ns < first || (instant_ns - first) % interval ||
        is_over(d, &d->group->model->attributes[stream], first, instant_ns))
        return false;
    *tick = (instant_ns - first) / interval;
    return true;
}

/* What is due at an instant. */
struct due {
    uint64_t streams; /* bit s: stream s is due (from 63 on: perhaps) */
    bool children;    /* some devices behind this gateway are due */
};

/* The earliest instant that was not handled yet. */
static uint64_t next_instant(const struct ix_device *d, struct due *due)
{
    uint64_t next = UINT64_MAX;
    *due = (struct due){0};
    size_t streams = d->group->model->attribute_count;
    for (size_t s = 0; s < streams; s++) {
        uint64_t instant = stream_next(d, s);
        if (instant > next)
            continue;
        if (instant < next)
            due->streams = 0;
        next = instant;
        due->streams |= 1ull << (s < 63 ? s : 63);
    }
    if (d->group->gateway) {
        uint64_t instant = ix_gateway_next(d->group->gateway, d);
        due->children = instant != UINT64_MAX && instant <= next;
        if (instant < next) {
            due->streams = 0;
            next = instant;
        }
    }
    return next;
}

uint64_t ix_telemetry_next(const struct ix_device *d)
{
    struct due due;
    uint64_t messages;
    if (!ix_device_is_ticking(d))
        return UINT64_MAX;
    if (d->flags & IX_DF_WAITING) /* what waits is sent when there is room, not at an instant */
        return ix_telemetry_after(d, d->row->counted_ns, &messages);
    return next_instant(d, &due);
}

bool ix_telemetry_last_tick(const struct ix_device *d, size_t stream, uint64_t *tick, uint64_t *instant_ns)
{
    const struct ix_device_row *row = d->row;
    uint64_t first = row->base_ns + ix_telemetry_phase(d, stream);
    if (!(row->flags & IX_ROW_TICKED) || row->cursor_ns < first)
        return false;
    uint64_t interval = d->group->model->attributes[stream].interval_ns;
    *tick = (row->cursor_ns - first) / interval;
    *instant_ns = first + *tick * interval;
    return true;
}

static void handled(struct ix_device *d, uint64_t instant_ns)
{
    d->row->cursor_ns = instant_ns;
    d->row->flags |= IX_ROW_TICKED;
}

const char *ix_engine_stamp(struct ix_engine *engine, uint64_t instant_ns)
{
    int64_t wall = ix_clock_wall(&engine->loop->clock, instant_ns);
    int64_t ms = wall / 1000000;
    if (ms != engine->stamp_ms) {
        ix_text_iso8601(engine->stamp, wall);
        engine->stamp_ms = ms;
    }
    return engine->stamp;
}

/* ---- payloads ---- */

/* {"deviceId":"…","timestamp":"…" */
static void put_head(struct ix_device *d, uint64_t instant_ns)
{
    const struct ix_group *group = d->group;
    struct ix_buf *out = &group->engine->payload;
    ix_buf_clear(out);
    const char *name = ix_device_name(d);
    if (__builtin_expect(!name, 1)) {
        ix_buf_put(out, group->head_json, group->head_len);
        ix_text_u64(out, d->row->index);
        ix_buf_put(out, group->tail_json, group->tail_len);
    } else { /* names are plain: nothing is to be quoted */
        ix_buf_str(out, "{\"deviceId\":\"");
        ix_buf_str(out, name);
        ix_buf_str(out, "\",\"timestamp\":\"");
    }
    ix_buf_put(out, ix_engine_stamp(group->engine, instant_ns), IX_ISO8601_LEN);
    ix_buf_char(out, '"');
}

static void put_attribute(struct ix_buf *out, const struct ix_attribute *attribute,
                          const struct ix_value *value)
{
    ix_buf_char(out, ',');
    ix_buf_str(out, attribute->json_key);
    ix_value_put_json(out, value);
}

static void put_raw(struct ix_buf *out, const struct ix_value *value)
{
    ix_buf_clear(out);
    if (value->kind == IX_V_BYTES || value->kind == IX_V_STRING || value->kind == IX_V_JSON)
        ix_buf_put(out, value->text.data, value->text.len);
    else
        ix_value_put_text(out, value);
}

static const char *put_topic(struct ix_device *d, const struct ix_attribute *attribute, uint64_t instant_ns)
{
    struct ix_buf *out = &d->group->engine->topic;
    const struct ix_template *topic = d->group->model->connection.topic;
    if (attribute && attribute->topic)
        topic = attribute->topic;
    struct ix_template_scope scope = ix_device_scope(d, instant_ns);
    ix_buf_clear(out);
    ix_template_render(topic, &scope, out);
    return ix_buf_cstr(out);
}

/* ---- one instant ---- */

static bool sample(struct ix_device *d, size_t stream, uint64_t tick, uint64_t instant_ns,
                   struct ix_value *value)
{
    const struct ix_group *group = d->group;
    const struct ix_generator *generator = ix_device_generator(d, stream);
    struct ix_draw draw = {.key = ix_draw_key(ix_device_random_key(d), stream),
                           .tick = tick,
                           .wall_ns = ix_clock_wall(&group->engine->loop->clock, instant_ns)};
    if (generator->class->timed)
        draw.now_ns = ix_engine_now(group->engine);
    if (d->extra && d->extra->instances)
        draw.instance = d->extra->instances[stream];
    struct ix_error err;
    struct ix_sampling *sampling = draw.instance ? &group->engine->segment->sampling : NULL;
    if (sampling)
        *sampling = (struct ix_sampling){instant_ns, 1 + (uint32_t)(d->row - group->engine->segment->rows),
                                         (uint32_t)stream};
    int rc = generator->class->sample(generator, &draw, value, &err);
    if (sampling)
        sampling->row = 0;
    if (rc >= 0)
        return true;
    if (err.text[0])
        ix_log_repeat(IX_LOG_WARN, group->title, err.text);
    return false;
}

static int send_payload(struct ix_device *d, size_t stream, const struct ix_attribute *attribute,
                        uint64_t instant_ns)
{
    struct ix_engine *engine = d->group->engine;
    const struct ix_connection_spec *spec = &d->group->model->connection;
    if (engine->payload.overflow) {
        ix_device_count(d, IX_C_NEVER_SENT_ERROR, 1);
        ix_log_repeat(IX_LOG_WARN, d->group->title, "a payload is longer than 16 MiB");
        return -E2BIG;
    }
    struct ix_message message = {.topic = put_topic(d, attribute, instant_ns),
                                 .payload = ix_buf_cstr(&engine->payload),
                                 .len = engine->payload.len,
                                 .qos = spec->qos,
                                 .retain = spec->retain,
                                 .stream = stream == IX_STREAM_CHILDREN ? IX_LEDGER_CHILDREN
                                                                        : (uint16_t)(stream + 1)};
    int rc = ix_inflight_publish(d, &message, instant_ns);
    if (rc == 0 && engine->config.published)
        engine->config.published(engine->config.context, d, stream, instant_ns, &message);
    return rc;
}

static bool publish_stream(struct ix_device *d, size_t stream, uint64_t tick, uint64_t instant_ns)
{
    const struct ix_attribute *attribute = &d->group->model->attributes[stream];
    struct ix_buf *out = &d->group->engine->payload;
    struct ix_value value;
    ix_device_count(d, IX_C_SCHEDULED, 1);
    if (!ix_inflight_has_room(d, d->group->model->connection.qos)) {
        ix_device_count(d, ix_inflight_whose_fault(d, instant_ns), 1);
        return false;
    }
    if (!sample(d, stream, tick, instant_ns, &value)) {
        ix_device_count(d, IX_C_NEVER_SENT_ERROR, 1);
        return false;
    }
    if (attribute->type == IX_TYPE_BINARY) {
        put_raw(out, &value);
    } else {
        put_head(d, instant_ns);
        put_attribute(out, attribute, &value);
        ix_buf_str(out, attribute->json_unit);
        ix_buf_char(out, '}');
    }
    if (send_payload(d, stream, attribute, instant_ns) < 0)
        return false;
    if (d->extra) {
        ix_behavior_keep(d, stream, &value);
        ix_behavior_sampled(d, 1ull << (stream < 63 ? stream : 63), instant_ns);
    }
    return true;
}

/* All streams of the instant in one message. */
static void publish_combined(struct ix_device *d, uint64_t due, uint64_t instant_ns)
{
    const struct ix_model *model = d->group->model;
    struct ix_buf *out = &d->group->engine->payload;
    ix_device_count(d, IX_C_SCHEDULED, 1);
    if (!ix_inflight_has_room(d, model->connection.qos)) {
        ix_device_count(d, ix_inflight_whose_fault(d, instant_ns), 1);
        return;
    }
    put_head(d, instant_ns);
    size_t values = 0, last = 0;
    for (size_t s = 0; s < model->attribute_count; s++) {
        struct ix_value value;
        uint64_t tick;
        if (!(due >> (s < 63 ? s : 63) & 1) || !ix_telemetry_is_due(d, s, instant_ns, &tick) ||
            !sample(d, s, tick, instant_ns, &value))
            continue;
        put_attribute(out, &model->attributes[s], &value);
        ix_behavior_keep(d, s, &value);
        values++;
        last = s;
    }
    ix_buf_char(out, '}');
    if (!values) {
        ix_device_count(d, IX_C_NEVER_SENT_ERROR, 1);
        return;
    }
    if (send_payload(d, last, NULL, instant_ns) == 0 && d->extra)
        ix_behavior_sampled(d, due, instant_ns);
}

/* The values of all devices behind a gateway. */
static void publish_children(struct ix_device *d, uint64_t instant_ns)
{
    struct ix_buf *out = &d->group->engine->payload;
    ix_device_count(d, IX_C_SCHEDULED, 1);
    if (!ix_inflight_has_room(d, d->group->model->connection.qos)) {
        ix_device_count(d, ix_inflight_whose_fault(d, instant_ns), 1);
        return;
    }
    put_head(d, instant_ns);
    if (!ix_gateway_put(d->group->gateway, d, instant_ns, out)) {
        ix_device_count(d, IX_C_NEVER_SENT_ERROR, 1);
        return;
    }
    ix_buf_char(out, '}');
    send_payload(d, IX_STREAM_CHILDREN, NULL, instant_ns);
}

/* Messages of one instant, whether they can be sent or not. */
static uint64_t message_count(const struct ix_device *d, const struct due *due, uint64_t instant_ns)
{
    const struct ix_model *model = d->group->model;
    if (model->connection.combined)
        return (due->streams != 0) + due->children;
    uint64_t tick, count = (uint64_t)__builtin_popcountll(due->streams << 1) + due->children;
    for (size_t s = 63; s < model->attribute_count && due->streams >> 63; s++)
        count += ix_telemetry_is_due(d, s, instant_ns, &tick);
    return count;
}

static void publish_streams(struct ix_device *d, uint64_t due, uint64_t instant_ns)
{
    for (size_t s = 0; s < d->group->model->attribute_count; s++) {
        uint64_t tick;
        if (!(due >> (s < 63 ? s : 63) & 1) || !ix_telemetry_is_due(d, s, instant_ns, &tick))
            continue;
        if (d->stage == IX_S_UP)
            publish_stream(d, s, tick, instant_ns);
        else if (ix_device_is_ticking(d)) /* a script disconnected it between two streams */
            ix_telemetry_never_sent(d, 1, IX_C_NEVER_SENT_OFFLINE);
    }
}

static void handle_instant(struct ix_device *d, uint64_t instant_ns, const struct due *due)
{
    handled(d, instant_ns);
    if (due->streams && d->group->model->connection.combined)
        publish_combined(d, due->streams, instant_ns);
    else if (due->streams)
        publish_streams(d, due->streams, instant_ns);
    if (due->children && d->stage == IX_S_UP)
        publish_children(d, instant_ns);
    else if (due->children && ix_device_is_ticking(d))
        ix_telemetry_never_sent(d, 1, IX_C_NEVER_SENT_OFFLINE);
}

/* Sends a late instant, and says when the next one may follow. */
static uint64_t catch_up(struct ix_device *d, uint64_t instant_ns, const struct due *due, uint64_t now_ns)
{
    handle_instant(d, instant_ns, due);
    uint64_t next = ix_telemetry_next(d);
    return next > now_ns ? next : now_ns + (next - instant_ns) / IX_CATCH_UP_PACE;
}

uint64_t ix_telemetry_run(struct ix_device *d, uint64_t now_ns)
{
    for (int n = 0; n < IX_CATCH_UP; n++) {
        if (!ix_device_is_ticking(d))
            return UINT64_MAX;
        if (d->group->queues && d->stage == IX_S_UP)
            return ix_queue_run(d, now_ns);
        struct due due;
        uint64_t instant = next_instant(d, &due);
        if (instant > now_ns)
            return instant;
        if (d->stage != IX_S_UP)
            ix_telemetry_settle(d, now_ns + 1);
        else if (now_ns - instant <= d->group->late_ns)
            handle_instant(d, instant, &due);
        else if (!ix_telemetry_skip_late(d, instant, now_ns))
            return catch_up(d, instant, &due, now_ns);
    }
    return ix_telemetry_next(d);
}

void ix_telemetry_publish_now(struct ix_device *d, size_t stream)
{
    if (d->stage == IX_S_UP && publish_stream(d, stream, 0, ix_engine_now(d->group->engine)))
        ix_override_published(d, stream);
}

void ix_telemetry_repeat(struct ix_device *d, size_t stream, uint64_t instant_ns)
{
    struct ix_value value;
    uint64_t tick;
    if (stream >= d->group->model->attribute_count || !ix_telemetry_is_due(d, stream, instant_ns, &tick))
        return;
    bool answers = sample(d, stream, tick, instant_ns, &value);
    ix_device_count(d, answers ? IX_C_NEVER_SENT_LATE : IX_C_NEVER_SENT_ERROR, 1); /* no longer in doubt */
}

/* ---- for missed.c and queue.c ---- */

uint64_t ix_telemetry_stream_next(const struct ix_device *d, size_t stream)
{
    return stream_next(d, stream);
}

/* As if the device stood elsewhere. */
static uint64_t due_after(const struct ix_device *d, uint64_t cursor_ns, struct due *due)
{
    struct ix_device_row row = *d->row;
    struct ix_device other = *d;
    row.cursor_ns = cursor_ns;
    row.flags |= IX_ROW_TICKED;
    other.row = &row;
    return next_instant(&other, due);
}

uint64_t ix_telemetry_after(const struct ix_device *d, uint64_t cursor_ns, uint64_t *messages)
{
    struct due due;
    uint64_t instant = due_after(d, cursor_ns, &due);
    *messages = instant == UINT64_MAX ? 0 : message_count(d, &due, instant);
    return instant;
}

void ix_telemetry_send(struct ix_device *d, uint64_t instant_ns, uint64_t n)
{
    const struct ix_model *model = d->group->model;
    struct due due;
    uint64_t tick;
    IX_REQUIRE(due_after(d, instant_ns - 1, &due) == instant_ns);
    if (model->connection.combined && due.streams && n-- == 0) {
        publish_combined(d, due.streams, instant_ns);
        return;
    }
    for (size_t s = 0; !model->connection.combined && s < model->attribute_count; s++) {
        if ((due.streams >> (s < 63 ? s : 63) & 1) && ix_telemetry_is_due(d, s, instant_ns, &tick) &&
            n-- == 0) {
            publish_stream(d, s, tick, instant_ns);
            return;
        }
    }
    if (due.children)
        publish_children(d, instant_ns);
}

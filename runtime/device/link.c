/* A device's connection: who it is when it connects, and what the protocol reports. */
#include "device/clocks.h"
#include "device/internal.h"

#include <string.h>

static const char *render(struct ix_buf *out, const struct ix_template *text,
                          const struct ix_template_scope *scope)
{
    if (!text)
        return NULL;
    ix_buf_clear(out);
    ix_template_render(text, scope, out);
    return ix_buf_cstr(out);
}

static void render_will(struct ix_engine *engine, const struct ix_will *will,
                        const struct ix_template_scope *scope, struct ix_identity *identity)
{
    struct ix_buf *payload = &engine->will_payload;
    ix_buf_clear(payload);
    if (will->payload)
        ix_json_template_render(will->payload, scope, payload);
    else if (will->text)
        ix_template_render(will->text, scope, payload);
    identity->will_topic = render(&engine->will_topic, will->topic, scope);
    identity->will_payload = ix_buf_cstr(payload);
    identity->will_len = payload->len;
    identity->will_qos = will->qos;
    identity->will_retain = will->retain;
}

/* Gone without our wish, or never there: try again, or give up. `reason` is in the row. */
static void after_failure(struct ix_device *d, bool refused, const char *reason)
{
    uint64_t delay;
    if (!ix_reconnect_delay(d, refused, &delay)) {
        ix_device_end_in_error(d, reason);
        return;
    }
    ix_device_set_link(d, IX_L_RECONNECTING);
    ix_device_set_stage(d, IX_S_WAITING, ix_engine_now(d->group->engine) + delay);
}

static void note_reason(struct ix_device *d, const char *reason)
{
    d->row->reason = ix_group_metrics_reason(d->group->metrics, reason);
    d->row->errors++;
    ix_log_repeat(IX_LOG_WARN, d->group->title, reason);
}

/* The devices of one broker take the source addresses in turn. */
static const char *source_of(const struct ix_group *group, uint64_t index)
{
    const struct ix_sources *sources = &group->sources;
    return sources->count ? sources->items[index / group->target_count % sources->count].address : NULL;
}

void ix_device_connect(struct ix_device *d)
{
    struct ix_group *group = d->group;
    struct ix_engine *engine = group->engine;
    const struct ix_connection_spec *spec = &group->model->connection;
    ix_device_end_link(d, IX_WAY_ABORT); /* one that was silenced may be left */
    bool first = d->attempts == 0 && d->lost_ns == 0;
    uint64_t now = ix_engine_now(engine);
    struct ix_template_scope scope = ix_device_scope(d, now);
    struct ix_identity identity = {.client_id = render(&engine->client_id, spec->client_id, &scope),
                                   .username = render(&engine->username, spec->username, &scope),
                                   .password = render(&engine->password, spec->password, &scope),
                                   .bind_address = source_of(group, d->row->index)};
    if (!identity.client_id)
        identity.client_id = ix_buf_cstr(&engine->id);
    if (spec->will.set)
        render_will(engine, &spec->will, &scope, &identity);

    ix_device_count(d, IX_C_CONNECT_ATTEMPTS, 1);
    if (d->attempts < UINT16_MAX)
        d->attempts++;
    ix_device_set_link(d, first ? IX_L_CONNECTING : IX_L_RECONNECTING);
    ix_device_set_stage(d, IX_S_CONNECTING, now);
    struct ix_error err = {0};
    struct ix_transport *transport = group->transports[d->row->index % group->target_count];
    int rc = group->protocol->connect(transport, &identity, d, &d->link, &err);
    if (rc < 0) {
        d->link = NULL;
        ix_device_count(d, IX_C_CONNECT_FAILED, 1);
        note_reason(d, strerror(-rc));
        after_failure(d, false, err.code ? err.text : strerror(-rc));
    }
}

/* What the model listens to. */
static void subscribe(struct ix_device *d)
{
    const struct ix_connection_spec *spec = &d->group->model->connection;
    for (size_t i = 0; i < spec->subscription_count && d->stage == IX_S_UP; i++) {
        const struct ix_subscribe_spec *one = &spec->subscriptions[i];
        struct ix_template_scope scope = ix_device_scope(d, ix_engine_now(d->group->engine));
        const char *filter = render(&d->group->engine->topic, one->filter, &scope);
        if (d->group->protocol->subscribe(d->link, filter, one->qos) < 0) {
            ix_device_count(d, IX_C_SUBSCRIBE_FAILED, 1);
            ix_log_repeat(IX_LOG_WARN, d->group->title, "could not subscribe: is the topic filter valid?");
        }
    }
}

static void on_subscribed(void *owner, bool accepted)
{
    struct ix_device *d = owner;
    ix_device_count(d, accepted ? IX_C_SUBSCRIBED : IX_C_SUBSCRIBE_FAILED, 1);
    if (!accepted)
        note_reason(d, "subscription refused");
}

static void on_connected(void *owner, bool session_present)
{
    (void)session_present; /* subscribing again is harmless, and sure */
    struct ix_device *d = owner;
    struct ix_device_row *row = d->row;
    uint64_t now = ix_engine_now(d->group->engine);
    ix_device_count(d, IX_C_CONNECTED, 1);
    ix_device_trend(d, IX_T_CONNECT, d->need_ns, now);
    row->connections++;
    if (d->lost_ns) {
        ix_device_count(d, IX_C_RECONNECTED, 1);
        ix_device_trend(d, IX_T_OUTAGE, d->lost_ns, now);
        d->lost_ns = 0;
    }
    d->attempts = 0;
    bool first = !(row->flags & IX_ROW_BASE);
    if (first) {
        row->base_ns = ix_clock_whole_ms(now);
        row->flags |= IX_ROW_BASE;
    } else {
        ix_telemetry_settle(d, now);
    }
    d->flags &= (uint8_t)~IX_DF_OWN_FAULT;
    ix_device_set_stage(d, IX_S_UP, 0);
    ix_device_set_link(d, IX_L_CONNECTED);
    ix_device_set_status(d, IX_D_RUNNING);
    if (row->flags & IX_ROW_DROP_HELD) /* last: whoever sees that all are back counts them so */
        ix_device_drop_over(d, true, now);
    subscribe(d);
    if (d->group->is_stamping)
        ix_clocks_answer(d);
    ix_command_subscribe(d);
    ix_behavior_connected(d, first, now);
    ix_device_rearm(d);
}

/* Whose fault it is that the device is not connected: what came due until now is the account of whoever it was. */
static void change_fault(struct ix_device *d, bool ours, uint64_t now_ns)
{
    bool before = d->flags & IX_DF_OWN_FAULT;
    if (before == ours)
        return;
    if (ix_device_is_ticking(d))
        ix_telemetry_settle(d, now_ns);
    d->flags ^= IX_DF_OWN_FAULT;
}

static void on_closed(void *owner, enum ix_outcome outcome, const char *reason)
{
    static const enum ix_counter counters[] = {[IX_REFUSED] = IX_C_REFUSED,
                                               [IX_FAILED] = IX_C_CONNECT_FAILED,
                                               [IX_STARVED] = IX_C_CONNECT_FAILED,
                                               [IX_LOST] = IX_C_CONNECTION_LOST};
    struct ix_device *d = owner;
    uint64_t now = ix_engine_now(d->group->engine);
    d->link = NULL;
    ix_ledger_connection_broke(d);
    ix_inflight_lose(d);
    change_fault(d, outcome == IX_STARVED, now);
    ix_device_count(d, counters[outcome], 1);
    note_reason(d, reason);
    if (d->stage == IX_S_DRAINING) {
        ix_device_finish_stop(d);
        return;
    }
    if (d->stage == IX_S_UP)
        d->lost_ns = now ? now : 1;
    after_failure(d, outcome == IX_REFUSED, reason);
    ix_device_rearm(d);
}

static void on_acked(void *owner, uint16_t token, bool accepted)
{
    struct ix_device *d = owner;
    ix_inflight_acked(d, token, accepted);
    if (d->flags & IX_DF_WAITING)
        ix_device_rearm(d);
    else if (d->stage == IX_S_DRAINING && d->inflight_count == 0)
        ix_device_finish_stop(d);
}

static void on_message(void *owner, const struct ix_message *message)
{
    struct ix_device *d = owner;
    ix_device_count(d, IX_C_RECEIVED, 1);
    ix_device_count(d, IX_C_BYTES_RECEIVED, message->len);
    d->row->received++;
    d->row->bytes_received += message->len;
    struct ix_stamp stamp;
    if (!message->retain && ix_stamp_read(message->payload, message->len, &stamp)) {
        uint64_t now = ix_engine_now(d->group->engine);
        if (stamp.clock != ix_stamp_clock())
            ix_clocks_received(d, &stamp, now);
        else if (stamp.sent_ns <= now)
            ix_device_trend(d, IX_T_RECEIVE, stamp.sent_ns, now);
    }
    if (d->stage == IX_S_UP)
        ix_command_received(d, message);
}

const struct ix_link_events ix_device_events = {.connected = on_connected,
                                                .closed = on_closed,
                                                .acked = on_acked,
                                                .subscribed = on_subscribed,
                                                .message = on_message};

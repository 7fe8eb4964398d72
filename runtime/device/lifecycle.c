/* The states of a device and what moves it between them. */
#include "device/internal.h"

void ix_device_set_status(struct ix_device *d, enum ix_device_status status)
{
    d->group->metrics->by_status[d->row->status]--;
    d->group->metrics->by_status[status]++;
    d->row->status = (uint8_t)status;
}

void ix_device_set_link(struct ix_device *d, enum ix_device_link link)
{
    d->group->metrics->connected += (link == IX_L_CONNECTED) - (d->row->link == IX_L_CONNECTED);
    d->row->link = (uint8_t)link;
}

void ix_device_set_stage(struct ix_device *d, enum ix_stage stage, uint64_t need_ns)
{
    struct ix_engine *engine = d->group->engine;
    engine->active += (uint64_t)(stage != IX_S_IDLE) - (uint64_t)(d->stage != IX_S_IDLE);
    if ((stage == IX_S_CONNECTING) != (d->stage == IX_S_CONNECTING))
        ix_pace_note(engine, stage == IX_S_CONNECTING);
    d->stage = (uint8_t)stage;
    d->need_ns = need_ns;
    if (stage == IX_S_IDLE)
        ix_engine_idle(engine);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void rearm(struct ix_device *d, uint64_t next_tick)
{
    const struct ix_device_row *row = d->row;
    uint64_t next = next_tick;
    if (row->flags & IX_ROW_PLANNED)
        next = earlier(next, row->planned_ns);
    if (d->flags & IX_DF_DROP_ARMED)
        next = earlier(next, row->drop_until_ns);
    if (d->stage == IX_S_WAITING || d->stage == IX_S_DRAINING)
        next = earlier(next, d->need_ns);
    if ((d->flags & IX_DF_WAITING) && ix_queue_can_send(d))
        next = 0;
    if (d->extra) {
        if (d->extra->order.sequence)
            next = earlier(next, d->extra->order.at_ns);
        next = earlier(next, earlier(d->extra->leave_ns, ix_behavior_next(d)));
    }
    struct ix_wheel *wheel = d->group->engine->loop->wheel;
    if (next == UINT64_MAX)
        ix_wheel_cancel(wheel, &d->wheel);
    else if (!ix_wheel_has(&d->wheel) || d->wheel.due_ns != next)
        ix_wheel_add(wheel, &d->wheel, next);
}

void ix_device_rearm(struct ix_device *d)
{
    rearm(d, ix_telemetry_next(d));
}

static void orders_due(struct ix_device *d, uint64_t now_ns)
{
    struct ix_device_row *row = d->row;
    if ((row->flags & IX_ROW_PLANNED) && row->planned_ns <= now_ns) {
        row->flags &= (uint8_t)~IX_ROW_PLANNED;
        ix_device_trend(d, IX_T_SCHEDULE, row->planned_ns, now_ns);
        if (d->group->launch.sequence > row->launch_sequence)
            ix_device_start(d, d->group->launch.sequence);
    }
    if (d->extra && d->extra->order.sequence && d->extra->order.at_ns <= now_ns)
        ix_device_order_due(d);
    if ((d->flags & IX_DF_DROP_ARMED) && row->drop_until_ns <= now_ns)
        ix_device_drop_due(d, now_ns);
    if (d->extra && d->extra->leave_ns <= now_ns) {
        uint64_t back_ns = now_ns + d->extra->leave_back_ns;
        d->extra->leave_ns = UINT64_MAX;
        if (d->stage == IX_S_UP)
            ix_device_leave(d, IX_DROP_ABORT, back_ns);
    }
}

/* What publishing will touch of a device. */
static void warm(const struct ix_device *d)
{
    __builtin_prefetch(d->row, 1);
    if (d->link && d->group->protocol->warm)
        d->group->protocol->warm(d->link);
}

/* A large fleet's devices are not in the cache when their time comes: what the next one needs is fetched
 * while this one works. The first of a turn had no one before it: its parts come at the same time at least. */
static void warm_up(const struct ix_device *d)
{
    warm(d);
    const struct ix_wheel_entry *entry = ix_wheel_upcoming(d->group->engine->loop->wheel);
    if (!entry || entry->fire != ix_device_due)
        return;
    __builtin_prefetch(entry->next, 1); /* and the slot of the one behind it */
    __builtin_prefetch((const char *)entry->next + 64, 1);
    warm((const struct ix_device *)entry);
}

static void go_on_draining(struct ix_device *d, uint64_t now_ns)
{
    if (d->flags & IX_DF_WAITING)
        ix_queue_drain(d, now_ns);
    if (d->stage == IX_S_DRAINING &&
        (d->need_ns <= now_ns || (d->inflight_count == 0 && !(d->flags & IX_DF_WAITING))))
        ix_device_finish_stop(d);
}

void ix_device_due(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_device *d = (struct ix_device *)entry;
    warm_up(d);
    bool drops = (d->flags & IX_DF_DROP_ARMED) && d->row->drop_until_ns <= now_ns;
    /* A turn may be late: only ticks before the drop's instant, or the stop's, still go out. */
    uint64_t end = ix_device_ends_at(d), until = end && end <= now_ns ? end - 1 : now_ns;
    uint64_t next = ix_telemetry_run(d, drops ? earlier(until, d->row->drop_until_ns - 1) : until);
    orders_due(d, now_ns);
    if (drops)
        next = ix_telemetry_run(d, until);
    if (d->stage == IX_S_WAITING && d->need_ns <= now_ns)
        ix_pace_connect(d);
    else if (d->stage == IX_S_DRAINING)
        go_on_draining(d, now_ns);
    if (d->extra)
        ix_behavior_run(d, now_ns);
    end = ix_device_ends_at(d); /* it may have been started again */
    rearm(d, ix_device_is_ticking(d) && next < end ? next : UINT64_MAX);
}

/* What its generators, conditions and scripts keep for it. */
static void prepare(struct ix_device *d)
{
    const struct ix_hooks *hooks = &d->group->engine->config.hooks;
    struct ix_error err = {0};
    if (ix_behavior_open(d, &err) < 0)
        ix_device_fail(d, err.text);
    else if ((d->group->hooks & IX_HOOK_START) && hooks->device_start)
        hooks->device_start(hooks->context, d->group->script, d);
}

/* From nothing: everything but the connection is made ready, then it connects. */
static void begin(struct ix_device *d)
{
    struct ix_device_row *row = d->row;
    uint64_t now = ix_engine_now(d->group->engine);
    row->flags &= (uint8_t) ~(IX_ROW_BASE | IX_ROW_TICKED);
    row->base_ns = row->cursor_ns = row->counted_ns = 0;
    row->started_ns = now;
    row->reason = 0;
    d->attempts = 0;
    d->lost_ns = 0;
    ix_device_set_status(d, IX_D_STARTING);
    ix_device_set_stage(d, IX_S_WAITING, 0);
    prepare(d);
}

void ix_device_start(struct ix_device *d, uint64_t sequence)
{
    if (d->row->flags & IX_ROW_GONE)
        return;
    d->row->launch_sequence = sequence;
    switch ((enum ix_device_status)d->row->status) {
    case IX_D_STARTING:
    case IX_D_RUNNING:
    case IX_D_STATUS_COUNT:
        return;
    case IX_D_DROPPED: /* it comes back now; its schedule never ended */
        ix_device_set_status(d, IX_D_STARTING);
        if (d->stage == IX_S_WAITING)
            d->need_ns = 0;
        return;
    case IX_D_STOPPING:
        ix_device_finish_stop(d);
        break;
    case IX_D_CREATED:
    case IX_D_STOPPED:
    case IX_D_ERROR:
        break;
    }
    begin(d);
}

void ix_device_end_link(struct ix_device *d, enum ix_way way)
{
    struct ix_link *link = d->link;
    d->link = NULL;
    if (link)
        d->group->protocol->close(link, way);
    if (link && way == IX_WAY_ABORT)
        ix_ledger_connection_broke(d);
    ix_inflight_lose(d);
}

/* Common end of stop and error: nothing is left of it but its row. What came due until `end_ns` is accounted for. */
static void become_idle(struct ix_device *d, enum ix_way way, enum ix_device_status status, uint64_t end_ns)
{
    uint64_t now = ix_engine_now(d->group->engine);
    if (ix_device_is_ticking(d) && d->stage != IX_S_UP)
        ix_telemetry_settle(d, earlier(end_ns, now));
    else if (d->flags & IX_DF_WAITING)
        ix_queue_forget(d, IX_C_NEVER_SENT_BACKPRESSURE);
    ix_device_end_link(d, way);
    ix_device_set_link(d, IX_L_DISCONNECTED);
    if (d->row->flags & IX_ROW_DROP_HELD)
        ix_device_drop_over(d, false, now);
    ix_device_set_status(d, status);
    ix_device_set_stage(d, IX_S_IDLE, 0);
    d->lost_ns = 0;
    d->attempts = 0;
    ix_behavior_close(d);
    ix_device_rearm(d);
}

static void finish_stop(struct ix_device *d, uint64_t end_ns)
{
    become_idle(d, d->stage == IX_S_DRAINING ? IX_WAY_CLOSE : IX_WAY_ABORT, IX_D_STOPPED, end_ns);
}

void ix_device_finish_stop(struct ix_device *d)
{
    finish_stop(d, UINT64_MAX);
}

void ix_device_stop(struct ix_device *d, uint64_t sequence, uint64_t at_ns, uint64_t drain_ns)
{
    uint64_t now = ix_engine_now(d->group->engine), end = earlier(at_ns, now);
    if (d->row->flags & IX_ROW_GONE)
        return;
    d->row->launch_sequence = sequence;
    switch ((enum ix_device_status)d->row->status) {
    case IX_D_CREATED:
        ix_device_set_status(d, IX_D_STOPPED);
        ix_device_rearm(d);
        return;
    case IX_D_STOPPED:
    case IX_D_ERROR: /* stays visible */
    case IX_D_STATUS_COUNT:
        ix_device_rearm(d);
        return;
    case IX_D_STOPPING:
        d->need_ns = earlier(d->need_ns, ix_instant_after(now, drain_ns));
        ix_device_rearm(d);
        return;
    case IX_D_STARTING:
    case IX_D_RUNNING:
    case IX_D_DROPPED:
        break;
    }
    if (d->stage == IX_S_UP && end) {
        ix_telemetry_run(d, end - 1); /* what was due before the stop, if this turn is late */
        ix_telemetry_give_up(d, end);
    }
    ix_behavior_stopping(d);
    if (d->stage == IX_S_IDLE)
        return; /* failed in its hook */
    if (d->stage != IX_S_UP) {
        finish_stop(d, end);
        return;
    }
    ix_device_set_status(d, IX_D_STOPPING);
    ix_device_set_stage(d, IX_S_DRAINING, ix_instant_after(now, drain_ns));
    if (d->inflight_count == 0 && !(d->flags & IX_DF_WAITING))
        ix_device_finish_stop(d);
    else
        ix_device_rearm(d);
}

void ix_device_remove(struct ix_device *d)
{
    struct ix_device_row *row = d->row;
    if (row->flags & IX_ROW_GONE)
        return;
    if (d->stage == IX_S_UP) {
        ix_behavior_stopping(d);
        if (d->stage == IX_S_UP)
            ix_device_set_stage(d, IX_S_DRAINING, 0);
    }
    if (d->stage != IX_S_IDLE)
        ix_device_finish_stop(d);
    d->group->metrics->by_status[row->status]--;
    row->status = IX_D_STOPPED;
    row->flags = IX_ROW_GONE;
    if (d->extra)
        d->extra->order.sequence = 0;
    ix_wheel_cancel(d->group->engine->loop->wheel, &d->wheel);
}

void ix_device_resume(struct ix_device *d)
{
    if (d->row->flags & IX_ROW_GONE)
        return;
    struct ix_device_row *row = d->row;
    uint64_t now = ix_engine_now(d->group->engine);
    /* Where it stands is counted by this process from now on; the launch record plans anew. */
    if (row->link == IX_L_CONNECTED)
        d->flags |= IX_DF_OWN_FAULT;
    row->link = IX_L_DISCONNECTED;
    row->flags &= (uint8_t)~IX_ROW_PLANNED;
    if (row->counted_ns > row->cursor_ns) /* the engine has settled what waited */
        row->cursor_ns = row->counted_ns;
    row->counted_ns = 0;
    if (row->status == IX_D_STOPPING)
        row->status = IX_D_STOPPED;
    d->group->metrics->by_status[row->status]++;
    if (row->status != IX_D_STARTING && row->status != IX_D_RUNNING && row->status != IX_D_DROPPED)
        return;
    d->lost_ns = row->connections ? (now ? now : 1) : 0;
    bool held = row->status == IX_D_DROPPED && (row->flags & IX_ROW_DROP_HELD);
    ix_device_set_stage(d, IX_S_WAITING, held ? row->drop_until_ns : now);
    ix_device_set_link(d, held || !row->connections ? IX_L_DISCONNECTED : IX_L_RECONNECTING);
    prepare(d);
    const struct ix_sampling *died_in = &d->group->engine->died_in;
    if (died_in->row == 1 + (uint32_t)(row - d->group->engine->segment->rows) && d->stage != IX_S_IDLE)
        ix_telemetry_repeat(d, died_in->stream, died_in->instant_ns);
    ix_device_rearm(d);
}

void ix_device_end_in_error(struct ix_device *d, const char *reason)
{
    struct ix_engine *engine = d->group->engine;
    become_idle(d, d->stage == IX_S_UP ? IX_WAY_CLOSE : IX_WAY_ABORT, IX_D_ERROR, UINT64_MAX);
    if (engine->config.failed)
        engine->config.failed(engine->config.context, d, reason);
}

void ix_device_leave(struct ix_device *d, enum ix_drop_mode mode, uint64_t back_ns)
{
    uint64_t now = ix_engine_now(d->group->engine);
    if (d->stage == IX_S_UP) {
        d->lost_ns = now ? now : 1;
        d->attempts = 0;
    }
    if (mode == IX_DROP_SILENT && d->stage == IX_S_UP) {
        d->group->protocol->silence(d->link);
        ix_inflight_lose(d);
    } else {
        ix_device_end_link(d, mode == IX_DROP_CLOSE ? IX_WAY_CLOSE : IX_WAY_ABORT);
    }
    ix_device_set_stage(d, IX_S_WAITING, back_ns);
    ix_device_set_link(d, IX_L_DISCONNECTED);
}

void ix_device_disconnect(struct ix_device *d, enum ix_drop_mode mode, uint64_t reconnect_delay_ns)
{
    uint64_t delay = reconnect_delay_ns;
    if (d->stage != IX_S_UP && d->stage != IX_S_CONNECTING)
        return;
    if (delay == UINT64_MAX && !ix_reconnect_delay(d, false, &delay)) {
        ix_device_fail(d, "disconnected, and its model does not reconnect");
        return;
    }
    uint64_t now = ix_engine_now(d->group->engine);
    ix_device_leave(d, mode, ix_instant_after(now, delay));
    ix_device_rearm(d);
}

void ix_device_was_told(struct ix_device *d)
{
    d->group->engine->told = d;
}

void ix_device_fail(struct ix_device *d, const char *reason)
{
    struct ix_engine *engine = d->group->engine;
    bool was_told = engine->told == d;
    engine->told = NULL;
    if (d->stage == IX_S_IDLE)
        return;
    d->row->reason = ix_group_metrics_reason(d->group->metrics, reason);
    d->row->errors++;
    if (!was_told)
        ix_log_repeat(IX_LOG_ERROR, d->group->title, reason);
    ix_device_end_in_error(d, reason);
}

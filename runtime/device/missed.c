/* Telemetry that is never sent: what came due while a device was not connected, and what is late through ourselves. */
#include "device/internal.h"

static void handled(struct ix_device *d, uint64_t instant_ns)
{
    d->row->cursor_ns = instant_ns;
    d->row->flags |= IX_ROW_TICKED;
}

void ix_telemetry_never_sent(struct ix_device *d, uint64_t messages, enum ix_counter why)
{
    ix_device_count(d, IX_C_SCHEDULED, messages);
    ix_device_count(d, why, messages);
}

/* Values from the instant `next_ns`, which is not over, to the stream's end. */
static uint64_t values_left(const struct ix_device *d, size_t stream, uint64_t next_ns)
{
    const struct ix_attribute *attribute = &d->group->model->attributes[stream];
    uint64_t first = d->row->base_ns + ix_telemetry_phase(d, stream);
    uint64_t share = ix_telemetry_share(attribute->total, d->group->count, d->row->index);
    return share == UINT64_MAX ? share : share - (next_ns - first) / attribute->interval_ns;
}

/* Of all streams together, counted without visiting each instant. */
static void settle_streams(struct ix_device *d, uint64_t until_ns, enum ix_counter why)
{
    uint64_t missed = 0, last = 0;
    for (size_t s = 0; s < d->group->model->attribute_count; s++) {
        uint64_t interval = d->group->model->attributes[s].interval_ns;
        uint64_t next = ix_telemetry_stream_next(d, s);
        if (next >= until_ns)
            continue;
        uint64_t more = (until_ns - 1 - next) / interval, left = values_left(d, s, next);
        if (more >= left)
            more = left - 1;
        missed += more + 1;
        if (next + more * interval > last)
            last = next + more * interval;
    }
    if (missed) {
        handled(d, last);
        ix_telemetry_never_sent(d, missed, why);
    }
}

static void settle(struct ix_device *d, uint64_t until_ns, enum ix_counter why)
{
    if (!d->group->model->connection.combined && !d->group->gateway) {
        settle_streams(d, until_ns, why);
        return;
    }
    /* One message for what coincides: instants are counted one by one, as devices that are offline wake at
     * each of them anyway. */
    uint64_t instant, messages;
    while ((instant = ix_telemetry_after(d, d->row->flags & IX_ROW_TICKED ? d->row->cursor_ns : 0,
                                         &messages)) < until_ns) {
        handled(d, instant);
        ix_telemetry_never_sent(d, messages, why);
    }
}

void ix_telemetry_settle(struct ix_device *d, uint64_t until_ns)
{
    enum ix_counter why = d->flags & IX_DF_OWN_FAULT ? IX_C_NEVER_SENT_LATE : IX_C_NEVER_SENT_OFFLINE;
    if (!(d->row->flags & IX_ROW_BASE))
        return;
    if (d->flags & IX_DF_WAITING)
        ix_queue_forget(d, why);
    settle(d, until_ns, why);
}

/* ---- late through ourselves ---- */

bool ix_telemetry_skip_late(struct ix_device *d, uint64_t instant_ns, uint64_t now_ns)
{
    uint64_t late = d->group->late_ns;
    if (d->group->model->connection.catch_up || instant_ns > now_ns || now_ns - instant_ns <= late)
        return false;
    settle(d, now_ns - late, IX_C_NEVER_SENT_LATE);
    return true;
}

void ix_telemetry_give_up(struct ix_device *d, uint64_t now_ns)
{
    if (ix_device_is_ticking(d) && d->stage == IX_S_UP && !d->group->queues)
        settle(d, now_ns, IX_C_NEVER_SENT_LATE);
}

/* Telemetry that finds no room and waits, by the connection's `queue`.
 *
 * What waits needs no memory: value, timestamp and payload of a tick are functions of the tick, so a queue is a
 * range of instants: those after row->cursor_ns and until row->counted_ns. Dropping the oldest moves the cursor;
 * only dropping the newest tears holes into the range, which are kept beside it (struct ix_queue_gaps), not more
 * of them than there are waiting messages.
 *
 * Several messages may be due at one instant. Instants are whole milliseconds: a cursor n ns before one says that
 * its last n messages still wait. */
#include "device/internal.h"

#include <stdlib.h>

#define FIRST_GAPS 8

static bool is_waiting(const struct ix_device *d)
{
    return d->flags & IX_DF_WAITING;
}

static uint64_t horizon(const struct ix_device_row *row)
{
    return row->counted_ns > row->cursor_ns ? row->counted_ns : row->cursor_ns;
}

static bool has_room(const struct ix_device *d)
{
    const struct ix_protocol *protocol = d->group->protocol;
    int qos = d->group->model->connection.qos;
    if (!d->link || (d->stage != IX_S_UP && d->stage != IX_S_DRAINING))
        return false;
    return ix_inflight_has_room(d, qos) && (!protocol->has_room || protocol->has_room(d->link, qos));
}

/* ---- holes: instants after `from_ns` and until `to_ns` were dropped, and counted ---- */

static struct ix_queue_gaps *gaps_of(const struct ix_device *d)
{
    return d->extra ? d->extra->gaps : NULL;
}

static struct ix_queue_gap *first_gap(const struct ix_device *d)
{
    struct ix_queue_gaps *gaps = gaps_of(d);
    return gaps && gaps->first < gaps->count ? &gaps->items[gaps->first] : NULL;
}

static void add_gap(struct ix_device *d, uint64_t from_ns, uint64_t to_ns)
{
    struct ix_device_extra *extra = ix_device_extra(d);
    struct ix_queue_gaps *gaps = extra->gaps;
    if (!gaps)
        gaps = extra->gaps = ix_calloc(1, sizeof(*gaps));
    if (gaps->first < gaps->count && gaps->items[gaps->count - 1].to_ns == from_ns) {
        gaps->items[gaps->count - 1].to_ns = to_ns;
        return;
    }
    if (gaps->first == gaps->count)
        gaps->first = gaps->count = 0;
    if (gaps->count == gaps->cap && gaps->first > gaps->cap / 2) {
        gaps->count -= gaps->first;
        memmove(gaps->items, gaps->items + gaps->first, gaps->count * sizeof(*gaps->items));
        gaps->first = 0;
    }
    if (gaps->count == gaps->cap) {
        gaps->cap = gaps->cap ? gaps->cap * 2 : FIRST_GAPS;
        gaps->items = ix_realloc(gaps->items, gaps->cap * sizeof(*gaps->items));
    }
    gaps->items[gaps->count++] = (struct ix_queue_gap){from_ns, to_ns};
}

void ix_queue_free(struct ix_device_extra *extra)
{
    if (extra->gaps)
        free(extra->gaps->items);
    free(extra->gaps);
    extra->gaps = NULL;
}

/* ---- the range ---- */

static void clear(struct ix_device *d)
{
    struct ix_queue_gaps *gaps = gaps_of(d);
    d->flags &= (uint8_t)~IX_DF_WAITING;
    d->waiting = 0;
    d->row->counted_ns = 0;
    if (gaps)
        gaps->first = gaps->count = 0;
}

/* The instant that waits longest; how many messages it has, and how many of these still wait. */
static uint64_t oldest(struct ix_device *d, uint64_t *messages, uint64_t *left)
{
    struct ix_device_row *row = d->row;
    for (;;) {
        uint64_t instant = ix_telemetry_after(d, row->cursor_ns, messages);
        if (!is_waiting(d) || instant > row->counted_ns)
            return UINT64_MAX;
        const struct ix_queue_gap *gap = first_gap(d);
        if (!gap || instant <= gap->from_ns) {
            *left = row->cursor_ns % 1000000 ? instant - row->cursor_ns : *messages;
            return instant;
        }
        row->cursor_ns = gap->to_ns;
        gaps_of(d)->first++;
    }
}

/* The first `n` messages that wait, all of one instant, do so no longer. */
static void take_out(struct ix_device *d, uint64_t cursor_ns, uint64_t n)
{
    d->row->cursor_ns = cursor_ns;
    d->group->metrics->waiting -= n;
    d->waiting -= (uint16_t)(n < d->waiting ? n : d->waiting);
    if (cursor_ns >= d->row->counted_ns)
        clear(d);
}

void ix_queue_forget(struct ix_device *d, enum ix_counter why)
{
    uint64_t instant, messages, left;
    while ((instant = oldest(d, &messages, &left)) != UINT64_MAX) {
        take_out(d, instant, left);
        ix_telemetry_never_sent(d, left, why);
    }
    if (is_waiting(d))
        clear(d);
}

/* Messages that come due: they wait, or the policy drops them or others. */
static void take_in(struct ix_device *d, uint64_t instant_ns, uint64_t messages, enum ix_counter why)
{
    const struct ix_connection_spec *spec = &d->group->model->connection;
    struct ix_device_row *row = d->row;
    uint64_t before = horizon(row);
    if (spec->queue == IX_QUEUE_DROP_NEWEST && d->waiting && d->waiting + messages > spec->queue_size) {
        add_gap(d, before, instant_ns);
        row->counted_ns = instant_ns;
        ix_telemetry_never_sent(d, messages, why);
        return;
    }
    row->flags |= IX_ROW_TICKED;
    row->counted_ns = instant_ns;
    d->flags |= IX_DF_WAITING;
    d->group->metrics->waiting += messages;
    if (spec->queue_size)
        d->waiting = (uint16_t)(messages + d->waiting < UINT16_MAX ? messages + d->waiting : UINT16_MAX);
    while (spec->queue_size && d->waiting > spec->queue_size) {
        uint64_t total, left, instant = oldest(d, &total, &left);
        if (instant >= instant_ns) /* of one instant alone: they are kept or dropped together */
            return;
        take_out(d, instant, left);
        ix_telemetry_never_sent(d, left, why);
    }
}

/* Sends while there is room, `budget` messages at most. Until `waited_ns` they waited for it: from now on it is our
 * own doing if they are late. */
static void send_waiting(struct ix_device *d, uint64_t waited_ns, uint64_t now_ns, int *budget)
{
    struct ix_engine *engine = d->group->engine;
    for (; *budget > 0 && is_waiting(d) && has_room(d); --*budget) {
        uint64_t messages, left, instant = oldest(d, &messages, &left);
        if (instant == UINT64_MAX) {
            clear(d);
            return;
        }
        take_out(d, instant - (left - 1), 1);
        engine->ready_ns = instant <= waited_ns ? now_ns : 0;
        ix_telemetry_send(d, instant, messages - left);
        engine->ready_ns = 0;
    }
}

void ix_queue_drain(struct ix_device *d, uint64_t now_ns)
{
    int budget = IX_CATCH_UP;
    send_waiting(d, UINT64_MAX, now_ns, &budget);
}

uint64_t ix_queue_run(struct ix_device *d, uint64_t now_ns)
{
    int budget = IX_CATCH_UP;
    uint64_t waited = is_waiting(d) ? d->row->counted_ns : 0, next, first = 0;
    send_waiting(d, waited, now_ns, &budget);
    for (;;) {
        uint64_t messages;
        if (d->stage != IX_S_UP)
            return ix_telemetry_next(d);
        next = ix_telemetry_after(d, horizon(d->row), &messages);
        if (next > now_ns)
            break;
        if (!is_waiting(d) && ix_telemetry_skip_late(d, next, now_ns))
            continue;
        first = first ? first : next; /* of what is taken in now, the most late one */
        take_in(d, next, messages, ix_inflight_whose_fault(d, first));
        send_waiting(d, waited, now_ns, &budget);
    }
    return is_waiting(d) && has_room(d) ? now_ns : next;
}

bool ix_queue_can_send(const struct ix_device *d)
{
    return is_waiting(d) && has_room(d);
}

/* When devices open connections: in the order in which they ask, no faster than this worker's share of the run's
 * rate, and never so many at once that telemetry and answers wait behind them. */
#include "device/internal.h"

#include <math.h>
#include <stdlib.h>

/* Connections opened before others get their turn. */
#define CHUNK 32
/* What a late turn may make up for: beyond that, connections that were not opened in time move the rest back. */
#define CATCH_UP_NS 10000000.0
#define QUEUE_MIN   1024

static uint32_t waiting(const struct ix_pace *pace)
{
    return (uint32_t)(pace->last - pace->first);
}

static void grow(struct ix_pace *pace)
{
    uint32_t size = pace->size ? pace->size * 2 : QUEUE_MIN;
    uint32_t *slots = ix_malloc(size * sizeof(*slots));
    for (uint64_t ticket = pace->first; ticket != pace->last; ticket++)
        slots[ticket % size] = pace->slots[ticket % pace->size];
    free(pace->slots);
    pace->slots = slots;
    pace->size = size;
}

/* The next instant of this worker, not before `earliest`: workers' instants interleave, so skipped ones stay
 * skipped. */
static void move_to(struct ix_pace *pace, double earliest)
{
    if (pace->next_ns < earliest)
        pace->next_ns += ceil((earliest - pace->next_ns) / pace->interval_ns) * pace->interval_ns;
}

static bool has_room(const struct ix_pace *pace)
{
    return !pace->window || pace->under_way < pace->window;
}

static void arm(struct ix_engine *engine, uint64_t now_ns)
{
    struct ix_pace *pace = &engine->pace;
    if (!waiting(pace) || !has_room(pace))
        ix_wheel_cancel(engine->loop->wheel, &pace->wheel);
    else
        ix_wheel_add(engine->loop->wheel, &pace->wheel,
                     pace->interval_ns > 0 ? (uint64_t)ceil(pace->next_ns) : now_ns);
}

/* The first in the queue that still waits; NULL: nobody does. */
static struct ix_device *next_device(struct ix_engine *engine)
{
    struct ix_pace *pace = &engine->pace;
    while (waiting(pace)) {
        uint64_t ticket = pace->first++;
        struct ix_device *d = ix_engine_slot(engine, pace->slots[ticket % pace->size]);
        if (d->stage == IX_S_QUEUED && d->need_ns == ticket)
            return d;
    }
    return NULL;
}

static void fire(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_engine *engine = (struct ix_engine *)((char *)entry - offsetof(struct ix_engine, pace) -
                                                    offsetof(struct ix_pace, wheel));
    struct ix_pace *pace = &engine->pace;
    bool paced = pace->interval_ns > 0;
    if (paced)
        move_to(pace, (double)now_ns - CATCH_UP_NS);
    for (int n = 0; n < CHUNK && has_room(pace) && (!paced || pace->next_ns <= (double)now_ns); n++) {
        struct ix_device *d = next_device(engine);
        if (!d)
            break;
        if (paced)
            pace->next_ns += pace->interval_ns;
        ix_device_connect(d);
        ix_device_rearm(d);
    }
    arm(engine, now_ns);
}

/* True if the device may connect at once: nobody is before it, and this millisecond has room. */
static bool is_free(struct ix_pace *pace, uint64_t now_ns)
{
    if (pace->interval_ns > 0 || waiting(pace) || !has_room(pace))
        return false;
    uint64_t ms = now_ns / 1000000;
    if (ms != pace->ms) {
        pace->ms = ms;
        pace->in_ms = 0;
    }
    return pace->in_ms++ < CHUNK;
}

void ix_pace_connect(struct ix_device *d)
{
    struct ix_engine *engine = d->group->engine;
    struct ix_pace *pace = &engine->pace;
    uint64_t now = ix_engine_now(engine);
    if (is_free(pace, now)) {
        ix_device_connect(d);
        return;
    }
    bool first = !waiting(pace);
    if (waiting(pace) == pace->size)
        grow(pace);
    pace->slots[pace->last % pace->size] = (uint32_t)(d->row - engine->segment->rows);
    ix_device_set_stage(d, IX_S_QUEUED, pace->last++);
    if (!first)
        return;
    if (pace->interval_ns > 0)
        move_to(pace, (double)now);
    pace->wheel.fire = fire;
    arm(engine, now);
}

void ix_pace_note(struct ix_engine *engine, bool begun)
{
    struct ix_pace *pace = &engine->pace;
    pace->under_way += begun ? 1 : UINT32_MAX; /* one more, or one less */
    if (!begun && pace->window && waiting(pace) && !ix_wheel_has(&pace->wheel))
        arm(engine, ix_engine_now(engine));
}

void ix_engine_set_pace(struct ix_engine *engine, double interval_ns, double offset_ns, uint32_t window)
{
    struct ix_pace *pace = &engine->pace;
    uint64_t now = ix_engine_now(engine);
    pace->window = window;
    pace->interval_ns = interval_ns;
    pace->next_ns = offset_ns;
    if (interval_ns > 0)
        move_to(pace, (double)now);
    if (waiting(pace))
        arm(engine, now);
}

void ix_pace_deinit(struct ix_engine *engine)
{
    ix_wheel_cancel(engine->loop->wheel, &engine->pace.wheel);
    free(engine->pace.slots);
}

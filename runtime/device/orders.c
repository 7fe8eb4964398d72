/* When devices start and stop. At an instant, of all records whose time has come the one with the highest
 * sequence holds: a device ignores what is older than the record that its row reflects. */
#include "base/random.h"
#include "device/internal.h"

#include <math.h>
#include <stdlib.h>

static char *copy_text(const char *text)
{
    return text ? ix_strdup(text) : NULL;
}

static void strategy_copy(struct ix_strategy_spec *out, const struct ix_strategy_spec *from)
{
    *out = (struct ix_strategy_spec){
        .name = copy_text(from->name), .settings = copy_text(from->settings), .is_dropout = from->is_dropout};
    if (from->function_len) {
        out->function = ix_malloc(from->function_len);
        memcpy(out->function, from->function, from->function_len);
        out->function_len = from->function_len;
    }
}

static void strategy_deinit(struct ix_strategy_spec *spec)
{
    free(spec->name);
    free(spec->settings);
    free(spec->function);
    *spec = (struct ix_strategy_spec){0};
}

int ix_group_open_schedule(struct ix_group *group, const struct ix_strategy_spec *spec, uint64_t count,
                           uint64_t key, struct ix_schedule *schedule, struct ix_error *err)
{
    const struct ix_hooks *hooks = &group->engine->config.hooks;
    if (!hooks->schedule_open)
        return ix_fail(err, -ENOSYS, "strategy \"%s\": nothing here evaluates strategies", spec->name);
    return hooks->schedule_open(hooks->context, spec, count, key, schedule, err);
}

int ix_schedule_instants(const struct ix_schedule *schedule, uint64_t start_ns, const uint64_t *places,
                         size_t count, uint64_t *instants, struct ix_error *err)
{
    double seconds[IX_JOB_CHUNK];
    if (count == 0)
        return 0;
    int rc = schedule->at_places(schedule->context, places, count, seconds, err);
    for (size_t i = 0; i < count && rc >= 0; i++) {
        /* 100 years from the start: beyond any run, and far from an overflow. */
        double ns = seconds[i] < 3.2e9 ? seconds[i] * 1e9 : 3.2e18;
        instants[i] = ix_instant_after(start_ns, (uint64_t)llround(ns));
    }
    return rc < 0 ? rc : 0;
}

/* ---- launch ---- */

static void plan_start(struct ix_device *d, uint64_t sequence, uint64_t instant_ns)
{
    if (sequence <= d->row->launch_sequence || (d->row->flags & IX_ROW_GONE))
        return;
    d->row->planned_ns = instant_ns;
    d->row->flags |= IX_ROW_PLANNED;
    ix_device_rearm(d);
}

static int launch_step(struct ix_job *job, bool *done, struct ix_error *err)
{
    struct ix_group *group = job->group;
    uint64_t places[IX_JOB_CHUNK], instants[IX_JOB_CHUNK];
    uint64_t first = ix_place_position(&group->place, job->index);
    size_t count = 0;
    for (; count < IX_JOB_CHUNK && first + count < group->slot_count; count++)
        places[count] = ix_engine_slot(group->engine, group->slots[first + count])->row->index;
    int rc = ix_schedule_instants(&job->schedule, job->start_ns, places, count, instants, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        plan_start(ix_engine_slot(group->engine, group->slots[first + i]), job->sequence, instants[i]);
    if (count)
        job->index = places[count - 1] + 1;
    *done = first + count >= group->slot_count;
    return 0;
}

static int launch_begin(struct ix_group *group, uint64_t sequence, uint64_t start_ns,
                        const struct ix_strategy_spec *strategy, struct ix_error *err)
{
    struct ix_schedule schedule = {0};
    uint64_t key = ix_random_key(group->random_key, IX_DRAWS_LAUNCH);
    int rc = ix_group_open_schedule(group, strategy, group->count, key, &schedule, err);
    if (rc < 0)
        return rc;
    ix_group_cancel_jobs(group, launch_step);
    struct ix_job *job = ix_job_new(group, launch_step);
    job->sequence = sequence;
    job->start_ns = start_ns;
    job->schedule = schedule;
    return ix_job_begin(job, err);
}

int ix_group_launch(struct ix_group *group, const struct ix_record *record, struct ix_error *err)
{
    const struct ix_launch *launch = &record->launch;
    if (record->sequence <= group->launch.sequence)
        return 0;
    uint64_t before = group->launch.sequence;
    group->launch.sequence = record->sequence;
    int rc = launch_begin(group, record->sequence, launch->start_ns, &launch->strategy, err);
    if (rc < 0) {
        group->launch.sequence = before;
        ix_error_prefix(err, "launch of group \"%s\"", group->id);
        return rc;
    }
    group->launch.start_ns = launch->start_ns;
    strategy_deinit(&group->launch.strategy);
    strategy_copy(&group->launch.strategy, &launch->strategy);
    return 0;
}

/* ---- stop ---- */

/* Has a step that closes connections taken its time? A look at the clock every few devices. */
static bool is_enough(const struct ix_job *job, int devices, uint64_t began_ns)
{
    return devices % 16 == 15 && ix_engine_now(job->group->engine) - began_ns >= IX_JOB_NS;
}

static int stop_step(struct ix_job *job, bool *done, struct ix_error *err)
{
    (void)err;
    struct ix_group *group = job->group;
    uint64_t position = ix_place_position(&group->place, job->index), began = ix_engine_now(group->engine);
    for (int n = 0; n < IX_JOB_CHUNK && position < group->slot_count && !is_enough(job, n, began);
         n++, position++) {
        struct ix_device *d = ix_engine_slot(group->engine, group->slots[position]);
        job->index = d->row->index + 1ull;
        if (job->sequence <= d->row->launch_sequence)
            continue;
        if (group->launch.sequence < job->sequence)
            d->row->flags &= (uint8_t)~IX_ROW_PLANNED;
        ix_device_stop(d, job->sequence, job->start_ns, job->drain_ns);
    }
    *done = position >= group->slot_count;
    return 0;
}

void ix_group_stop_due(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_group *group = (struct ix_group *)((char *)entry - offsetof(struct ix_group, stop.wheel));
    ix_group_cancel_jobs(group, stop_step);
    struct ix_job *job = ix_job_new(group, stop_step);
    job->sequence = group->stop.sequence;
    job->start_ns = group->stop.at_ns;
    job->drain_ns = group->stop.drain_ns;
    ix_job_begin(job, NULL);
}

void ix_group_stop(struct ix_group *group, const struct ix_record *record)
{
    if (record->sequence <= group->stop.sequence)
        return;
    group->stop.sequence = record->sequence;
    group->stop.at_ns = record->stop.at_ns;
    group->stop.drain_ns = record->stop.drain_ns;
    ix_wheel_add(group->engine->loop->wheel, &group->stop.wheel, record->stop.at_ns);
}

/* The worker ends: devices stop as by a record newer than all others, but rows keep what records said. */
static int drain_step(struct ix_job *job, bool *done, struct ix_error *err)
{
    (void)err;
    struct ix_group *group = job->group;
    uint64_t position = ix_place_position(&group->place, job->index), began = ix_engine_now(group->engine);
    for (int n = 0; n < IX_JOB_CHUNK && position < group->slot_count && !is_enough(job, n, began);
         n++, position++) {
        struct ix_device *d = ix_engine_slot(group->engine, group->slots[position]);
        job->index = d->row->index + 1ull;
        d->row->flags &= (uint8_t)~IX_ROW_PLANNED;
        if (d->extra)
            d->extra->order.sequence = 0;
        if (d->row->status == IX_D_CREATED)
            ix_device_rearm(d);
        else
            ix_device_stop(d, d->row->launch_sequence, job->start_ns, job->drain_ns);
    }
    *done = position >= group->slot_count;
    return 0;
}

void ix_group_drain(struct ix_group *group, uint64_t drain_ns)
{
    ix_group_cancel_jobs(group, NULL);
    ix_wheel_cancel(group->engine->loop->wheel, &group->stop.wheel);
    struct ix_job *job = ix_job_new(group, drain_step);
    group->drain_at_ns = job->start_ns = ix_engine_now(group->engine);
    job->drain_ns = drain_ns;
    ix_job_begin(job, NULL);
}

uint64_t ix_device_ends_at(const struct ix_device *d)
{
    const struct ix_group *group = d->group;
    uint64_t end = group->drain_at_ns ? group->drain_at_ns : UINT64_MAX;
    if (group->stop.sequence && group->stop.at_ns < end && group->stop.sequence > d->row->launch_sequence)
        end = group->stop.at_ns;
    return end;
}

/* ---- one device ---- */

void ix_group_order_device(struct ix_group *group, const struct ix_record *record)
{
    struct ix_device *d = ix_group_device(group, record->device.index);
    if (!d || record->sequence <= d->row->launch_sequence || (d->row->flags & IX_ROW_GONE))
        return;
    ix_device_extra(d)->order = (struct ix_device_order_state){
        .sequence = record->sequence, .at_ns = record->device.at_ns, .start = record->device.start};
    ix_device_rearm(d);
}

void ix_device_order_due(struct ix_device *d)
{
    struct ix_device_order_state order = d->extra->order;
    d->extra->order.sequence = 0;
    if (order.sequence <= d->row->launch_sequence)
        return;
    if (d->group->launch.sequence < order.sequence)
        d->row->flags &= (uint8_t)~IX_ROW_PLANNED;
    if (order.start)
        ix_device_start(d, order.sequence);
    else
        ix_device_stop(d, order.sequence, order.at_ns, IX_DEVICE_DRAIN_NS);
}

int ix_group_repeat_orders(struct ix_group *group, struct ix_error *err)
{
    int rc = 0;
    if (group->launch.sequence)
        rc =
            launch_begin(group, group->launch.sequence, group->launch.start_ns, &group->launch.strategy, err);
    if (group->stop.sequence)
        ix_wheel_add(group->engine->loop->wheel, &group->stop.wheel, group->stop.at_ns);
    return rc;
}

void ix_group_deinit_orders(struct ix_group *group)
{
    strategy_deinit(&group->launch.strategy);
}

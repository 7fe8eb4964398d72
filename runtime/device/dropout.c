/* Dropouts: which devices of a group fall out, when, and when they are back. All of it follows from the
 * record; the row remembers only how far a device has come, so that nothing happens twice. */
#include "device/internal.h"

#include <stdlib.h>

static struct ix_dropout_state *find(const struct ix_group *group, uint64_t id)
{
    struct ix_dropout_state *state = group->dropouts;
    while (state && state->id != id)
        state = state->next;
    return state;
}

/* NULL: its place in the segment has gone to a later one. */
static struct ix_dropout_metrics *metrics_of_id(const struct ix_group *group, uint64_t id)
{
    return (struct ix_dropout_metrics *)ix_segment_find_dropout(group->engine->segment, id);
}

/* Its place in the segment may have gone to a later one. */
static struct ix_dropout_metrics *metrics_of(const struct ix_dropout_state *state)
{
    static struct ix_dropout_metrics nobody_reads;
    return state->metrics->id == state->id ? state->metrics : &nobody_reads;
}

static void state_free(struct ix_dropout_state *state)
{
    ix_selection_deinit(&state->selection);
    free(state);
}

/* A dropout that names nobody any more and waits for nobody is forgotten: rows know what remains of it. */
static void forget_if_over(struct ix_group *group, struct ix_dropout_state *state)
{
    if (state->jobs || state->pending)
        return;
    struct ix_dropout_state **link = &group->dropouts;
    while (*link != state)
        link = &(*link)->next;
    *link = state->next;
    state_free(state);
}

void ix_dropout_job_over(struct ix_job *job)
{
    job->dropout->jobs--;
    forget_if_over(job->group, job->dropout);
}

static void disarm(struct ix_device *d, struct ix_dropout_state *state)
{
    if (d->flags & IX_DF_DROP_ARMED)
        state->pending--;
    d->row->flags &= (uint8_t)~IX_ROW_DROP_PENDING;
    d->flags &= (uint8_t)~IX_DF_DROP_ARMED;
}

/* Two dropouts that were asked for at the same moment may have chosen the same device: the later one takes
 * it, and for the earlier one it is gone already. */
static void take_from_earlier(struct ix_device *d, uint64_t id)
{
    if (!(d->row->flags & IX_ROW_DROP_PENDING) || d->row->drop_id == id)
        return;
    struct ix_dropout_state *earlier = find(d->group, d->row->drop_id);
    struct ix_dropout_metrics *metrics = metrics_of_id(d->group, d->row->drop_id);
    if (metrics)
        metrics->already_gone++;
    if (earlier) {
        disarm(d, earlier);
        forget_if_over(d->group, earlier);
    }
}

static void arm(struct ix_device *d, struct ix_dropout_state *state, uint64_t instant_ns)
{
    if (!(d->flags & IX_DF_DROP_ARMED))
        state->pending++;
    d->row->drop_until_ns = instant_ns;
    d->row->flags |= IX_ROW_DROP_PENDING;
    d->flags |= IX_DF_DROP_ARMED;
    ix_device_rearm(d);
}

/* A device that a later dropout named is past this one. */
static bool is_over(const struct ix_device_row *row, uint64_t id)
{
    return row->drop_id > id || (row->drop_id == id && !(row->flags & IX_ROW_DROP_PENDING));
}

static int dropout_step(struct ix_job *job, bool *done, struct ix_error *err)
{
    struct ix_group *group = job->group;
    struct ix_dropout_state *state = job->dropout;
    uint64_t ranks[IX_JOB_CHUNK], instants[IX_JOB_CHUNK];
    uint32_t slots[IX_JOB_CHUNK];
    size_t count = 0;
    uint64_t position = ix_place_position(&group->place, job->index);
    uint64_t index = job->index;
    for (int n = 0; n < IX_JOB_CHUNK && position < group->slot_count; n++, position++) {
        slots[count] = group->slots[position];
        index = ix_engine_slot(group->engine, slots[count])->row->index;
        count += ix_selection_rank(&state->selection, index, &ranks[count]);
    }
    int rc = ix_schedule_instants(&job->schedule, state->start_ns, ranks, count, instants, err);
    if (rc < 0)
        return rc;
    state->named += count;
    for (size_t i = 0; i < count; i++) {
        struct ix_device *d = ix_engine_slot(group->engine, slots[i]);
        if (is_over(d->row, state->id))
            continue;
        take_from_earlier(d, state->id);
        d->row->drop_id = state->id;
        if (state->cancelled) {
            disarm(d, state);
            metrics_of(state)->cancelled++;
        } else {
            arm(d, state, instants[i]);
        }
    }
    job->index = index + 1;
    *done = position >= group->slot_count;
    metrics_of(state)->chosen = state->named;
    return 0;
}

/* Those that wait for their instant stay. */
static int cancel_step(struct ix_job *job, bool *done, struct ix_error *err)
{
    (void)err;
    struct ix_group *group = job->group;
    uint64_t position = ix_place_position(&group->place, job->index);
    for (int n = 0; n < IX_JOB_CHUNK && position < group->slot_count; n++, position++) {
        struct ix_device *d = ix_engine_slot(group->engine, group->slots[position]);
        job->index = d->row->index + 1ull;
        if (d->row->drop_id != job->dropout->id || !(d->row->flags & IX_ROW_DROP_PENDING))
            continue;
        disarm(d, job->dropout);
        metrics_of(job->dropout)->cancelled++;
        ix_device_rearm(d);
    }
    *done = position >= group->slot_count;
    return 0;
}

static struct ix_job *new_job(struct ix_group *group, int (*step)(struct ix_job *, bool *, struct ix_error *),
                              struct ix_dropout_state *state)
{
    struct ix_job *job = ix_job_new(group, step);
    job->dropout = state;
    state->jobs++;
    return job;
}

static int dropout_begin(struct ix_group *group, const struct ix_record *record, struct ix_error *err)
{
    const struct ix_dropout *dropout = &record->dropout;
    struct ix_dropout_metrics *metrics = ix_segment_dropout(group->engine->segment, dropout->id);
    if (!metrics)
        return ix_fail(err, -ENOSPC, "a run keeps at most %d dropouts", IX_SEGMENT_DROPOUTS);
    struct ix_schedule schedule = {0};
    int rc =
        ix_group_open_schedule(group, &dropout->strategy, dropout->chosen, dropout->seed, &schedule, err);
    if (rc < 0)
        return rc;
    struct ix_dropout_state *state = ix_calloc(1, sizeof(*state));
    *state = (struct ix_dropout_state){.next = group->dropouts,
                                       .id = dropout->id,
                                       .start_ns = dropout->start_ns,
                                       .mode = dropout->mode,
                                       .reconnect = dropout->reconnect,
                                       .reconnect_delay_ns = dropout->reconnect_delay_ns,
                                       .cancelled = dropout->cancelled,
                                       .metrics = metrics};
    struct ix_bitmap eligible;
    ix_bitmap_init(&eligible, dropout->eligible.bits);
    ix_bitmap_merge(&eligible, &dropout->eligible);
    ix_selection_init(&state->selection, &eligible, dropout->chosen, dropout->seed);
    group->dropouts = state;
    metrics->start_ns = dropout->start_ns;
    struct ix_job *job = new_job(group, dropout_step, state);
    job->schedule = schedule;
    return ix_job_begin(job, err);
}

int ix_group_dropout(struct ix_group *group, const struct ix_record *record, struct ix_error *err)
{
    struct ix_dropout_state *state = find(group, record->dropout.id);
    if (!state) {
        int rc = dropout_begin(group, record, err);
        if (rc < 0)
            ix_error_prefix(err, "dropout of group \"%s\"", group->id);
        return rc;
    }
    if (!record->dropout.cancelled || state->cancelled)
        return 0;
    state->cancelled = true; /* a job that still names devices sees it */
    return ix_job_begin(new_job(group, cancel_step, state), err);
}

void ix_device_drop_due(struct ix_device *d, uint64_t now_ns)
{
    struct ix_device_row *row = d->row;
    struct ix_group *group = d->group;
    struct ix_dropout_state *state = find(group, row->drop_id);
    uint64_t instant = row->drop_until_ns;
    if (!state)
        return;
    disarm(d, state);
    if (row->status != IX_D_RUNNING) {
        metrics_of(state)->already_gone++;
        forget_if_over(group, state);
        return;
    }
    struct ix_dropout_metrics *metrics = metrics_of(state);
    ix_device_count(d, IX_C_DROPPED, 1);
    ix_device_trend(d, IX_T_SCHEDULE, instant, now_ns);
    row->flags |= IX_ROW_DROP_HELD;
    row->drop_until_ns = UINT64_MAX;
    if (state->reconnect)
        row->drop_until_ns = ix_instant_after(instant, state->reconnect_delay_ns);
    if (!d->lost_ns)
        d->lost_ns = now_ns ? now_ns : 1;
    enum ix_drop_mode mode = state->mode;
    forget_if_over(group, state);
    ix_device_leave(d, mode, row->drop_until_ns);
    ix_device_set_status(d, IX_D_DROPPED);
    metrics->dropped++; /* last: whoever sees that all are dropped counts them so */
}

void ix_device_drop_over(struct ix_device *d, bool is_back, uint64_t now_ns)
{
    struct ix_dropout_metrics *metrics = metrics_of_id(d->group, d->row->drop_id);
    d->row->flags &= (uint8_t)~IX_ROW_DROP_HELD;
    if (!metrics)
        return;
    if (!is_back) {
        metrics->ended++;
        return;
    }
    metrics->back++;
    ix_histogram_add(&metrics->back_time, now_ns > metrics->start_ns ? now_ns - metrics->start_ns : 0);
}

void ix_group_deinit_dropouts(struct ix_group *group)
{
    while (group->dropouts) {
        struct ix_dropout_state *state = group->dropouts;
        group->dropouts = state->next;
        state_free(state);
    }
}

#include "control/snapshot.h"

#include <stdlib.h>
#include <string.h>

void ix_snapshot_init(struct ix_snapshot *snapshot)
{
    memset(snapshot, 0, sizeof(*snapshot));
    for (size_t t = 0; t < IX_T_COUNT; t++)
        ix_histogram_init(&snapshot->all.trends[t]);
}

void ix_snapshot_deinit(struct ix_snapshot *snapshot)
{
    free(snapshot->groups);
    free(snapshot->custom);
    free(snapshot->workers);
    free(snapshot->by_qos);
    free(snapshot->seen);
    ix_snapshot_init(snapshot);
}

/* Room for `need` items of `size` bytes at *items; new room is not cleared. */
static void need_room(void *items, size_t *room, size_t need, size_t size)
{
    if (need <= *room)
        return;
    size_t grown = *room + *room / 2;
    *room = grown > need ? grown : need;
    void *old;
    memcpy(&old, items, sizeof(old));
    old = ix_realloc(old, *room * size);
    memcpy(items, &old, sizeof(old));
}

/* Copies what may be shared memory: never longer than the field, always ended. */
static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

static struct ix_totals *add_group(struct ix_snapshot *snapshot, const char *id)
{
    need_room(&snapshot->groups, &snapshot->group_room, snapshot->group_count + 1, sizeof(*snapshot->groups));
    struct ix_totals *group = &snapshot->groups[snapshot->group_count++];
    memset(group, 0, sizeof(*group));
    copy_text(group->group, sizeof(group->group), id);
    copy_text(group->protocol, sizeof(group->protocol), "mqtt");
    for (size_t t = 0; t < IX_T_COUNT; t++)
        ix_histogram_init(&group->trends[t]);
    return group;
}

/* Groups have mostly the same order everywhere: look at that place first. */
static struct ix_totals *find_group(struct ix_snapshot *snapshot, const char *id, size_t hint)
{
    if (hint < snapshot->group_count && strncmp(snapshot->groups[hint].group, id, 63) == 0)
        return &snapshot->groups[hint];
    for (size_t i = 0; i < snapshot->group_count; i++)
        if (strncmp(snapshot->groups[i].group, id, 63) == 0)
            return &snapshot->groups[i];
    return add_group(snapshot, id);
}

/* Reasons beyond the room share the last place, as in the segments. */
static void add_reason(struct ix_reason *reasons, const char *text, uint64_t count)
{
    for (size_t i = 0; i < IX_SEGMENT_REASONS; i++) {
        if (reasons[i].text[0] == '\0') {
            copy_text(reasons[i].text, sizeof(reasons[i].text), text);
            reasons[i].count = count;
            return;
        }
        if (strncmp(reasons[i].text, text, sizeof(reasons[i].text) - 1) == 0) {
            reasons[i].count += count;
            return;
        }
    }
    struct ix_reason *last = &reasons[IX_SEGMENT_REASONS - 1];
    copy_text(last->text, sizeof(last->text), "other");
    last->count += count;
}

static int more_frequent(const void *a, const void *b)
{
    const struct ix_reason *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(y->text, "") == 0 || strcmp(x->text, "") == 0 ? strcmp(y->text, x->text)
                                                                : strcmp(x->text, y->text);
}

static void add_metrics(struct ix_totals *group, const struct ix_group_metrics *from)
{
    for (size_t c = 0; c < IX_C_COUNT; c++)
        group->counters[c] += from->counters[c];
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        group->by_status[s] += from->by_status[s];
    group->connected += from->connected;
    group->waiting += from->waiting;
    group->counters[IX_C_SCHEDULED] += from->waiting;
    group->qos = group->qos ? group->qos : from->qos;
    group->other_qos |= from->other_qos;
    for (size_t r = 0; r < IX_SEGMENT_REASONS && from->reasons[r].text[0]; r++)
        add_reason(group->reasons, from->reasons[r].text, from->reasons[r].count);
    for (size_t t = 0; t < IX_T_COUNT; t++)
        if (from->trends[t].count)
            ix_histogram_merge(&group->trends[t], &from->trends[t]);
}

static void add_totals(struct ix_totals *all, const struct ix_totals *group)
{
    all->count += group->count;
    for (size_t c = 0; c < IX_C_COUNT; c++)
        all->counters[c] += group->counters[c];
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        all->by_status[s] += group->by_status[s];
    all->connected += group->connected;
    all->waiting += group->waiting;
    for (size_t r = 0; r < IX_SEGMENT_REASONS && group->reasons[r].text[0]; r++)
        add_reason(all->reasons, group->reasons[r].text, group->reasons[r].count);
    for (size_t t = 0; t < IX_T_COUNT; t++)
        if (group->trends[t].count)
            ix_histogram_merge(&all->trends[t], &group->trends[t]);
}

/* Series stay in the list from take to take, because a gauge keeps its value until it is set again. */
static struct ix_custom_totals *find_custom(struct ix_snapshot *snapshot, enum ix_custom_kind kind,
                                            const char *name, const char *tags)
{
    for (size_t i = 0; i < snapshot->custom_count; i++) {
        struct ix_custom_totals *custom = &snapshot->custom[i];
        if (custom->kind == kind && strncmp(custom->name, name, sizeof(custom->name) - 1) == 0 &&
            strncmp(custom->tags, tags, sizeof(custom->tags) - 1) == 0)
            return custom;
    }
    need_room(&snapshot->custom, &snapshot->custom_room, snapshot->custom_count + 1,
              sizeof(*snapshot->custom));
    struct ix_custom_totals *custom = &snapshot->custom[snapshot->custom_count++];
    memset(custom, 0, sizeof(*custom));
    custom->kind = kind;
    copy_text(custom->name, sizeof(custom->name), name);
    copy_text(custom->tags, sizeof(custom->tags), tags);
    ix_histogram_init(&custom->trend);
    return custom;
}

static void add_custom(struct ix_snapshot *snapshot, const struct ix_segment *segment, size_t place)
{
    size_t used = segment->custom_used < IX_SEGMENT_CUSTOM ? segment->custom_used : IX_SEGMENT_CUSTOM;
    for (size_t i = 0; i < used; i++) {
        const struct ix_custom_metric *from = &segment->custom[i];
        if (from->kind == IX_CUSTOM_FREE)
            continue;
        struct ix_custom_totals *custom =
            find_custom(snapshot, (enum ix_custom_kind)from->kind, from->name, from->tags);
        uint64_t *seen = &snapshot->seen[place * IX_SEGMENT_CUSTOM + i], count = from->count;
        if (custom->kind == IX_CUSTOM_GAUGE) {
            if (count != *seen)
                custom->value = from->value;
        } else
            custom->value += from->value;
        *seen = count;
        custom->count += count;
        if (custom->kind == IX_CUSTOM_TREND && from->trend.count)
            ix_histogram_merge(&custom->trend, &from->trend);
    }
}

static struct ix_qos_totals *find_qos(struct ix_snapshot *snapshot, const char *group, uint8_t qos)
{
    for (size_t i = 0; i < snapshot->by_qos_count; i++)
        if (snapshot->by_qos[i].qos == qos && strcmp(snapshot->by_qos[i].group, group) == 0)
            return &snapshot->by_qos[i];
    need_room(&snapshot->by_qos, &snapshot->by_qos_room, snapshot->by_qos_count + 1,
              sizeof(*snapshot->by_qos));
    struct ix_qos_totals *found = &snapshot->by_qos[snapshot->by_qos_count++];
    *found = (struct ix_qos_totals){.qos = qos};
    copy_text(found->group, sizeof(found->group), group);
    ix_histogram_init(&found->response);
    ix_histogram_init(&found->service);
    return found;
}

static void merge_qos(struct ix_snapshot *snapshot, const char *group, uint8_t qos,
                      const struct ix_histogram *response, const struct ix_histogram *service)
{
    struct ix_qos_totals *totals = find_qos(snapshot, group, qos);
    ix_histogram_merge(&totals->response, response);
    ix_histogram_merge(&totals->service, service);
}

/* For a group with more than one QoS: what each of them had, and all of it in the group's trends. */
static void split_by_qos(struct ix_snapshot *snapshot, struct ix_totals *group,
                         const struct ix_segment *const *segments, size_t segment_count)
{
    for (size_t i = 0; i < segment_count; i++) {
        const struct ix_group_metrics *from = ix_segment_find_group(segments[i], group->group);
        if (!from)
            continue;
        if (from->qos && from->trends[IX_T_RESPONSE].count)
            merge_qos(snapshot, group->group, from->qos - 1, &from->trends[IX_T_RESPONSE],
                      &from->trends[IX_T_SERVICE]);
        for (uint8_t q = 0; q < IX_ARRAY_LEN(from->others); q++)
            if (from->other_qos >> q & 1) {
                merge_qos(snapshot, group->group, q, &from->others[q].response, &from->others[q].service);
                ix_histogram_merge(&group->trends[IX_T_RESPONSE], &from->others[q].response);
                ix_histogram_merge(&group->trends[IX_T_SERVICE], &from->others[q].service);
            }
    }
}

static void clear_custom(struct ix_snapshot *snapshot, size_t segment_count)
{
    size_t need = segment_count * IX_SEGMENT_CUSTOM, had = snapshot->seen_room;
    need_room(&snapshot->seen, &snapshot->seen_room, need, sizeof(*snapshot->seen));
    if (snapshot->seen_room > had)
        memset(snapshot->seen + had, 0, (snapshot->seen_room - had) * sizeof(*snapshot->seen));
    for (size_t i = 0; i < snapshot->custom_count; i++) {
        struct ix_custom_totals *custom = &snapshot->custom[i];
        custom->count = 0;
        if (custom->kind != IX_CUSTOM_GAUGE)
            custom->value = 0;
        if (custom->kind == IX_CUSTOM_TREND)
            ix_histogram_init(&custom->trend);
    }
}

/* Free sets lie behind the used ones; reading them would give their pages memory. */
static void add_segment(struct ix_snapshot *snapshot, const struct ix_segment *segment, size_t place)
{
    struct ix_worker_totals *worker = &snapshot->workers[snapshot->worker_count];
    *worker = (struct ix_worker_totals){.worker = segment->worker,
                                        .epoch = segment->epoch,
                                        .busy_ns = segment->busy_ns,
                                        .cpu_ns = segment->cpu_ns,
                                        .lua_bytes = segment->lua_bytes,
                                        .wait_ns = segment->wait_ns,
                                        .alive_ns = segment->alive_ns,
                                        .frames_dropped = segment->frames_dropped,
                                        .log_dropped = segment->log_dropped};
    snapshot->worker_count += !segment->is_observer;
    snapshot->observed = snapshot->observed || segment->accounts;
    for (size_t c = 0; c < IX_C_COUNT && segment->accounts; c++)
        snapshot->ungrouped[c] += segment->ungrouped[c];
    for (size_t i = 0; i < IX_SEGMENT_GROUPS && segment->groups[i].group[0]; i++) {
        const struct ix_group_metrics *from = &segment->groups[i];
        if (ix_segment_is_vacant(from))
            continue;
        add_metrics(find_group(snapshot, from->group, i), from);
        for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
            if (from->by_status[s] > 0)
                worker->devices += (uint64_t)from->by_status[s];
    }
    add_custom(snapshot, segment, place);
}

static void finish_group(struct ix_totals *group)
{
    uint64_t *c = group->counters;
    c[IX_C_D_IN_FLIGHT] = c[IX_C_D_SENT] > c[IX_C_D_DELIVERED] ? c[IX_C_D_SENT] - c[IX_C_D_DELIVERED] : 0;
    int64_t placed = 0;
    for (size_t s = 0; s < IX_D_STATUS_COUNT; s++)
        placed += group->by_status[s];
    if ((int64_t)group->count > placed)
        group->by_status[IX_D_CREATED] += (int64_t)group->count - placed;
    qsort(group->reasons, IX_SEGMENT_REASONS, sizeof(group->reasons[0]), more_frequent);
}

void ix_snapshot_take(struct ix_snapshot *snapshot, const struct ix_segment *const *segments,
                      size_t segment_count, const struct ix_group_facts *groups, size_t group_count,
                      uint64_t now_ns)
{
    snapshot->at_ns = now_ns;
    snapshot->group_count = 0;
    for (size_t i = 0; i < group_count; i++) {
        struct ix_totals *group = add_group(snapshot, groups[i].id);
        group->count = groups[i].count;
        if (groups[i].tags)
            copy_text(group->tags, sizeof(group->tags), groups[i].tags);
        if (groups[i].protocol)
            copy_text(group->protocol, sizeof(group->protocol), groups[i].protocol);
    }
    clear_custom(snapshot, segment_count);
    need_room(&snapshot->workers, &snapshot->worker_room, segment_count, sizeof(*snapshot->workers));
    snapshot->worker_count = 0;
    snapshot->observed = false;
    memset(snapshot->ungrouped, 0, sizeof(snapshot->ungrouped));
    for (size_t i = 0; i < segment_count; i++)
        add_segment(snapshot, segments[i], i);

    snapshot->by_qos_count = 0;
    for (size_t i = 0; i < snapshot->group_count; i++) {
        if (snapshot->groups[i].other_qos)
            split_by_qos(snapshot, &snapshot->groups[i], segments, segment_count);
        finish_group(&snapshot->groups[i]);
    }
    ix_snapshot_sum(snapshot);
}

void ix_snapshot_sum(struct ix_snapshot *snapshot)
{
    memset(&snapshot->all, 0, sizeof(snapshot->all));
    for (size_t t = 0; t < IX_T_COUNT; t++)
        ix_histogram_init(&snapshot->all.trends[t]);
    for (size_t i = 0; i < snapshot->group_count; i++)
        add_totals(&snapshot->all, &snapshot->groups[i]);
    for (size_t c = 0; c < IX_C_COUNT; c++)
        snapshot->all.counters[c] += snapshot->ungrouped[c];
    qsort(snapshot->all.reasons, IX_SEGMENT_REASONS, sizeof(snapshot->all.reasons[0]), more_frequent);
}

void ix_snapshot_add_custom(struct ix_snapshot *snapshot, const struct ix_custom_totals *own)
{
    struct ix_custom_totals *custom = find_custom(snapshot, own->kind, own->name, own->tags);
    if (own->kind != IX_CUSTOM_GAUGE)
        custom->value += own->value;
    else if (own->count)
        custom->value = own->value;
    custom->count += own->count;
    if (own->trend.count)
        ix_histogram_merge(&custom->trend, &own->trend);
}

static void keep_states(struct ix_totals *totals, const struct ix_totals *earlier)
{
    memcpy(totals->by_status, earlier->by_status, sizeof(totals->by_status));
    totals->connected = earlier->connected;
}

void ix_snapshot_keep_states(struct ix_snapshot *snapshot, const struct ix_snapshot *earlier)
{
    keep_states(&snapshot->all, &earlier->all);
    for (size_t i = 0; i < snapshot->group_count; i++)
        for (size_t j = 0; j < earlier->group_count; j++)
            if (strcmp(snapshot->groups[i].group, earlier->groups[j].group) == 0)
                keep_states(&snapshot->groups[i], &earlier->groups[j]);
}

void ix_snapshot_copy(struct ix_snapshot *into, const struct ix_snapshot *from)
{
    into->at_ns = from->at_ns;
    into->observed = from->observed;
    memcpy(into->ungrouped, from->ungrouped, sizeof(into->ungrouped));
    into->all = from->all;
    need_room(&into->groups, &into->group_room, from->group_count, sizeof(*into->groups));
    need_room(&into->custom, &into->custom_room, from->custom_count, sizeof(*into->custom));
    need_room(&into->workers, &into->worker_room, from->worker_count, sizeof(*into->workers));
    need_room(&into->by_qos, &into->by_qos_room, from->by_qos_count, sizeof(*into->by_qos));
    into->by_qos_count = from->by_qos_count;
    if (from->by_qos_count)
        memcpy(into->by_qos, from->by_qos, from->by_qos_count * sizeof(*from->by_qos));
    into->group_count = from->group_count;
    into->custom_count = from->custom_count;
    into->worker_count = from->worker_count;
    if (from->group_count)
        memcpy(into->groups, from->groups, from->group_count * sizeof(*from->groups));
    if (from->custom_count)
        memcpy(into->custom, from->custom, from->custom_count * sizeof(*from->custom));
    if (from->worker_count)
        memcpy(into->workers, from->workers, from->worker_count * sizeof(*from->workers));
}

#include "control/fleet_internal.h"

#include "base/log.h"
#include "base/random.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORD_MAX (64u << 20)
struct ix_fleet *ix_fleet_new(const struct ix_fleet_config *config)
{
    struct ix_fleet *fleet = ix_calloc(1, sizeof *fleet);
    fleet->config = *config;
    return fleet;
}

void ix_fleet_free_group(struct group *g)
{
    ix_fleet_records_free(g);
    ix_record_deinit(&g->spec);
    ix_id_pattern_deinit(&g->pattern);
    free(g->id);
    free(g->model_id);
    free(g->tags);
    free(g->broken);
    free(g->gone);
    ix_buf_deinit(&g->names);
    ix_fleet_free_maps(g);
    free(g);
}

void ix_fleet_free(struct ix_fleet *fleet)
{
    if (!fleet)
        return;
    ix_wheel_cancel(fleet->config.loop->wheel, &fleet->drain_timeout);
    while (fleet->requests) {
        struct request *r = fleet->requests;
        fleet->requests = r->next;
        ix_fleet_request_free(r);
    }
    ix_fleet_dropouts_free(fleet);
    ix_fleet_free_removed(fleet);
    while (fleet->groups) {
        struct group *next = fleet->groups->next;
        ix_fleet_free_group(fleet->groups);
        fleet->groups = next;
    }
    free(fleet);
}

struct group *ix_fleet_find(const struct ix_fleet *fleet, const char *id)
{
    struct ix_fleet *own = (struct ix_fleet *)fleet;
    if (fleet->found && strcmp(fleet->found->id, id) == 0)
        return fleet->found;
    for (struct group *g = fleet->groups; g; g = g->next)
        if (strcmp(g->id, id) == 0)
            return own->found = g;
    return NULL;
}

bool ix_fleet_has(const struct ix_fleet *fleet, const char *group)
{
    return ix_fleet_find(fleet, group) != NULL;
}

char *ix_fleet_device_id(const struct ix_fleet *fleet, const char *group, uint64_t index)
{
    const struct group *g = ix_fleet_find(fleet, group);
    struct ix_buf id;
    ix_buf_init(&id, 4096);
    if (g)
        ix_id_pattern_render(&g->pattern, index, &id);
    char *text = ix_strdup(ix_buf_cstr(&id));
    ix_buf_deinit(&id);
    return text;
}

static int check_collisions(const struct ix_fleet *fleet, const struct group *fresh, const char *pattern,
                            struct ix_error *err)
{
    for (const struct group *g = fleet->groups; g; g = g->next) {
        if (g->is_hidden || fresh->is_hidden)
            continue;
        if (strcmp(g->id, fresh->id) == 0)
            return ix_fail(err, -EEXIST, "group \"%s\" exists already; give this one another `group` id",
                           g->id);
        if (ix_id_pattern_collides(&g->pattern, &fresh->pattern))
            return ix_fail(
                err, -EEXIST,
                "device ids of group \"%s\" (pattern \"%s\") could collide with those of group \"%s\" "
                "(\"%s\"); choose patterns with different beginnings",
                fresh->id, pattern, g->id, g->spec.spec.id_pattern);
    }
    return 0;
}

bool ix_fleet_is_full(const struct ix_fleet *fleet)
{
    return fleet->group_count >= IX_SEGMENT_GROUPS - 1; /* one set is for removed ones */
}

/* What workers get to know of the group. */
static void make_spec(struct ix_record *record, const struct ix_group_config *config, const char *pattern)
{
    struct ix_group_spec *spec = &record->spec;
    record->kind = IX_RECORD_SPEC;
    record->group = ix_strdup(config->id);
    record->subkey = ix_strdup("");
    spec->id_pattern = ix_strdup(pattern);
    spec->count = config->count;
    spec->model = ix_strdup(config->model_text);
    spec->model_folder = config->model_folder ? ix_strdup(config->model_folder) : NULL;
    spec->targets = ix_calloc(config->target_count, sizeof *spec->targets);
    memcpy(spec->targets, config->targets, config->target_count * sizeof *spec->targets);
    spec->target_count = config->target_count;
    if (config->sources && config->sources->count) {
        spec->sources.items = ix_calloc(config->sources->count, sizeof *spec->sources.items);
        memcpy(spec->sources.items, config->sources->items,
               config->sources->count * sizeof *spec->sources.items);
        spec->sources.count = config->sources->count;
    }
    spec->tags = ix_strdup(config->tags);
    spec->label = config->label ? ix_strdup(config->label) : NULL;
    spec->names_base = config->names ? config->names_base : config->count;
}

static struct group *make_group(const struct ix_group_config *config, const char *pattern)
{
    struct group *g = ix_calloc(1, sizeof *g);
    g->id = ix_strdup(config->id);
    g->key = ix_hash64(config->id, strlen(config->id));
    g->count = config->count;
    g->model_id = ix_strdup(config->model_id);
    g->model_hash = config->model_hash;
    g->tags = ix_strdup(config->tags);
    memset(g->place, 0xff, sizeof g->place);
    make_spec(&g->spec, config, pattern);
    g->device_memory = config->device_memory;
    g->broker_is_here = config->broker_is_here;
    g->broker_is_embedded = config->broker_is_embedded;
    g->is_hidden = config->is_hidden;
    ix_buf_init(&g->names, RECORD_MAX);
    if (config->names)
        ix_buf_str(&g->names, config->names);
    if (config->gone_count) {
        g->gone = ix_calloc(config->gone_count, sizeof *g->gone);
        memcpy(g->gone, config->gone, config->gone_count * sizeof *g->gone);
        g->gone_count = config->gone_count;
    }
    return g;
}

int ix_fleet_create(struct ix_fleet *fleet, const struct ix_group_config *config, struct ix_error *err)
{
    if (ix_fleet_is_full(fleet))
        return ix_fail(
            err, -ENOSPC,
            "at most %d groups can be at work at once: stop some that are (those make room), or put the "
            "devices into fewer groups",
            IX_SEGMENT_GROUPS - 1);
    const char *pattern = config->id_pattern ? config->id_pattern : "{groupId}-{index}";
    struct group *g = make_group(config, pattern);
    int code = ix_id_pattern_compile(&g->pattern, pattern, config->id, err);
    if (code == 0)
        code = check_collisions(fleet, g, pattern, err);
    if (code < 0) {
        ix_fleet_free_group(g);
        return code;
    }
    struct group **end = &fleet->groups;
    while (*end)
        end = &(*end)->next;
    *end = g;
    fleet->group_count++;
    return 0;
}

/* ---- records ---- */

void ix_fleet_send_spec(struct ix_fleet *fleet, struct group *g, uint32_t worker)
{
    struct ix_buf out;
    ix_buf_init(&out, RECORD_MAX);
    memset(g->spec.spec.shards, 0, sizeof g->spec.spec.shards);
    for (uint32_t shard = 0; shard < IX_SHARDS; shard++)
        if (g->place[shard] == worker)
            bit_set(g->spec.spec.shards, shard);
    struct ix_record spec = g->spec; /* what the group keeps elsewhere is lent to it */
    spec.spec.names_first = spec.spec.names_base;
    spec.spec.names = g->names.len ? g->names.data : NULL;
    spec.spec.gone = g->gone;
    spec.spec.gone_count = g->gone_count;
    ix_record_pack(&spec, &out);
    ix_workers_send(fleet->config.workers, worker, IX_DOWN_RECORD, &out);
    ix_buf_deinit(&out);
}

void ix_fleet_worker_ready(struct ix_fleet *fleet, uint32_t worker)
{
    if (fleet->drained)
        return; /* too late for it to do anything */
    ix_fleet_send_pace(fleet, worker);
    ix_fleet_repeat_removals(fleet, worker);
    for (struct group *g = fleet->groups; g; g = g->next) {
        if (!g->placed || !bit_get(g->on, worker))
            continue;
        ix_fleet_send_spec(fleet, g, worker);
        ix_fleet_send_records(fleet, g, worker);
    }
    ix_fleet_told(fleet, worker);
}

/* Sends a group's spec to those of its workers that are ready; the others get it when they are. */
static void send_specs(struct ix_fleet *fleet, struct group *g)
{
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        if (bit_get(g->on, i))
            ix_fleet_send_spec(fleet, g, i);
}

static uint64_t start_instant(struct ix_fleet *fleet, const struct group *g)
{
    const struct ix_workers *workers = fleet->config.workers;
    uint64_t lead = LEAD_NS, queued = 0;
    for (uint32_t i = 0; i < ix_workers_count(workers); i++) {
        if (bit_get(g->on, i) && !ix_workers_is_ready(workers, i))
            lead = LEAD_NEW_NS;
        queued += ix_workers_is_queued(workers, i); /* those of other groups are started before or between */
    }
    if (lead == LEAD_NEW_NS)
        lead += queued * LEAD_QUEUED_NS;
    return ix_clock_whole_ms(ix_loop_update(fleet->config.loop) + lead);
}

/* ---- operations by record ---- */

static struct group *need_group(const struct ix_fleet *fleet, const char *id, struct ix_error *err)
{
    struct group *g = ix_fleet_find(fleet, id);
    if (!g)
        ix_fail(err, -ENOENT, "there is no group \"%s\"", id);
    return g;
}

static struct group *need_placed(struct ix_fleet *fleet, const char *id, struct ix_error *err)
{
    struct group *g = need_group(fleet, id, err);
    if (!g)
        return NULL;
    bool fresh = !g->placed;
    if (ix_fleet_place(fleet, g, err) < 0)
        return NULL;
    if (fresh)
        send_specs(fleet, g);
    return g;
}

/* Texts of the record are borrowed from the caller; only its head is made here. */
static struct ix_record record_of(const struct group *g, enum ix_record_kind kind, char *subkey)
{
    return (struct ix_record){.group = g->id, .subkey = subkey, .kind = kind};
}

static void answer_later(struct ix_fleet *fleet, struct request *r, uint64_t ticket, json_t *result)
{
    r->ticket = ticket;
    r->result = result;
    ix_fleet_request_settle(fleet, r);
}

int ix_fleet_launch(struct ix_fleet *fleet, const char *group, const struct ix_strategy_spec *strategy,
                    uint64_t ticket, struct ix_error *err)
{
    struct group *g = need_group(fleet, group, err);
    if (g && ix_fleet_assume(fleet, g)) {
        answer_later(fleet, ix_fleet_request(fleet, REQUEST_RECORD, 0, 0), ticket,
                     json_pack("{s:I}", "devices", (json_int_t)g->count));
        return 0;
    }
    g = need_placed(fleet, group, err);
    if (!g)
        return err->code;
    struct ix_totals now;
    ix_fleet_counts(fleet, group, &now);
    int64_t idle = now.by_status[IX_D_CREATED] + now.by_status[IX_D_STOPPED] + now.by_status[IX_D_ERROR] +
                   now.by_status[IX_D_DROPPED];
    struct ix_record record = record_of(g, IX_RECORD_LAUNCH, "");
    record.launch.start_ns = start_instant(fleet, g);
    record.launch.strategy = *strategy;
    struct request *r = ix_fleet_publish_record(fleet, g, &record);
    answer_later(fleet, r, ticket, json_pack("{s:I}", "devices", (json_int_t)idle));
    return 0;
}

int ix_fleet_stop(struct ix_fleet *fleet, const char *group, uint64_t drain_ns, uint64_t ticket,
                  struct ix_error *err)
{
    struct group *g = need_group(fleet, group, err);
    if (!g)
        return err->code;
    struct ix_totals now;
    ix_fleet_counts(fleet, group, &now);
    int64_t alive = (int64_t)ix_fleet_alive(g) - now.by_status[IX_D_CREATED] - now.by_status[IX_D_STOPPED];
    g->runs = false;
    struct ix_record record = record_of(g, IX_RECORD_STOP, "");
    record.stop.at_ns = ix_loop_update(fleet->config.loop);
    record.stop.drain_ns = drain_ns;
    struct request *r = ix_fleet_publish_record(fleet, g, &record);
    answer_later(fleet, r, ticket, json_pack("{s:I}", "devices", (json_int_t)alive));
    return 0;
}

int ix_fleet_stop_again(struct ix_fleet *fleet, const char *group, struct ix_error *err)
{
    return need_placed(fleet, group, err) ? ix_fleet_stop(fleet, group, 0, 0, err) : err->code;
}

static int need_index(const struct group *g, uint64_t index, struct ix_error *err)
{
    if (index < g->count)
        return 0;
    return ix_fail(err, -ENOENT, "group \"%s\" has devices 0 to %llu, not %llu", g->id,
                   (unsigned long long)g->count - 1, (unsigned long long)index);
}

int ix_fleet_set(struct ix_fleet *fleet, const char *group, int64_t index, const char *attribute,
                 const char *changes, uint64_t ticket, struct ix_error *err)
{
    struct group *g = need_placed(fleet, group, err);
    if (!g || (index >= 0 && need_index(g, (uint64_t)index, err) < 0))
        return err->code;
    char index_text[24] = "";
    if (index >= 0)
        snprintf(index_text, sizeof index_text, "%lld", (long long)index);
    char *subkey = ix_asprintf("%s/%s", attribute, index_text);
    struct ix_record record = record_of(g, IX_RECORD_SET, subkey);
    record.set.attribute = (char *)attribute;
    record.set.index = index;
    record.set.changes = (char *)changes;
    answer_later(fleet, ix_fleet_publish_record(fleet, g, &record), ticket, json_object());
    free(subkey);
    return 0;
}

int ix_fleet_device_order(struct ix_fleet *fleet, const char *group, uint64_t index, bool start,
                          uint64_t ticket, struct ix_error *err)
{
    struct group *g = need_placed(fleet, group, err);
    if (!g || need_index(g, index, err) < 0)
        return err->code;
    char subkey[24];
    snprintf(subkey, sizeof subkey, "%llu", (unsigned long long)index);
    struct ix_record record = record_of(g, IX_RECORD_DEVICE, subkey);
    record.device.index = index;
    record.device.start = start;
    record.device.at_ns = start ? start_instant(fleet, g) : ix_loop_update(fleet->config.loop);
    answer_later(fleet, ix_fleet_publish_record(fleet, g, &record), ticket, json_object());
    return 0;
}

/* ---- counters ---- */

/* Of observers, too: what they saw of a group counts for it. */
static size_t all_segments(struct ix_fleet *fleet, const struct ix_segment **out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        out[n++] = ix_workers_segment(fleet->config.workers, i);
    return n;
}

void ix_fleet_snapshot(struct ix_fleet *fleet, struct ix_snapshot *snapshot)
{
    const struct ix_segment *segments[IX_WORKERS_MAX];
    size_t n = all_segments(fleet, segments);
    struct ix_group_facts *facts = ix_calloc(fleet->group_count + 1, sizeof *facts);
    size_t groups = 0;
    for (const struct group *g = fleet->groups; g; g = g->next)
        facts[groups++] = (struct ix_group_facts){.id = g->id, .tags = g->tags, .count = ix_fleet_alive(g)};
    ix_snapshot_take(snapshot, segments, n, facts, groups, ix_loop_update(fleet->config.loop));
    free(facts);
}

/* Looked for once: a group keeps its place in a segment. */
static const struct ix_group_metrics *metrics_of(const struct ix_fleet *fleet, const struct group *g,
                                                 uint32_t worker)
{
    const struct ix_group_metrics **known = &((struct group *)g)->metrics[worker];
    if (!*known || strcmp((*known)->group, g->id) != 0)
        *known = ix_segment_find_group(fleet->segments[worker], g->id);
    return *known;
}

static void add_counts(const struct ix_fleet *fleet, const struct group *g, struct ix_totals *totals)
{
    int64_t known = 0;
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++) {
        const struct ix_group_metrics *m =
            fleet->segments[i] && bit_get(g->on, i) ? metrics_of(fleet, g, i) : NULL;
        if (!m)
            continue;
        for (int c = 0; c < IX_C_COUNT; c++)
            totals->counters[c] += m->counters[c];
        for (int s = 0; s < IX_D_STATUS_COUNT; s++) {
            totals->by_status[s] += m->by_status[s];
            known += m->by_status[s];
        }
        totals->connected += m->connected;
    }
    int64_t alive = (int64_t)ix_fleet_alive(g);
    if (g->runs) {
        known = alive;
        totals->by_status[IX_D_RUNNING] += known;
        totals->connected += known;
    }
    totals->count += (uint64_t)alive;
    if (alive > known)
        totals->by_status[IX_D_CREATED] += alive - known;
}

void ix_fleet_counts(struct ix_fleet *fleet, const char *group, struct ix_totals *totals)
{
    memset(totals, 0, offsetof(struct ix_totals, trends));
    const struct group *only = group ? ix_fleet_find(fleet, group) : NULL;
    if (only)
        add_counts(fleet, only, totals);
    for (const struct group *g = group ? NULL : fleet->groups; g; g = g->next)
        add_counts(fleet, g, totals);
}

int ix_fleet_device_status(struct ix_fleet *fleet, const char *group, uint64_t index,
                           enum ix_device_status *status, struct ix_error *err)
{
    const struct group *g = ix_fleet_find(fleet, group);
    if (!g)
        return ix_fail(err, -ENOENT, "there is no group \"%s\"", group);
    if (need_index(g, index, err) < 0)
        return err->code;
    const struct ix_device_row *row = ix_fleet_row(fleet, group, index, NULL);
    *status = row ? (enum ix_device_status)row->status : IX_D_CREATED;
    return 0;
}

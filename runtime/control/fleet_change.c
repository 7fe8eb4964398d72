/* Groups that change while they live: devices that are added and deleted, groups that are removed; and where the
 * rows of devices are. */
#include "control/fleet_internal.h"

#include "base/units.h"
#include "device/place.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORD_MAX (64u << 20)
#define NO_ROW     UINT32_MAX
/* A row that should be there and is not: its worker has not applied the spec yet. */
#define LOOK_AGAIN_NS (50 * IX_MS)

static struct group *need_group(const struct ix_fleet *fleet, const char *id, struct ix_error *err)
{
    struct group *g = ix_fleet_find(fleet, id);
    if (!g)
        ix_fail(err, -ENOENT, "there is no group \"%s\"", id);
    return g;
}

/* ---- growth and holes ---- */

/* Tells the group's workers that its spec has changed; they add what is new. */
static struct request *publish_spec(struct ix_fleet *fleet, struct group *g)
{
    g->spec.sequence = ++fleet->sequence;
    struct request *r = ix_fleet_request(fleet, REQUEST_RECORD, g->spec.sequence, 0);
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++) {
        if (!bit_get(g->on, i))
            continue;
        ix_fleet_request_expect(r, i);
        ix_fleet_send_spec(fleet, g, i);
    }
    return r;
}

static void answer_later(struct ix_fleet *fleet, struct request *r, uint64_t ticket)
{
    r->ticket = ticket;
    r->result = json_object();
    ix_fleet_request_settle(fleet, r);
}

int ix_fleet_grow(struct ix_fleet *fleet, const char *group, uint64_t added, const char *names,
                  uint64_t ticket, struct ix_error *err)
{
    struct group *g = need_group(fleet, group, err);
    if (!g)
        return err->code;
    uint64_t before = g->count;
    g->count += added;
    g->spec.spec.count = g->count;
    int code = g->placed ? ix_fleet_place_more(fleet, g, before, err) : 0;
    if (code < 0) {
        g->count = g->spec.spec.count = before;
        return code;
    }
    if (before > g->spec.spec.names_base)
        ix_buf_char(&g->names, '\n');
    ix_buf_str(&g->names, names);
    ix_fleet_free_maps(g);
    struct request *r = g->placed ? publish_spec(fleet, g) : ix_fleet_request(fleet, REQUEST_RECORD, 0, 0);
    answer_later(fleet, r, ticket);
    return 0;
}

int ix_fleet_remove_device(struct ix_fleet *fleet, const char *group, uint64_t index, uint64_t ticket,
                           struct ix_error *err)
{
    struct group *g = need_group(fleet, group, err);
    if (!g)
        return err->code;
    g->gone = ix_realloc(g->gone, (g->gone_count + 1) * sizeof *g->gone);
    g->gone[g->gone_count++] = (uint32_t)index;
    char subkey[24];
    snprintf(subkey, sizeof subkey, "%llu", (unsigned long long)index);
    ix_fleet_forget_record(g, IX_RECORD_DEVICE, subkey);
    struct request *r = g->placed ? publish_spec(fleet, g) : ix_fleet_request(fleet, REQUEST_RECORD, 0, 0);
    answer_later(fleet, r, ticket);
    return 0;
}

/* ---- removal ---- */

static void pack_removal(const struct removed *gone, struct ix_buf *out)
{
    struct ix_record record = {
        .kind = IX_RECORD_SPEC, .group = gone->id, .subkey = "", .sequence = gone->sequence};
    record.spec.id_pattern = record.spec.model = record.spec.tags = "";
    ix_buf_init(out, RECORD_MAX);
    ix_record_pack(&record, out);
}

int ix_fleet_remove(struct ix_fleet *fleet, const char *group, uint64_t ticket, struct ix_error *err)
{
    struct group *g = need_group(fleet, group, err);
    if (!g)
        return err->code;
    struct removed *gone = ix_calloc(1, sizeof *gone);
    struct ix_buf out;
    gone->id = ix_strdup(g->id);
    gone->sequence = ++fleet->sequence;
    struct request *r = ix_fleet_request(fleet, REQUEST_RECORD, gone->sequence, 0);
    pack_removal(gone, &out);
    for (uint32_t i = 0; g->placed && i < ix_workers_count(fleet->config.workers); i++) {
        if (!bit_get(g->on, i))
            continue;
        bit_set(gone->waiting, i);
        if (ix_workers_send(fleet->config.workers, i, IX_DOWN_RECORD, &out) == 0)
            ix_fleet_request_expect(r, i);
    }
    ix_buf_deinit(&out);
    gone->next = fleet->removed;
    fleet->removed = gone;
    ix_fleet_dropouts_forget(fleet, g);
    ix_fleet_unplace(fleet, g);
    struct group **at = &fleet->groups;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    fleet->found = NULL;
    fleet->group_count--;
    ix_fleet_free_group(g);
    answer_later(fleet, r, ticket);
    return 0;
}

void ix_fleet_removal_applied(struct ix_fleet *fleet, uint32_t worker, uint64_t sequence)
{
    for (struct removed **at = &fleet->removed; *at; at = &(*at)->next) {
        struct removed *gone = *at;
        if (gone->sequence != sequence)
            continue;
        bit_clear(gone->waiting, worker);
        for (size_t i = 0; i < sizeof gone->waiting; i++)
            if (gone->waiting[i])
                return;
        *at = gone->next;
        free(gone->id);
        free(gone);
        return;
    }
}

void ix_fleet_repeat_removals(struct ix_fleet *fleet, uint32_t worker)
{
    for (const struct removed *gone = fleet->removed; gone; gone = gone->next) {
        struct ix_buf out;
        if (!bit_get(gone->waiting, worker))
            continue;
        pack_removal(gone, &out);
        ix_workers_send(fleet->config.workers, worker, IX_DOWN_RECORD, &out);
        ix_buf_deinit(&out);
    }
}

void ix_fleet_free_removed(struct ix_fleet *fleet)
{
    while (fleet->removed) {
        struct removed *gone = fleet->removed;
        fleet->removed = gone->next;
        free(gone->id);
        free(gone);
    }
}

/* ---- rows ---- */

/* Rows of one group in one worker. Those of a group that was placed at once lie one after the other. */
struct row_map {
    struct ix_place place;
    uint32_t first;     /* row of the first device; NO_ROW: not found yet */
    uint32_t *rows;     /* by position, where they do not lie in order; NULL: not needed so far */
    uint64_t looked_ns; /* when all were looked for */
};

void ix_fleet_free_maps(struct group *g)
{
    for (size_t i = 0; i < IX_WORKERS_MAX; i++) {
        if (g->maps[i])
            free(g->maps[i]->rows);
        free(g->maps[i]);
        g->maps[i] = NULL;
    }
}

static struct row_map *map_of(struct group *g, uint32_t worker)
{
    if (g->maps[worker])
        return g->maps[worker];
    struct row_map *map = ix_calloc(1, sizeof *map);
    uint8_t shards[IX_SHARDS / 8] = {0};
    for (uint32_t shard = 0; shard < IX_SHARDS; shard++)
        if (g->place[shard] == worker)
            bit_set(shards, shard);
    ix_place_init(&map->place, shards, g->key, g->count);
    map->first = NO_ROW;
    return g->maps[worker] = map;
}

static bool is_row_of(const struct ix_segment *segment, uint32_t row, const struct group *g, uint64_t index)
{
    return row < segment->rows_used && segment->rows[row].index == index &&
           segment->rows[row].group_key == g->key;
}

static void find_first(struct row_map *map, const struct ix_segment *segment, const struct group *g)
{
    uint64_t index = ix_place_index(&map->place, 0);
    for (uint32_t row = 0; row < segment->rows_used && map->first == NO_ROW; row++)
        if (is_row_of(segment, row, g, index))
            map->first = row;
}

static void find_all(struct row_map *map, const struct ix_segment *segment, const struct group *g)
{
    if (!map->rows)
        map->rows = ix_malloc((map->place.count + 1) * sizeof *map->rows);
    memset(map->rows, 0xff, (map->place.count + 1) * sizeof *map->rows);
    for (uint32_t row = 0; row < segment->rows_used; row++) {
        const struct ix_device_row *r = &segment->rows[row];
        if (r->group_key == g->key && r->index < g->count && ix_place_has(&map->place, r->index))
            map->rows[ix_place_position(&map->place, r->index)] = row;
    }
}

static uint32_t row_number(struct ix_fleet *fleet, struct row_map *map, const struct ix_segment *segment,
                           const struct group *g, uint64_t index)
{
    uint64_t position = ix_place_position(&map->place, index);
    if (map->first != NO_ROW && is_row_of(segment, map->first + (uint32_t)position, g, index))
        return map->first + (uint32_t)position;
    if (map->rows && is_row_of(segment, map->rows[position], g, index))
        return map->rows[position];
    uint64_t now = ix_clock_now(&fleet->config.loop->clock);
    if (map->rows && now - map->looked_ns < LOOK_AGAIN_NS)
        return NO_ROW;
    if (map->first == NO_ROW) {
        find_first(map, segment, g);
        if (map->first != NO_ROW && is_row_of(segment, map->first + (uint32_t)position, g, index))
            return map->first + (uint32_t)position;
    }
    map->looked_ns = now;
    find_all(map, segment, g);
    return is_row_of(segment, map->rows[position], g, index) ? map->rows[position] : NO_ROW;
}

const struct ix_device_row *ix_fleet_row(struct ix_fleet *fleet, const char *group, uint64_t index,
                                         const struct ix_segment **segment)
{
    struct group *g = ix_fleet_find(fleet, group);
    uint16_t worker = g && g->placed && index < g->count ? g->place[ix_shard_of(g->key, index)] : UNPLACED;
    const struct ix_segment *s = worker == UNPLACED ? NULL : fleet->segments[worker];
    if (!s)
        return NULL;
    uint32_t row = row_number(fleet, map_of(g, worker), s, g, index);
    if (segment)
        *segment = s;
    return row == NO_ROW ? NULL : &s->rows[row];
}

/* Where devices live: shards of groups on workers, as many workers as descriptors demand, and whether the host has room
 * for them. */
#include "control/fleet_internal.h"

#include "base/units.h"
#include "control/memory.h"
#include "metrics/ledger.h"

#include <math.h>

static uint64_t devices_in_shard(const struct group *g, uint32_t shard)
{
    uint64_t first = (shard + IX_SHARDS - g->key % IX_SHARDS) % IX_SHARDS; /* its lowest index */
    return first < g->count ? (g->count - first - 1) / IX_SHARDS + 1 : 0;
}

static int start_worker(struct ix_fleet *fleet, struct ix_error *err)
{
    uint32_t worker;
    int code = ix_workers_start(fleet->config.workers, IX_WORKER_DEVICES, &worker, err);
    if (code == 0)
        fleet->segments[worker] = ix_workers_segment(fleet->config.workers, worker);
    return code;
}

static uint64_t devices_placed(const struct ix_fleet *fleet)
{
    uint64_t placed = 0;
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        placed += fleet->placed[i];
    return placed;
}

/* Each worker opens connections at its devices' share of the run's rate; with equal shares, one after the other.
 * A worker without devices has no share. */
void ix_fleet_send_pace(struct ix_fleet *fleet, uint32_t worker)
{
    double all = (double)devices_placed(fleet), own = (double)fleet->placed[worker], before = 0;
    if ((fleet->config.connect_rate <= 0 && !fleet->config.connect_window) || own <= 0)
        return;
    for (uint32_t i = 0; i < worker; i++)
        before += (double)fleet->placed[i];
    double rate = fleet->config.connect_rate, interval = rate > 0 ? (double)IX_S / rate * all / own : 0;
    double window = ceil((double)fleet->config.connect_window * own / all);
    struct ix_buf out;
    ix_buf_init(&out, 64);
    ix_pack_f64(&out, interval);
    ix_pack_f64(&out, interval * before / all);
    ix_pack_u32(&out, window < UINT32_MAX ? (uint32_t)window : UINT32_MAX);
    ix_workers_send(fleet->config.workers, worker, IX_DOWN_PACE, &out);
    ix_buf_deinit(&out);
}

static void set_pace(struct ix_fleet *fleet)
{
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        ix_fleet_send_pace(fleet, i);
}

/* The demand with `devices` more of a group; says before anything is started whether the host has room for it. */
static int check_room(struct ix_fleet *fleet, const struct group *g, uint64_t devices,
                      struct ix_demand *demand, struct ix_error *err)
{
    if (!fleet->host.files)
        ix_limits_read(&fleet->host);
    *demand = fleet->demand;
    demand->devices += devices;
    demand->workers = fleet->config.base_workers;
    demand->broker_end += g->broker_is_here ? devices : 0;
    demand->memory_iotix += devices * g->device_memory.iotix;
    demand->memory_kernel += devices * g->device_memory.kernel;
    demand->memory_broker += devices * g->device_memory.broker;
    demand->embedded = demand->embedded || g->broker_is_embedded;
    if (fleet->config.dry)
        return 0;
    int code = ix_limits_require(&fleet->host, demand, err);
    if (code == 0)
        ix_limits_warn(&fleet->host, demand, &fleet->warned);
    return code;
}

size_t ix_fleet_shortages(const struct ix_fleet *fleet, struct ix_shortage out[IX_SHORT_COUNT])
{
    return fleet->host.files ? ix_limits_felt(&fleet->host, &fleet->demand, out) : 0;
}

/* Devices of one worker. A dry run goes on where this host's limit does not suffice, and says so in the end. */
static uint64_t capacity_of(const struct ix_fleet *fleet, uint64_t devices)
{
    bool enough = ix_limits_workers(&fleet->host, devices_placed(fleet) + devices, 1) > 0;
    return enough || !fleet->config.dry ? ix_workers_capacity() : IX_SEGMENT_ROWS;
}

/* What a dry run keeps of a device, and of how much memory it may use. */
#define DRY_BYTES   450
#define DRY_SHARE   2
#define DRY_DEVICES 2500000

bool ix_fleet_assume(struct ix_fleet *fleet, struct group *g)
{
    uint64_t devices = devices_placed(fleet) + g->count;
    if (!fleet->config.dry || g->placed ||
        (devices <= DRY_DEVICES && devices * DRY_BYTES < ix_memory_available() / DRY_SHARE))
        return false;
    g->assumed = g->runs = true;
    return true;
}

/* The device workers so far, in order; starts the first ones, and as many more as `devices` more demand. */
static int gather_workers(struct ix_fleet *fleet, uint64_t devices, uint64_t capacity, uint32_t *ids,
                          uint32_t *count, struct ix_error *err)
{
    int code = 0;
    while (code == 0) {
        uint64_t room = 0;
        *count = 0;
        for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++) {
            if (ix_workers_role(fleet->config.workers, i) != IX_WORKER_DEVICES)
                continue;
            ids[(*count)++] = i;
            room += capacity > fleet->placed[i] ? capacity - fleet->placed[i] : 0;
        }
        if (*count >= fleet->config.base_workers && room >= devices)
            return 0;
        code = start_worker(fleet, err);
    }
    return code;
}

int ix_fleet_place(struct ix_fleet *fleet, struct group *g, struct ix_error *err)
{
    if (g->placed)
        return 0;
    uint32_t ids[IX_WORKERS_MAX], count = 0;
    struct ix_demand demand;
    if (check_room(fleet, g, g->count, &demand, err) < 0)
        return err->code;
    /* A shard goes to one worker whole: leave each worker room for one more shard of this group. */
    uint64_t capacity = capacity_of(fleet, g->count);
    uint64_t slack =
        capacity && g->count > IX_SHARDS ? (g->count / IX_SHARDS + 1) * (g->count / capacity + 1) : 0;
    int code = gather_workers(fleet, g->count + slack, capacity, ids, &count, err);
    if (code < 0)
        return code;
    uint32_t at = 0;
    for (uint64_t first = 0; first < g->count && first < IX_SHARDS; first++) {
        uint32_t shard = ix_shard_of(g->key, first);
        uint64_t devices = devices_in_shard(g, shard);
        uint32_t tries = 0;
        while (fleet->placed[ids[at]] + devices > capacity && tries++ < count)
            at = (at + 1) % count;
        g->place[shard] = (uint16_t)ids[at];
        bit_set(g->on, ids[at]);
        fleet->placed[ids[at]] += devices;
        at = (at + 1) % count;
    }
    ix_ledger_group(ix_workers_ledger(fleet->config.workers), g->id, true);
    g->placed = true;
    fleet->demand = demand;
    set_pace(fleet);
    g->spec.sequence = ++fleet->sequence;
    struct request *r = ix_fleet_request(fleet, REQUEST_RECORD, g->spec.sequence, 0);
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        if (bit_get(g->on, i))
            ix_fleet_request_expect(r, i);
    return 0;
}

/* A worker for a shard that has none: the one with most room. */
static uint16_t roomiest(const struct ix_fleet *fleet, const uint32_t *ids, uint32_t count)
{
    uint32_t best = ids[0];
    for (uint32_t i = 1; i < count; i++)
        if (fleet->placed[ids[i]] < fleet->placed[best])
            best = ids[i];
    return (uint16_t)best;
}

int ix_fleet_place_more(struct ix_fleet *fleet, struct group *g, uint64_t first, struct ix_error *err)
{
    uint32_t ids[IX_WORKERS_MAX], count = 0;
    uint64_t added = g->count - first, capacity = capacity_of(fleet, added);
    struct ix_demand demand;
    if (check_room(fleet, g, added, &demand, err) < 0 ||
        gather_workers(fleet, added, capacity, ids, &count, err) < 0)
        return err->code;
    for (uint64_t index = first; index < g->count; index++) {
        uint16_t *place = &g->place[ix_shard_of(g->key, index)];
        if (*place == UNPLACED) {
            *place = roomiest(fleet, ids, count);
            bit_set(g->on, *place);
        }
        if (fleet->placed[*place]++ < capacity)
            continue;
        uint16_t full = *place;
        for (; index + 1 > first; index--)
            fleet->placed[g->place[ix_shard_of(g->key, index)]]--;
        return ix_fail(err, -ENOSPC, "group \"%s\" can't grow: its worker %u is full", g->id, full);
    }
    fleet->demand = demand;
    set_pace(fleet);
    return 0;
}

void ix_fleet_unplace(struct ix_fleet *fleet, struct group *g)
{
    for (uint32_t shard = 0; shard < IX_SHARDS && g->placed; shard++)
        if (g->place[shard] != UNPLACED)
            fleet->placed[g->place[shard]] -= devices_in_shard(g, shard);
    struct ix_demand *demand = &fleet->demand;
    uint64_t devices = g->placed ? g->count : 0;
    demand->devices -= devices;
    demand->broker_end -= g->broker_is_here ? devices : 0;
    demand->memory_iotix -= devices * g->device_memory.iotix;
    demand->memory_kernel -= devices * g->device_memory.kernel;
    demand->memory_broker -= devices * g->device_memory.broker;
    if (demand->devices == 0)
        fleet->host.files = 0, fleet->warned = 0, demand->embedded = false; /* all is looked at anew */
    g->placed = false;
    set_pace(fleet);
}

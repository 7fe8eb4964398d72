/* Where devices live: shards of groups on workers, as many workers as descriptors demand, and whether the host has room
 * for them. */
#include "control/fleet_internal.h"

#include "base/units.h"
#include "control/memory.h"
#include "loop/child.h"
#include "metrics/ledger.h"

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
    if (fleet->config.connect_rate <= 0 || own <= 0)
        return;
    for (uint32_t i = 0; i < worker; i++)
        before += (double)fleet->placed[i];
    double interval = (double)IX_S / fleet->config.connect_rate * all / own;
    struct ix_buf out;
    ix_buf_init(&out, 64);
    ix_pack_f64(&out, interval);
    ix_pack_f64(&out, interval * before / all);
    ix_workers_send(fleet->config.workers, worker, IX_DOWN_PACE, &out);
    ix_buf_deinit(&out);
}

static void set_pace(struct ix_fleet *fleet)
{
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        ix_fleet_send_pace(fleet, i);
}

/* What the controller itself holds open: two descriptors a worker, and its own. */
#define OWN_DESCRIPTORS 24

/* Says before anything is started whether the descriptor limit allows it. */
static int check_limits(struct ix_fleet *fleet, uint64_t devices, uint64_t capacity, struct ix_error *err)
{
    uint64_t limit = ix_raise_descriptor_limit(), placed = devices_placed(fleet);
    uint64_t workers = capacity ? (placed + devices + capacity - 1) / capacity : UINT64_MAX / 4;
    if (workers <= IX_WORKERS_MAX && 2 * workers + OWN_DESCRIPTORS <= limit)
        return 0;
    return ix_fail(
        err, -EMFILE,
        "%llu devices are too many for a limit of %llu open descriptors a process: a worker holds %llu "
        "devices then. Raise the hard limit (ulimit -Hn, LimitNOFILE=, /etc/security/limits.conf)",
        (unsigned long long)(placed + devices), (unsigned long long)limit, (unsigned long long)capacity);
}

/* The device workers so far, in order; starts the first ones, and as many more as `devices` more demand. */
static int gather_workers(struct ix_fleet *fleet, uint64_t devices, uint32_t *ids, uint32_t *count,
                          struct ix_error *err)
{
    uint64_t capacity = ix_workers_capacity();
    int code = check_limits(fleet, devices, capacity, err);
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
    uint64_t planned = fleet->memory_planned + g->count * g->device_bytes;
    if (!fleet->memory)
        fleet->memory = ix_memory_available();
    if (ix_memory_check(devices_placed(fleet) + g->count, planned, fleet->memory, err) < 0)
        return err->code;
    /* A shard goes to one worker whole: leave each worker room for one more shard of this group. */
    uint64_t capacity = ix_workers_capacity();
    uint64_t slack =
        capacity && g->count > IX_SHARDS ? (g->count / IX_SHARDS + 1) * (g->count / capacity + 1) : 0;
    int code = gather_workers(fleet, g->count + slack, ids, &count, err);
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
    fleet->memory_planned = planned;
    set_pace(fleet);
    g->spec.sequence = ++fleet->sequence;
    struct request *r = ix_fleet_request(fleet, REQUEST_RECORD, g->spec.sequence, 0);
    for (uint32_t i = 0; i < ix_workers_count(fleet->config.workers); i++)
        if (bit_get(g->on, i))
            ix_fleet_request_expect(r, i);
    return 0;
}

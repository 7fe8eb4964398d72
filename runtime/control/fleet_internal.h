/* Shared by fleet.c (groups, orders), fleet_records.c (their current records), fleet_place.c (placement), fleet_requests.c (what waits for workers) and
 * fleet_dropouts.c. */
#ifndef IX_CONTROL_FLEET_INTERNAL_H
#define IX_CONTROL_FLEET_INTERNAL_H

#include "control/fleet.h"
#include "control/limits.h"

#define UNPLACED 0xffff
/* Between the making of a launch or dropout and its first instant: time for the record to arrive, for workers that
 * only just start, and more for each process that has to wait for others before it starts. */
#define LEAD_NS        (5 * IX_MS)
#define LEAD_NEW_NS    (150 * IX_MS)
#define LEAD_QUEUED_NS (20 * IX_MS)

struct stored {                   /* one current record, packed; specs are packed per worker instead */
    struct stored *next, *before; /* by sequence */
    struct stored *chain;         /* of its bucket */
    uint64_t hash;                /* of kind and subkey */
    uint64_t index;               /* device records: whose */
    enum ix_record_kind kind;
    char *subkey;
    uint64_t sequence;
    struct ix_buf packed;
};

struct group {
    struct group *next;
    char *id;
    uint64_t key; /* hash of the id */
    uint64_t count;
    char *model_id;
    char *tags;
    uint64_t model_hash;
    struct ix_record spec; /* shards are filled in per worker */
    struct ix_id_pattern pattern;
    struct ix_memory_parts device_memory;
    bool broker_is_here, broker_is_embedded;
    bool placed;
    bool assumed;                   /* dry: too large to be placed, … */
    bool runs;                      /* … and all of them run and are connected, until a stop */
    uint16_t place[IX_SHARDS];      /* worker of each shard */
    uint8_t on[IX_WORKERS_MAX / 8]; /* workers that hold devices of it */
    char *broken;                   /* why a worker refused the spec; NULL: none did */
    struct stored *records, *last;  /* by sequence */
    struct stored **buckets;        /* the same by kind and subkey; a power of two of them, NULL: none yet */
    size_t bucket_count, record_count;
    bool is_hidden;
    const struct ix_group_metrics *metrics[IX_WORKERS_MAX]; /* of it in each worker, once they were found */
    struct row_map *maps[IX_WORKERS_MAX]; /* where the rows of its devices are; made when first asked for */
    struct ix_buf names;                  /* of devices from spec.names_base on, one a line */
    uint32_t *gone;                       /* sorted by time of deletion */
    size_t gone_count;
};

/* A removed group, until all its workers have freed what they hold of it: a successor is told again. */
struct removed {
    struct removed *next;
    char *id;
    uint64_t sequence;
    uint8_t waiting[IX_WORKERS_MAX / 8];
};

enum request_kind { REQUEST_RECORD, REQUEST_ELIGIBLE, REQUEST_EACH, REQUEST_DEVICE };

struct request {
    struct request *next;
    uint64_t ticket; /* of the caller; 0: nobody waits */
    uint64_t key;    /* a record's sequence, or the ticket that workers answer with */
    enum request_kind kind;
    uint8_t waiting[IX_WORKERS_MAX / 8]; /* workers that still owe an answer */
    uint32_t waiting_count;
    int code;
    char *message;            /* of the first failure */
    json_t *result;           /* answered when done */
    uint64_t devices, errors; /* each */
    struct dropout *dropout;  /* eligible */
    struct ix_bitmap eligible;
    /* A record of a group of which some workers' processes are still to be started: the first that applied it answers
     * for all, since all are told the same. What another one says later is the run's, not the caller's. */
    bool first_answers;
    bool is_answered;
    /* Calls: what workers that are not ready for the first time yet will be asked when they are. */
    uint8_t held[IX_WORKERS_MAX / 8];
    uint8_t type;
    struct ix_buf payload;
};

/* What is kept of a dropout that is over: the last figures; its histogram without empty ends. */
struct dropout_end {
    uint64_t chosen, dropped, already_gone, back, ended, cancelled;
    uint64_t count, sum, min, max;
    size_t first, bucket_count;
    uint64_t *buckets;
};

struct dropout {
    struct dropout *next;
    struct ix_dropout_facts facts;
    char *strategy;
    struct group *group;
    struct ix_record record; /* complete once chosen */
    int64_t count;
    double percentage;
    bool live; /* the record was made */
    struct dropout_end over;
};

struct ix_fleet {
    struct ix_fleet_config config;
    struct group *groups;
    struct group *found; /* the one that was asked for last */
    size_t group_count;
    uint64_t sequence;
    uint64_t last_ticket;            /* of requests to workers */
    uint64_t placed[IX_WORKERS_MAX]; /* devices on each worker */
    struct ix_limits_of_host host;   /* before the first group was placed */
    unsigned warned;                 /* of shortages, by kind */
    struct ix_demand demand;         /* of the devices that were placed */
    struct request *requests;
    struct removed *removed;
    struct dropout *dropouts; /* in order */
    uint64_t last_dropout;
    const struct ix_segment *segments[IX_WORKERS_MAX];
    /* drain */
    uint8_t draining[IX_WORKERS_MAX / 8];
    uint32_t draining_count;
    void (*drained)(void *context);
    void *drained_context;
    struct ix_wheel_entry drain_timeout;
};

struct group *ix_fleet_find(const struct ix_fleet *fleet, const char *id);
/* Places every shard of a group that has none, starting workers as needed, and sends its spec. */
int ix_fleet_place(struct ix_fleet *fleet, struct group *g, struct ix_error *err);
/* Dry: true for a group that is too large to be followed; from then on it counts as connected. */
bool ix_fleet_assume(struct ix_fleet *fleet, struct group *g);
/* Finds workers for the devices from index `first` on, which are behind those that are placed. */
int ix_fleet_place_more(struct ix_fleet *fleet, struct group *g, uint64_t first, struct ix_error *err);
/* The group's devices leave their places. */
void ix_fleet_unplace(struct ix_fleet *fleet, struct group *g);
/* Tells a worker how fast it may connect; it forgets that with its process. */
void ix_fleet_send_pace(struct ix_fleet *fleet, uint32_t worker);
/* Makes a record current and sends it to the group's workers; the request then waits for their answers. */
struct request *ix_fleet_publish_record(struct ix_fleet *fleet, struct group *g, struct ix_record *record);
/* A successor of a worker is not told of it any more. O(1), as is making one current. */
void ix_fleet_forget_record(struct group *g, enum ix_record_kind kind, const char *subkey);
void ix_fleet_records_free(struct group *g);
void ix_fleet_send_records(struct ix_fleet *fleet, const struct group *g, uint32_t worker);
/* A worker got all current records: what waited for that. */
void ix_fleet_told(struct ix_fleet *fleet, uint32_t worker);
struct request *ix_fleet_request(struct ix_fleet *fleet, enum request_kind kind, uint64_t key,
                                 uint64_t ticket);
void ix_fleet_request_free(struct request *r);
void ix_fleet_request_expect(struct request *r, uint32_t worker);
/* Asks the group's workers with `type` and this payload and expects their answers. New ones are asked when they are
 * ready, unless these are eligible devices: they have none. One that is just being restarted is not asked. */
void ix_fleet_ask(struct ix_fleet *fleet, const struct group *g, struct request *r, uint8_t type,
                  const struct ix_buf *payload);
/* Asks one worker of a group, now or when it is ready for the first time. */
int ix_fleet_ask_worker(struct ix_fleet *fleet, struct request *r, uint32_t worker, uint8_t type,
                        const struct ix_buf *payload);
/* Takes note of one answer; finishes the request when it was the last. */
void ix_fleet_request_answer(struct ix_fleet *fleet, struct request *r, uint32_t worker, int code,
                             const char *message);
/* Finishes a request that nobody has to answer. */
void ix_fleet_request_settle(struct ix_fleet *fleet, struct request *r);

/* Devices placed, those that were deleted left out. */
static inline uint64_t ix_fleet_alive(const struct group *g)
{
    return g->count - g->gone_count;
}
void ix_fleet_free_group(struct group *g);
void ix_fleet_send_spec(struct ix_fleet *fleet, struct group *g, uint32_t worker);

/* fleet_change.c: growth, removal, rows */
void ix_fleet_free_maps(struct group *g);
void ix_fleet_free_removed(struct ix_fleet *fleet);
/* A worker that starts anew forgets the groups that were removed meanwhile. */
void ix_fleet_repeat_removals(struct ix_fleet *fleet, uint32_t worker);
void ix_fleet_removal_applied(struct ix_fleet *fleet, uint32_t worker, uint64_t sequence);

/* fleet_dropouts.c */
/* Those of a group that is removed. */
void ix_fleet_dropouts_forget(struct ix_fleet *fleet, const struct group *g);
void ix_fleet_dropouts_free(struct ix_fleet *fleet);
/* A dropout whose selection failed never was one. */
void ix_fleet_dropout_forget(struct ix_fleet *fleet, struct dropout *d);
/* Second step: the union of the eligible is known; who falls out is fixed and told to all workers. */
void ix_fleet_dropout_chosen(struct ix_fleet *fleet, struct request *r);

static inline bool bit_get(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}
static inline void bit_set(uint8_t *bits, uint32_t i)
{
    bits[i / 8] |= (uint8_t)(1u << (i % 8));
}
static inline void bit_clear(uint8_t *bits, uint32_t i)
{
    bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

#endif

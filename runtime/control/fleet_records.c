/* The current records of groups: what any worker can be told at any time, in the order in which they were made, and
 * found by kind and subkey in O(1), since single devices have orders of their own. */
#include "control/fleet_internal.h"

#include "base/random.h"

#include <stdlib.h>

#define RECORD_MAX    (64u << 20)
#define FIRST_BUCKETS 16

static uint64_t hash_of(enum ix_record_kind kind, const char *subkey)
{
    return ix_random_key(ix_hash64(subkey, strlen(subkey)), (uint64_t)kind);
}

/* Where the record of that key is linked, or would be. */
static struct stored **place_of(const struct group *g, uint64_t hash, enum ix_record_kind kind,
                                const char *subkey)
{
    struct stored **at = &g->buckets[hash & (g->bucket_count - 1)];
    while (*at && ((*at)->hash != hash || (*at)->kind != kind || strcmp((*at)->subkey, subkey) != 0))
        at = &(*at)->chain;
    return at;
}

static void grow(struct group *g)
{
    free(g->buckets);
    g->bucket_count = g->bucket_count ? 2 * g->bucket_count : FIRST_BUCKETS;
    g->buckets = ix_calloc(g->bucket_count, sizeof(struct stored *));
    for (struct stored *s = g->records; s; s = s->next) {
        struct stored **bucket = &g->buckets[s->hash & (g->bucket_count - 1)];
        s->chain = *bucket;
        *bucket = s;
    }
}

static void add(struct group *g, struct stored *s)
{
    if (g->record_count >= g->bucket_count)
        grow(g);
    struct stored **bucket = &g->buckets[s->hash & (g->bucket_count - 1)];
    s->chain = *bucket;
    *bucket = s;
    s->before = g->last;
    if (g->last)
        g->last->next = s;
    else
        g->records = s;
    g->last = s;
    g->record_count++;
}

static void stored_free(struct stored *s)
{
    ix_buf_deinit(&s->packed);
    free(s->subkey);
    free(s);
}

void ix_fleet_forget_record(struct group *g, enum ix_record_kind kind, const char *subkey)
{
    if (!g->bucket_count)
        return;
    struct stored **at = place_of(g, hash_of(kind, subkey), kind, subkey), *old = *at;
    if (!old)
        return;
    *at = old->chain;
    *(old->before ? &old->before->next : &g->records) = old->next;
    *(old->next ? &old->next->before : &g->last) = old->before;
    g->record_count--;
    stored_free(old);
}

void ix_fleet_records_free(struct group *g)
{
    while (g->records) {
        struct stored *next = g->records->next;
        stored_free(g->records);
        g->records = next;
    }
    free(g->buckets);
}

/* What was ordered for single devices, when their whole group is told anew. */
static void forget_orders(struct group *g)
{
    struct stored *next;
    for (struct stored *s = g->records; s; s = next) {
        next = s->next;
        if (s->kind == IX_RECORD_DEVICE)
            ix_fleet_forget_record(g, s->kind, s->subkey);
    }
}

/* An order for one device concerns the worker where it lives; everything else all workers of the group. */
static bool concerns(const struct group *g, const struct stored *s, uint32_t worker)
{
    if (s->kind == IX_RECORD_DEVICE)
        return g->place[ix_shard_of(g->key, s->index)] == worker;
    return bit_get(g->on, worker);
}

struct request *ix_fleet_publish_record(struct ix_fleet *fleet, struct group *g, struct ix_record *record)
{
    struct ix_workers *workers = fleet->config.workers;
    struct stored *s = ix_calloc(1, sizeof *s);
    record->sequence = ++fleet->sequence;
    if (record->kind == IX_RECORD_LAUNCH || record->kind == IX_RECORD_STOP)
        forget_orders(g);
    s->kind = record->kind;
    s->index = s->kind == IX_RECORD_DEVICE ? record->device.index : 0;
    s->subkey = ix_strdup(record->subkey);
    s->hash = hash_of(s->kind, s->subkey);
    s->sequence = record->sequence;
    ix_buf_init(&s->packed, RECORD_MAX);
    ix_record_pack(record, &s->packed);
    ix_fleet_forget_record(g, record->kind, record->subkey);
    add(g, s);
    struct request *r = ix_fleet_request(fleet, REQUEST_RECORD, record->sequence, 0);
    for (uint32_t i = 0; i < ix_workers_count(workers); i++) {
        if (!concerns(g, s, i))
            continue;
        r->first_answers = r->first_answers || (ix_workers_is_queued(workers, i) && bit_get(g->on, i) &&
                                                record->kind != IX_RECORD_DEVICE);
        ix_fleet_request_expect(r, i);
        ix_workers_send(workers, i, IX_DOWN_RECORD, &s->packed);
    }
    return r;
}

static bool is_current(const struct ix_fleet *fleet, uint64_t sequence)
{
    for (const struct group *g = fleet->groups; g; g = g->next) {
        if (g->spec.sequence == sequence)
            return true;
        for (const struct stored *s = g->records; s; s = s->next)
            if (s->sequence == sequence)
                return true;
    }
    return false;
}

/* A successor is told the current records only: whoever waits for an older one has waited long enough. */
static void answer_superseded(struct ix_fleet *fleet, uint32_t worker)
{
    struct request *r = fleet->requests;
    while (r) {
        if (r->kind == REQUEST_RECORD && bit_get(r->waiting, worker) && !is_current(fleet, r->key)) {
            ix_fleet_request_answer(fleet, r, worker, 0, "");
            r = fleet->requests; /* the list may have changed */
        } else {
            r = r->next;
        }
    }
}

void ix_fleet_send_records(struct ix_fleet *fleet, const struct group *g, uint32_t worker)
{
    for (const struct stored *s = g->records; s; s = s->next)
        if (concerns(g, s, worker))
            ix_workers_send(fleet->config.workers, worker, IX_DOWN_RECORD, &s->packed);
}

/* What was asked before a worker was ready for the first time. */
static void send_held(struct ix_fleet *fleet, uint32_t worker)
{
    struct request *r = fleet->requests;
    while (r) {
        if (!bit_get(r->held, worker)) {
            r = r->next;
            continue;
        }
        bit_clear(r->held, worker);
        int code = ix_workers_send(fleet->config.workers, worker, r->type, &r->payload);
        if (code < 0)
            ix_fleet_request_answer(fleet, r, worker, code,
                                    "its worker takes no more requests at the moment");
        r = fleet->requests; /* the list may have changed */
    }
}

void ix_fleet_told(struct ix_fleet *fleet, uint32_t worker)
{
    answer_superseded(fleet, worker);
    send_held(fleet, worker);
}

#include "control/workers_internal.h"

#include "base/random.h"
#include "base/units.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define OWN_DESCRIPTORS 64 /* of a worker: pipe, segment, epoll, libraries, mapped files */
#define WATCH_NS        IX_S
#define STARTS_A_CORE   2

/* Processes that may be started now: more at a time would only be ready later, all of them. */
static bool has_room_to_start(const struct ix_workers *pool)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN), starting = 0;
    for (uint32_t i = 0; i < pool->count; i++)
        starting += pool->items[i]->child && !pool->items[i]->ready;
    return starting < STARTS_A_CORE * (cores > 0 ? cores : 1);
}

static void on_starter(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_workers *pool = (struct ix_workers *)((char *)entry - offsetof(struct ix_workers, starter));
    struct ix_error err = {0};
    uint32_t i = 0;
    while (i < pool->count && !pool->items[i]->queued)
        i++;
    if (i == pool->count || pool->stopping || !has_room_to_start(pool))
        return;
    pool->items[i]->queued = false;
    if (ix_pool_spawn(pool->items[i], &err) < 0)
        pool->events.fatal(pool->context, i, err.code, err.text);
    else
        ix_wheel_add(pool->loop->wheel, &pool->starter, now_ns);
}

void ix_pool_check_stopped(struct ix_workers *pool)
{
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i]->child)
            return;
    ix_wheel_cancel(pool->loop->wheel, &pool->stop_timeout);
    if (pool->stopped)
        pool->stopped(pool->stopped_context);
    pool->stopped = NULL;
}

static void on_watch(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_workers *pool = (struct ix_workers *)((char *)entry - offsetof(struct ix_workers, watch));
    for (uint32_t i = 0; i < pool->count; i++)
        ix_pool_watch(pool->items[i]);
    ix_wheel_add(pool->loop->wheel, &pool->watch, now_ns + WATCH_NS);
}

static void on_stop_timeout(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_workers *pool =
        (struct ix_workers *)((char *)entry - offsetof(struct ix_workers, stop_timeout));
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i]->child)
            ix_child_kill(pool->items[i]->child, SIGKILL);
}

struct ix_workers *ix_workers_new(struct ix_loop *loop, const struct ix_hello *hello,
                                  const struct ix_workers_events *events, void *context)
{
    struct ix_workers *pool = ix_calloc(1, sizeof *pool);
    pool->loop = loop;
    pool->hello = *hello;
    pool->events = *events;
    pool->context = context;
    pool->ledger_fd = -1;
    pool->watch.fire = on_watch;
    pool->starter.fire = on_starter;
    pool->stop_timeout.fire = on_stop_timeout;
    ix_wheel_add(loop->wheel, &pool->watch, ix_loop_update(loop) + WATCH_NS);
    return pool;
}

void ix_workers_stay_local(struct ix_workers *pool)
{
    pool->stays_local = true;
    ix_wheel_cancel(pool->loop->wheel, &pool->watch);
}

void ix_workers_free(struct ix_workers *pool)
{
    if (!pool)
        return;
    pool->stopping = true;
    ix_wheel_cancel(pool->loop->wheel, &pool->watch);
    ix_wheel_cancel(pool->loop->wheel, &pool->starter);
    ix_wheel_cancel(pool->loop->wheel, &pool->stop_timeout);
    for (uint32_t i = 0; i < pool->count; i++) {
        struct ix_pool_worker *w = pool->items[i];
        ix_pool_forget_process(w);
        if (w->local)
            ix_local_free(w->local);
        ix_segment_unmap(w->segment);
        close(w->segment_fd);
        free(w);
    }
    ix_ledger_unmap(pool->ledger);
    if (pool->ledger_fd >= 0)
        close(pool->ledger_fd);
    free(pool);
}

/* Nothing but a few pages, until something is observed. */
static int open_ledger(struct ix_workers *pool, struct ix_error *err)
{
    if (pool->ledger)
        return 0;
    uint32_t tag = (uint32_t)ix_hash64(&pool->hello.run, sizeof pool->hello.run);
    pool->ledger_fd = ix_ledger_create(tag, err);
    if (pool->ledger_fd >= 0)
        pool->ledger = ix_ledger_map(pool->ledger_fd, true, err);
    return pool->ledger ? 0 : err->code;
}

struct ix_ledger *ix_workers_ledger(struct ix_workers *pool)
{
    return pool->ledger;
}

int ix_workers_start(struct ix_workers *pool, enum ix_worker_role role, uint32_t *worker,
                     struct ix_error *err)
{
    if (pool->count == IX_WORKERS_MAX)
        return ix_fail(err, -EMFILE, "%u worker processes are the limit", IX_WORKERS_MAX);
    if (open_ledger(pool, err) < 0)
        return err->code;
    struct ix_pool_worker *w = ix_calloc(1, sizeof *w);
    w->pool = pool;
    w->id = pool->count;
    w->role = role;
    w->segment_fd = ix_segment_create(w->id, err);
    if (w->segment_fd < 0) {
        free(w);
        return err->code;
    }
    w->segment = ix_segment_map(w->segment_fd, pool->stays_local, err);
    int code = w->segment ? 0 : err->code;
    w->queued = role == IX_WORKER_DEVICES && !pool->stays_local && !has_room_to_start(pool);
    if (code == 0 && !w->queued)
        code = ix_pool_spawn(w, err);
    if (code < 0) {
        ix_segment_unmap(w->segment);
        close(w->segment_fd);
        free(w);
        return code;
    }
    pool->items[pool->count++] = w;
    *worker = w->id;
    return 0;
}

int ix_workers_revive(struct ix_workers *pool, uint32_t worker, struct ix_error *err)
{
    struct ix_pool_worker *w = pool->items[worker];
    if (w->child || pool->stopping)
        return 0;
    w->fatal = w->hung = false;
    w->crash_count = 0;
    int code = ix_pool_spawn(w, err);
    pool->restarts += code == 0;
    return code;
}

uint32_t ix_workers_count(const struct ix_workers *pool)
{
    return pool->count;
}

enum ix_worker_role ix_workers_role(const struct ix_workers *pool, uint32_t worker)
{
    return pool->items[worker]->role;
}

bool ix_workers_is_ready(const struct ix_workers *pool, uint32_t worker)
{
    return pool->items[worker]->ready;
}

bool ix_workers_is_new(const struct ix_workers *pool, uint32_t worker)
{
    return !pool->items[worker]->greeted;
}

bool ix_workers_is_queued(const struct ix_workers *pool, uint32_t worker)
{
    return pool->items[worker]->queued;
}

int ix_workers_pid(const struct ix_workers *pool, uint32_t worker)
{
    return pool->items[worker]->child ? ix_child_pid(pool->items[worker]->child) : 0;
}

uint64_t ix_workers_restarts(const struct ix_workers *pool)
{
    return pool->restarts;
}

uint64_t ix_workers_dropped(const struct ix_workers *pool)
{
    uint64_t dropped = pool->dropped;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i]->pipe)
            dropped += ix_frame_dropped(pool->items[i]->pipe);
    return dropped;
}

uint64_t ix_workers_capacity(void)
{
    return ix_workers_capacity_at(ix_raise_descriptor_limit());
}

uint64_t ix_workers_capacity_at(uint64_t limit)
{
    uint64_t capacity = limit > OWN_DESCRIPTORS ? limit - OWN_DESCRIPTORS : 0;
    return capacity < IX_SEGMENT_ROWS ? capacity : IX_SEGMENT_ROWS;
}

const struct ix_segment *ix_workers_segment(const struct ix_workers *pool, uint32_t worker)
{
    return pool->items[worker]->segment;
}

int ix_workers_send(struct ix_workers *pool, uint32_t worker, uint8_t type, const struct ix_buf *payload)
{
    struct ix_pool_worker *w = pool->items[worker];
    if (!w->ready || (!w->pipe && !w->local))
        return -ENOTCONN;
    if (payload && payload->overflow)
        return -EMSGSIZE;
    if (w->local) {
        ix_local_send(w->local, type, payload ? payload->data : NULL, payload ? payload->len : 0);
        return 0;
    }
    return ix_frame_send(w->pipe, type, payload ? payload->data : NULL, payload ? payload->len : 0);
}

void ix_workers_stop(struct ix_workers *pool, uint64_t timeout_ns, void (*done)(void *context), void *context)
{
    pool->stopping = true;
    pool->stopped = done;
    pool->stopped_context = context;
    ix_wheel_cancel(pool->loop->wheel, &pool->watch);
    ix_wheel_cancel(pool->loop->wheel, &pool->starter);
    for (uint32_t i = 0; i < pool->count; i++) {
        struct ix_pool_worker *w = pool->items[i];
        if (w->child && (!w->pipe || ix_frame_send(w->pipe, IX_DOWN_EXIT, NULL, 0) < 0))
            ix_child_kill(w->child, SIGKILL);
    }
    ix_wheel_add(pool->loop->wheel, &pool->stop_timeout, ix_loop_update(pool->loop) + timeout_ns);
    ix_pool_check_stopped(pool);
}

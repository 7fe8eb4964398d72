/* The controller's worker processes: started, greeted, watched, restarted, stopped.
 *
 * A worker that dies is restarted on its predecessor's segment; a worker that hangs (its loop-turn counter
 * stands still while it used 5 s of its own CPU) is killed first and comes back with the JIT off, so that the
 * watchdog can name the line. Wall time alone never kills. */
#ifndef IX_CONTROL_WORKERS_H
#define IX_CONTROL_WORKERS_H

#include "loop/frame.h"
#include "worker/wire.h"

#define IX_WORKERS_MAX 1024

struct ix_workers;

struct ix_workers_events {
    /* The worker said HELLO and knows nothing: send it what it has to know. */
    void (*ready)(void *context, uint32_t worker);
    /* A frame from the worker (enum ix_wire_up, but HELLO, LOG and FATAL). */
    void (*frame)(void *context, uint32_t worker, uint8_t type, struct ix_reader *in);
    /* It died or was killed for hanging; a successor starts at once. Answers it owed will not come. */
    void (*lost)(void *context, uint32_t worker, const char *reason);
    /* It can't work at all, or died 5 times within 10 s (-ECHILD): the run has to end, unless ix_workers_revive
     * helps. */
    void (*fatal)(void *context, uint32_t worker, int code, const char *message);
};

/* `hello`: what every worker is told; borrowed texts must outlive the pool. */
struct ix_workers *ix_workers_new(struct ix_loop *loop, const struct ix_hello *hello,
                                  const struct ix_workers_events *events, void *context);
/* From here on workers are part of this process and their devices talk to nobody (control/workers_local.h); before the
 * first is started. */
void ix_workers_stay_local(struct ix_workers *pool);
/* Kills what still runs. */
void ix_workers_free(struct ix_workers *pool);

/* The ledger of all its workers, writable; NULL before the first one was started. */
struct ix_ledger *ix_workers_ledger(struct ix_workers *pool);

/* Starts one; *worker counts from 0. `ready` follows. Two processes a core are being started at a time: of more for
 * devices, the process follows when others are ready, and what then goes wrong is `fatal`. */
int ix_workers_start(struct ix_workers *pool, enum ix_worker_role role, uint32_t *worker,
                     struct ix_error *err);
/* Another try with one that was reported as fatal. 0 as well if it lives. */
int ix_workers_revive(struct ix_workers *pool, uint32_t worker, struct ix_error *err);
uint32_t ix_workers_count(const struct ix_workers *pool);
enum ix_worker_role ix_workers_role(const struct ix_workers *pool, uint32_t worker);
bool ix_workers_is_ready(const struct ix_workers *pool, uint32_t worker);
/* It has never been ready so far. */
bool ix_workers_is_new(const struct ix_workers *pool, uint32_t worker);
/* … and others have to be ready before its process is started. */
bool ix_workers_is_queued(const struct ix_workers *pool, uint32_t worker);
int ix_workers_pid(const struct ix_workers *pool, uint32_t worker);
uint64_t ix_workers_restarts(const struct ix_workers *pool);
/* Frames to workers that found their queue full. */
uint64_t ix_workers_dropped(const struct ix_workers *pool);
/* Devices that one worker can hold: its descriptor limit less what it needs itself. */
uint64_t ix_workers_capacity(void);
/* … with another limit. */
uint64_t ix_workers_capacity_at(uint64_t descriptor_limit);

/* Read-only; valid as long as the pool. */
const struct ix_segment *ix_workers_segment(const struct ix_workers *pool, uint32_t worker);

/* To a worker that is not ready: -ENOTCONN; `ready` will tell it everything. */
int ix_workers_send(struct ix_workers *pool, uint32_t worker, uint8_t type, const struct ix_buf *payload);

/* From here on ends are expected: no restarts. Sends EXIT to all; `done` when the last one is reaped; those
 * that take longer than `timeout_ns` are killed. */
void ix_workers_stop(struct ix_workers *pool, uint64_t timeout_ns, void (*done)(void *context),
                     void *context);

#endif

/* What the files of the pool share: workers.c is the pool, workers_process.c one worker's process: its start, what it
 * says, whether it hangs, and its death. */
#ifndef IX_CONTROL_WORKERS_INTERNAL_H
#define IX_CONTROL_WORKERS_INTERNAL_H

#include "control/workers.h"
#include "control/workers_local.h"
#include "loop/child.h"
#include "metrics/ledger.h"
#include "metrics/segment.h"

#define IX_POOL_CRASHES_MAX 5

struct ix_pool_worker {
    struct ix_workers *pool;
    uint32_t id;
    uint32_t epoch;
    enum ix_worker_role role;
    bool ready;
    bool greeted; /* was ready once */
    bool queued;  /* its process is still to be started */
    bool no_jit;
    bool hung; /* killed by us for hanging */
    bool fatal;
    int segment_fd;
    struct ix_segment *segment;
    struct ix_child *child; /* NULL while none runs */
    struct ix_pipe *pipe;
    struct ix_local *local; /* instead of a process */
    uint64_t turns;         /* at the last watch … */
    uint64_t still_cpu_ns;  /* … and the CPU used when they last moved, and watches since */
    uint64_t still_watches;
    uint64_t crashes[IX_POOL_CRASHES_MAX]; /* instants of the last ones */
    size_t crash_count;
};

struct ix_workers {
    struct ix_loop *loop;
    struct ix_hello hello;
    struct ix_workers_events events;
    void *context;
    struct ix_pool_worker *items[IX_WORKERS_MAX];
    uint32_t count;
    uint64_t restarts;
    uint64_t dropped; /* frames, in pipes that are closed */
    struct ix_wheel_entry watch;
    int ledger_fd; /* -1: not yet */
    struct ix_ledger *ledger;
    struct ix_wheel_entry starter; /* starts what is queued, a process a turn */
    bool stays_local;
    bool stopping;
    struct ix_wheel_entry stop_timeout;
    void (*stopped)(void *context);
    void *stopped_context;
};

/* Starts the process (or what stands for one) and greets it; the next epoch begins. */
int ix_pool_spawn(struct ix_pool_worker *w, struct ix_error *err);
/* Of a process that ended or is to be left to itself: pipe and child are gone. */
void ix_pool_forget_process(struct ix_pool_worker *w);
/* Kills a worker whose loop stands still although it works, or waits for something that never comes. One that is stopped
 * or gets no CPU is left alone. To be called every second. */
void ix_pool_watch(struct ix_pool_worker *w);
/* A process less: tells whoever waits for the pool's stop when it was the last one. */
void ix_pool_check_stopped(struct ix_workers *pool);

#endif

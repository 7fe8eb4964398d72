#include "control/workers.h"

#include "base/log.h"
#include "base/random.h"
#include "base/units.h"
#include "control/workers_local.h"
#include "loop/child.h"
#include "metrics/ledger.h"
#include "metrics/segment.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_LIMIT       (256u << 20)
#define OWN_DESCRIPTORS   64 /* of a worker: pipe, segment, epoll, libraries, mapped files */
#define WATCH_NS          IX_S
#define STARTS_A_CORE     2
#define HUNG_CPU_NS       (5 * IX_S)
#define HUNG_WATCHES      60 /* in which our own loop turned and the worker's did not */
#define CRASHES_MAX       5
#define CRASHES_WITHIN_NS (10 * IX_S)

struct worker {
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
    uint64_t crashes[CRASHES_MAX]; /* instants of the last ones */
    size_t crash_count;
};

struct ix_workers {
    struct ix_loop *loop;
    struct ix_hello hello;
    struct ix_workers_events events;
    void *context;
    struct worker *items[IX_WORKERS_MAX];
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

static int spawn(struct worker *w, struct ix_error *err);

/* CPU time of a process in ns and its state letter, from /proc/PID/stat; 0 and '?' if it can't be read. */
static uint64_t process_cpu_ns(int pid, char *state)
{
    *state = '?';
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *after = strrchr(text, ')'); /* the name may contain anything */
    unsigned long long user, system;
    if (!after || sscanf(after + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", state, &user,
                         &system) != 3)
        return 0;
    return (user + system) * (IX_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

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
    if (spawn(pool->items[i], &err) < 0)
        pool->events.fatal(pool->context, i, err.code, err.text);
    else
        ix_wheel_add(pool->loop->wheel, &pool->starter, now_ns);
}

static void close_pipe(struct worker *w)
{
    w->ready = false;
    if (!w->pipe)
        return;
    w->pool->dropped += ix_frame_dropped(w->pipe);
    ix_pipe_free(w->pipe);
    w->pipe = NULL;
}

static void forget_process(struct worker *w)
{
    close_pipe(w);
    if (w->child)
        ix_child_free(w->child);
    w->child = NULL;
}

static void all_stopped(struct ix_workers *pool)
{
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->items[i]->child)
            return;
    ix_wheel_cancel(pool->loop->wheel, &pool->stop_timeout);
    if (pool->stopped)
        pool->stopped(pool->stopped_context);
    pool->stopped = NULL;
}

static bool crashes_too_often(struct worker *w, uint64_t now_ns)
{
    w->crashes[w->crash_count++ % CRASHES_MAX] = now_ns;
    return w->crash_count >= CRASHES_MAX &&
           now_ns - w->crashes[w->crash_count % CRASHES_MAX] < CRASHES_WITHIN_NS;
}

static void on_exit_status(void *context, int64_t status, int signal_number)
{
    struct worker *w = context;
    struct ix_workers *pool = w->pool;
    bool was_fatal = w->fatal;
    forget_process(w);
    if (pool->stopping) {
        all_stopped(pool);
        return;
    }
    if (was_fatal)
        return;
    char reason[128];
    if (w->hung)
        snprintf(reason, sizeof reason, "hung (its loop stood still) and was killed");
    else if (status == IX_STATUS_NO_MEMORY)
        snprintf(reason, sizeof reason, "ran out of memory (ulimit -v, or that of the host)");
    else if (signal_number == SIGKILL)
        snprintf(reason, sizeof reason, "was killed by signal 9 (dmesg tells if memory had run out)");
    else if (signal_number)
        snprintf(reason, sizeof reason, "was killed by signal %d (%s)", signal_number,
                 strsignal(signal_number));
    else
        snprintf(reason, sizeof reason, "ended with status %lld", (long long)status);
    ix_log(IX_LOG_WARN, "worker %u %s; restarting it", w->id, reason);
    w->no_jit = w->no_jit || w->hung;
    w->hung = false;
    pool->events.lost(pool->context, w->id, reason);
    struct ix_error err = {0};
    if (crashes_too_often(w, ix_loop_update(pool->loop)))
        ix_fail(&err, -ECHILD, "worker %u died %d times within 10 s, the last time it %s", w->id, CRASHES_MAX,
                reason);
    else if (spawn(w, &err) == 0)
        pool->restarts++;
    if (err.code)
        pool->events.fatal(pool->context, w->id, err.code, err.text);
}

static void on_up_hello(struct worker *w, struct ix_reader *in)
{
    struct ix_workers *pool = w->pool;
    uint64_t build = ix_read_u64(in), run = ix_read_u64(in);
    uint32_t id = ix_read_u32(in), epoch = ix_read_u32(in);
    if (in->bad || build != ix_wire_build() || run != pool->hello.run || id != w->id || epoch != w->epoch) {
        pool->events.fatal(pool->context, w->id, -EPROTO, "a worker of another build or run answered");
        return;
    }
    w->ready = w->greeted = true;
    ix_wheel_add(pool->loop->wheel, &pool->starter, ix_loop_update(pool->loop));
    pool->events.ready(pool->context, w->id);
}

static void on_up_repeat(struct ix_reader *in)
{
    enum ix_log_level level = ix_read_u8(in);
    char *group = ix_read_str(in), *reason = ix_read_str(in);
    uint64_t times = ix_read_u64(in);
    if (!in->bad && level <= IX_LOG_DEBUG)
        ix_log_repeat_times(level, group, reason, times);
    free(group);
    free(reason);
}

static void on_frame(void *context, uint8_t type, const void *payload, size_t len)
{
    struct worker *w = context;
    struct ix_workers *pool = w->pool;
    struct ix_reader in = ix_reader_of(payload, len);
    ix_loop_update(pool->loop);
    if (type == IX_UP_HELLO) {
        on_up_hello(w, &in);
    } else if (type == IX_UP_LOG) {
        enum ix_log_level level = ix_read_u8(&in);
        char *line = ix_read_str(&in);
        if (level <= IX_LOG_DEBUG)
            ix_log(level, "%s", line);
        free(line);
    } else if (type == IX_UP_REPEAT) {
        on_up_repeat(&in);
    } else if (type == IX_UP_FATAL) {
        int code = -(int)ix_read_u32(&in);
        char *message = ix_read_str(&in);
        w->fatal = true;
        pool->events.fatal(pool->context, w->id, code, message);
        free(message);
    } else {
        pool->events.frame(pool->context, w->id, type, &in);
    }
}

static void on_pipe_closed(void *context, int code)
{
    (void)code; /* the process ends as well; what to do is decided when it was reaped */
    struct worker *w = context;
    close_pipe(w);
}

static int send_hello(struct worker *w)
{
    struct ix_hello hello = w->pool->hello;
    struct ix_buf out;
    hello.build = ix_wire_build();
    hello.worker = w->id;
    hello.epoch = w->epoch;
    hello.role = (uint8_t)w->role;
    hello.no_jit = w->no_jit;
    hello.log_level = (uint8_t)ix_log_get_level();
    ix_buf_init(&out, IX_FRAME_MAX);
    ix_hello_pack(&hello, &out);
    int code = 0;
    if (w->local)
        ix_local_send(w->local, IX_DOWN_HELLO, out.data, out.len);
    else
        code = ix_frame_send(w->pipe, IX_DOWN_HELLO, out.data, out.len);
    ix_buf_deinit(&out);
    return code;
}

static int spawn_local(struct worker *w)
{
    w->local = ix_local_new(w->pool->loop, w->role, w->segment, w->pool->ledger_fd, on_frame, w);
    w->epoch++;
    return send_hello(w);
}

static int spawn(struct worker *w, struct ix_error *err)
{
    struct ix_workers *pool = w->pool;
    if (pool->stays_local)
        return spawn_local(w);
    static const struct ix_pipe_events events = {on_frame, on_pipe_closed};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return ix_fail(err, -errno, "no descriptor is left for a worker's pipe: %s; raise `ulimit -n`",
                       strerror(errno));
    char parent[16], title[32];
    snprintf(parent, sizeof parent, "%d", getpid());
    snprintf(title, sizeof title, "iotix-%s-%u", w->role == IX_WORKER_OBSERVER ? "observer" : "worker",
             w->id);
    char *argv[] = {title, "--worker", parent, NULL};
    int fds[] = {ends[1], w->segment_fd, pool->ledger_fd};
    struct ix_child_config config = {
        .argv = argv, .fds = fds, .fd_count = 3, .on_exit = on_exit_status, .context = w};
    int code = ix_child_spawn(pool->loop, &config, &w->child, err);
    close(ends[1]);
    if (code == 0) {
        code = ix_pipe_open(pool->loop, ends[0], QUEUE_LIMIT, &events, w, &w->pipe, err);
        if (code < 0) {
            close(ends[0]);
            forget_process(w);
        }
    } else {
        w->child = NULL;
        close(ends[0]);
    }
    if (code < 0)
        return code;
    w->epoch++;
    w->turns = UINT64_MAX;
    code = send_hello(w);
    if (code == 0 || code == -EPIPE || code == -ECONNRESET)
        return 0; /* one that is dead already is about to be reaped: then it is decided what follows */
    forget_process(w);
    return ix_fail(err, code, "could not greet worker %u: %s", w->id, strerror(-code));
}

/* Kills a worker whose loop stands still although it works, or waits for something that never comes. One
 * that is stopped or gets no CPU is left alone. */
static void watch_worker(struct worker *w)
{
    int pid = w->child ? ix_child_pid(w->child) : 0;
    if (!pid || w->hung)
        return;
    char state;
    uint64_t cpu = process_cpu_ns(pid, &state), turns = w->segment->turns;
    if (turns != w->turns || state == 'T') {
        w->turns = turns;
        w->still_cpu_ns = cpu;
        w->still_watches = 0;
        return;
    }
    bool waits = state == 'S' || state == 'D';
    if (cpu - w->still_cpu_ns < HUNG_CPU_NS && (++w->still_watches < HUNG_WATCHES || !waits))
        return;
    w->hung = true;
    ix_log(IX_LOG_ERROR, "worker %u: no loop turn in %llu s while it used %.1f s of CPU", w->id,
           (unsigned long long)w->still_watches, (double)(cpu - w->still_cpu_ns) / 1e9);
    ix_child_kill(w->child, SIGKILL);
}

static void on_watch(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_workers *pool = (struct ix_workers *)((char *)entry - offsetof(struct ix_workers, watch));
    for (uint32_t i = 0; i < pool->count; i++)
        watch_worker(pool->items[i]);
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
        struct worker *w = pool->items[i];
        forget_process(w);
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
    struct worker *w = ix_calloc(1, sizeof *w);
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
        code = spawn(w, err);
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
    struct worker *w = pool->items[worker];
    if (w->child || pool->stopping)
        return 0;
    w->fatal = w->hung = false;
    w->crash_count = 0;
    int code = spawn(w, err);
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
    struct worker *w = pool->items[worker];
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
        struct worker *w = pool->items[i];
        if (w->child && (!w->pipe || ix_frame_send(w->pipe, IX_DOWN_EXIT, NULL, 0) < 0))
            ix_child_kill(w->child, SIGKILL);
    }
    ix_wheel_add(pool->loop->wheel, &pool->stop_timeout, ix_loop_update(pool->loop) + timeout_ns);
    all_stopped(pool);
}

/* One worker's process: its start, what it says, whether it hangs, and its death. */
#include "control/workers_internal.h"

#include "base/log.h"
#include "base/units.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_LIMIT       (256u << 20)
#define HUNG_CPU_NS       (5 * IX_S)
#define HUNG_WATCHES      60 /* in which our own loop turned and the worker's did not */
#define CRASHES_WITHIN_NS (10 * IX_S)

static void close_pipe(struct ix_pool_worker *w)
{
    w->ready = false;
    if (!w->pipe)
        return;
    w->pool->dropped += ix_frame_dropped(w->pipe);
    ix_pipe_free(w->pipe);
    w->pipe = NULL;
}

void ix_pool_forget_process(struct ix_pool_worker *w)
{
    close_pipe(w);
    if (w->child)
        ix_child_free(w->child);
    w->child = NULL;
}

static bool crashes_too_often(struct ix_pool_worker *w, uint64_t now_ns)
{
    w->crashes[w->crash_count++ % IX_POOL_CRASHES_MAX] = now_ns;
    return w->crash_count >= IX_POOL_CRASHES_MAX &&
           now_ns - w->crashes[w->crash_count % IX_POOL_CRASHES_MAX] < CRASHES_WITHIN_NS;
}

static void on_exit_status(void *context, int64_t status, int signal_number)
{
    struct ix_pool_worker *w = context;
    struct ix_workers *pool = w->pool;
    bool was_fatal = w->fatal;
    ix_pool_forget_process(w);
    if (pool->stopping) {
        ix_pool_check_stopped(pool);
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
        ix_fail(&err, -ECHILD, "worker %u died %d times within 10 s, the last time it %s", w->id,
                IX_POOL_CRASHES_MAX, reason);
    else if (ix_pool_spawn(w, &err) == 0)
        pool->restarts++;
    if (err.code)
        pool->events.fatal(pool->context, w->id, err.code, err.text);
}

static void on_up_hello(struct ix_pool_worker *w, struct ix_reader *in)
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
    struct ix_pool_worker *w = context;
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
    struct ix_pool_worker *w = context;
    close_pipe(w);
}

static int send_hello(struct ix_pool_worker *w)
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

static int spawn_local(struct ix_pool_worker *w)
{
    w->local = ix_local_new(w->pool->loop, w->role, w->segment, w->pool->ledger_fd, on_frame, w);
    w->epoch++;
    return send_hello(w);
}

int ix_pool_spawn(struct ix_pool_worker *w, struct ix_error *err)
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
            ix_pool_forget_process(w);
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
    ix_pool_forget_process(w);
    return ix_fail(err, code, "could not greet worker %u: %s", w->id, strerror(-code));
}

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

void ix_pool_watch(struct ix_pool_worker *w)
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

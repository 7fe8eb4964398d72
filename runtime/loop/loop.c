#include "loop/loop.h"

#include "base/units.h"
#include "loop/poll.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define CHUNK        16      /* entries between two looks at the clock */
#define STALLED_RUNS 1000000 /* runs of the wheel at one virtual instant */

struct call {
    void (*run)(void *context);
    void *context;
};

struct call_list {
    struct call *calls;
    size_t count;
    size_t cap;
};

struct ix_uv_set {
    struct ix_poll poll;
    bool has_work;
};

struct ix_deferred {
    struct call_list waiting;
    struct call_list running;
};

uint64_t ix_loop_update(struct ix_loop *loop)
{
    return loop->now_ns = ix_clock_now(&loop->clock);
}

static void run_batch(struct ix_loop *loop)
{
    uint64_t start = ix_loop_update(loop);
    size_t total = 0, fired;
    do {
        fired = ix_wheel_run(loop->wheel, loop->now_ns, CHUNK);
        total += fired;
        ix_loop_update(loop);
    } while (fired == CHUNK && total < IX_LOOP_BATCH && loop->now_ns - start < IX_LOOP_BATCH_NS);
}

static void run_deferred(struct ix_loop *loop)
{
    struct ix_deferred *deferred = loop->deferred;
    struct call_list list = deferred->waiting;
    deferred->waiting = deferred->running; /* calls deferred from now on wait for the next turn */
    deferred->running = list;
    ix_loop_update(loop);
    for (size_t i = 0; i < list.count; i++)
        list.calls[i].run(list.calls[i].context);
    deferred->running.count = 0;
}

/* Does libuv have descriptors that it has not begun to watch? Later versions count them in uv_backend_timeout. */
static bool has_unwatched(const uv_loop_t *uv)
{
#if UV_VERSION_HEX < 0x012d00
    return uv->watcher_queue[0] != (const void *)&uv->watcher_queue;
#else
    (void)uv;
    return false;
#endif
}

/* When libuv wants a turn at the latest. */
static uint64_t uv_due_ns(struct ix_loop *loop)
{
    int ms = has_unwatched(&loop->uv) ? 0 : uv_backend_timeout(&loop->uv);
    if (ms > 0) { /* from its last look at the clock, since when there was work */
        uv_update_time(&loop->uv);
        ms = uv_backend_timeout(&loop->uv);
    }
    if (ms <= 0)
        return ms == 0 ? 0 : UINT64_MAX;
    return ix_clock_now(&loop->clock) + (uint64_t)ms * IX_MS;
}

static uint64_t wheel_due_ns(const struct ix_loop *loop)
{
    return loop->clock.is_virtual ? UINT64_MAX : ix_wheel_next(loop->wheel);
}

static void turn(struct ix_loop *loop)
{
    ++*loop->turn_counter;
    loop->polled_ns = loop->now_ns;
    uint64_t uv_due = uv_due_ns(loop), wheel_due = loop->deferred->waiting.count ? 0 : wheel_due_ns(loop);
    ix_poll_wait(loop, uv_due < wheel_due ? uv_due : wheel_due);
    uv_update_time(&loop->uv); /* whoever starts a timer of libuv's counts from there */
    if (loop->uv_set->has_work || uv_due <= loop->now_ns) {
        loop->uv_set->has_work = false;
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
    if (loop->deferred->waiting.count)
        run_deferred(loop);
    if (wheel_due_ns(loop) <= loop->now_ns)
        run_batch(loop);
}

static void on_uv_ready(struct ix_poll *poll, uint32_t events)
{
    (void)events;
    ((struct ix_uv_set *)poll)->has_work = true;
}

static void on_prepare(uv_prepare_t *handle)
{
    (void)handle;
}

static int open_sets(struct ix_loop *loop)
{
    int rc = ix_poll_open(loop);
    if (rc < 0)
        return rc;
    loop->uv_set = ix_calloc(1, sizeof(*loop->uv_set));
    loop->uv_set->poll = (struct ix_poll){.ready = on_uv_ready, .fd = uv_backend_fd(&loop->uv)};
    rc = ix_poll_set(loop, &loop->uv_set->poll, EPOLLIN);
    if (rc < 0) {
        free(loop->uv_set);
        close(loop->poll_fd);
    }
    return rc;
}

int ix_loop_init(struct ix_loop *loop, struct ix_error *err)
{
    *loop = (struct ix_loop){0};
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0)
        return ix_fail(err, rc, "can't create an event loop: %s", uv_strerror(rc));
    rc = open_sets(loop);
    if (rc < 0) {
        uv_loop_close(&loop->uv);
        return ix_fail(err, rc, "can't create an event loop: %s", strerror(-rc));
    }
    uv_prepare_init(&loop->uv, &loop->keeper);
    uv_prepare_start(&loop->keeper, on_prepare);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, IX_LOOP_SLACK_NS);
    ix_clock_init_real(&loop->clock);
    loop->wheel = ix_wheel_new(ix_loop_update(loop));
    loop->turn_counter = &loop->own_turns;
    loop->deferred = ix_calloc(1, sizeof(*loop->deferred));
    return 0;
}

void ix_loop_set_virtual(struct ix_loop *loop, int64_t wall_ns)
{
    IX_REQUIRE(ix_wheel_count(loop->wheel) == 0);
    ix_wheel_free(loop->wheel);
    loop->wheel = ix_wheel_new(0);
    ix_clock_init_virtual(&loop->clock, wall_ns);
    ix_loop_update(loop);
}

void ix_loop_run_virtual(struct ix_loop *loop, uint64_t to_ns)
{
    int runs = 0;
    for (uint64_t next; (next = ix_wheel_next(loop->wheel)) <= to_ns && next != UINT64_MAX;) {
        if (next > loop->clock.virtual_ns) {
            ix_clock_advance(&loop->clock, next);
            runs = 0;
        }
        IX_REQUIRE(++runs < STALLED_RUNS);
        ix_wheel_run(loop->wheel, ix_loop_update(loop), SIZE_MAX);
    }
    ix_clock_advance(&loop->clock, to_ns);
    ix_loop_update(loop);
}

bool ix_loop_step_virtual(struct ix_loop *loop, uint64_t to_ns)
{
    bool deferred = loop->deferred->waiting.count > 0;
    if (deferred)
        run_deferred(loop);
    uint64_t next = ix_wheel_next(loop->wheel);
    if (loop->deferred->waiting.count || next > to_ns || next == UINT64_MAX)
        return deferred;
    if (next > loop->clock.virtual_ns)
        ix_clock_advance(&loop->clock, next);
    ix_wheel_run(loop->wheel, ix_loop_update(loop), SIZE_MAX);
    return true;
}

/* A child is ours until it is reaped; one that is killed ends at once. */
static void kill_child(uv_handle_t *handle, void *found)
{
    if (uv_handle_get_type(handle) != UV_PROCESS || !uv_is_active(handle))
        return;
    uv_process_kill((uv_process_t *)handle, SIGKILL);
    *(bool *)found = true;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void ix_loop_run_deferred(struct ix_loop *loop)
{
    while (loop->deferred->waiting.count)
        run_deferred(loop);
}

void ix_loop_deinit(struct ix_loop *loop)
{
    ix_loop_run_deferred(loop);
    for (bool found;;) {
        found = false;
        uv_walk(&loop->uv, kill_child, &found);
        if (!found)
            break;
        uv_run(&loop->uv, UV_RUN_ONCE);
    }
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* all are closing: it ends */
    IX_REQUIRE(uv_loop_close(&loop->uv) == 0);
    close(loop->poll_fd);
    free(loop->uv_set);
    ix_wheel_free(loop->wheel);
    free(loop->deferred->waiting.calls);
    free(loop->deferred->running.calls);
    free(loop->deferred);
}

void ix_loop_stop(struct ix_loop *loop)
{
    loop->is_stopped = true;
}

void ix_loop_defer(struct ix_loop *loop, void (*run)(void *context), void *context)
{
    struct call_list *list = &loop->deferred->waiting;
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 16;
        list->calls = ix_realloc(list->calls, list->cap * sizeof(*list->calls));
    }
    list->calls[list->count++] = (struct call){run, context};
}

/* Time on a CPU and time spent waiting for one, of the calling thread: what it did not sleep. libuv could tell as well,
 * but would ask the kernel for events twice a turn then. */
static uint64_t awake_ns(void)
{
    uint64_t running, waiting;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    bool known = file && fscanf(file, "%" SCNu64 " %" SCNu64, &running, &waiting) == 2;
    if (file)
        fclose(file);
    if (known)
        return running + waiting;
    struct timespec used; /* a kernel without these figures: CPU time alone */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

void ix_loop_run(struct ix_loop *loop)
{
    if (!loop->has_run)
        loop->awake_before_ns = awake_ns();
    loop->has_run = true;
    while (!loop->is_stopped)
        turn(loop);
    loop->is_stopped = false;
}

uint64_t ix_loop_busy_ns(struct ix_loop *loop)
{
    uint64_t awake = loop->has_run ? awake_ns() : 0;
    if (awake > loop->awake_before_ns + loop->busy_ns) /* not, if the file could not be opened this time */
        loop->busy_ns = awake - loop->awake_before_ns;
    return loop->busy_ns;
}

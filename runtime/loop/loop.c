#include "loop/loop.h"

#include "loop/poll.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CHUNK        16      /* entries between two looks at the clock */
#define STALLED_RUNS 1000000 /* runs of the wheel at one virtual instant */
#define EXPIRED      0       /* armed_ns of a timer that has fired and was not set again */

struct call {
    void (*run)(void *context);
    void *context;
};

struct call_list {
    struct call *calls;
    size_t count;
    size_t cap;
};

struct ix_deferred {
    struct call_list waiting;
    struct call_list running;
};

uint64_t ix_loop_update(struct ix_loop *loop)
{
    return loop->now_ns = ix_clock_now(&loop->clock);
}

static void on_more(uv_idle_t *handle);

static void set_timer(struct ix_loop *loop, uint64_t at_ns)
{
    if (at_ns == loop->armed_ns)
        return;
    loop->armed_ns = at_ns;
    struct itimerspec when = {0}; /* zero disarms */
    if (at_ns != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(at_ns / 1000000000);
        when.it_value.tv_nsec = (long)(at_ns % 1000000000);
    }
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Arms the timer for the wheel's next instant, or the idle handle when that has come already. */
static void rearm(struct ix_loop *loop)
{
    uint64_t next = loop->clock.is_virtual ? UINT64_MAX : ix_wheel_next(loop->wheel);
    bool due = next <= loop->now_ns;
    if (due || loop->deferred->waiting.count)
        uv_idle_start(&loop->more, on_more);
    else
        uv_idle_stop(&loop->more);
    if (!due)
        set_timer(loop, next);
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

/* The timer is not read: it is set again (or disarmed) when nothing more is due, and that makes it unreadable, too.
 * Until then `more` is active, and does what is left. */
static void on_timer(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct ix_loop *loop = handle->data;
    if (uv_is_active((uv_handle_t *)&loop->more))
        return;
    loop->armed_ns = EXPIRED;
    run_batch(loop);
    rearm(loop);
}

static void on_more(uv_idle_t *handle)
{
    struct ix_loop *loop = handle->data;
    run_deferred(loop);
    if (!loop->clock.is_virtual && ix_wheel_next(loop->wheel) <= loop->now_ns)
        run_batch(loop);
    rearm(loop);
}

static void on_prepare(uv_prepare_t *handle)
{
    struct ix_loop *loop = handle->data;
    ++*loop->turn_counter;
    loop->polled_ns = loop->now_ns;
}

static void on_armed(void *context, uint64_t next_ns)
{
    (void)next_ns;
    struct ix_loop *loop = context;
    if (loop->clock.is_virtual)
        return;
    ix_loop_update(loop);
    rearm(loop);
}

int ix_loop_init(struct ix_loop *loop, struct ix_error *err)
{
    *loop = (struct ix_loop){.armed_ns = UINT64_MAX};
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer_fd < 0)
        return ix_fail(err, -errno, "can't create a timer: %s", strerror(errno));
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        close(loop->timer_fd);
        return ix_fail(err, rc, "can't create an event loop: %s", uv_strerror(rc));
    }
    rc = ix_poll_open(loop);
    if (rc < 0) {
        uv_loop_close(&loop->uv);
        close(loop->timer_fd);
        return ix_fail(err, rc, "can't create an event loop: %s", strerror(-rc));
    }
    signal(SIGPIPE, SIG_IGN);
    ix_clock_init_real(&loop->clock);
    loop->wheel = ix_wheel_new(ix_loop_update(loop), on_armed, loop);
    loop->turn_counter = &loop->own_turns;
    loop->deferred = ix_calloc(1, sizeof(*loop->deferred));
    uv_poll_init(&loop->uv, &loop->timer, loop->timer_fd);
    uv_poll_start(&loop->timer, UV_READABLE, on_timer);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->more);
    loop->timer.data = loop->prepare.data = loop->more.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    return 0;
}

void ix_loop_set_virtual(struct ix_loop *loop, int64_t wall_ns)
{
    IX_REQUIRE(ix_wheel_count(loop->wheel) == 0);
    ix_wheel_free(loop->wheel);
    loop->wheel = ix_wheel_new(0, on_armed, loop);
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
    uv_poll_stop(&loop->timer);
    uv_idle_stop(&loop->more);
    for (bool found;;) {
        found = false;
        uv_walk(&loop->uv, kill_child, &found);
        if (!found)
            break;
        uv_run(&loop->uv, UV_RUN_ONCE);
    }
    uv_walk(&loop->uv, close_handle, NULL);
    while (uv_run(&loop->uv, UV_RUN_DEFAULT)) /* returns early once after an ix_loop_stop */
        ;
    IX_REQUIRE(uv_loop_close(&loop->uv) == 0);
    close(loop->timer_fd);
    close(loop->poll_set_fd);
    ix_wheel_free(loop->wheel);
    free(loop->deferred->waiting.calls);
    free(loop->deferred->running.calls);
    free(loop->deferred);
}

void ix_loop_stop(struct ix_loop *loop)
{
    uv_stop(&loop->uv);
}

void ix_loop_defer(struct ix_loop *loop, void (*run)(void *context), void *context)
{
    struct call_list *list = &loop->deferred->waiting;
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 16;
        list->calls = ix_realloc(list->calls, list->cap * sizeof(*list->calls));
    }
    list->calls[list->count++] = (struct call){run, context};
    uv_idle_start(&loop->more, on_more);
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
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

uint64_t ix_loop_busy_ns(struct ix_loop *loop)
{
    uint64_t awake = loop->has_run ? awake_ns() : 0;
    if (awake > loop->awake_before_ns + loop->busy_ns) /* not, if the file could not be opened this time */
        loop->busy_ns = awake - loop->awake_before_ns;
    return loop->busy_ns;
}

/* The loop: deadlines, batches, its clock, virtual time, deferred calls. */
#include "loop_fixture.h"

#include "base/units.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- time ---- */

struct ticker {
    struct ix_wheel_entry entry;
    uint64_t first_ns, interval_ns;
    uint64_t fires, stop_after;
};

static void tick(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ticker *t = (struct ticker *)entry;
    assert_true(now_ns >= entry->due_ns);
    assert_true(entry->due_ns == t->first_ns + t->fires * t->interval_ns);
    if (++t->fires == t->stop_after)
        ix_loop_stop(&loop);
    else
        ix_wheel_add(loop.wheel, entry, entry->due_ns + t->interval_ns);
}

static struct ticker ticker_of(uint64_t delay_ns, uint64_t interval_ns, uint64_t stop_after)
{
    return (struct ticker){.entry.fire = tick,
                           .first_ns = ix_loop_update(&loop) + delay_ns,
                           .interval_ns = interval_ns,
                           .stop_after = stop_after};
}

static void test_deadlines_are_kept_exactly(void **state)
{
    (void)state;
    struct ticker t = ticker_of(3 * IX_MS, 1234567, 50);
    ix_wheel_add(loop.wheel, &t.entry, t.first_ns);
    ix_loop_run(&loop);
    assert_int_equal(t.fires, 50);
    /* The loop does not spin towards a deadline. */
    assert_in_range(loop.own_turns, 1, 50 * 6);
}

static void stop_later(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)entry;
    (void)now_ns;
    ix_loop_stop(&loop);
}

/* Between now and a far deadline the loop sleeps: turns are counted, not time. */
static void test_idle_loop_does_not_turn(void **state)
{
    (void)state;
    struct ix_wheel_entry entry = {.fire = stop_later}, far = {.fire = stop_later};
    ix_wheel_add(loop.wheel, &far, ix_loop_update(&loop) + 3600 * IX_S);
    ix_wheel_add(loop.wheel, &entry, loop.now_ns + 300 * IX_MS);
    uint64_t start = ix_clock_now(&loop.clock);
    ix_loop_run(&loop);
    assert_in_range(loop.own_turns, 1, 12); /* cascades of the wheel included */
    /* Sleeping is not being busy; 250 ms are left to a starved machine. */
    assert_true(ix_loop_busy_ns(&loop) + 50 * IX_MS < ix_clock_now(&loop.clock) - start);
    ix_wheel_cancel(loop.wheel, &far);
}

/* Without epoll_pwait2, as in old kernels and sandboxes: deadlines are kept to the ms, and nothing spins. */
static void forbid_epoll_pwait2(int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = IX_ARRAY_LEN(program), .filter = program};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static void run_in_a_sandbox(int error)
{
    forbid_epoll_pwait2(error);
    struct ticker t = ticker_of(3 * IX_MS, 7 * IX_MS, 10);
    struct ix_wheel_entry far = {.fire = stop_later};
    ix_wheel_add(loop.wheel, &t.entry, t.first_ns);
    ix_wheel_add(loop.wheel, &far, loop.now_ns + 3600 * IX_S);
    ix_loop_run(&loop);
    _exit(t.fires == 10 && loop.own_turns <= 10 * 6 ? 0 : 1);
}

static void test_old_kernels(void **state)
{
    (void)state;
    int errors[] = {ENOSYS, EPERM};
    for (size_t i = 0; i < IX_ARRAY_LEN(errors); i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0)
            run_in_a_sandbox(errors[i]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

/* A timer of libuv's counts from when it is started, also in a loop that has not needed libuv for a while. */
static uint64_t uv_timer_asked_ns;
static uv_timer_t uv_timer;

static void on_uv_timer(uv_timer_t *timer)
{
    (void)timer;
    assert_true(ix_loop_update(&loop) >= uv_timer_asked_ns + 49 * IX_MS);
    ix_loop_stop(&loop);
}

static void start_uv_timer(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)entry;
    uv_timer_asked_ns = now_ns;
    uv_timer_start(&uv_timer, on_uv_timer, 50, 0);
}

static void test_timers_of_libuv(void **state)
{
    (void)state;
    struct ix_wheel_entry entry = {.fire = start_uv_timer};
    uv_timer_init(&loop.uv, &uv_timer);
    ix_wheel_add(loop.wheel, &entry, ix_loop_update(&loop) + 200 * IX_MS);
    ix_loop_run(&loop);
    assert_in_range(loop.own_turns, 1, 20);
    uv_close((uv_handle_t *)&uv_timer, NULL);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static void test_earlier_entry_rearms(void **state)
{
    (void)state;
    struct ix_wheel_entry late = {.fire = stop_later};
    ix_wheel_add(loop.wheel, &late, ix_loop_update(&loop) + 1000 * IX_S);
    struct ticker t = ticker_of(5 * IX_MS, 1, 1);
    ix_wheel_add(loop.wheel, &t.entry, t.first_ns);
    ix_loop_run(&loop);
    assert_int_equal(t.fires, 1);
    assert_true(ix_wheel_has(&late));
    ix_wheel_cancel(loop.wheel, &late);
}

static int polled_after = -1;
static size_t batch_fires;

static void fire_in_batch(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)entry;
    (void)now_ns;
    if (++batch_fires == 5000)
        ix_loop_stop(&loop);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    polled_after = (int)batch_fires;
    uv_poll_stop(handle);
}

/* A socket that is ready gets its turn between the batches of many due entries. */
static void test_batches_leave_room_for_sockets(void **state)
{
    (void)state;
    int fds[2];
    uv_poll_t poll_handle;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    uv_poll_init(&loop.uv, &poll_handle, fds[0]);
    uv_poll_start(&poll_handle, UV_READABLE, on_readable);
    struct ix_wheel_entry *entries = calloc(5000, sizeof(*entries));
    for (int i = 0; i < 5000; i++) {
        entries[i].fire = fire_in_batch;
        ix_wheel_add(loop.wheel, &entries[i], 0);
    }
    batch_fires = 0;
    ix_loop_run(&loop);
    assert_in_range(polled_after, 0, IX_LOOP_BATCH);
    assert_int_equal(batch_fires, 5000);
    assert_true(loop.own_turns >= 5000 / IX_LOOP_BATCH);
    free(entries);
    uv_close((uv_handle_t *)&poll_handle, NULL);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    close(fds[0]);
    close(fds[1]);
}

static void test_clock(void **state)
{
    (void)state;
    struct ix_clock real, simulated;
    ix_clock_init_real(&real);
    uint64_t first = ix_clock_now(&real);
    assert_true(ix_clock_now(&real) >= first);
    assert_true(llabs(ix_clock_wall(&real, first) / 1000000000 - (int64_t)time(NULL)) <= 2);
    ix_clock_init_virtual(&simulated, 1000);
    assert_true(ix_clock_now(&simulated) == 0 && ix_clock_wall(&simulated, 5) == 1005);
    ix_clock_advance(&simulated, 77);
    assert_true(ix_clock_now(&simulated) == 77);
}

static void stop_from_timer(uv_timer_t *timer)
{
    (void)timer;
    ix_loop_stop(&loop);
}

static void test_virtual_time(void **state)
{
    (void)state;
    ix_loop_set_virtual(&loop, 1700000000000000000);
    struct ticker t = {
        .entry.fire = tick, .first_ns = IX_S, .interval_ns = 700 * IX_MS, .stop_after = 200000};
    ix_wheel_add(loop.wheel, &t.entry, t.first_ns);
    /* The loop itself leaves the wheel alone. */
    uv_timer_t timer;
    uv_timer_init(&loop.uv, &timer);
    uv_timer_start(&timer, stop_from_timer, 20, 0);
    ix_loop_run(&loop);
    assert_int_equal(t.fires, 0);
    ix_loop_run_virtual(&loop, 86400 * IX_S);
    assert_int_equal(t.fires, (86400 * IX_S - IX_S) / (700 * IX_MS) + 1);
    assert_true(loop.now_ns == 86400 * IX_S);
    ix_wheel_cancel(loop.wheel, &t.entry);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

/* ---- deferred calls ---- */

static char order[16];
static uint64_t turn_of[16];

static void note(char name)
{
    size_t at = strlen(order);
    order[at] = name;
    turn_of[at] = loop.own_turns;
}

static void deferred_c(void *context)
{
    (void)context;
    note('c');
    ix_loop_stop(&loop);
}

static void deferred_a(void *context)
{
    note(*(char *)context);
    ix_loop_defer(&loop, deferred_c, NULL);
}

static void deferred_b(void *context)
{
    note(*(char *)context);
}

static void test_deferred_calls(void **state)
{
    (void)state;
    memset(order, 0, sizeof(order));
    ix_loop_defer(&loop, deferred_a, "a");
    ix_loop_defer(&loop, deferred_b, "b");
    ix_loop_run(&loop);
    assert_string_equal(order, "abc");
    assert_true(turn_of[2] > turn_of[0]); /* deferred by a deferred call: a turn later */
}

static void count_call(void *context)
{
    ++*(int *)context;
}

static void test_deinit_runs_what_was_deferred(void **state)
{
    (void)state;
    struct ix_loop other;
    struct ix_error err;
    int calls = 0;
    assert_int_equal(ix_loop_init(&other, &err), 0);
    ix_loop_defer(&other, count_call, &calls);
    ix_loop_stop(&other);
    ix_loop_run(&other); /* returns at once */
    assert_int_equal(calls, 0);
    ix_loop_deinit(&other);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_deadlines_are_kept_exactly),
        LOOP_TEST(test_idle_loop_does_not_turn),
        LOOP_TEST(test_old_kernels),
        LOOP_TEST(test_timers_of_libuv),
        LOOP_TEST(test_earlier_entry_rearms),
        LOOP_TEST(test_batches_leave_room_for_sockets),
        cmocka_unit_test(test_clock),
        LOOP_TEST(test_virtual_time),
        LOOP_TEST(test_deferred_calls),
        cmocka_unit_test(test_deinit_runs_what_was_deferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

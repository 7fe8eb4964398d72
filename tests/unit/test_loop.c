#include "base/units.h"
#include "check.h"
#include "loop/child.h"
#include "loop/frame.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILSAFE_S 30 /* a test that hangs is ended by SIGALRM */

static struct ix_loop loop;

static int set_up(void **state)
{
    (void)state;
    struct ix_error err;
    alarm(FAILSAFE_S);
    return ix_loop_init(&loop, &err);
}

static int tear_down(void **state)
{
    (void)state;
    ix_loop_deinit(&loop);
    alarm(0);
    return 0;
}

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

/* ---- frames ---- */

struct end {
    struct ix_pipe *pipe;
    uint64_t frames, bytes;
    uint8_t last_type;
    int closed; /* how often */
    int code;
    uint64_t stop_after;
    bool free_at_frame, free_at_close;
};

/* Byte i of the frame with number n. */
static unsigned char pattern(uint64_t n, size_t i)
{
    return (unsigned char)(n * 31 + i * 7);
}

static void on_frame(void *context, uint8_t type, const void *payload, size_t len)
{
    struct end *end = context;
    const unsigned char *bytes = payload;
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != pattern(end->frames, i))
            fail_msg("frame %d differs at byte %d", (int)end->frames, (int)i);
    end->frames++;
    end->bytes += len;
    end->last_type = type;
    if (end->free_at_frame) {
        ix_pipe_free(end->pipe);
        end->pipe = NULL;
    }
    if (end->frames == end->stop_after)
        ix_loop_stop(&loop);
}

static void on_pipe_closed(void *context, int code)
{
    struct end *end = context;
    end->closed++;
    end->code = code;
    if (end->free_at_close) {
        ix_pipe_free(end->pipe);
        end->pipe = NULL;
    }
    ix_loop_stop(&loop);
}

static const struct ix_pipe_events events = {.frame = on_frame, .closed = on_pipe_closed};

static void open_end(struct end *end, int fd, size_t limit)
{
    struct ix_error err;
    if (ix_pipe_open(&loop, fd, limit, &events, end, &end->pipe, &err) < 0)
        fail_msg("%s", err.text);
}

static void open_pair(struct end *a, struct end *b, size_t limit)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(a, fds[0], limit);
    open_end(b, fds[1], limit);
}

static int send_pattern(struct ix_pipe *pipe, uint64_t n, size_t len)
{
    unsigned char *payload = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        payload[i] = pattern(n, i);
    int rc = ix_frame_send(pipe, (uint8_t)n, payload, len);
    free(payload);
    return rc;
}

static void test_frames_of_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 5, 4096, 65531, 65536, 300000, 3, 5000000, 0};
    struct end a = {0}, b = {.stop_after = IX_ARRAY_LEN(sizes)};
    open_pair(&a, &b, 16 << 20);
    uint64_t bytes = 0;
    for (size_t i = 0; i < IX_ARRAY_LEN(sizes); i++) {
        assert_int_equal(send_pattern(a.pipe, i, sizes[i]), 0);
        bytes += sizes[i];
    }
    assert_true(ix_frame_queued(a.pipe) > 0); /* more than a socket holds */
    ix_loop_run(&loop);
    assert_int_equal(b.frames, IX_ARRAY_LEN(sizes));
    assert_true(b.bytes == bytes);
    assert_int_equal(b.last_type, IX_ARRAY_LEN(sizes) - 1);
    assert_int_equal(ix_frame_queued(a.pipe), 0);
    ix_pipe_free(a.pipe);
    ix_loop_run(&loop);
    assert_int_equal(b.closed, 1);
    assert_int_equal(b.code, 0);
    assert_int_equal(ix_frame_send(b.pipe, 1, "x", 1), -EPIPE);
    ix_pipe_free(b.pipe);
}

static void test_frames_cut_anywhere(void **state)
{
    (void)state;
    int fds[2];
    struct end b = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(&b, fds[1], 1000);
    unsigned char stream[40 * 8];
    size_t len = 0;
    for (uint64_t n = 0; n < 40; n++) {
        unsigned char frame[8] = {3, 0, 0, 0, (unsigned char)n, pattern(n, 0), pattern(n, 1), pattern(n, 2)};
        memcpy(stream + len, frame, 8);
        len += 8;
    }
    for (size_t at = 0, step = 1; at < len; at += step, step = step % 11 + 1) {
        size_t part = at + step > len ? len - at : step;
        assert_int_equal(write(fds[0], stream + at, part), (int)part);
        uv_run(&loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(b.frames, (at + part) / 8);
    }
    assert_int_equal(write(fds[0], stream, 7), 7); /* the last one is never completed */
    close(fds[0]);
    ix_loop_run(&loop);
    assert_int_equal(b.frames, 40);
    assert_int_equal(b.code, -EPROTO);
    ix_pipe_free(b.pipe);
}

static void test_frame_too_long(void **state)
{
    (void)state;
    int fds[2];
    struct end b = {.free_at_close = true};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(&b, fds[1], 1000);
    assert_int_equal(write(fds[0], "\xff\xff\xff\xff\x01", 5), 5);
    ix_loop_run(&loop);
    assert_int_equal(b.closed, 1);
    assert_int_equal(b.code, -EPROTO);
    close(fds[0]);
}

static void test_queue_limit(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_pair(&a, &b, 1 << 20);
    uint64_t sent = 0;
    int rc;
    while ((rc = send_pattern(a.pipe, sent, 10000)) == 0)
        sent++;
    assert_int_equal(rc, -ENOBUFS);
    assert_int_equal(ix_frame_dropped(a.pipe), 1);
    assert_in_range(ix_frame_queued(a.pipe), (1 << 20) - 10005, 1 << 20);
    b.stop_after = sent;
    ix_loop_run(&loop);
    assert_int_equal(b.frames, sent); /* what was accepted arrives, whole and in order */
    assert_int_equal(send_pattern(a.pipe, sent, 10000), 0);
    assert_int_equal(ix_frame_send(a.pipe, 1, NULL, (size_t)IX_FRAME_MAX + 1), -EMSGSIZE);
    ix_pipe_free(a.pipe);
    ix_pipe_free(b.pipe);
}

static void test_pipe_freed_by_its_callback(void **state)
{
    (void)state;
    struct end a = {0}, b = {.free_at_frame = true};
    open_pair(&a, &b, 1000);
    for (uint64_t n = 0; n < 5; n++)
        assert_int_equal(send_pattern(a.pipe, n, 10), 0);
    a.stop_after = 1;
    ix_loop_run(&loop); /* ends when a learns that b is gone */
    assert_int_equal(b.frames, 1);
    assert_int_equal(b.closed, 0);
    assert_int_equal(a.closed, 1);
    ix_pipe_free(a.pipe);
}

/* The peer is gone: sending fails without a signal, and what the peer had sent is delivered first. */
static void test_last_words_of_a_peer(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    open_pair(&a, &b, 1000);
    for (uint64_t n = 0; n < 3; n++)
        assert_int_equal(send_pattern(b.pipe, n, 10), 0);
    ix_pipe_free(b.pipe);
    assert_int_equal(ix_frame_send(a.pipe, 1, "x", 1), -EPIPE);
    assert_int_equal(a.closed, 0);
    ix_loop_run(&loop);
    assert_int_equal(a.frames, 3);
    assert_int_equal(a.closed, 1);
    assert_true(a.code < 0);
    ix_pipe_free(a.pipe);
}

static void test_flush(void **state)
{
    (void)state;
    int fds[2];
    struct end a = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    open_end(&a, fds[0], 8 << 20);
    assert_int_equal(send_pattern(a.pipe, 0, 4 << 20), 0);
    assert_int_equal(ix_frame_flush(a.pipe, 20), -ETIMEDOUT); /* nobody reads */
    pid_t reader = fork();
    if (reader == 0) {
        static char sink[1 << 16];
        size_t total = 0;
        ssize_t got;
        close(fds[0]);
        while (total < (4 << 20) + 5 && (got = read(fds[1], sink, sizeof(sink))) > 0)
            total += (size_t)got;
        _exit(total == (4 << 20) + 5 ? 0 : 1);
    }
    assert_int_equal(ix_frame_flush(a.pipe, FAILSAFE_S * 1000), 0);
    assert_int_equal(ix_frame_queued(a.pipe), 0);
    int status;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    ix_pipe_free(a.pipe);
    close(fds[1]);
}

/* ---- children ---- */

struct outcome {
    int calls;
    int64_t status;
    int signal;
};

static void on_child_exit(void *context, int64_t status, int signal_number)
{
    struct outcome *outcome = context;
    outcome->calls++;
    outcome->status = status;
    outcome->signal = signal_number;
    ix_loop_stop(&loop);
}

static struct ix_child *start_shell(const char *script, struct outcome *outcome, const int *fds,
                                    size_t fd_count, const char *output)
{
    char *const argv[] = {"sh", "-c", (char *)script, NULL};
    struct ix_child_config config = {.file = "/bin/sh",
                                     .argv = argv,
                                     .fds = fds,
                                     .fd_count = fd_count,
                                     .output_path = output,
                                     .on_exit = on_child_exit,
                                     .context = outcome};
    struct ix_child *child;
    struct ix_error err;
    if (ix_child_spawn(&loop, &config, &child, &err) < 0)
        fail_msg("%s", err.text);
    return child;
}

static void test_child_descriptors_and_output(void **state)
{
    (void)state;
    int fds[2], leaked = open("/dev/null", O_RDONLY); /* without close-on-exec */
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    char output[] = "/tmp/iotix-child-XXXXXX";
    close(mkstemp(output));
    struct outcome outcome = {0};
    struct ix_child *child = start_shell("echo to-pipe >&4; echo to-log; echo to-log-too >&2; ls /proc/$$/fd;"
                                         "read line || exit 7",
                                         &outcome, (int[]){fds[0], fds[1]}, 2, output);
    ix_loop_run(&loop);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.status, 7); /* its stdin is empty */
    assert_int_equal(outcome.signal, 0);
    assert_int_equal(ix_child_kill(child, SIGTERM), -ESRCH);
    ix_child_free(child);
    char text[200] = {0};
    assert_int_equal(read(fds[0], text, sizeof(text) - 1), 8);
    assert_string_equal(text, "to-pipe\n");
    int fd = open(output, O_RDONLY | O_CLOEXEC);
    memset(text, 0, sizeof(text));
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "to-log\nto-log-too\n0\n1\n2\n3\n4\n");
    close(fd);
    close(fds[0]);
    close(fds[1]);
    close(leaked);
    unlink(output);
}

static void test_child_killed(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct ix_child *child = start_shell("sleep 100", &outcome, NULL, 0, NULL);
    assert_int_equal(ix_child_kill(child, SIGTERM), 0);
    ix_loop_run(&loop);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.signal, SIGTERM);
    ix_child_free(child);
}

static void test_child_freed_while_it_runs(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct ix_loop *main_loop = &loop;
    struct ix_child *child = start_shell("sleep 100", &outcome, NULL, 0, NULL);
    int pid = ix_child_pid(child);
    ix_child_free(child);
    struct ix_error err;
    ix_loop_deinit(main_loop);
    assert_int_equal(kill(pid, 0), -1); /* gone, and reaped */
    assert_int_equal(outcome.calls, 0);
    assert_int_equal(ix_loop_init(main_loop, &err), 0);
}

static void test_child_that_can_not_start(void **state)
{
    (void)state;
    struct ix_child *child;
    struct ix_error err;
    char *const argv[] = {"x", NULL};
    struct ix_child_config config = {.file = "/no/such/program", .argv = argv};
    assert_int_equal(ix_child_spawn(&loop, &config, &child, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/program"));
    config = (struct ix_child_config){.file = "/bin/sh", .argv = argv, .output_path = "/no/such/folder/log"};
    assert_int_equal(ix_child_spawn(&loop, &config, &child, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/folder/log"));
}

/* The grandchild holds the write end of a pipe: its end is the proof that it died with its parent. */
static void test_child_dies_with_its_parent(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        int self = (int)getpid();
        if (fork() == 0) {
            ix_child_die_with_parent(self);
            if (write(fds[1], "r", 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
        for (;;)
            pause();
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(fds[0], &byte, 1), 0);
    close(fds[0]);

    pid_t orphan = fork();
    if (orphan == 0) {
        ix_child_die_with_parent((int)getppid() + 1); /* a parent that is gone */
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(orphan, &status, 0), orphan);
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_descriptor_limit(void **state)
{
    (void)state;
    uint64_t limit = ix_raise_descriptor_limit();
    assert_true(limit > 0 && limit == ix_raise_descriptor_limit());
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {LOOP_TEST(test_deadlines_are_kept_exactly),
                                       LOOP_TEST(test_idle_loop_does_not_turn),
                                       LOOP_TEST(test_earlier_entry_rearms),
                                       LOOP_TEST(test_batches_leave_room_for_sockets),
                                       cmocka_unit_test(test_clock),
                                       LOOP_TEST(test_virtual_time),
                                       LOOP_TEST(test_deferred_calls),
                                       cmocka_unit_test(test_deinit_runs_what_was_deferred),
                                       LOOP_TEST(test_frames_of_all_sizes),
                                       LOOP_TEST(test_frames_cut_anywhere),
                                       LOOP_TEST(test_frame_too_long),
                                       LOOP_TEST(test_queue_limit),
                                       LOOP_TEST(test_pipe_freed_by_its_callback),
                                       LOOP_TEST(test_last_words_of_a_peer),
                                       LOOP_TEST(test_flush),
                                       LOOP_TEST(test_child_descriptors_and_output),
                                       LOOP_TEST(test_child_killed),
                                       LOOP_TEST(test_child_freed_while_it_runs),
                                       LOOP_TEST(test_child_that_can_not_start),
                                       LOOP_TEST(test_child_dies_with_its_parent),
                                       cmocka_unit_test(test_descriptor_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

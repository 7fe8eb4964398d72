#include "check.h"
#include "loop/child.h"
#include "loop/poll.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAILSAFE_S 30 /* a test that hangs is ended by SIGALRM */
#define MANY       1500

static struct ix_loop loop;

struct listener {
    struct ix_poll poll; /* first: the callback gets only this */
    int calls, stop_after;
    uint32_t seen;
    struct listener *forgets; /* … that one, when it is called */
};

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

static void on_ready(struct ix_poll *poll, uint32_t events)
{
    struct listener *l = (struct listener *)poll;
    l->seen |= events;
    if (l->forgets)
        ix_poll_forget(&l->forgets->poll);
    if (++l->calls == l->stop_after)
        ix_loop_stop(&loop);
}

static struct listener listen_to(int fd, int stop_after)
{
    return (struct listener){.poll = {.ready = on_ready, .fd = fd}, .stop_after = stop_after};
}

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void close_pair(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

/* The event comes in each turn until it is dealt with, and only what is waited for. */
static void test_comes_until_it_is_over(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    struct listener l = listen_to(fds[0], 3);
    assert_int_equal(ix_poll_set(&loop, &l.poll, EPOLLIN), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    ix_loop_run(&loop);
    assert_int_equal(l.calls, 3);
    assert_int_equal(l.seen, EPOLLIN);

    l.calls = l.stop_after = 0;
    char byte;
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(ix_poll_set(&loop, &l.poll, 0), 0);
    struct listener writable = listen_to(fds[1], 2);
    assert_int_equal(ix_poll_set(&loop, &writable.poll, EPOLLIN | EPOLLOUT), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    ix_loop_run(&loop);
    assert_int_equal(writable.seen, EPOLLOUT);
    assert_int_equal(l.calls, 0); /* stopped */
    close_pair(fds);
}

static void test_hang_up_comes_unasked(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    struct listener l = listen_to(fds[0], 1);
    assert_int_equal(ix_poll_set(&loop, &l.poll, EPOLLIN), 0);
    close(fds[1]);
    ix_loop_run(&loop);
    assert_int_equal(l.seen, EPOLLIN | EPOLLHUP);
    close(fds[0]);
}

/* Both are in one batch; whichever is first, the other one is not called any more. */
static void test_forgotten_in_the_middle_of_a_batch(void **state)
{
    (void)state;
    int first[2], second[2];
    make_pair(first);
    make_pair(second);
    struct listener a = listen_to(first[0], 2), b = listen_to(second[0], 2);
    a.forgets = &b;
    b.forgets = &a;
    assert_int_equal(ix_poll_set(&loop, &a.poll, EPOLLIN), 0);
    assert_int_equal(ix_poll_set(&loop, &b.poll, EPOLLIN), 0);
    assert_int_equal(write(first[1], "x", 1), 1);
    assert_int_equal(write(second[1], "x", 1), 1);
    ix_loop_run(&loop);
    assert_int_equal(a.calls + b.calls, 2);
    assert_true(a.calls == 0 || b.calls == 0);
    close_pair(first);
    close_pair(second);
}

/* A closed descriptor's number is free for the next one at once. */
static void test_closing_ends_it(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    struct listener l = listen_to(fds[0], 0);
    assert_int_equal(ix_poll_set(&loop, &l.poll, EPOLLIN), 0);
    ix_poll_forget(&l.poll);
    close_pair(fds);
    make_pair(fds);
    struct listener next = listen_to(fds[0], 1);
    assert_int_equal(ix_poll_set(&loop, &next.poll, EPOLLIN), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    ix_loop_run(&loop);
    assert_int_equal(l.calls, 0);
    assert_int_equal(next.calls, 1);
    close_pair(fds);
}

/* More than a turn takes: none is left out. */
static void test_many(void **state)
{
    (void)state;
    assert_true(ix_raise_descriptor_limit() >= MANY + 64);
    struct listener *all = calloc(MANY, sizeof(*all));
    for (int i = 0; i < MANY; i++) {
        all[i] = listen_to(eventfd(1, EFD_CLOEXEC), i == 0 ? 5 : 0);
        assert_int_equal(ix_poll_set(&loop, &all[i].poll, EPOLLIN), 0);
    }
    ix_loop_run(&loop);
    for (int i = 0; i < MANY; i++) {
        assert_in_range(all[i].calls, 4, 6); /* in turns */
        close(all[i].poll.fd);
    }
    free(all);
}

static void test_bad_descriptor(void **state)
{
    (void)state;
    struct listener l = listen_to(-1, 0);
    assert_int_equal(ix_poll_set(&loop, &l.poll, EPOLLIN), -EBADF);
    assert_int_equal(l.poll.events, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_until_it_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hang_up_comes_unasked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forgotten_in_the_middle_of_a_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closing_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_descriptor, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

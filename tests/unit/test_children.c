/* Child processes: what they inherit and say, and how they end. */
#include "loop_fixture.h"

#include "loop/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

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

/* A broker that is started for a run sleeps as one that was there before: the loop's precision is its own. */
static void test_child_sleeps_as_others_do(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct ix_child *child = start_shell("test $(cat /proc/$$/timerslack_ns) -gt 1", &outcome, NULL, 0, NULL);
    ix_loop_run(&loop);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(prctl(PR_GET_TIMERSLACK), 1);
    ix_child_free(child);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_child_descriptors_and_output),
        LOOP_TEST(test_child_sleeps_as_others_do),
        LOOP_TEST(test_child_killed),
        LOOP_TEST(test_child_freed_while_it_runs),
        LOOP_TEST(test_child_that_can_not_start),
        LOOP_TEST(test_child_dies_with_its_parent),
        cmocka_unit_test(test_descriptor_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

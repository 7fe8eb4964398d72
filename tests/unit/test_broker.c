/* The embedded broker: where it listens, what it says when it cannot, and that nothing of it stays behind. */
#include "mqtt_fixture.h"
#include "protocol/probe.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int processes_of(const char *program)
{
    int count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300], line[64] = "";
        long ppid = 0;
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fscanf(file, "%*d (%63[^)]) %*c %ld", line, &ppid) == 2 && strcmp(line, program) == 0 &&
            ppid == (long)getpid())
            count++;
        fclose(file);
    }
    closedir(dir);
    return count;
}

static void test_it_listens_on_a_free_port_and_ends_on_request(void **state)
{
    (void)state;
    start_broker(NULL);
    uint16_t port = ix_broker_port(broker);
    assert_true(port > 0);
    assert_true(ix_broker_probe("127.0.0.1", port, 1000));
    assert_int_equal(processes_of("mosquitto"), 1);
    stop_broker();
    run_for(100);
    assert_int_equal(processes_of("mosquitto"), 0);
    assert_false(ix_broker_probe("127.0.0.1", port, 1000));
    assert_int_equal(broker_ended, 0); /* we knew */
}

/* A server of one connection in a process of its own; `answer` NULL: it closes the connection, "": it says nothing. */
static uint16_t serve_once(const char *answer, pid_t *child)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    *child = fork();
    if (*child == 0) {
        char request[256];
        int client = accept(fd, NULL, NULL);
        ssize_t got = answer ? recv(client, request, sizeof(request), 0) : 0;
        if (got > 0 && answer[0])
            (void)send(client, answer, strlen(answer), MSG_NOSIGNAL);
        if (answer)
            (void)recv(client, request, sizeof(request), 0); /* until the other end leaves */
        _exit(0);
    }
    close(fd);
    return ntohs(address.sin_port);
}

/* A listener whose queue is full, as that of a broker which hangs: connections are neither taken nor refused. */
static void test_a_listener_that_takes_nobody_is_not_nothing(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[4];
    char found[160];
    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    getsockname(listener, (struct sockaddr *)&address, &len);
    for (size_t i = 0; i < IX_ARRAY_LEN(waiting); i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(waiting[i], (struct sockaddr *)&address, sizeof(address));
    }
    assert_int_equal(ix_mqtt_probe("127.0.0.1", ntohs(address.sin_port), 300, found, sizeof(found)),
                     IX_PROBE_OTHER);
    assert_string_equal(found, "took no connection for 300 ms");
    for (size_t i = 0; i < IX_ARRAY_LEN(waiting); i++)
        close(waiting[i]);
    close(listener);
}

static void test_what_listens_is_told_apart(void **state)
{
    static const struct {
        const char *answer, *found;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "answered \"HTTP/1.1 400 Bad Request\""},
        {"\x15\x03\x01", "answered 3 bytes that are no MQTT"},
        {"", "said nothing for 300 ms"},
        {NULL, "closed the connection"},
    };
    (void)state;
    char found[160];
    start_broker(NULL);
    uint16_t port = ix_broker_port(broker);
    assert_int_equal(ix_mqtt_probe("127.0.0.1", port, 30000, found, sizeof(found)), IX_PROBE_MQTT);
    assert_string_equal(found, "");
    stop_broker();
    run_for(100);
    assert_int_equal(ix_mqtt_probe("127.0.0.1", port, 1000, NULL, 0), IX_PROBE_NOTHING);
    assert_int_equal(ix_mqtt_probe("no address", port, 1000, NULL, 0), IX_PROBE_NOTHING);
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        pid_t child;
        bool is_silent = cases[i].answer && !cases[i].answer[0];
        port = serve_once(cases[i].answer, &child);
        assert_int_equal(ix_mqtt_probe("127.0.0.1", port, is_silent ? 300 : 30000, found, sizeof(found)),
                         IX_PROBE_OTHER);
        assert_string_equal(found, cases[i].found);
        waitpid(child, NULL, 0);
    }
}

static void test_two_at_once_have_different_ports(void **state)
{
    (void)state;
    start_broker(NULL);
    struct ix_broker *first = broker;
    start_broker(NULL);
    assert_int_not_equal(ix_broker_port(first), ix_broker_port(broker));
    ix_broker_stop(first);
}

static void test_a_taken_port_is_refused_at_once(void **state)
{
    (void)state;
    fake_start(NULL, false, false);
    struct ix_broker_config config = {.port = fake.port, .ready = on_broker_ready};
    struct ix_error err;
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "something else does"));
    assert_null(broker);
    fake_stop();
}

static void test_a_given_port_is_used(void **state)
{
    (void)state;
    fake_start(NULL, false, false);
    uint16_t port = fake.port;
    fake_stop();
    struct ix_broker_config config = {.port = port, .ready = on_broker_ready};
    struct ix_error err;
    broker_ready = 0;
    broker_problem[0] = '\0';
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
    wait_for(&broker_ready, 1);
    assert_string_equal(broker_problem, "");
    assert_int_equal(ix_broker_port(broker), port);
}

static void test_what_it_says_is_passed_on(void **state)
{
    (void)state;
    struct ix_broker_config config = {.options = "no_such_setting 1", .ready = on_broker_ready};
    struct ix_error err;
    broker_ready = 0;
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
    wait_for(&broker_ready, 1);
    assert_non_null(strstr(broker_problem, "no_such_setting"));
    assert_non_null(strstr(broker_problem, "ended with status"));
    run_for(50);
    assert_int_equal(broker_ready, 1);
}

/* Ports are chosen before mosquitto has them: others may be quicker, also several times in a row. */
static void test_a_port_that_somebody_else_took_is_changed(void **state)
{
    (void)state;
    char folder[] = "/tmp/iotix-broker.XXXXXX", program[64], tries[64];
    assert_non_null(mkdtemp(folder));
    snprintf(program, sizeof(program), "%s/mosquitto", folder);
    snprintf(tries, sizeof(tries), "%s/tries", folder);
    for (int taken = 1; taken <= 7; taken++) {
        FILE *file = fopen(program, "w");
        assert_non_null(file);
        fprintf(file,
                "#!/bin/sh\necho >>%s\n[ $(wc -l <%s) -gt %d ] && exec /usr/sbin/mosquitto \"$@\"\n"
                "echo Error: Address already in use >&2\nexit 1\n",
                tries, tries, taken);
        fclose(file);
        assert_int_equal(chmod(program, 0700), 0);
        struct ix_broker_config config = {.program = program, .ready = on_broker_ready};
        struct ix_error err;
        broker_ready = 0;
        broker_problem[0] = '\0';
        assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
        wait_for(&broker_ready, 1);
        assert_string_equal(broker_problem, "");
        assert_true(ix_broker_probe("127.0.0.1", ix_broker_port(broker), 1000));
        stop_broker();
        run_for(50);
        assert_int_equal(broker_ready, 1);
        unlink(tries);
    }
    unlink(program);
    assert_int_equal(rmdir(folder), 0);
}

/* Whoever took the port also answers there: that is not our broker. */
static void test_a_stranger_at_the_port_is_not_the_broker(void **state)
{
    (void)state;
    char folder[] = "/tmp/iotix-broker.XXXXXX", program[64], tries[64];
    assert_non_null(mkdtemp(folder));
    snprintf(program, sizeof(program), "%s/mosquitto", folder);
    snprintf(tries, sizeof(tries), "%s/tries", folder);
    FILE *file = fopen(program, "w");
    assert_non_null(file);
    fprintf(file,
            "#!/bin/sh\n[ -e %s ] && exec /usr/sbin/mosquitto \"$@\"\n"
            "echo >%s\nsleep 0.3\necho Error: Address already in use >&2\nexit 1\n",
            tries, tries);
    fclose(file);
    assert_int_equal(chmod(program, 0700), 0);
    struct ix_broker_config config = {.program = program, .ready = on_broker_ready};
    struct ix_error err;
    broker_ready = 0;
    broker_problem[0] = '\0';
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
    uint16_t port = ix_broker_port(broker);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1; /* a free port is kept from all but those who want this very one */
    assert_int_equal(setsockopt(stranger, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(stranger, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(stranger, 64), 0);
    wait_for(&broker_ready, 1);
    assert_string_equal(broker_problem, "");
    assert_int_not_equal(ix_broker_port(broker), port);
    close(stranger);
    unlink(tries);
    unlink(program);
    assert_int_equal(rmdir(folder), 0);
}

/* Is it allowed to take a descriptor from a child? Some containers forbid that. */
static bool descriptors_can_be_taken(void)
{
    int process = (int)syscall(SYS_pidfd_open, ix_broker_pid(broker), 0);
    int taken = (int)syscall(SYS_pidfd_getfd, process, 0, 0);
    close(process);
    return taken >= 0 && close(taken) == 0;
}

static int longest_queue(void)
{
    int value = 0;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "r");
    if (file != NULL && fscanf(file, "%d", &value) != 1)
        value = 0;
    if (file != NULL)
        fclose(file);
    return value;
}

#define AT_ONCE 400

static void test_many_may_connect_at_once(void **state)
{
    (void)state;
    struct ix_broker_config config = {.ready = on_broker_ready};
    struct ix_error err;
    int fds[AT_ONCE], connected = 0;
    broker_ready = 0;
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
    wait_for(&broker_ready, 1);
    int expected = descriptors_can_be_taken() && longest_queue() >= AT_ONCE ? AT_ONCE : 100;
    assert_int_equal(kill(ix_broker_pid(broker), SIGSTOP), 0); /* accepts nothing */
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(ix_broker_port(broker)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < AT_ONCE; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        if (connect(fds[i], (struct sockaddr *)&address, sizeof(address)) != 0)
            assert_int_equal(errno, EINPROGRESS);
        struct pollfd poller = {.fd = fds[i], .events = POLLOUT};
        connected += connected == i && poll(&poller, 1, 500) == 1;
    }
    assert_true(connected >= expected);
    for (int i = 0; i < AT_ONCE; i++)
        close(fds[i]);
    assert_int_equal(kill(ix_broker_pid(broker), SIGCONT), 0);
}

static void stop_when_ready(void *context, const struct ix_error *failure)
{
    on_broker_ready(context, failure);
    stop_broker();
}

static void test_it_may_be_stopped_at_any_moment(void **state)
{
    (void)state;
    struct ix_broker_config config = {.ready = on_broker_ready};
    struct ix_error err;
    broker_ready = 0;
    for (int ms = 0; ms < 40; ms += 4) { /* before, between and after its probes */
        assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
        run_for(ms);
        int before = broker_ready;
        stop_broker();
        run_for(10);
        assert_int_equal(broker_ready, before);
    }
    config.ready = stop_when_ready;
    broker_ready = 0;
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), 0);
    wait_for(&broker_ready, 1);
    assert_null(broker);
}

static void test_a_missing_mosquitto_says_what_to_install(void **state)
{
    (void)state;
    struct ix_broker_config config = {.program = "/nowhere/mosquitto", .ready = on_broker_ready};
    struct ix_error err;
    assert_int_equal(ix_broker_start(&loop, &config, &broker, &err), -ENOENT);
    assert_non_null(strstr(err.text, "apt-get install mosquitto"));
    assert_null(broker);
}

/* A process that starts a broker is killed: the broker goes with it, and no file stays. */
static void test_it_does_not_outlive_its_parent(void **state)
{
    (void)state;
    int pair[2], pid_of_broker = 0;
    assert_int_equal(pipe(pair), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct ix_error err;
        struct ix_broker_config config = {.ready = on_broker_ready};
        set_up_loop(NULL);
        if (ix_broker_start(&loop, &config, &broker, &err) != 0)
            _exit(1);
        wait_for(&broker_ready, 1);
        int pid = ix_broker_pid(broker);
        if (write(pair[1], &pid, sizeof(pid)) != sizeof(pid))
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pair[0], &pid_of_broker, sizeof(pid_of_broker)), sizeof(pid_of_broker));
    assert_int_equal(kill(pid_of_broker, 0), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    bool gone = false;
    for (int i = 0; i < 1000 && !gone; i++) {
        char path[64], line[256] = "";
        snprintf(path, sizeof(path), "/proc/%d/stat", pid_of_broker);
        FILE *file = fopen(path, "r");
        gone = file == NULL || fgets(line, sizeof(line), file) == NULL || strstr(line, ") Z ") != NULL;
        if (file != NULL)
            fclose(file);
        usleep(10000);
    }
    assert_true(gone);
    close(pair[0]);
    close(pair[1]);
}

static void test_the_exec_child_is_not_for_people(void **state)
{
    (void)state;
    char *argv[] = {"iotix", IX_BROKER_EXEC, NULL};
    assert_int_equal(ix_broker_exec_main(2, argv), 104);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], IX_BROKER_EXEC) == 0)
        return ix_broker_exec_main(argc, argv);
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up_loop, tear_down_loop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_does_not_outlive_its_parent),
        WITH_LOOP(test_it_listens_on_a_free_port_and_ends_on_request),
        WITH_LOOP(test_what_listens_is_told_apart),
        cmocka_unit_test(test_a_listener_that_takes_nobody_is_not_nothing),
        WITH_LOOP(test_two_at_once_have_different_ports),
        WITH_LOOP(test_a_taken_port_is_refused_at_once),
        WITH_LOOP(test_a_given_port_is_used),
        WITH_LOOP(test_what_it_says_is_passed_on),
        WITH_LOOP(test_a_port_that_somebody_else_took_is_changed),
        WITH_LOOP(test_a_stranger_at_the_port_is_not_the_broker),
        WITH_LOOP(test_many_may_connect_at_once),
        WITH_LOOP(test_it_may_be_stopped_at_any_moment),
        WITH_LOOP(test_a_missing_mosquitto_says_what_to_install),
        cmocka_unit_test(test_the_exec_child_is_not_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

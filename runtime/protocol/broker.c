#include "protocol/broker.h"

#include "loop/child.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READY_TIMEOUT_NS 5000000000ull
#define PROBE_PAUSE_MS   10
#define PORT_ATTEMPTS    8
#define LOG_TAIL         600
#define BACKLOG          8192 /* or net.core.somaxconn */

/* Where the child finds what it was given. */
#define CONFIG_FD 3
#define LOG_FD    4

enum state { STARTING, READY, OVER };

struct ix_broker {
    struct ix_loop *loop;
    struct ix_broker_config config;
    char *options;
    char *program;
    struct ix_child *child;
    uv_timer_t timer; /* pause between two probes */
    uv_tcp_t probe;
    uv_connect_t connecting;
    uint64_t deadline_ns;
    int port_fd; /* keeps the port; -1: none */
    int log_fd;  /* what mosquitto says */
    int attempts;
    int handles; /* open ones: the memory goes with the last */
    enum state state;
    uint16_t port;
    bool probing; /* `probe` is open */
    bool exited;
    bool stopped;
};

static void spawn(struct ix_broker *broker);
static void try_connect(struct ix_broker *broker);

/* --- Its program and its settings. */

static char *find_program(const char *given)
{
    if (given != NULL)
        return access(given, X_OK) == 0 ? ix_strdup(given) : NULL;
    const char *path = getenv("PATH");
    char *folders = ix_asprintf("%s:/usr/sbin:/usr/local/sbin:/sbin", path != NULL ? path : "");
    char *found = NULL;
    for (char *folder = folders, *next; folder != NULL && found == NULL; folder = next) {
        next = strchr(folder, ':');
        if (next != NULL)
            *next++ = '\0';
        char *candidate = ix_asprintf("%s/mosquitto", folder);
        if (folder[0] == '/' && access(candidate, X_OK) == 0)
            found = candidate;
        else
            free(candidate);
    }
    free(folders);
    return found;
}

/* A descriptor of an unnamed file in memory, or -errno. */
static int memory_file(const char *name, const char *text)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int config_file(const struct ix_broker *broker)
{
    /* Started as root, mosquitto would change to its own user, and that clears the signal which ends it with
     * its parent. 0: no limit of messages that wait for a slow subscriber, so that what a run measures is not
     * our own queue. */
    char *text = ix_asprintf("listener %u 127.0.0.1\n"
                             "allow_anonymous true\n"
                             "%s"
                             "max_inflight_messages 0\n"
                             "max_queued_messages 0\n"
                             "persistence false\n"
                             "sys_interval 1\n"
                             "set_tcp_nodelay true\n"
                             "log_dest stderr\n"
                             "log_type error\n"
                             "log_timestamp false\n"
                             "%s\n",
                             broker->port, geteuid() == 0 ? "user root\n" : "", broker->options);
    int fd = memory_file("iotix-mosquitto.conf", text);
    free(text);
    return fd;
}

static void give_port_back(struct ix_broker *broker)
{
    if (broker->port_fd >= 0)
        close(broker->port_fd);
    broker->port_fd = -1;
}

/* The wished port, or a free one (the listener is told its number, because to mosquitto port 0 is a Unix socket), or 0.
 * A socket of ours keeps it, also while no broker listens, from everybody who asks for any port: two runs that start at
 * once would get the same one, and a connection could take that of a broker that is just started again. Mosquitto may
 * bind it all the same, because both allow reuse. */
static uint16_t take_port(struct ix_broker *broker)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(broker->config.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int one = 1;
    give_port_back(broker);
    int fd = broker->port_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (broker->config.port != 0) { /* whether it can be had is for mosquitto to say */
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        (void)bind(fd, (struct sockaddr *)&address, len);
        return broker->config.port;
    }
    /* Reuse is allowed only once the port is ours alone. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        return 0;
    return ntohs(address.sin_port);
}

/* The last messages of mosquitto in one line. */
static void read_log(const struct ix_broker *broker, char text[LOG_TAIL + 1])
{
    off_t size = lseek(broker->log_fd, 0, SEEK_END);
    off_t from = size > LOG_TAIL ? size - LOG_TAIL : 0;
    ssize_t len = pread(broker->log_fd, text, LOG_TAIL, from);
    if (len < 0)
        len = 0;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    text[len] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

/* --- Events. */

static void report_ready(struct ix_broker *broker, const struct ix_error *failure)
{
    uv_timer_stop(&broker->timer);
    broker->state = failure == NULL ? READY : OVER;
    broker->config.ready(broker->config.context, failure);
}

static void fail(struct ix_broker *broker, const char *what)
{
    char log[LOG_TAIL + 1];
    struct ix_error err;
    read_log(broker, log);
    ix_fail(&err, -EIO, "the embedded broker (%s) %s%s%s", broker->program, what,
            log[0] != '\0' ? "; it says: " : "", log);
    report_ready(broker, &err);
}

static void on_exit_of(void *context, int64_t status, int signal)
{
    struct ix_broker *broker = context;
    char log[LOG_TAIL + 1];
    char what[64];
    broker->exited = true;
    read_log(broker, log);
    if (signal != 0)
        snprintf(what, sizeof(what), "was killed by signal %d", signal);
    else
        snprintf(what, sizeof(what), "ended with status %lld", (long long)status);
    if (broker->state == STARTING) {
        bool conflict = strstr(log, "Address already in use") != NULL;
        if (conflict && broker->config.port == 0 && broker->attempts < PORT_ATTEMPTS)
            spawn(broker); /* somebody else took the port in the meantime */
        else
            fail(broker, what);
    } else if (broker->state == READY) {
        struct ix_error err;
        broker->state = OVER;
        ix_fail(&err, -EPIPE, "the embedded broker (%s) %s%s%s", broker->program, what,
                log[0] != '\0' ? "; it says: " : "", log);
        if (broker->config.ended != NULL)
            broker->config.ended(broker->config.context, &err);
    }
}

static int spawn_child(struct ix_broker *broker, struct ix_error *err)
{
    int config = config_file(broker);
    if (config < 0)
        return ix_fail(err, config, "the embedded broker's settings cannot be written: %s",
                       strerror(-config));
    char parent[24];
    snprintf(parent, sizeof(parent), "%ld", (long)getpid());
    char *argv[] = {"iotix", IX_BROKER_EXEC, parent, broker->program, NULL};
    int fds[] = {config, broker->log_fd};
    struct ix_child_config child = {
        .argv = argv, .fds = fds, .fd_count = 2, .on_exit = on_exit_of, .context = broker};
    int rc = ix_child_spawn(broker->loop, &child, &broker->child, err);
    close(config);
    return rc;
}

static void spawn(struct ix_broker *broker)
{
    struct ix_error err;
    broker->attempts++;
    ix_child_free(broker->child);
    broker->child = NULL;
    broker->exited = false;
    (void)ftruncate(broker->log_fd, 0);
    lseek(broker->log_fd, 0, SEEK_SET);
    broker->port = take_port(broker);
    if (spawn_child(broker, &err) != 0)
        report_ready(broker, &err);
    else if (!broker->probing)
        try_connect(broker);
}

/* --- The socket that it listens on. */

enum listening {
    UNKNOWN,
    NO,
    YES
}; /* unknown where looking is not allowed: a container without CAP_SYS_PTRACE */

/* mosquitto lets 100 connections wait. Of a thousand devices that connect at one instant, most would be
 * turned away by the kernel, and try again after a second: what a run then measured would be this limit.
 * Whoever holds a listening socket may raise it. */
static enum listening listen_more(int process, int fd, uint16_t port)
{
    int own = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
    if (own < 0)
        return errno == EBADF || errno == ESRCH ? NO : UNKNOWN;
    struct sockaddr_in address = {0};
    int listens = 0;
    socklen_t len = sizeof(listens), address_len = sizeof(address);
    bool is_it = getsockopt(own, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens &&
                 getsockname(own, (struct sockaddr *)&address, &address_len) == 0 &&
                 address.sin_family == AF_INET && ntohs(address.sin_port) == port;
    if (is_it)
        (void)listen(own, BACKLOG);
    close(own);
    return is_it ? YES : NO;
}

/* Whether it is our mosquitto that listens on the port, and not somebody who was quicker to take it. */
static enum listening listens_itself(const struct ix_broker *broker)
{
    char folder[64];
    snprintf(folder, sizeof(folder), "/proc/%d/fd", ix_broker_pid(broker));
    int process = (int)syscall(SYS_pidfd_open, ix_broker_pid(broker), 0);
    DIR *descriptors = process >= 0 ? opendir(folder) : NULL;
    enum listening found = descriptors != NULL ? NO : UNKNOWN;
    struct dirent *entry;
    while (found == NO && (entry = readdir(descriptors)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]))
            found = listen_more(process, (int)strtol(entry->d_name, NULL, 10), broker->port);
    if (descriptors != NULL)
        closedir(descriptors);
    if (process >= 0)
        close(process);
    return found;
}

/* --- Is it ready? */

static void release(struct ix_broker *broker)
{
    if (--broker->handles > 0)
        return;
    close(broker->log_fd);
    free(broker->options);
    free(broker->program);
    free(broker);
}

static void on_pause_over(uv_timer_t *timer)
{
    try_connect(timer->data);
}

static void on_refused_closed(uv_handle_t *handle)
{
    struct ix_broker *broker = handle->data;
    broker->probing = false;
    if (!broker->stopped && broker->state == STARTING)
        uv_timer_start(&broker->timer, on_pause_over, PROBE_PAUSE_MS, 0);
    release(broker);
}

static void on_accepted_closed(uv_handle_t *handle)
{
    struct ix_broker *broker = handle->data;
    broker->probing = false;
    if (!broker->stopped && broker->state == STARTING && !broker->exited) {
        if (listens_itself(broker) == NO) /* it will end, or not be that far yet */
            uv_timer_start(&broker->timer, on_pause_over, PROBE_PAUSE_MS, 0);
        else
            report_ready(broker, NULL);
    }
    release(broker);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct ix_broker *broker = request->data;
    if (!broker->stopped)
        uv_close((uv_handle_t *)&broker->probe, status == 0 ? on_accepted_closed : on_refused_closed);
}

static void try_connect(struct ix_broker *broker)
{
    struct sockaddr_in address;
    if (ix_clock_now(&broker->loop->clock) >= broker->deadline_ns) {
        fail(broker, "does not accept connections 5 s after its start");
        return;
    }
    uv_timer_stop(&broker->timer); /* a second probe meanwhile would take the first one's handle */
    uv_ip4_addr("127.0.0.1", broker->port, &address);
    uv_tcp_init(&broker->loop->uv, &broker->probe);
    broker->probe.data = broker;
    broker->connecting.data = broker;
    broker->probing = true;
    broker->handles++;
    if (uv_tcp_connect(&broker->connecting, &broker->probe, (struct sockaddr *)&address, on_connected) != 0)
        uv_close((uv_handle_t *)&broker->probe, on_refused_closed);
}

/* --- For its owner. */

static int check_port(uint16_t port, struct ix_error *err)
{
    if (port == 0 || !ix_broker_probe("127.0.0.1", port, 500))
        return 0;
    return ix_fail(
        err, -EADDRINUSE,
        "the embedded broker cannot listen on port %u: something else does; choose another port, or "
        "0 for a free one",
        port);
}

int ix_broker_start(struct ix_loop *loop, const struct ix_broker_config *config, struct ix_broker **out,
                    struct ix_error *err)
{
    int rc = check_port(config->port, err);
    if (rc != 0)
        return rc;
    char *program = find_program(config->program);
    if (program == NULL)
        return ix_fail(err, -ENOENT,
                       "the embedded broker needs mosquitto, which is not installed: run `apt-get install "
                       "mosquitto`, or name a broker that runs already, by HOST:PORT");
    int log_fd = memory_file("iotix-mosquitto.log", "");
    if (log_fd < 0) {
        free(program);
        return ix_fail(err, log_fd, "the embedded broker cannot start: %s", strerror(-log_fd));
    }
    struct ix_broker *broker = ix_calloc(1, sizeof(*broker));
    broker->loop = loop;
    broker->config = *config;
    broker->options = ix_strdup(config->options != NULL ? config->options : "");
    broker->program = program;
    broker->log_fd = log_fd;
    broker->handles = 1;
    broker->port_fd = -1;
    broker->port = take_port(broker);
    broker->attempts = 1;
    broker->deadline_ns = ix_clock_now(&loop->clock) + READY_TIMEOUT_NS;
    uv_timer_init(&loop->uv, &broker->timer);
    broker->timer.data = broker;
    rc = spawn_child(broker, err);
    if (rc != 0) {
        ix_broker_stop(broker);
        return rc;
    }
    uv_timer_start(&broker->timer, on_pause_over, PROBE_PAUSE_MS, 0);
    *out = broker;
    return 0;
}

uint16_t ix_broker_port(const struct ix_broker *broker)
{
    return broker->port;
}

int ix_broker_pid(const struct ix_broker *broker)
{
    return broker->child != NULL ? ix_child_pid(broker->child) : 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

void ix_broker_stop(struct ix_broker *broker)
{
    if (broker == NULL || broker->stopped)
        return;
    broker->stopped = true;
    broker->state = OVER;
    give_port_back(broker);
    ix_child_free(broker->child);
    broker->child = NULL;
    if (broker->probing && !uv_is_closing((uv_handle_t *)&broker->probe))
        uv_close((uv_handle_t *)&broker->probe, on_handle_closed);
    uv_close((uv_handle_t *)&broker->timer, on_handle_closed);
}

bool ix_broker_probe(const char *address, uint16_t port, int timeout_ms)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return false;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int rc = is_v4 ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
                   : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    if (rc < 0 && errno == EINPROGRESS) {
        struct pollfd poller = {.fd = fd, .events = POLLOUT};
        int error = ETIMEDOUT;
        socklen_t len = sizeof(error);
        if (poll(&poller, 1, timeout_ms) == 1)
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        rc = error == 0 ? 0 : -1;
    }
    close(fd);
    return rc == 0;
}

/* --- In the child. */

int ix_broker_exec_main(int argc, char **argv)
{
    char config[32];
    long parent = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    if (parent <= 0) {
        fprintf(stderr, "iotix: %s is for iotix itself\n", IX_BROKER_EXEC);
        return 104;
    }
    ix_child_die_with_parent((int)parent);
    setpgid(0, 0); /* signals to iotix's group, Ctrl-C among them, must leave it running while iotix drains */
    ix_raise_descriptor_limit();
    dup2(LOG_FD, STDOUT_FILENO);
    dup2(LOG_FD, STDERR_FILENO);
    close(LOG_FD);
    snprintf(config, sizeof(config), "/proc/self/fd/%d", CONFIG_FD);
    execl(argv[3], "mosquitto", "-c", config, (char *)NULL);
    fprintf(stderr, "%s: %s\n", argv[3], strerror(errno));
    return 1;
}

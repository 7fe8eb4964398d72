/* The yardstick of tests/bench: a plain C loop that sends ready-made MQTT 3.1.1 PUBLISH packets of QoS 0 with send()
 * over connections that were opened in advance. It does nothing else that a simulated device does: no payload is made,
 * no timer is kept for a device, nothing is counted but lateness.
 *
 *   baseline HOST PORT,… CONNECTIONS MESSAGES_PER_SECOND SECONDS PAYLOAD_BYTES [PROCESSES [ORDER [WARM_SECONDS]]]
 *
 * Connection i goes to the port i mod their number, belongs to the process i mod PROCESSES, and publishes to the topic
 * devices/bench-i/telemetry. Every process wakes up each millisecond and sends its share of what is due. ORDER: "turn",
 * as the connections were opened, or "mixed", in a random order, the same in every round: as devices publish whose
 * phases are random, which is harder for caches. It publishes for WARM_SECONDS before it measures, since a connection's
 * first messages cost more. 0 messages a second: as fast as the sockets take them.
 *
 * Prints one line of JSON: how many messages, the CPU time (user and system) of the sending loops for each, the CPU
 * time of connecting for each connection, and the lateness of messages behind their instants. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS       1000000ull
#define MAX_PACKET    4096
#define MAX_LATENESS  100000 /* in µs; later ones count as that */
#define MAX_PROCESSES 64
#define MAX_PORTS     64

struct connection {
    int fd;
    size_t len;
    unsigned char *packet;
};

/* What a process measured; shared with the first one. */
struct outcome {
    uint64_t messages;
    double connecting_us, publishing_us;
    uint32_t lateness[MAX_LATENESS + 1];
};

static struct outcome *own;

static void die(const char *what)
{
    fprintf(stderr, "baseline: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static double cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
}

static unsigned char *put_text(unsigned char *out, const char *text)
{
    size_t len = strlen(text);
    *out++ = (unsigned char)(len >> 8);
    *out++ = (unsigned char)len;
    memcpy(out, text, len);
    return out + len;
}

/* Fixed header and remaining length in front of `body`. */
static size_t put_packet(unsigned char *out, unsigned char type, const unsigned char *body, size_t len)
{
    unsigned char *at = out;
    *at++ = type;
    size_t rest = len;
    do {
        *at++ = (unsigned char)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
        rest >>= 7;
    } while (rest > 0);
    memcpy(at, body, len);
    return (size_t)(at - out) + len;
}

static void make_publish(struct connection *c, size_t index, size_t payload)
{
    unsigned char body[MAX_PACKET], packet[MAX_PACKET + 8];
    char topic[64];
    snprintf(topic, sizeof(topic), "devices/bench-%zu/telemetry", index);
    unsigned char *at = put_text(body, topic);
    memset(at, 'x', payload);
    c->len = put_packet(packet, 0x30, body, (size_t)(at - body) + payload);
    c->packet = malloc(c->len);
    if (c->packet == NULL)
        die("malloc");
    memcpy(c->packet, packet, c->len);
}

static void send_all(int fd, const unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, -1);
            continue;
        }
        if (n < 0)
            die("send");
        data += n;
        len -= (size_t)n;
    }
}

static void open_connection(struct connection *c, size_t index, const struct sockaddr_in *address)
{
    unsigned char body[128], packet[160], answer[4];
    char id[32];
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        die("connect");
    snprintf(id, sizeof(id), "baseline-%zu", index);
    unsigned char *at = put_text(body, "MQTT");
    *at++ = 4;    /* 3.1.1 */
    *at++ = 0x02; /* clean session */
    *at++ = 0;    /* no keep-alive */
    *at++ = 0;
    at = put_text(at, id);
    send_all(c->fd, packet, put_packet(packet, 0x10, body, (size_t)(at - body)));
    if (recv(c->fd, answer, 4, MSG_WAITALL) != 4 || answer[0] != 0x20 || answer[3] != 0) {
        errno = EPROTO;
        die("CONNACK");
    }
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl");
}

static void mix(struct connection *connections, size_t count)
{
    uint64_t state = 88172645463325252ull;
    for (size_t i = count; i-- > 1;) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size_t other = (size_t)(state % (i + 1));
        struct connection kept = connections[i];
        connections[i] = connections[other];
        connections[other] = kept;
    }
}

static void publish(struct connection *connections, size_t count, double rate, double seconds)
{
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), sent = 0;
    for (uint64_t tick = start; tick < end; tick += TICK_NS) {
        uint64_t due = rate > 0 ? (uint64_t)((double)(tick - start) * rate / 1e9) : sent + 256;
        uint64_t now = now_ns();
        for (; sent < due; sent++) {
            struct connection *c = &connections[sent % count];
            send_all(c->fd, c->packet, c->len);
            if (rate > 0) {
                uint64_t instant = start + (uint64_t)((double)sent * 1e9 / rate);
                uint64_t late = now > instant ? (now - instant) / 1000 : 0;
                own->lateness[late < MAX_LATENESS ? late : MAX_LATENESS]++;
            }
        }
        if (rate <= 0) {
            tick = now_ns();
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)((tick + TICK_NS) / 1000000000ull),
                                 .tv_nsec = (long)((tick + TICK_NS) % 1000000000ull)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    own->messages = sent;
}

static double percentile_ms(const struct outcome *all, uint64_t count, double share)
{
    uint64_t seen = 0;
    for (size_t us = 0; us <= MAX_LATENESS; us++) {
        seen += all->lateness[us];
        if ((double)seen >= share * (double)count)
            return (double)us / 1000;
    }
    return 0;
}

struct job {
    struct sockaddr_in address;
    uint16_t ports[MAX_PORTS];
    size_t port_count, connections, payload, processes;
    double rate, seconds, warm;
    int mixed;
};

/* One process: opens its connections, says so, waits for the word, publishes. */
static void work(const struct job *job, size_t process, int ready, int go)
{
    size_t count = (job->connections - process + job->processes - 1) / job->processes;
    struct connection *connections = calloc(count + 1, sizeof(*connections));
    char word = 0;
    if (connections == NULL)
        die("calloc");
    double before = cpu_us();
    for (size_t k = 0; k < count; k++) {
        size_t index = process + k * job->processes;
        struct sockaddr_in address = job->address;
        address.sin_port = htons(job->ports[index % job->port_count]);
        open_connection(&connections[k], index, &address);
    }
    own->connecting_us = cpu_us() - before;
    for (size_t k = 0; k < count; k++)
        make_publish(&connections[k], process + k * job->processes, job->payload);
    if (job->mixed)
        mix(connections, count);
    if (write(ready, &word, 1) != 1 || read(go, &word, 1) < 0)
        die("pipe");
    double rate = job->rate * (double)count / (double)job->connections;
    publish(connections, count, rate, job->warm);
    memset(own->lateness, 0, sizeof(own->lateness));
    double begun = cpu_us();
    publish(connections, count, rate, job->seconds);
    own->publishing_us = cpu_us() - begun;
}

static int run(const struct job *job)
{
    size_t size = job->processes * sizeof(struct outcome);
    struct outcome *outcomes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ready[2], go[2], failed = 0;
    if (outcomes == MAP_FAILED || pipe(ready) < 0 || pipe(go) < 0)
        die("start");
    for (size_t i = 0; i < job->processes; i++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        own = &outcomes[i];
        close(ready[0]);
        close(go[1]);
        work(job, i, ready[1], go[0]);
        _exit(0);
    }
    close(ready[1]);
    close(go[0]);
    char word;
    for (size_t i = 0; i < job->processes; i++)
        failed |= read(ready[0], &word, 1) != 1;
    close(go[1]); /* the word: all at once */
    for (int status; wait(&status) > 0;)
        failed |= status != 0;
    if (failed)
        return 1;
    struct outcome *all = &outcomes[0];
    for (size_t i = 1; i < job->processes; i++) {
        all->messages += outcomes[i].messages;
        all->connecting_us += outcomes[i].connecting_us;
        all->publishing_us += outcomes[i].publishing_us;
        for (size_t us = 0; us <= MAX_LATENESS; us++)
            all->lateness[us] += outcomes[i].lateness[us];
    }
    double sent = (double)all->messages;
    printf("{\"messages\": %llu, \"cpu_us_per_message\": %.4f, \"cpu_us_per_connect\": %.3f",
           (unsigned long long)all->messages, all->publishing_us / sent,
           all->connecting_us / (double)job->connections);
    printf(", \"lateness_p50_ms\": %.3f, \"lateness_p95_ms\": %.3f, \"lateness_p99_ms\": %.3f}\n",
           percentile_ms(all, all->messages, 0.5), percentile_ms(all, all->messages, 0.95),
           percentile_ms(all, all->messages, 0.99));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 10) {
        fprintf(
            stderr,
            "usage: baseline HOST PORT,… CONNECTIONS MESSAGES_PER_SECOND SECONDS PAYLOAD_BYTES [PROCESSES "
            "[turn|mixed [WARM_SECONDS]]]\n");
        return 2;
    }
    struct job job = {.address = {.sin_family = AF_INET},
                      .connections = strtoul(argv[3], NULL, 10),
                      .rate = strtod(argv[4], NULL),
                      .seconds = strtod(argv[5], NULL),
                      .payload = strtoul(argv[6], NULL, 10),
                      .processes = argc > 7 ? strtoul(argv[7], NULL, 10) : 1,
                      .mixed = argc > 8 && strcmp(argv[8], "mixed") == 0,
                      .warm = argc > 9 ? strtod(argv[9], NULL) : 0};
    for (char *rest = argv[2], *port; (port = strsep(&rest, ",")) && job.port_count < MAX_PORTS;)
        job.ports[job.port_count++] = (uint16_t)strtoul(port, NULL, 10);
    if (inet_pton(AF_INET, argv[1], &job.address.sin_addr) != 1 || job.connections < job.processes ||
        job.processes == 0 || job.processes > MAX_PROCESSES || job.payload > MAX_PACKET - 128) {
        fprintf(stderr,
                "baseline: HOST is a numeric IPv4 address, CONNECTIONS at least PROCESSES, these 1 to %d, "
                "PAYLOAD at "
                "most %d\n",
                MAX_PROCESSES, MAX_PACKET - 128);
        return 2;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return run(&job);
}

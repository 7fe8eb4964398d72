/* The yardstick of tests/bench: a plain C loop that sends ready-made MQTT 3.1.1 PUBLISH packets of QoS 0 with
 * send(), round robin over connections that were opened in advance. It does nothing else that a simulated
 * device does: no payload is made, no timer is kept for a device, nothing is counted but lateness.
 *
 *   baseline HOST PORT CONNECTIONS MESSAGES_PER_SECOND SECONDS PAYLOAD_BYTES
 *
 * 0 messages a second: as fast as the sockets take them. Prints one line of JSON: how many messages, the CPU
 * time (user and system) of the sending loop for each, the CPU time of connecting for each connection, and
 * the lateness of messages behind their instants. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS      1000000ull
#define MAX_PACKET   4096
#define MAX_LATENESS 1000000 /* in µs; later ones count as that */

struct connection {
    int fd;
    size_t len;
    unsigned char *packet;
};

static uint32_t lateness[MAX_LATENESS + 1];

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
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
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

static uint64_t publish(struct connection *connections, size_t count, uint64_t rate, double seconds)
{
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), sent = 0;
    for (uint64_t tick = start; tick < end; tick += TICK_NS) {
        uint64_t due = rate > 0 ? (tick - start) * rate / 1000000000ull : sent + 256;
        uint64_t now = now_ns();
        for (; sent < due; sent++) {
            struct connection *c = &connections[sent % count];
            send_all(c->fd, c->packet, c->len);
            if (rate > 0) {
                uint64_t instant = start + sent * 1000000000ull / rate;
                uint64_t late = now > instant ? (now - instant) / 1000 : 0;
                lateness[late < MAX_LATENESS ? late : MAX_LATENESS]++;
            }
        }
        if (rate == 0) {
            tick = now_ns();
            continue;
        }
        struct timespec until = {.tv_sec = (time_t)((tick + TICK_NS) / 1000000000ull),
                                 .tv_nsec = (long)((tick + TICK_NS) % 1000000000ull)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    return sent;
}

static double percentile_ms(uint64_t count, double share)
{
    uint64_t seen = 0;
    for (size_t us = 0; us <= MAX_LATENESS; us++) {
        seen += lateness[us];
        if ((double)seen >= share * (double)count)
            return (double)us / 1000;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: baseline HOST PORT CONNECTIONS MESSAGES_PER_SECOND SECONDS PAYLOAD_BYTES\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10))};
    size_t count = strtoul(argv[3], NULL, 10), payload = strtoul(argv[6], NULL, 10);
    uint64_t rate = strtoull(argv[4], NULL, 10);
    double seconds = strtod(argv[5], NULL);
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1 || count == 0 || payload > MAX_PACKET - 128) {
        fprintf(stderr,
                "baseline: HOST is a numeric IPv4 address, CONNECTIONS at least 1, PAYLOAD at most %d\n",
                MAX_PACKET - 128);
        return 2;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct connection *connections = calloc(count, sizeof(*connections));
    if (connections == NULL)
        die("calloc");
    double before = cpu_us();
    for (size_t i = 0; i < count; i++)
        open_connection(&connections[i], i, &address);
    double connected = cpu_us();
    for (size_t i = 0; i < count; i++)
        make_publish(&connections[i], i, payload);
    double ready = cpu_us();
    uint64_t sent = publish(connections, count, rate, seconds);
    double done = cpu_us();
    printf("{\"messages\": %llu, \"cpu_us_per_message\": %.3f, \"cpu_us_per_connect\": %.3f",
           (unsigned long long)sent, (done - ready) / (double)sent, (connected - before) / (double)count);
    printf(", \"lateness_p50_ms\": %.3f, \"lateness_p95_ms\": %.3f, \"lateness_p99_ms\": %.3f}\n",
           percentile_ms(sent, 0.5), percentile_ms(sent, 0.95), percentile_ms(sent, 0.99));
    return 0;
}

#include "protocol/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNACK     0x20
#define CONNACK_LEN 4
#define SHOWN_MAX   48 /* bytes of a foreign answer in a message */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until `events` come; false: too late. */
static bool await(int fd, short events, int64_t until_ms)
{
    struct pollfd poller = {.fd = fd, .events = events};
    int rc;
    do {
        int64_t left = until_ms - now_ms();
        rc = poll(&poller, 1, left > 0 ? (int)left : 0);
    } while (rc < 0 && errno == EINTR);
    return rc == 1;
}

/* -EAGAIN: neither taken nor refused until then. */
static int connect_to(const char *address, uint16_t port, int64_t until_ms)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return -1;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t len = sizeof error;
    if (fd < 0)
        return -1;
    int rc = is_v4 ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                   : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    if (rc < 0 && errno == EINPROGRESS && !await(fd, POLLOUT, until_ms))
        rc = -EAGAIN;
    else if (rc < 0 && errno == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
             error == 0)
        rc = 0;
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static void send_connect(int fd)
{
    char id[24];
    unsigned char packet[64] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2 /* clean session */, 0, 10};
    size_t len = (size_t)snprintf(id, sizeof id, "iotix-probe-%d", (int)getpid());
    packet[13] = (unsigned char)len;
    memcpy(packet + 14, id, len);
    packet[1] = (unsigned char)(12 + len);
    (void)send(fd, packet, 14 + len, MSG_NOSIGNAL);
}

/* The first line of what it said, as far as it can be shown. */
static void describe(const unsigned char *said, size_t len, char *found, size_t size)
{
    char text[SHOWN_MAX + 1];
    size_t shown = 0;
    while (shown < len && shown < SHOWN_MAX && said[shown] >= 0x20 && said[shown] < 0x7f &&
           said[shown] != '"') {
        text[shown] = (char)said[shown];
        shown++;
    }
    text[shown] = '\0';
    if (shown >= 4)
        snprintf(found, size, "answered \"%s\"", text);
    else
        snprintf(found, size, "answered %zu bytes that are no MQTT", len);
}

enum ix_probe ix_mqtt_probe(const char *address, uint16_t port, int timeout_ms, char *found, size_t size)
{
    static const unsigned char disconnect[] = {0xe0, 0};
    unsigned char said[256];
    size_t len = 0;
    char unused[8];
    int64_t until_ms = now_ms() + timeout_ms;
    if (!found)
        found = unused, size = sizeof unused;
    found[0] = '\0';
    int fd = connect_to(address, port, until_ms);
    if (fd == -EAGAIN)
        snprintf(found, size, "took no connection for %d ms", timeout_ms);
    if (fd < 0)
        return fd == -EAGAIN ? IX_PROBE_OTHER : IX_PROBE_NOTHING;
    send_connect(fd);
    ssize_t got = 1;
    while (len < CONNACK_LEN && got > 0 && await(fd, POLLIN, until_ms)) {
        got = recv(fd, said + len, sizeof said - len, 0);
        len += got > 0 ? (size_t)got : 0;
    }
    bool is_broker = len >= CONNACK_LEN && said[0] == CONNACK && said[1] == 2;
    if (is_broker)
        (void)send(fd, disconnect, sizeof disconnect, MSG_NOSIGNAL);
    else if (len > 0)
        describe(said, len, found, size);
    else if (got > 0)
        snprintf(found, size, "said nothing for %d ms", timeout_ms);
    else
        snprintf(found, size, "closed the connection");
    close(fd);
    return is_broker ? IX_PROBE_MQTT : IX_PROBE_OTHER;
}

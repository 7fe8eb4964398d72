#include "protocol/source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_LOW  32768
#define DEFAULT_HIGH 60999

static int check_local(const char *text, const struct sockaddr *address, socklen_t len, struct ix_error *err)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, code = 0;
    if (fd < 0)
        return ix_fail(err, -errno, "source address %s: %s", text, strerror(errno));
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, address, len) < 0)
        code = errno == EADDRNOTAVAIL
                   ? ix_fail(err, -EADDRNOTAVAIL, "source address %s is not an address of this host", text)
                   : ix_fail(err, -errno, "source address %s: %s", text, strerror(errno));
    close(fd);
    return code;
}

static int add(struct ix_sources *sources, const char *text, struct ix_error *err)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    int code;
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        code = check_local(text, (struct sockaddr *)&v4, sizeof(v4), err);
    else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        code = check_local(text, (struct sockaddr *)&v6, sizeof(v6), err);
    else
        code = ix_fail(err, -EINVAL,
                       "source address \"%s\" is not numeric; write 10.0.0.5 or 10.0.0.5-10.0.0.9", text);
    if (code < 0)
        return code;
    if (sources->count == IX_SOURCES_MAX)
        return ix_fail(err, -E2BIG, "more than %d source addresses", IX_SOURCES_MAX);
    sources->items = ix_realloc(sources->items, (sources->count + 1) * sizeof(*sources->items));
    snprintf(sources->items[sources->count++].address, sizeof(sources->items->address), "%s", text);
    return 0;
}

static int add_range(struct ix_sources *sources, uint32_t first, uint32_t last, struct ix_error *err)
{
    int code = 0;
    for (uint64_t at = first; at <= last && code == 0; at++) {
        struct in_addr address = {htonl((uint32_t)at)};
        char text[INET_ADDRSTRLEN];
        code = add(sources, inet_ntop(AF_INET, &address, text, sizeof(text)), err);
    }
    return code;
}

static int add_word(struct ix_sources *sources, char *word, struct ix_error *err)
{
    struct in_addr first, last;
    char *dash = strchr(word, '-');
    if (!dash)
        return add(sources, word, err);
    *dash = '\0';
    if (inet_pton(AF_INET, word, &first) != 1 || inet_pton(AF_INET, dash + 1, &last) != 1)
        return ix_fail(err, -EINVAL, "source addresses \"%s-%s\": a range has an IPv4 address at both ends",
                       word, dash + 1);
    if (ntohl(last.s_addr) < ntohl(first.s_addr))
        return ix_fail(err, -EINVAL, "source addresses \"%s-%s\": the range ends before it begins", word,
                       dash + 1);
    return add_range(sources, ntohl(first.s_addr), ntohl(last.s_addr), err);
}

int ix_sources_parse(const char *text, struct ix_sources *sources, struct ix_error *err)
{
    char *copy = ix_strdup(text), *rest = copy, *word;
    int code = 0;
    *sources = (struct ix_sources){0};
    while (code == 0 && (word = strsep(&rest, ",")))
        code = add_word(sources, word, err);
    free(copy);
    if (code < 0)
        ix_sources_deinit(sources);
    return code;
}

int ix_sources_loopback(uint32_t first, size_t count, struct ix_sources *sources, struct ix_error *err)
{
    *sources = (struct ix_sources){0};
    uint32_t from = INADDR_LOOPBACK + first;
    int code = count ? add_range(sources, from, from + (uint32_t)count - 1, err) : 0;
    if (code < 0)
        ix_sources_deinit(sources);
    return code;
}

void ix_sources_deinit(struct ix_sources *sources)
{
    free(sources->items);
    *sources = (struct ix_sources){0};
}

void ix_source_port_range(uint32_t *low, uint32_t *high)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (!f || fscanf(f, "%u %u", low, high) != 2 || *low > *high || *high > UINT16_MAX) {
        *low = DEFAULT_LOW;
        *high = DEFAULT_HIGH;
    }
    if (f)
        fclose(f);
}

uint32_t ix_source_ports(void)
{
    uint32_t low, high;
    ix_source_port_range(&low, &high);
    return high - low + 1;
}

bool ix_source_is_loopback(const char *address)
{
    struct in_addr v4;
    return inet_pton(AF_INET, address, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

#include "protocol/target.h"

#include "protocol/broker.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_MS 500

struct scheme {
    const char *prefix;
    bool tls;
};

static const struct scheme schemes[] = {
    {"mqtt://", false}, {"tcp://", false}, {"mqtts://", true}, {"ssl://", true}, {"tls://", true},
};

static int skip_scheme(const char **text, bool *tls, struct ix_error *err)
{
    const char *mark = strstr(*text, "://");
    if (mark == NULL)
        return 0;
    for (size_t i = 0; i < IX_ARRAY_LEN(schemes); i++) {
        size_t len = strlen(schemes[i].prefix);
        if (strncasecmp(*text, schemes[i].prefix, len) == 0) {
            *text += len;
            *tls = schemes[i].tls;
            return 0;
        }
    }
    return ix_fail(err, -EINVAL, "broker '%s': '%.*s://' is not supported; use mqtt:// or mqtts://", *text,
                   (int)(mark - *text), *text);
}

static int read_port(const char *whole, const char *digits, size_t len, uint16_t *port, struct ix_error *err)
{
    unsigned value = 0;
    bool valid = len > 0 && len <= 5;
    for (size_t i = 0; valid && i < len; i++) {
        valid = isdigit((unsigned char)digits[i]) != 0;
        value = value * 10 + (unsigned)(digits[i] - '0');
    }
    if (!valid || value == 0 || value > UINT16_MAX)
        return ix_fail(err, -EINVAL, "broker '%s': the port '%.*s' is not a number from 1 to 65535", whole,
                       (int)len, digits);
    *port = (uint16_t)value;
    return 0;
}

static int set_host(const char *whole, const char *host, size_t len, struct ix_target *target,
                    struct ix_error *err)
{
    if (len == 0)
        return ix_fail(err, -EINVAL, "broker '%s': there is no host name; write host or host:port", whole);
    if (len >= sizeof(target->server_name))
        return ix_fail(err, -EINVAL, "broker '%.40s…': the host name is longer than %zu bytes", whole,
                       sizeof(target->server_name) - 1);
    for (size_t i = 0; i < len; i++)
        if (host[i] <= ' ' || host[i] == 0x7f || strchr("/?#@[]", host[i]) != NULL)
            return ix_fail(err, -EINVAL,
                           "broker '%s': '%c' cannot be part of a host name; write host or host:port (user "
                           "names and passwords belong to the model's connection)",
                           whole, host[i]);
    memcpy(target->server_name, host, len);
    target->server_name[len] = '\0';
    return 0;
}

int ix_target_parse(const char *text, struct ix_target *target, bool *tls, struct ix_error *err)
{
    const char *host = text;
    bool by_url = false;
    memset(target, 0, sizeof(*target));
    int rc = skip_scheme(&host, &by_url, err);
    if (rc != 0)
        return rc;
    if (tls != NULL)
        *tls = by_url;
    size_t len = strlen(host);
    if (host != text && len > 0 && host[len - 1] == '/')
        len--;
    const char *colon = memrchr(host, ':', len);
    if (host[0] == '[') {
        const char *end = memchr(host, ']', len);
        if (end == NULL)
            return ix_fail(err, -EINVAL, "broker '%s': the ']' behind the IPv6 address is missing", text);
        const char *rest = end + 1;
        size_t rest_len = len - (size_t)(rest - host);
        if (rest_len > 0 && *rest != ':')
            return ix_fail(err, -EINVAL, "broker '%s': expected ':' and a port behind ']'", text);
        if (rest_len > 0)
            rc = read_port(text, rest + 1, rest_len - 1, &target->port, err);
        return rc != 0 ? rc : set_host(text, host + 1, (size_t)(end - host) - 1, target, err);
    }
    /* More than one colon without brackets: an IPv6 address alone. */
    if (colon != NULL && memchr(host, ':', len) == colon) {
        rc = read_port(text, colon + 1, len - (size_t)(colon - host) - 1, &target->port, err);
        len = (size_t)(colon - host);
    }
    return rc != 0 ? rc : set_host(text, host, len, target, err);
}

static void set_address(struct ix_target *target, const struct addrinfo *info)
{
    const void *raw = &((const struct sockaddr_in *)(const void *)info->ai_addr)->sin_addr;
    if (info->ai_family == AF_INET6)
        raw = &((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_addr;
    inet_ntop(info->ai_family, raw, target->address, sizeof(target->address));
}

static void choose_address(struct ix_target *target, const struct addrinfo *list)
{
    if (list->ai_next != NULL)
        for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
            set_address(target, info);
            if (ix_broker_probe(target->address, target->port, PROBE_MS))
                return;
        }
    set_address(target, list);
}

int ix_target_resolve(struct ix_target *target, bool tls, struct ix_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (target->port == 0)
        target->port = tls ? IX_MQTT_TLS_PORT : IX_MQTT_PORT;
    int rc = getaddrinfo(target->server_name, NULL, &hints, &list);
    if (rc == EAI_NONAME || rc == EAI_NODATA)
        return ix_fail(err, -ENOENT, "broker '%s': no such host; check the spelling, or write its address",
                       target->server_name);
    if (rc == EAI_AGAIN)
        return ix_fail(err, -EAGAIN,
                       "broker '%s': the name cannot be resolved now; no name server answers. Write the "
                       "broker's address, or check /etc/resolv.conf",
                       target->server_name);
    if (rc != 0)
        return ix_fail(err, -EIO, "broker '%s': the name cannot be resolved: %s", target->server_name,
                       rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
    choose_address(target, list);
    freeaddrinfo(list);
    return 0;
}

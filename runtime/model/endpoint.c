#include "model/endpoint.h"

#include "base/suggest.h"

#include <arpa/inet.h>
#include <stdio.h>

static const struct scheme {
    const char *name;
    enum ix_protocol_kind protocol;
    bool tls;
} schemes[] = {
    {"mqtt", IX_PROTOCOL_MQTT, false}, {"tcp", IX_PROTOCOL_MQTT, false},  {"mqtts", IX_PROTOCOL_MQTT, true},
    {"ssl", IX_PROTOCOL_MQTT, true},   {"tls", IX_PROTOCOL_MQTT, true},   {"coap", IX_PROTOCOL_COAP, false},
    {"coaps", IX_PROTOCOL_COAP, true}, {"http", IX_PROTOCOL_HTTP, false}, {"https", IX_PROTOCOL_HTTP, true},
};

uint16_t ix_endpoint_default_port(enum ix_protocol_kind protocol, bool tls)
{
    switch (protocol) {
    case IX_PROTOCOL_COAP:
        return tls ? 5684 : 5683;
    case IX_PROTOCOL_HTTP:
        return tls ? 443 : 80;
    default:
        return tls ? 8883 : 1883;
    }
}

static int find_scheme(const char *text, size_t len, enum ix_protocol_kind protocol,
                       const struct scheme **out, struct ix_error *err)
{
    const char *known[IX_ARRAY_LEN(schemes)];
    char name[32], hint[256];
    size_t count = 0;

    for (size_t i = 0; i < IX_ARRAY_LEN(schemes); i++) {
        if (schemes[i].protocol != protocol)
            continue;
        known[count++] = schemes[i].name;
        if (strlen(schemes[i].name) == len && strncmp(schemes[i].name, text, len) == 0) {
            *out = &schemes[i];
            return 0;
        }
    }
    snprintf(name, sizeof(name), "%.*s", (int)(len < 31 ? len : 31), text);
    ix_suggest_put(hint, sizeof(hint), name, known, count);
    return ix_fail(err, -EINVAL, "\"%s://\" is no scheme of protocol %s%s", name, ix_protocol_names[protocol],
                   hint);
}

static int parse_port(const char *text, size_t len, uint16_t *port, struct ix_error *err)
{
    unsigned value = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || (value = value * 10 + (unsigned)(text[i] - '0')) > 65535)
            value = 65536;
        if (value > 65535)
            break;
    }
    if (len == 0 || value == 0 || value > 65535)
        return ix_fail(err, -EINVAL, "port \"%.*s\" must be 1 to 65535", (int)(len < 20 ? len : 20), text);
    *port = (uint16_t)value;
    return 0;
}

static bool is_host(const char *text, size_t len, bool v6)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;

        if (!letter && !(c >= '0' && c <= '9') && !strchr(v6 ? ":.%" : "-._", c))
            return false;
    }
    return len > 0;
}

/* An IPv6 address, perhaps with a zone ("fe80::1%eth0"). */
static bool is_v6(const char *text)
{
    unsigned char address[16];
    char plain[64];
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
    return inet_pton(AF_INET6, plain, address) == 1;
}

/* host, host:port, [v6], [v6]:port, v6 */
static int parse_authority(const char *text, size_t len, struct ix_endpoint *out, struct ix_error *err)
{
    const char *end = text + len;
    const char *host = text, *host_end = end, *colon;
    bool v6 = false;

    if (len > 0 && *text == '[') {
        host = text + 1;
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return ix_fail(err, -EINVAL, "\"%.80s\": the address has no closing bracket", text);
        v6 = true;
        colon = host_end + 1 < end ? host_end + 1 : NULL;
        if (colon && *colon != ':')
            return ix_fail(err, -EINVAL, "\"%.80s\": only a port may follow the bracket", text);
    } else {
        colon = memchr(text, ':', len);
        if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) { /* several: an IPv6 address */
            v6 = true;
            colon = NULL;
        }
        if (colon)
            host_end = colon;
    }
    if (!is_host(host, (size_t)(host_end - host), v6) || (size_t)(host_end - host) >= sizeof(out->host))
        return ix_fail(err, -EINVAL, "\"%.80s\" names no host", text);
    snprintf(out->host, sizeof(out->host), "%.*s", (int)(host_end - host), host);
    if (v6 && !is_v6(out->host))
        return ix_fail(err, -EINVAL, "\"%.80s\" is neither HOST:PORT nor an IPv6 address", text);
    return colon ? parse_port(colon + 1, (size_t)(end - colon - 1), &out->port, err) : 0;
}

int ix_endpoint_parse(const char *text, enum ix_protocol_kind protocol, struct ix_endpoint *out,
                      struct ix_error *err)
{
    const char *authority = text;
    const char *separator = strstr(text, "://");
    size_t len;
    int rc;

    *out = (struct ix_endpoint){.path = ""};
    if (separator) {
        const struct scheme *scheme;

        rc = find_scheme(text, (size_t)(separator - text), protocol, &scheme, err);
        if (rc < 0)
            return rc;
        out->tls = scheme->tls;
        out->has_scheme = true;
        authority = separator + 3;
    }
    len = strcspn(authority, "/?#");
    if (memchr(authority, '@', len))
        return ix_fail(err, -EINVAL,
                       "an address must not contain a user; give username and password as fields");
    rc = parse_authority(authority, len, out, err);
    if (rc < 0)
        return rc;
    out->path = authority + len;
    if (strcmp(out->path, "/") == 0)
        out->path = "";
    if (out->path[0] && (protocol != IX_PROTOCOL_HTTP || out->path[0] != '/'))
        return ix_fail(err, -EINVAL, "\"%.80s\": an address of protocol %s has no path", text,
                       ix_protocol_names[protocol]);
    if (out->has_scheme && out->port == 0)
        out->port = ix_endpoint_default_port(protocol, out->tls);
    return 0;
}

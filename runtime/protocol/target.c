#include "protocol/target.h"

#include "model/endpoint.h"
#include "protocol/broker.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define PROBE_MS 500

int ix_target_parse(const char *text, struct ix_target *target, bool *tls, struct ix_error *err)
{
    struct ix_endpoint endpoint;
    memset(target, 0, sizeof(*target));
    int rc = ix_endpoint_parse(text, IX_PROTOCOL_MQTT, &endpoint, err);
    if (rc != 0) {
        ix_error_prefix(err, "broker");
        return rc;
    }
    snprintf(target->server_name, sizeof(target->server_name), "%s", endpoint.host);
    target->port = endpoint.port;
    if (tls != NULL)
        *tls = endpoint.tls;
    return 0;
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
        target->port = ix_endpoint_default_port(IX_PROTOCOL_MQTT, tls);
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

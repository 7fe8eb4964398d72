/* Addresses of backends as users write them. */
#ifndef IX_MODEL_ENDPOINT_H
#define IX_MODEL_ENDPOINT_H

#include "model/model.h"

struct ix_endpoint {
    char host[256]; /* name or address; IPv6 without brackets */
    uint16_t port;  /* 0: not given */
    bool tls;
    bool has_scheme;
    const char *path; /* what follows the authority in the given text, e.g. "/base"; "" if nothing */
};

/* "host", "host:port", "[::1]:1883", or a URL with a scheme of the protocol: mqtt tcp mqtts ssl tls · coap
 * coaps · http https. A scheme sets the port to its default if none is given. A path is allowed for HTTP
 * only, user names nowhere. */
int ix_endpoint_parse(const char *text, enum ix_protocol_kind protocol, struct ix_endpoint *out,
                      struct ix_error *err);

/* The port of a protocol: 1883/8883, 5683/5684, 80/443. */
uint16_t ix_endpoint_default_port(enum ix_protocol_kind protocol, bool tls);

#endif

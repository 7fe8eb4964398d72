/* What listens on a TCP port. */
#ifndef IX_PROTOCOL_PROBE_H
#define IX_PROTOCOL_PROBE_H

#include <stddef.h>
#include <stdint.h>

enum ix_probe {
    IX_PROBE_NOTHING, /* connections are refused there */
    IX_PROBE_MQTT,    /* a broker: it answered CONNECT with CONNACK, be it a refusal */
    IX_PROBE_OTHER,   /* something else, or a broker that is too busy to take a connection */
};

/* Speaks MQTT 3.1.1 to it, as a client of a clean session that leaves at once. Blocks for at most timeout_ms. `address`
 * is numeric. `found` (may be NULL): of something else, what it did ("answered \"HTTP/1.1 400 Bad Request\"",
 * "closed the connection"), else "". */
enum ix_probe ix_mqtt_probe(const char *address, uint16_t port, int timeout_ms, char *found, size_t size);

#endif

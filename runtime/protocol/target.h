/* Broker addresses as users write them. Only the controller calls this: resolving blocks. */
#ifndef IX_PROTOCOL_TARGET_H
#define IX_PROTOCOL_TARGET_H

#include "protocol/protocol.h"

#define IX_MQTT_PORT 1883

/* Reads what ix_endpoint_parse reads: host, host:port, [::1]:1883, mqtt:// and mqtts:// URLs. Fills
 * server_name and port (0 if neither port nor scheme was written); address stays empty. *tls: what the URL
 * says, false without one; NULL if the caller does not care. */
int ix_target_parse(const char *text, struct ix_target *target, bool *tls, struct ix_error *err);

/* Fills in address from server_name, and a port of 0 by the protocol's default. Of several addresses the
 * first one that accepts a connection within half a second is taken, else the first. */
int ix_target_resolve(struct ix_target *target, bool tls, struct ix_error *err);

#endif

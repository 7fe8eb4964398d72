/* Connections that exist only in the books: whoever connects is accepted a millisecond later, whatever is published is
 * acknowledged at once, and nothing leaves the process. For dry runs; one at a time in a process. */
#ifndef IX_PROTOCOL_DRY_H
#define IX_PROTOCOL_DRY_H

#include "protocol/protocol.h"

/* In place of ix_protocol_find: the same for every kind. */
const struct ix_protocol *ix_dry_find(enum ix_protocol_kind kind, struct ix_error *err);

/* Tells `message`, inside of the publish, of what is published on topics that match an MQTT filter. `id` is passed on and
 * names the subscription. */
void ix_dry_subscribe(uint64_t id, const char *filter,
                      void (*message)(void *context, uint64_t id, const struct ix_message *message),
                      void *context);
void ix_dry_unsubscribe(uint64_t id);

#endif

/* What the broker delivered for the scenario's subscriptions, until core.pop takes it. */
#ifndef IX_SCRIPT_SUBSCRIPTION_H
#define IX_SCRIPT_SUBSCRIPTION_H

#include "script/state.h"

/* Begins a queue of at most `limit` messages (0: 10,000) and 64 MiB. */
void ix_subscription_open(struct ix_script *script, uint64_t id, uint64_t limit);
/* Drops what is queued; a task that waits in pop gets nothing. */
void ix_subscription_close(struct ix_script *script, uint64_t id);

#endif

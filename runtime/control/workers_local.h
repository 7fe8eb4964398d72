/* Workers inside of the controller's process, for dry runs: the devices are real, their connections are not
 * (protocol/dry.h), and an observer sees what these devices publish. What is sent to one is handled on the loop's next
 * turn, never inside of the call. */
#ifndef IX_CONTROL_WORKERS_LOCAL_H
#define IX_CONTROL_WORKERS_LOCAL_H

#include "worker/worker.h"

struct ix_local;

struct ix_local *ix_local_new(struct ix_loop *loop, enum ix_worker_role role, struct ix_segment *segment,
                              int ledger_fd,
                              void (*up)(void *context, uint8_t type, const void *payload, size_t len),
                              void *context);
void ix_local_send(struct ix_local *local, uint8_t type, const void *payload, size_t len);
/* Nothing comes out of it any more. */
void ix_local_free(struct ix_local *local);

#endif

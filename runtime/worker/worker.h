/* A worker process: one loop, one Lua state, its own devices (or, as an observer, its own subscriptions). It
 * does what its controller's records say and ends when the controller does. */
#ifndef IX_WORKER_WORKER_H
#define IX_WORKER_WORKER_H

#include "protocol/protocol.h"
#include "worker/wire.h"

struct ix_segment;

/* Runs until the controller says so or goes away; the process's exit status. `arguments`: "--worker",
 * parent's pid. */
int ix_worker_main(int argc, char **argv);

struct ix_worker_local;

/* A worker inside of this process, in the caller's loop and with protocols of the caller's choice. What a process gets
 * over its pipe, HELLO first, goes into _frame, and what it would send comes out of `up`, inside of that call or of the
 * loop. For dry runs, in virtual time. */
struct ix_worker_local_config {
    struct ix_loop *loop;
    struct ix_segment *segment; /* writable */
    int ledger_fd;              /* in place of IX_WORKER_LEDGER_FD; stays the caller's */
    const struct ix_protocol *(*find_protocol)(enum ix_protocol_kind kind, struct ix_error *err);
    void (*up)(void *context, uint8_t type, const void *payload, size_t len);
    void *context;
};
struct ix_worker_local *ix_worker_local_new(const struct ix_worker_local_config *config);
void ix_worker_local_frame(struct ix_worker_local *local, uint8_t type, const void *payload, size_t len);
void ix_worker_local_free(struct ix_worker_local *local);

#endif

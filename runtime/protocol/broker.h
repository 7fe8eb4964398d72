/* The embedded broker: a private mosquitto on a loopback port, for runs that are given no broker.
 *
 * It leaves nothing behind: its settings and its messages live in memory files, and it dies with the process
 * that started it, however that ends. */
#ifndef IX_PROTOCOL_BROKER_H
#define IX_PROTOCOL_BROKER_H

#include "loop/loop.h"

struct ix_broker;

struct ix_broker_config {
    const char *program; /* NULL: mosquitto, from PATH or where systems keep their daemons */
    uint16_t port;       /* on 127.0.0.1; 0: a free one */
    const char *options; /* further lines for mosquitto.conf; NULL: none */
    /* Called once, later: `failure` is NULL when the broker accepts connections, else says why it does not;
     * the broker is to be stopped then all the same. */
    void (*ready)(void *context, const struct ix_error *failure);
    /* It ended by itself after it was ready; `reason` says how, and quotes its last messages. NULL: nobody
     * is told. */
    void (*ended)(void *context, const struct ix_error *reason);
    void *context;
};

/* Fails at once if mosquitto is not installed. The strings are copied. */
int ix_broker_start(struct ix_loop *loop, const struct ix_broker_config *config, struct ix_broker **broker,
                    struct ix_error *err);
/* The port it listens on, once ready. */
uint16_t ix_broker_port(const struct ix_broker *broker);
int ix_broker_pid(const struct ix_broker *broker);
/* Ends it; no event follows. NULL is allowed. */
void ix_broker_stop(struct ix_broker *broker);

/* Does something accept TCP connections there? Blocks for at most timeout_ms. `address` is numeric. */
bool ix_broker_probe(const char *address, uint16_t port, int timeout_ms);

/* `iotix --exec-broker …`, the child that becomes mosquitto: main calls it for that first argument. Returns
 * only on failure, with an exit status. */
#define IX_BROKER_EXEC "--exec-broker"
int ix_broker_exec_main(int argc, char **argv);

#endif

/* Subscriptions of the scenario and of the delivery ledger, in workers of their own: what the broker really
 * delivers, never seen from the publisher's loop. Each subscription has its own client at each broker. */
#ifndef IX_WORKER_OBSERVER_H
#define IX_WORKER_OBSERVER_H

#include "metrics/segment.h"
#include "protocol/protocol.h"
#include "worker/wire.h"

struct ix_observer;

struct ix_observer_events {
    /* Every broker accepted the subscription (code 0), or one did not within 10 s. */
    void (*ready)(void *context, uint64_t ticket, int code, const char *message);
    void (*message)(void *context, uint64_t id, const struct ix_message *message, uint64_t at_ns);
    /* The same for subscriptions of the ledger. A message of QoS 2 whose packet was handed on a moment ago is
     * `duplicate`: the library does not tell them apart. */
    void (*arrived)(void *context, const struct ix_message *message, uint64_t at_ns);
};

struct ix_observer_subscription {
    uint64_t ticket; /* for `ready` */
    uint64_t id;
    const char *const *topics; /* filters; may begin with "$share/" */
    size_t topic_count;
    int qos;
    /* For the ledger: `arrived` instead of `message`. By MQTT 5, where the broker speaks it, with a session that
     * outlives a connection for two minutes: what comes with QoS 1 or 2 while we are away is not lost to us. */
    bool is_ledger;
    const char *username; /* "" none */
    const char *password;
    const struct ix_wire_tls *tls;
    const struct ix_target *targets;
    size_t target_count;
};

/* `overruns` and `away_ns` (segment.h) are counted there: how well it kept up, and how long it was away. */
struct ix_observer *ix_observer_new(struct ix_loop *loop, uint64_t run, struct ix_segment *segment,
                                    const struct ix_observer_events *events, void *context);
void ix_observer_free(struct ix_observer *observer);

/* Lost connections are taken up again after a second, those of the ledger after 100 ms; what was published meanwhile
 * was not seen, unless the broker kept it. */
void ix_observer_subscribe(struct ix_observer *observer, const struct ix_observer_subscription *subscription);
void ix_observer_unsubscribe(struct ix_observer *observer, uint64_t id);

#endif

/* Subscriptions of the scenario, in a worker of their own: what the broker really delivers, never seen from
 * the publisher's loop. Each subscription has its own client at each broker. */
#ifndef IX_WORKER_OBSERVER_H
#define IX_WORKER_OBSERVER_H

#include "protocol/protocol.h"

struct ix_observer;

struct ix_observer_events {
    /* Every broker accepted the subscription (code 0), or one did not within 10 s. */
    void (*ready)(void *context, uint64_t ticket, int code, const char *message);
    void (*message)(void *context, uint64_t id, const struct ix_message *message, uint64_t at_ns);
};

struct ix_observer_subscription {
    uint64_t ticket; /* for `ready` */
    uint64_t id;
    const char *topic;
    int qos;
    const char *username; /* "" none */
    const char *password;
    const struct ix_target *targets;
    size_t target_count;
};

struct ix_observer *ix_observer_new(struct ix_loop *loop, uint64_t run,
                                    const struct ix_observer_events *events, void *context);
void ix_observer_free(struct ix_observer *observer);

/* Lost connections are taken up again after a second; what was published meanwhile was not seen. */
void ix_observer_subscribe(struct ix_observer *observer, const struct ix_observer_subscription *subscription);
void ix_observer_unsubscribe(struct ix_observer *observer, uint64_t id);

#endif

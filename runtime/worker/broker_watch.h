/* What an observer learns of a broker beside messages: whether it still answers, and what it says that it dropped.
 *
 * A question is asked once a second, five times a second while nothing arrives. The answer comes behind everything that
 * the broker had for us when it got to the question: what has not arrived by then is not on its way to us. A broker that
 * is frozen, or too busy, does not answer, and nobody can say that what it still has is lost.
 *
 * Mosquitto counts the messages that it throws away because a subscriber does not take them fast enough, or because its
 * window and queue (max_inflight_messages, max_queued_messages) are full: $SYS/broker/publish/messages/dropped. */
#ifndef IX_WORKER_BROKER_WATCH_H
#define IX_WORKER_BROKER_WATCH_H

#include "protocol/protocol.h"

#define IX_WATCH_QUESTIONS 16 /* under way at once */

struct ix_broker_watch {
    struct {
        uint64_t asked_ns; /* 0: free */
        uint16_t token;
    } questions[IX_WATCH_QUESTIONS];
    size_t next;
    uint64_t asked_ns;    /* the latest question of this connection; 0: none */
    uint64_t answered_ns; /* when the latest question that was answered had been asked; 0: none was */
    bool counts;          /* it says what it drops */
    uint64_t said;        /* its latest figure */
    uint64_t dropped;     /* since it first said one, over restarts of the broker */
    uint64_t tick_ns;     /* its figures were renewed then … */
    uint64_t renewed_ns;  /* … and all that belongs to it has arrived; 0: not yet */
};

/* The subscriptions of a new connection were accepted. */
void ix_watch_connected(struct ix_broker_watch *watch, struct ix_link *link);
/* Asks, if it is time to: `busy` while messages arrive. */
void ix_watch_look(struct ix_broker_watch *watch, struct ix_link *link, bool busy, uint64_t now_ns);
void ix_watch_answered(struct ix_broker_watch *watch, uint16_t token);
/* True: it is one of the broker's figures, and no message for others. */
bool ix_watch_message(struct ix_broker_watch *watch, const struct ix_message *message, uint64_t now_ns);

#endif

/* The event stream: what the service says, to every client that listens.
 *
 * A client that takes too little is cut off once its queue is full; browsers connect again by themselves. Every 15 s
 * without an event a comment is sent: a client that vanished is found out by it. */
#ifndef IX_API_EVENTS_H
#define IX_API_EVENTS_H

#include "api/exchange.h"
#include "control/service.h"

struct ix_events;

struct ix_events *ix_events_new(struct ix_loop *loop, struct ix_service *service);
/* After the server: every stream is closed by then. */
void ix_events_free(struct ix_events *events);
/* Answers the exchange with the stream; the first event is the present `stats`. */
void ix_events_answer(struct ix_events *events, struct ix_exchange *x);

#endif

/* One HTTP request and its answer.
 *
 * An exchange is valid until it was answered (by exactly one of the answer functions) and inside the server's
 * callbacks. Who answers later keeps the ticket, not the pointer: clients go away. */
#ifndef IX_API_EXCHANGE_H
#define IX_API_EXCHANGE_H

#include "base/buf.h"

struct ix_exchange;
struct ix_stream;

/* ---- the request; texts are valid as long as the exchange is ---- */

uint64_t ix_exchange_ticket(const struct ix_exchange *x);
const char *ix_exchange_method(const struct ix_exchange *x); /* "GET", "HEAD", … */
const char *ix_exchange_target(const struct ix_exchange *x); /* as sent: "/api/v1/devices?page=2" */
const char *ix_exchange_header(struct ix_exchange *x, const char *name); /* NULL if not sent */
const char *ix_exchange_address(struct ix_exchange *x);                  /* "127.0.0.1" */
const char *ix_exchange_body(const struct ix_exchange *x, size_t *len);  /* "" if none */

/* A word of the handler's own, 0 at first. */
void ix_exchange_set_mark(struct ix_exchange *x, uintptr_t mark);
uintptr_t ix_exchange_mark(const struct ix_exchange *x);

/* ---- the answer ---- */

/* A header of the answer to come; texts are copied, a name given twice keeps the last value. Values must be of one
 * line. */
void ix_exchange_set_header(struct ix_exchange *x, const char *name, const char *value);

/* `body` was allocated with malloc and is taken over; NULL: no body (204, 304). */
void ix_exchange_answer(struct ix_exchange *x, int status, const char *type, char *body, size_t len);
/* `body` stays as long as the program runs. */
void ix_exchange_answer_static(struct ix_exchange *x, int status, const char *type, const void *body,
                               size_t len);

/* A long answer, made while it is sent: `next` appends the next piece (some KiB) to `piece`, which is empty then;
 * false: that was the last one. `free_context` is called once, also if the client goes away. */
typedef bool ix_piece_next(void *context, struct ix_buf *piece);
void ix_exchange_answer_pieces(struct ix_exchange *x, int status, const char *type, ix_piece_next *next,
                               void (*free_context)(void *context), void *context);

/* In ix_server_begin only: the answer is decided, whatever the body. `detail` is copied. */
void ix_exchange_refuse(struct ix_exchange *x, int status, const char *detail);
/* 0 if it was not refused. */
int ix_exchange_refusal(const struct ix_exchange *x, const char **detail);

/* ---- answers without end ---- */

/* Called once: the client is gone, was cut off, or the server stops. The stream is freed afterwards. */
typedef void ix_stream_closed(void *context);

/* Answers 200 with what ix_stream_send gives it. NULL when there are as many streams as allowed, or for HEAD: the
 * exchange is then answered already (503 by `full`, or headers alone). */
struct ix_stream *ix_exchange_answer_stream(struct ix_exchange *x, const char *type, size_t queue_max,
                                            ix_stream_closed *closed, void *context,
                                            void (*full)(struct ix_exchange *x));
/* -ENOBUFS: the client takes too little; it is cut off (closed follows from the loop). */
int ix_stream_send(struct ix_stream *stream, const void *data, size_t len);
/* Ends the answer after what is queued; closed follows. */
void ix_stream_end(struct ix_stream *stream);

#endif

/* An HTTP server inside a loop: libmicrohttpd's epoll set is one more descriptor of ours.
 *
 * Nothing here knows paths or JSON. Requests arrive whole (ix_server_handle) and are answered through
 * api/exchange.h, at once or later. What a client can do to us is bounded here: connections (in all and of one
 * address), header and body bytes, and the time for sending a request and for taking the answer. */
#ifndef IX_API_SERVER_H
#define IX_API_SERVER_H

#include "api/exchange.h"
#include "loop/loop.h"

struct ix_server;

/* A whole request. Answered before the return, or later by ix_server_find(server, ix_exchange_ticket(x)). */
typedef void ix_server_handle(void *context, struct ix_exchange *exchange);
/* The headers are there, the body is not: a refusal (ix_exchange_refuse) spares us the body. */
typedef void ix_server_begin(void *context, struct ix_exchange *exchange);
/* The answer was sent, or the client went away; `status` 0: nothing was sent. */
typedef void ix_server_finished(void *context, struct ix_exchange *exchange, int status, uint64_t took_ns);

struct ix_server_config {
    struct ix_loop *loop;
    const char *name; /* "device engine": for messages */
    const char *host; /* numeric address or "localhost" (127.0.0.1); NULL: 127.0.0.1 */
    uint16_t port;    /* 0: any free one */
    /* Limits; 0 takes the default. */
    uint32_t connections;             /* 1000; more wait in the kernel's queue */
    uint32_t connections_per_address; /* 250; more are closed at once */
    uint32_t streams;                 /* 64 answers without end; more get 503 */
    size_t header_bytes;              /* 16 KiB of one request's headers: 431 beyond */
    size_t target_bytes;              /* 8 KiB of path and query: 414 beyond */
    size_t body_bytes;                /* 4 MiB of one body: 413 beyond */
    size_t bodies_bytes;              /* 64 MiB of all bodies under way: 503 beyond */
    uint32_t request_s;               /* 30 s from connecting, or the answer before, to whole headers */
    uint32_t upload_s;                /* 60 s from there to the whole body */
    uint32_t answer_s;                /* 120 s from there to the last byte taken; streams excepted */
    uint32_t idle_s;                  /* 30 s without a byte moving while we wait for the client */

    ix_server_begin *begin; /* may be NULL */
    ix_server_handle *handle;
    ix_server_finished *finished; /* may be NULL */
    void *context;
};

struct ix_server_facts {
    uint32_t connections, streams, waiting; /* now; waiting: requests whose answer comes later */
    uint64_t accepted;                      /* connections, ever */
    uint64_t cut_off;                       /* clients that were too slow */
    size_t body_bytes;                      /* of bodies under way */
};

/* Binds and listens before it returns. -EADDRINUSE, -EACCES and the like say what to do. */
int ix_server_start(const struct ix_server_config *config, struct ix_server **server, struct ix_error *err);
uint16_t ix_server_port(const struct ix_server *server);
/* "127.0.0.1:8080", "[::1]:8080" */
const char *ix_server_address(const struct ix_server *server);
struct ix_server_facts ix_server_facts(const struct ix_server *server);

/* The exchange of that ticket, NULL when its client is gone or it was answered. */
struct ix_exchange *ix_server_find(struct ix_server *server, uint64_t ticket);

/* Accepts nobody any more, ends streams, and gives requests under way `drain_ms` to be answered (those that are
 * not get 503). Then `stopped`, once; never inside this call. Called again, it shortens the time. */
void ix_server_stop(struct ix_server *server, uint64_t drain_ms, void (*stopped)(void *context),
                    void *context);
/* At any time, also without a stop. The memory goes when the loop has closed the handles. May be NULL. */
void ix_server_free(struct ix_server *server);

/* True for 127.0.0.0/8, ::1 and "localhost"; NULL is loopback. */
bool ix_host_is_loopback(const char *host);

#endif

/* What server.c, exchange.c, clients.c and stream.c share; for them alone. */
#ifndef IX_API_SERVER_INTERNAL_H
#define IX_API_SERVER_INTERNAL_H

#include "api/server.h"

#include <microhttpd.h>
#include <netinet/in.h>

enum client_phase { CLIENT_REQUEST, CLIENT_UPLOAD, CLIENT_WAITING, CLIENT_ANSWER, CLIENT_STREAM };

/* One connection. */
struct client {
    struct client *next, *previous;
    struct MHD_Connection *connection;
    enum client_phase phase;
    uint64_t since_ns; /* of the phase */
    bool cut;          /* its socket was shut down */
};

struct answer_header {
    char *name, *value;
};

#define IX_ANSWER_HEADERS_MAX 16

struct ix_exchange {
    struct ix_exchange *next, *previous;
    struct ix_server *server;
    struct MHD_Connection *connection;
    struct client *client;
    uint64_t ticket, begun_ns;
    char *target, *method;
    char address[INET6_ADDRSTRLEN];
    uintptr_t mark;
    struct ix_buf body;
    size_t discarded;
    bool headers_done, handled, suspended, answered;
    bool endless; /* nobody can tell where its body ends: refused without reading it */
    int refusal;  /* status or 0 */
    char *refusal_detail;
    struct answer_header headers[IX_ANSWER_HEADERS_MAX];
    size_t header_count;
    struct MHD_Response *response; /* answered, not handed to the library yet */
    int status;
    struct ix_stream *stream;
};

struct ix_server {
    struct ix_server_config config;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t turn;  /* the library's next time-out */
    uv_timer_t watch; /* looks for slow clients once a second, while there are clients */
    uv_timer_t drain;
    int open_handles;
    struct client *clients;
    struct ix_exchange *exchanges;
    uint64_t next_ticket;
    struct ix_server_facts facts;
    uint16_t port;
    char address[INET6_ADDRSTRLEN + 10];
    bool in_library, again, stopping, finished;
    uint64_t drain_until; /* ms of the loop's time */
    void (*stopped)(void *context);
    void *stopped_context;
};

struct ix_stream {
    struct ix_exchange *exchange;
    struct ix_buf queue; /* waits for the client */
    size_t sent;         /* bytes of it that were taken */
    bool ended, cut;
    ix_stream_closed *closed;
    void *context;
};

/* Lets the library run on the loop's next turn. */
void ix_server_kick(struct ix_server *server);

/* clients.c */
void ix_client_notify(void *context, struct MHD_Connection *connection, void **socket_context,
                      enum MHD_ConnectionNotificationCode code);
struct client *ix_client_of(struct MHD_Connection *connection);
void ix_client_enter(struct client *client, enum client_phase phase);
/* Ends the connection as if the network had: the library then finds it closed. */
void ix_client_cut(struct ix_server *server, struct client *client);
/* Cuts off who is too slow. */
void ix_clients_watch(struct ix_server *server);

/* exchange.c */
void *ix_exchange_new(void *context, const char *target, struct MHD_Connection *connection);
enum MHD_Result ix_exchange_access(void *context, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *data, size_t *len,
                                   void **request);
void ix_exchange_completed(void *context, struct MHD_Connection *connection, void **request,
                           enum MHD_RequestTerminationCode code);
/* Takes over `response`. */
void ix_exchange_respond(struct ix_exchange *x, int status, struct MHD_Response *response);

/* stream.c */
void ix_stream_free(struct ix_stream *stream);

#endif

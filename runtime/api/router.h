/* One table of operations per service. It routes, says what may be sent and what comes back, and is printed as
 * OpenAPI 3.1 (api/openapi.h): there is nothing else that could drift from it. */
#ifndef IX_API_ROUTER_H
#define IX_API_ROUTER_H

#include "api/call.h"
#include "api/guard.h"
#include "api/server.h"
#include "api/web_files.h"

/* Answers the call, or keeps the exchange's ticket and answers later. */
typedef void ix_operation_handler(struct ix_call *call);

struct ix_answer_doc {
    int status;         /* 0 ends the list */
    const char *schema; /* type as in api/schemas.h: "Device", "Group[]"; NULL: no body */
    const char *doc;
    const char *type; /* NULL: application/json */
};

/* Bodies are read and checked in one turn of the loop: so many bytes take it a few ms at worst. */
#define IX_ROUTER_BODY_BYTES (64u << 10)

struct ix_operation {
    const char *method; /* GET answers HEAD as well */
    const char *path;   /* "/api/v1/models/{id}": variables are whole segments */
    const char *id;     /* "getModel" */
    const char *tag;
    const char *summary;
    const char *doc;              /* more sentences, or NULL */
    const char *const *variables; /* what each variable is, in order; NULL: none */
    const struct ix_table *query; /* NULL: none */
    const struct ix_table *body;  /* NULL: none may be sent */
    bool body_optional;
    bool body_open;      /* fields that the table does not know go to the handler, which checks them */
    bool body_text;      /* the handler parses the text; the table is for readers */
    uint32_t body_bytes; /* at most; 0: IX_ROUTER_BODY_BYTES */
    struct ix_answer_doc answers[3];
    const char *faults;     /* statuses beside those that any operation may answer with: "404 409" */
    const char *permission; /* "models:read": what the caller will have to be allowed */
    ix_operation_handler *handle;
};

/* Asked before each operation: 0, or 401/403 with a message. For services with users. */
typedef int ix_router_authorize(void *context, struct ix_exchange *x, const struct ix_operation *operation,
                                struct ix_error *err);

struct ix_router_config {
    const struct ix_operation *operations;
    size_t operation_count;
    struct ix_guard guard;                                    /* texts are borrowed */
    const struct ix_web_file *(*find_file)(const char *path); /* GET of other paths; NULL: none */
    ix_router_authorize *authorize;                           /* NULL: nobody is asked */
    void *context;                                            /* for handlers */
    void *authorize_context;
};

#define IX_ROUTER_CLASSES 6  /* 1xx … 5xx; [0]: the client went away */
#define IX_ROUTER_BUCKETS 12 /* of durations; see ix_router_bounds_s */
extern const double ix_router_bounds_s[IX_ROUTER_BUCKETS];

/* What an operation was asked so far. */
struct ix_operation_counts {
    uint64_t by_class[IX_ROUTER_CLASSES];
    uint64_t buckets[IX_ROUTER_BUCKETS + 1]; /* the last one: longer */
    double sum_s;
};

struct ix_router;

struct ix_router *ix_router_new(const struct ix_router_config *config);
void ix_router_free(struct ix_router *router);

/* For struct ix_server_config, with the router as context. */
ix_server_begin ix_router_begin;
ix_server_handle ix_router_handle;
ix_server_finished ix_router_finished;

/* The counts of operation i; i = operation_count: files, and requests that found no operation. */
const struct ix_operation_counts *ix_router_counts(const struct ix_router *router, size_t i);

/* The operation for a parsed path: its place, or -1; then `allow` lists the path's methods ("" if it has none).
 * `variables` point into the path. */
int ix_router_match(const struct ix_router *router, const char *method, const struct ix_path *path,
                    const char *variables[IX_CALL_VARIABLES], char *allow, size_t allow_size);

#endif

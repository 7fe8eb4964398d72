#include "api/server_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define DISCARD_MAX \
    (32u << 20) /* of a body that is refused: so many bytes are read, so that the client sees why */
#define PIECE_BLOCK (16u << 10)

/* ---- the request ---- */

uint64_t ix_exchange_ticket(const struct ix_exchange *x)
{
    return x->ticket;
}

const char *ix_exchange_method(const struct ix_exchange *x)
{
    return x->method ? x->method : "";
}

const char *ix_exchange_target(const struct ix_exchange *x)
{
    return x->target;
}

const char *ix_exchange_header(struct ix_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

const char *ix_exchange_address(struct ix_exchange *x)
{
    if (!x->address[0]) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct sockaddr *from = info ? info->client_addr : NULL;
        if (from && from->sa_family == AF_INET)
            inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, x->address, sizeof(x->address));
        else if (from && from->sa_family == AF_INET6)
            inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)from)->sin6_addr, x->address,
                      sizeof(x->address));
    }
    return x->address;
}

const char *ix_exchange_body(const struct ix_exchange *x, size_t *len)
{
    *len = x->body.len;
    return ix_buf_cstr(&x->body);
}

void ix_exchange_set_mark(struct ix_exchange *x, uintptr_t mark)
{
    x->mark = mark;
}

uintptr_t ix_exchange_mark(const struct ix_exchange *x)
{
    return x->mark;
}

void ix_exchange_refuse(struct ix_exchange *x, int status, const char *detail)
{
    if (x->refusal)
        return;
    x->refusal = status;
    x->refusal_detail = ix_strdup(detail);
}

int ix_exchange_refusal(const struct ix_exchange *x, const char **detail)
{
    *detail = x->refusal ? x->refusal_detail : "";
    return x->refusal;
}

/* ---- the answer ---- */

void ix_exchange_set_header(struct ix_exchange *x, const char *name, const char *value)
{
    struct answer_header *header = NULL;
    for (size_t i = 0; i < x->header_count && !header; i++)
        if (strcasecmp(x->headers[i].name, name) == 0)
            header = &x->headers[i];
    if (header) {
        free(header->value);
    } else {
        IX_REQUIRE(x->header_count < IX_ANSWER_HEADERS_MAX);
        header = &x->headers[x->header_count++];
        header->name = ix_strdup(name);
    }
    header->value = ix_strdup(value);
}

void ix_exchange_respond(struct ix_exchange *x, int status, struct MHD_Response *response)
{
    IX_REQUIRE(!x->answered && response);
    for (size_t i = 0; i < x->header_count; i++)
        if (x->headers[i].value[0])
            MHD_add_response_header(response, x->headers[i].name, x->headers[i].value);
    if (x->server->stopping)
        MHD_add_response_header(response, "Connection", "close");
    x->answered = true;
    x->response = response;
    x->status = status;
    if (x->suspended) {
        x->suspended = false;
        x->server->facts.waiting--;
        MHD_resume_connection(x->connection);
        ix_server_kick(x->server);
    }
}

void ix_exchange_answer(struct ix_exchange *x, int status, const char *type, char *body, size_t len)
{
    if (body && type)
        ix_exchange_set_header(x, "Content-Type", type);
    ix_exchange_respond(x, status,
                        body ? MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE)
                             : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT));
}

void ix_exchange_answer_static(struct ix_exchange *x, int status, const char *type, const void *body,
                               size_t len)
{
    ix_exchange_set_header(x, "Content-Type", type);
    ix_exchange_respond(x, status,
                        MHD_create_response_from_buffer(len, (void *)body, MHD_RESPMEM_PERSISTENT));
}

struct pieces {
    struct ix_buf piece;
    size_t taken;
    bool last;
    ix_piece_next *next;
    void (*free_context)(void *context);
    void *context;
};

static ssize_t read_pieces(void *context, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct pieces *p = context;
    while (p->taken == p->piece.len) {
        if (p->last)
            return MHD_CONTENT_READER_END_OF_STREAM;
        ix_buf_clear(&p->piece);
        p->taken = 0;
        p->last = !p->next(p->context, &p->piece);
    }
    size_t len = p->piece.len - p->taken < max ? p->piece.len - p->taken : max;
    memcpy(out, p->piece.data + p->taken, len);
    p->taken += len;
    return (ssize_t)len;
}

static void free_pieces(void *context)
{
    struct pieces *p = context;
    if (p->free_context)
        p->free_context(p->context);
    ix_buf_deinit(&p->piece);
    free(p);
}

void ix_exchange_answer_pieces(struct ix_exchange *x, int status, const char *type, ix_piece_next *next,
                               void (*free_context)(void *context), void *context)
{
    if (strcmp(x->method, "HEAD") == 0) { /* the library would end the body that it does not send */
        if (free_context)
            free_context(context);
        ix_exchange_answer_static(x, status, type, "", 0);
        return;
    }
    struct pieces *p = ix_calloc(1, sizeof(*p));
    *p = (struct pieces){.next = next, .free_context = free_context, .context = context};
    ix_buf_init(&p->piece, 64u << 20);
    ix_exchange_set_header(x, "Content-Type", type);
    ix_exchange_respond(
        x, status,
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BLOCK, read_pieces, p, free_pieces));
}

/* ---- what the library tells ---- */

void *ix_exchange_new(void *context, const char *target, struct MHD_Connection *connection)
{
    struct ix_server *server = context;
    struct ix_exchange *x = ix_calloc(1, sizeof(*x));
    x->server = server;
    x->connection = connection;
    x->client = ix_client_of(connection);
    x->ticket = ++server->next_ticket;
    x->begun_ns = uv_hrtime();
    x->target = ix_strdup(target ? target : "");
    ix_buf_init(&x->body, server->config.body_bytes);
    x->next = server->exchanges;
    if (server->exchanges)
        server->exchanges->previous = x;
    server->exchanges = x;
    return x;
}

void ix_exchange_completed(void *context, struct MHD_Connection *connection, void **request,
                           enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct ix_server *server = context;
    struct ix_exchange *x = *request;
    if (!x)
        return;
    *request = NULL;
    if (x->next)
        x->next->previous = x->previous;
    if (x->previous)
        x->previous->next = x->next;
    else
        server->exchanges = x->next;
    if (x->stream)
        ix_stream_free(x->stream);
    else if (x->suspended)
        server->facts.waiting--;
    if (server->config.finished && x->method)
        server->config.finished(server->config.context, x,
                                code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? x->status : 0,
                                uv_hrtime() - x->begun_ns);
    if (x->client)
        ix_client_enter(x->client, CLIENT_REQUEST);
    if (x->response)
        MHD_destroy_response(x->response);
    for (size_t i = 0; i < x->header_count; i++) {
        free(x->headers[i].name);
        free(x->headers[i].value);
    }
    server->facts.body_bytes -= x->body.len;
    ix_buf_deinit(&x->body);
    free(x->refusal_detail);
    free(x->target);
    free(x->method);
    free(x);
}

struct seen { /* headers that say to whom a request is, and where it ends */
    int host, length, encoding;
};

static enum MHD_Result see_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind, (void)value;
    struct seen *seen = context;
    seen->host += strcasecmp(name, "Host") == 0;
    seen->length += strcasecmp(name, "Content-Length") == 0;
    seen->encoding += strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* Two programs may read such a request in two ways: a proxy in front of us, and we. What follows it on the connection is
 * not to be trusted either. */
static void check_ambiguity(struct ix_exchange *x)
{
    struct seen seen = {0};
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, see_header, &seen);
    const char *why = seen.host > 1       ? "the header Host is given more than once"
                      : seen.length > 1   ? "the header Content-Length is given more than once"
                      : seen.encoding > 1 ? "the header Transfer-Encoding is given more than once"
                      : seen.length && seen.encoding
                          ? "Content-Length and Transfer-Encoding contradict each other"
                          : NULL;
    const char *encoding = ix_exchange_header(x, "Transfer-Encoding");
    if (!why && encoding && strcasecmp(encoding, "chunked") != 0) {
        why = "of transfer encodings only \"chunked\" is taken";
        x->endless = true;
    }
    if (!why)
        return;
    ix_exchange_set_header(x, "Connection", "close");
    ix_exchange_refuse(x, 400, why);
}

static void check_sizes(struct ix_exchange *x)
{
    const struct ix_server_config *limits = &x->server->config;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *length = ix_exchange_header(x, "Content-Length");
    char *why = NULL;
    int status = 0;
    if (strlen(x->target) > limits->target_bytes) {
        status = 414;
        why = ix_asprintf("path and query have %zu bytes; at most %zu are taken", strlen(x->target),
                          limits->target_bytes);
    } else if (info && info->header_size > limits->header_bytes) {
        status = 431;
        why = ix_asprintf("the headers have %zu bytes; at most %zu are taken", info->header_size,
                          limits->header_bytes);
    } else if (length && strtoull(length, NULL, 10) > limits->body_bytes) {
        status = 413;
        why = ix_asprintf("the body has %s bytes; at most %zu are taken", length, limits->body_bytes);
    } else if (x->server->stopping) {
        status = 503;
        why = ix_asprintf("the %s is being stopped; try again once it is back", limits->name);
    }
    if (status)
        ix_exchange_refuse(x, status, why);
    free(why);
}

static void take_body(struct ix_exchange *x, const char *data, size_t len)
{
    struct ix_server *server = x->server;
    if (!x->refusal && server->facts.body_bytes + len > server->config.bodies_bytes)
        ix_exchange_refuse(x, 503, "too many bodies are under way at once; try again");
    if (!x->refusal && x->body.len + len > server->config.body_bytes) {
        char *why = ix_asprintf("the body has more than %zu bytes, which is all that is taken",
                                server->config.body_bytes);
        ix_exchange_refuse(x, 413, why);
        free(why);
    }
    if (x->refusal) {
        x->discarded += len;
        return;
    }
    ix_buf_put(&x->body, data, len);
    server->facts.body_bytes += len;
}

static enum MHD_Result hand_over(struct ix_exchange *x)
{
    struct MHD_Response *response = x->response;
    x->response = NULL;
    ix_client_enter(x->client, x->stream ? CLIENT_STREAM : CLIENT_ANSWER);
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Asks the owner for the answer; true if there is one now. */
static bool handle(struct ix_exchange *x)
{
    x->handled = true;
    x->server->config.handle(x->server->config.context, x);
    return x->answered;
}

/* A body that is far too long is not waited for, nor one that the client holds back until we agree to it. */
static bool answers_now(struct ix_exchange *x)
{
    const char *expect = ix_exchange_header(x, "Expect"), *length = ix_exchange_header(x, "Content-Length");
    return x->refusal && (x->endless || (expect && strcasecmp(expect, "100-continue") == 0) ||
                          (length && strtoull(length, NULL, 10) > DISCARD_MAX));
}

enum MHD_Result ix_exchange_access(void *context, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *data, size_t *len,
                                   void **request)
{
    (void)context, (void)connection, (void)url, (void)version;
    struct ix_exchange *x = *request;
    if (!x->headers_done) {
        x->headers_done = true;
        x->method = ix_strdup(method);
        ix_client_enter(x->client, CLIENT_UPLOAD);
        check_ambiguity(x);
        check_sizes(x);
        if (!x->refusal && x->server->config.begin)
            x->server->config.begin(x->server->config.context, x);
        return answers_now(x) && handle(x) ? hand_over(x) : MHD_YES;
    }
    if (*len > 0) {
        take_body(x, data, *len);
        *len = 0;
        return x->discarded > DISCARD_MAX ? MHD_NO : MHD_YES;
    }
    if (x->response)
        return hand_over(x);
    if (x->handled) /* nothing to say twice */
        return MHD_NO;
    if (handle(x))
        return hand_over(x);
    ix_client_enter(x->client, CLIENT_WAITING);
    x->suspended = true;
    x->server->facts.waiting++;
    MHD_suspend_connection(x->connection);
    return MHD_YES;
}

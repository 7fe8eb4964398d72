/* HTTP requests of scenarios: asynchronous, on libcurl's multi interface and the loop's sockets and timers.
 *
 * http and https only, also behind redirects, which are not followed: a status of 302 is an answer.
 * Certificates are verified. Compressed answers are unpacked. Proxies are those of the environment
 * (http_proxy, no_proxy). */
#ifndef IX_CONTROL_HTTP_CLIENT_H
#define IX_CONTROL_HTTP_CLIENT_H

#include "loop/loop.h"

#include <jansson.h>

#define IX_HTTP_BODY_MAX    (16u << 20) /* of a request, and of an answer after unpacking */
#define IX_HTTP_PENDING_MAX 1000        /* requests of one client under way */

struct ix_http_client;

struct ix_http_answer {
    int code;              /* 0, or a negative errno value: no (whole) answer came; body is what did */
    const char *message;   /* if code < 0: what happened to which request */
    long status;           /* 200; 0 if code < 0 */
    const json_t *headers; /* object, names in lower case; repeated ones are joined by ", " */
    const char *body;      /* NUL-terminated */
    size_t body_len;
    double latency_ms; /* from the call to the last byte */
};

/* Called exactly once, from the loop (or from ix_http_client_free), never inside ix_http_request. What it
 * points to ends with the call. New requests may be made inside; the client must not be freed there. */
typedef void ix_http_done(void *context, const struct ix_http_answer *answer);

struct ix_http_client *ix_http_client_new(struct ix_loop *loop, struct ix_error *err);
/* Requests under way end with -ECANCELED, inside this call. Memory goes when the loop has closed the handles.
 */
void ix_http_client_free(struct ix_http_client *client);

/* `headers`: {name: text}, or NULL. `body` may be NULL. `timeout_ms` (0: none) is for the whole request.
 * An error return (a bad URL, method or header, a body too large, too many requests) means no call. */
int ix_http_request(struct ix_http_client *client, const char *method, const char *url, const json_t *headers,
                    const char *body, size_t body_len, uint64_t timeout_ms, ix_http_done *done, void *context,
                    struct ix_error *err);

#endif

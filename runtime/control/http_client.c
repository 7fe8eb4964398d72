/* The pattern is that of curl's multi_socket documentation: curl tells which sockets and which timeout it
 * wants watched, we tell what happened. */
#include "control/http_client.h"

#include "base/buf.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct request {
    struct request *next, *previous;
    struct ix_http_client *client;
    CURL *easy;
    struct curl_slist *sent_headers;
    char *name; /* "GET http://…", for messages */
    json_t *headers;
    struct ix_buf body;
    char reason[CURL_ERROR_SIZE];
    ix_http_done *done;
    void *context;
};

struct ix_http_client {
    struct ix_loop *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct request *requests;
    size_t count;
    bool closing;
};

/* One socket that curl has; freed when its handle is closed. */
struct watch {
    uv_poll_t poll;
    struct ix_http_client *client;
    curl_socket_t socket;
};

static void free_request(struct request *request)
{
    struct ix_http_client *client = request->client;
    if (request->previous)
        request->previous->next = request->next;
    else
        client->requests = request->next;
    if (request->next)
        request->next->previous = request->previous;
    client->count--;
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->sent_headers);
    json_decref(request->headers);
    ix_buf_deinit(&request->body);
    free(request->name);
    free(request);
}

/* ---- answers ---- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct request *request = context;
    ix_buf_put(&request->body, data, size * count);
    return request->body.overflow ? 0 : size * count;
}

static void add_header(json_t *headers, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return;
    struct ix_buf name, value;
    ix_buf_init(&name, 1 << 16);
    ix_buf_init(&value, 1 << 20);
    for (const char *at = line; at < colon; at++)
        ix_buf_char(&name, (char)tolower((unsigned char)*at));
    const char *from = colon + 1, *end = line + len;
    while (from < end && isspace((unsigned char)*from))
        from++;
    while (end > from && isspace((unsigned char)end[-1]))
        end--;
    const char *before = json_string_value(json_object_get(headers, ix_buf_cstr(&name)));
    if (before)
        ix_buf_printf(&value, "%s, ", before);
    for (; from < end; from++) /* fields are Latin-1 by the standard; keep what is not ASCII out of JSON */
        ix_buf_char(&value, (unsigned char)*from < 0x80 && *from ? *from : '?');
    json_object_set_new(headers, ix_buf_cstr(&name), json_string(ix_buf_cstr(&value)));
    ix_buf_deinit(&name);
    ix_buf_deinit(&value);
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct request *request = context;
    size_t len = size * count;
    if (len >= 5 && strncmp(data, "HTTP/", 5) == 0)
        json_object_clear(request->headers); /* what came before was an interim answer */
    else
        add_header(request->headers, data, len);
    return len;
}

static int code_of(CURLcode result, bool too_large)
{
    if (too_large)
        return -EMSGSIZE;
    switch (result) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -EHOSTUNREACH;
    default:
        return -EIO;
    }
}

static void finish(struct request *request, CURLcode result)
{
    struct ix_http_answer answer = {.code = code_of(result, request->body.overflow),
                                    .headers = request->headers,
                                    .body = ix_buf_cstr(&request->body),
                                    .body_len = request->body.len};
    curl_off_t microseconds = 0;
    curl_easy_getinfo(request->easy, CURLINFO_TOTAL_TIME_T, &microseconds);
    answer.latency_ms = (double)microseconds / 1e3;
    char *message = NULL;
    if (answer.code == -EMSGSIZE)
        message = ix_asprintf("%s: the answer is larger than %u MiB", request->name, IX_HTTP_BODY_MAX >> 20);
    else if (answer.code < 0)
        message = ix_asprintf("%s: %s", request->name,
                              request->reason[0] ? request->reason : curl_easy_strerror(result));
    else
        curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
    answer.message = message;
    request->done(request->context, &answer);
    free(message);
}

static void collect(struct ix_http_client *client)
{
    int left;
    for (CURLMsg *said; (said = curl_multi_info_read(client->multi, &left));) {
        if (said->msg != CURLMSG_DONE)
            continue;
        CURL *easy = said->easy_handle;
        CURLcode result = said->data.result; /* `said` ends with the next call of curl */
        struct request *request = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
        curl_multi_remove_handle(client->multi, easy);
        finish(request, result);
        free_request(request);
    }
}

/* ---- sockets and time ---- */

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct ix_http_client *client = watch->client;
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    if (status < 0)
        flags |= CURL_CSELECT_ERR;
    int running;
    curl_multi_socket_action(client->multi, watch->socket, flags, &running);
    collect(client);
}

static void on_timeout(uv_timer_t *timer)
{
    struct ix_http_client *client = timer->data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(client);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void unwatch(struct ix_http_client *client, struct watch *watch)
{
    curl_multi_assign(client->multi, watch->socket, NULL);
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct watch *new_watch(struct ix_http_client *client, curl_socket_t socket)
{
    struct watch *watch = ix_calloc(1, sizeof(*watch));
    watch->client = client;
    watch->socket = socket;
    watch->poll.data = watch;
    if (uv_poll_init_socket(&client->loop->uv, &watch->poll, socket) < 0) {
        free(watch);
        return NULL;
    }
    curl_multi_assign(client->multi, socket, watch);
    return watch;
}

static int on_watch_wanted(CURL *easy, curl_socket_t socket, int what, void *context, void *assigned)
{
    (void)easy;
    struct ix_http_client *client = context;
    struct watch *watch = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            unwatch(client, watch);
        return 0;
    }
    if (!watch && !(watch = new_watch(client, socket)))
        return -1;
    int events = (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_socket_event);
    return 0;
}

static int on_timeout_wanted(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct ix_http_client *client = context;
    if (client->closing)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&client->timer);
    else {
        uv_update_time(&client->loop->uv);
        uv_timer_start(&client->timer, on_timeout, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

/* ---- the client ---- */

struct ix_http_client *ix_http_client_new(struct ix_loop *loop, struct ix_error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ix_fail(err, -ENOMEM, "the HTTP library can't be initialised");
        return NULL;
    }
    struct ix_http_client *client = ix_calloc(1, sizeof(*client));
    client->loop = loop;
    client->multi = curl_multi_init();
    if (!client->multi) {
        ix_fail(err, -ENOMEM, "the HTTP library can't be initialised");
        free(client);
        curl_global_cleanup();
        return NULL;
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_watch_wanted);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, 64L);
    uv_timer_init(&loop->uv, &client->timer);
    client->timer.data = client;
    return client;
}

static void on_client_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void ix_http_client_free(struct ix_http_client *client)
{
    if (!client)
        return;
    client->closing = true;
    while (client->requests) {
        struct request *request = client->requests;
        struct ix_http_answer answer = {.code = -ECANCELED,
                                        .message = "the request was given up",
                                        .headers = request->headers,
                                        .body = ""};
        curl_multi_remove_handle(client->multi, request->easy);
        request->done(request->context, &answer);
        free_request(request);
    }
    curl_multi_cleanup(client->multi); /* gives its sockets back, each with a call of on_watch_wanted */
    curl_global_cleanup();
    uv_close((uv_handle_t *)&client->timer, on_client_closed);
}

/* ---- requests ---- */

/* RFC 9110: tchar. */
static bool is_token(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
            return false;
    return true;
}

static int add_headers(struct request *request, const json_t *headers, struct ix_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)headers, name, value)
    {
        const char *text = json_string_value(value);
        if (!is_token(name))
            return ix_fail(err, -EINVAL, "%s: \"%.100s\" is no name of a header", request->name, name);
        if (!text || strpbrk(text, "\r\n"))
            return ix_fail(err, -EINVAL, "%s: header \"%.100s\" must be a text of one line", request->name,
                           name);
        /* "Name;" is how curl sends a header without value. */
        char *line = *text ? ix_asprintf("%s: %s", name, text) : ix_asprintf("%s;", name);
        request->sent_headers = curl_slist_append(request->sent_headers, line);
        free(line);
    }
    bool typed = false;
    json_object_foreach((json_t *)headers, name, value) typed =
        typed || strcasecmp(name, "Content-Type") == 0;
    if (!typed) /* curl would name a form */
        request->sent_headers = curl_slist_append(request->sent_headers, "Content-Type:");
    request->sent_headers = curl_slist_append(request->sent_headers, "Expect:");
    return 0;
}

static int check(const struct ix_http_client *client, const char *method, const char *url, size_t body_len,
                 struct ix_error *err)
{
    if (!is_token(method) || strlen(method) > 20)
        return ix_fail(err, -EINVAL, "\"%.40s\" is no HTTP method", method);
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return ix_fail(err, -EINVAL, "\"%.200s\" is no http:// or https:// address", url);
    if (body_len > IX_HTTP_BODY_MAX)
        return ix_fail(err, -EMSGSIZE, "%s %.200s: the body has %zu bytes; at most %u MiB can be sent",
                       method, url, body_len, IX_HTTP_BODY_MAX >> 20);
    if (client->count >= IX_HTTP_PENDING_MAX)
        return ix_fail(err, -EBUSY, "%s %.200s: %u requests are under way already; wait for some", method,
                       url, IX_HTTP_PENDING_MAX);
    return 0;
}

static void set_method(CURL *easy, const char *method, const char *body, size_t body_len)
{
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body ? body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_options(struct request *request, const char *url, uint64_t timeout_ms)
{
    CURL *easy = request->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 1000000000 ? 1000000000L : (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "iotix/" IX_VERSION);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->sent_headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->reason);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
}

int ix_http_request(struct ix_http_client *client, const char *method, const char *url, const json_t *headers,
                    const char *body, size_t body_len, uint64_t timeout_ms, ix_http_done *done, void *context,
                    struct ix_error *err)
{
    int code = check(client, method, url, body_len, err);
    if (code < 0)
        return code;
    struct request *request = ix_calloc(1, sizeof(*request));
    request->client = client;
    request->done = done;
    request->context = context;
    request->name = ix_asprintf("%s %.200s", method, url);
    request->headers = json_object();
    ix_buf_init(&request->body, IX_HTTP_BODY_MAX);
    request->next = client->requests;
    if (client->requests)
        client->requests->previous = request;
    client->requests = request;
    client->count++;
    request->easy = curl_easy_init();
    code = request->easy ? add_headers(request, headers, err)
                         : ix_fail(err, -ENOMEM, "%s: the HTTP library gives no handle", request->name);
    if (code == 0) {
        set_options(request, url, timeout_ms);
        set_method(request->easy, method, body, body_len);
        CURLMcode added = curl_multi_add_handle(client->multi, request->easy);
        if (added != CURLM_OK)
            code = ix_fail(err, -EIO, "%s: %s", request->name, curl_multi_strerror(added));
    }
    if (code < 0)
        free_request(request);
    return code;
}

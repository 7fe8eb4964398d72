#include "api/router.h"

#include "api/files.h"
#include "api/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const double ix_router_bounds_s[IX_ROUTER_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                      0.05,   0.1,   0.25,   0.5,   1,    10};

struct ix_router {
    struct ix_router_config config;
    struct ix_operation_counts *counts; /* one more than operations */
};

struct ix_router *ix_router_new(const struct ix_router_config *config)
{
    struct ix_router *router = ix_calloc(1, sizeof(*router));
    router->config = *config;
    router->counts = ix_calloc(config->operation_count + 1, sizeof(*router->counts));
    return router;
}

void ix_router_free(struct ix_router *router)
{
    if (!router)
        return;
    free(router->counts);
    free(router);
}

/* ---- matching ---- */

static bool matches(const char *template, const struct ix_path *path, const char **variables)
{
    size_t segment = 0, variable = 0;
    const char *at = template;
    while (*at == '/' && at[1]) {
        size_t len = strcspn(++at, "/");
        if (segment == path->count)
            return false;
        const char *value = path->segments[segment++];
        if (*at == '{')
            variables[variable++] = value;
        else if (strlen(value) != len || memcmp(value, at, len) != 0)
            return false;
        if (*at == '{' && !*value)
            return false;
        at += len;
    }
    return segment == path->count;
}

static void add_method(char *allow, size_t size, const char *method)
{
    size_t len = strlen(allow);
    snprintf(allow + len, size - len, "%s%s", len ? ", " : "", method);
    if (strcmp(method, "GET") == 0)
        add_method(allow, size, "HEAD");
}

int ix_router_match(const struct ix_router *router, const char *method, const struct ix_path *path,
                    const char *variables[IX_CALL_VARIABLES], char *allow, size_t allow_size)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    allow[0] = '\0';
    for (size_t i = 0; i < router->config.operation_count; i++) {
        const struct ix_operation *operation = &router->config.operations[i];
        if (!matches(operation->path, path, variables))
            continue;
        if (strcmp(operation->method, wanted) == 0)
            return (int)i;
        add_method(allow, allow_size, operation->method);
    }
    if (allow[0])
        add_method(allow, allow_size, "OPTIONS");
    return -1;
}

/* ---- before the body ---- */

static void set_common_headers(struct ix_exchange *x)
{
    ix_exchange_set_header(x, "X-Content-Type-Options", "nosniff");
    ix_exchange_set_header(x, "Cache-Control", "no-store");
    ix_exchange_set_header(x, "Cross-Origin-Resource-Policy", "same-origin");
}

/* A link that somebody followed from a page elsewhere: the answer is shown to them, and not to that page. */
static bool is_visit(struct ix_exchange *x)
{
    const char *mode = ix_exchange_header(x, "Sec-Fetch-Mode"),
               *dest = ix_exchange_header(x, "Sec-Fetch-Dest");
    return strcmp(ix_exchange_method(x), "GET") == 0 && mode && strcasecmp(mode, "navigate") == 0 && dest &&
           strcasecmp(dest, "document") == 0;
}

static bool may_pass(struct ix_router *router, struct ix_exchange *x)
{
    struct ix_guard_request request = {.host = ix_exchange_header(x, "Host"),
                                       .origin = ix_exchange_header(x, "Origin"),
                                       .fetch_site =
                                           is_visit(x) ? NULL : ix_exchange_header(x, "Sec-Fetch-Site")};
    struct ix_error err;
    int status = ix_guard_check(&router->config.guard, &request, &err);
    if (status)
        ix_exchange_refuse(x, status, err.text);
    return status == 0;
}

static bool has_body(struct ix_exchange *x)
{
    const char *length = ix_exchange_header(x, "Content-Length");
    return ix_exchange_header(x, "Transfer-Encoding") || (length && strcmp(length, "0") != 0);
}

static size_t body_limit(const struct ix_operation *operation)
{
    return operation->body_bytes ? operation->body_bytes : IX_ROUTER_BODY_BYTES;
}

static void refuse_length(struct ix_exchange *x, const struct ix_operation *operation)
{
    char why[200];
    const char *length = ix_exchange_header(x, "Content-Length");
    if (!length || strtoull(length, NULL, 10) <= body_limit(operation))
        return;
    snprintf(why, sizeof(why), "the body has %.20s bytes; at most %zu are taken here%s", length,
             body_limit(operation), operation->body_bytes ? ", larger models come from files" : "");
    ix_exchange_refuse(x, 413, why);
}

static bool may_do(struct ix_router *router, struct ix_exchange *x, const struct ix_operation *operation)
{
    struct ix_error err;
    int status = router->config.authorize
                     ? router->config.authorize(router->config.authorize_context, x, operation, &err)
                     : 0;
    if (status == 0 && operation->body && has_body(x))
        status = ix_guard_check_json(ix_exchange_header(x, "Content-Type"), &err);
    if (status == 401)
        ix_exchange_set_header(x, "WWW-Authenticate", "Bearer");
    if (status)
        ix_exchange_refuse(x, status, err.text);
    return status == 0;
}

static void refuse_method(struct ix_exchange *x, const char *allow)
{
    char why[200];
    ix_exchange_set_header(x, "Allow", allow);
    snprintf(why, sizeof(why), "%.20s is not possible here; allowed are %s", ix_exchange_method(x), allow);
    ix_exchange_refuse(x, strcmp(ix_exchange_method(x), "OPTIONS") == 0 ? 204 : 405, why);
}

static bool is_read(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static const struct ix_web_file *file_of(const struct ix_router *router, const struct ix_path *path)
{
    char name[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < path->count && len < sizeof(name); i++)
        len += (size_t)snprintf(name + len, sizeof(name) - len, "/%s", path->segments[i]);
    if (!router->config.find_file || len >= sizeof(name))
        return NULL;
    return router->config.find_file(len ? name : "/");
}

void ix_router_begin(void *context, struct ix_exchange *x)
{
    struct ix_router *router = context;
    const char *variables[IX_CALL_VARIABLES];
    struct ix_path path;
    struct ix_error err;
    char allow[64];
    set_common_headers(x);
    if (!may_pass(router, x))
        return;
    int code = ix_path_parse(&path, ix_exchange_target(x), &err);
    if (code < 0) {
        ix_exchange_refuse(x, code == -ENOENT ? 404 : 400, err.text);
        return;
    }
    int found = ix_router_match(router, ix_exchange_method(x), &path, variables, allow, sizeof(allow));
    if (found >= 0) {
        ix_exchange_set_mark(x, (uintptr_t)found + 1);
        if (may_do(router, x, &router->config.operations[found]))
            refuse_length(x, &router->config.operations[found]);
    } else if (allow[0]) {
        refuse_method(x, allow);
    } else if (file_of(router, &path)) {
        if (!is_read(ix_exchange_method(x)))
            refuse_method(x, "GET, HEAD, OPTIONS");
    } else {
        ix_exchange_refuse(x, 404, "there is nothing at this path; /docs lists what there is");
    }
    ix_path_deinit(&path);
}

/* ---- with the body ---- */

static void answer_refusal(struct ix_exchange *x, int status, const char *detail)
{
    if (status < 300)
        ix_exchange_answer(x, status, NULL, NULL, 0);
    else
        ix_problem_answer(x, status, NULL, "%s", detail);
}

static void answer_faults(struct ix_exchange *x, const struct ix_faults *faults)
{
    const struct ix_fault *first = NULL;
    for (size_t i = 0; i < faults->count && !first; i++)
        first = faults->items[i].warning ? NULL : &faults->items[i];
    json_t *errors = ix_problem_errors(faults, false);
    if (faults->errors == 1)
        ix_problem_answer(x, 400, errors, "%s%s%s", first->path[0] ? first->path : "the request",
                          first->path[0] ? ": " : " ", first->message);
    else
        ix_problem_answer(x, 400, errors, "%zu faults; the first: %s%s%s", faults->errors, first->path,
                          first->path[0] ? ": " : "", first->message);
}

static void read_body(struct ix_call *call, struct ix_faults *faults)
{
    const struct ix_operation *operation = call->operation;
    call->text = ix_exchange_body(call->exchange, &call->text_len);
    if (!operation->body) {
        if (call->text_len > 0)
            ix_faults_add(faults, "", "takes no body");
        return;
    }
    if (call->text_len == 0 && operation->body_optional)
        return;
    if (call->text_len == 0) {
        ix_faults_add(faults, "", "needs a body: a JSON object");
        return;
    }
    call->body = ix_body_parse(call->text, call->text_len, faults);
    if (call->body && !operation->body_text)
        ix_body_check(call->body, operation->body, operation->body_open, faults);
}

static void run_operation(struct ix_router *router, struct ix_exchange *x, int place,
                          const struct ix_path *path, const char **variables)
{
    struct ix_call call = {
        .exchange = x, .operation = &router->config.operations[place], .context = router->config.context};
    struct ix_faults faults;
    memcpy(call.variables, variables, sizeof(call.variables));
    ix_faults_init(&faults);
    call.query = ix_query_parse(path->query, call.operation->query, &faults);
    read_body(&call, &faults);
    if (faults.errors > 0)
        answer_faults(x, &faults);
    else
        call.operation->handle(&call);
    json_decref(call.query);
    json_decref(call.body);
    ix_faults_deinit(&faults);
}

void ix_router_handle(void *context, struct ix_exchange *x)
{
    struct ix_router *router = context;
    const char *variables[IX_CALL_VARIABLES] = {NULL}, *detail;
    struct ix_path path;
    char allow[64];
    int refusal = ix_exchange_refusal(x, &detail);
    if (refusal || ix_path_parse(&path, ix_exchange_target(x), NULL) < 0) {
        answer_refusal(x, refusal ? refusal : 400, detail);
        return;
    }
    int found = ix_router_match(router, ix_exchange_method(x), &path, variables, allow, sizeof(allow));
    const struct ix_web_file *file = found < 0 ? file_of(router, &path) : NULL;
    size_t len;
    ix_exchange_body(x, &len);
    if (found >= 0 &&
        len > body_limit(&router->config.operations[found])) /* it came without saying how long it is */
        ix_problem_answer(x, 413, NULL, "the body has %zu bytes; at most %zu are taken here", len,
                          body_limit(&router->config.operations[found]));
    else if (found >= 0)
        run_operation(router, x, found, &path, variables);
    else if (file)
        ix_file_answer(x, file);
    else
        ix_problem_answer(x, 404, NULL, "there is nothing at this path");
    ix_path_deinit(&path);
}

void ix_router_finished(void *context, struct ix_exchange *x, int status, uint64_t took_ns)
{
    struct ix_router *router = context;
    size_t place = ix_exchange_mark(x) ? ix_exchange_mark(x) - 1 : router->config.operation_count;
    struct ix_operation_counts *counts = &router->counts[place];
    double seconds = (double)took_ns / 1e9;
    size_t bucket = 0;
    while (bucket < IX_ROUTER_BUCKETS && seconds > ix_router_bounds_s[bucket])
        bucket++;
    counts->by_class[status / 100 < IX_ROUTER_CLASSES ? status / 100 : 0]++;
    counts->buckets[bucket]++;
    counts->sum_s += seconds;
}

const struct ix_operation_counts *ix_router_counts(const struct ix_router *router, size_t i)
{
    return &router->counts[i];
}

/* Answers that wait for the service: the exchange sleeps, and may be gone when the service has an answer. */
#include "api/device_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct pending {
    struct pending *next, *previous;
    struct ix_device_api *api; /* NULL: the api is gone */
    uint64_t ticket;
    struct ix_later later;
};

/* ---- answers ---- */

void ix_answer_json(struct ix_exchange *x, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    if (text)
        ix_exchange_answer(x, status, "application/json", text, strlen(text));
    else
        ix_problem_answer(x, 500, NULL, "the answer could not be written as JSON");
}

#define PIECE 100 /* members of a list that are written in one turn of the loop: under 1 ms */

/* A long list on its way to text: an array, or an object with one as "items". Pieces of all answers take turns. */
struct writing {
    struct writing *next;
    struct ix_device_api *api; /* NULL: the api is gone */
    uint64_t ticket;
    int status;
    bool takes_turns;
    json_t *json, *items;
    size_t at;
    struct ix_buf text;
};

static void put_json(struct ix_buf *out, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    ix_buf_str(out, text ? text : "null");
    free(text);
}

static void free_writing(struct writing *w)
{
    ix_buf_deinit(&w->text);
    json_decref(w->items);
    json_decref(w->json);
    free(w);
}

/* One piece; true: that was the last. */
static bool write_on(struct writing *w)
{
    size_t count = json_array_size(w->items), end = w->at + PIECE < count ? w->at + PIECE : count;
    if (w->at == 0)
        ix_buf_str(&w->text, json_is_object(w->json) ? "{\"items\":[" : "[");
    for (; w->at < end; w->at++) {
        if (w->at > 0)
            ix_buf_char(&w->text, ',');
        put_json(&w->text, json_array_get(w->items, w->at));
    }
    if (end < count)
        return false;
    ix_buf_char(&w->text, ']');
    if (json_is_object(w->json)) { /* the other members follow */
        json_object_del(w->json, "items");
        size_t before = w->text.len;
        put_json(&w->text, w->json);
        w->text.data[before] = ',';
    }
    return true;
}

static void answer_written(struct writing *w)
{
    struct ix_exchange *x = ix_server_find(w->api->server, w->ticket);
    if (x && !w->text.overflow)
        ix_exchange_answer(x, w->status, "application/json", ix_strndup(w->text.data, w->text.len),
                           w->text.len);
    else if (x)
        ix_problem_answer(x, 500, NULL, "the answer could not be written as JSON");
}

static void write_all(void *context);

static void queue(struct ix_device_api *api, struct writing *w)
{
    struct writing **end = &api->writings;
    while (*end)
        end = &(*end)->next;
    w->next = NULL;
    *end = w;
}

static void go_on(struct ix_device_api *api)
{
    if (api->writes || !api->writings)
        return;
    api->writes = true;
    ix_loop_defer(api->loop, write_all, api->writings);
}

/* A piece of the one that waited longest. */
static void write_all(void *context)
{
    struct writing *w = context;
    struct ix_device_api *api = w->api;
    if (!api) {
        free_writing(w);
        return;
    }
    api->writes = false;
    api->writings = w->next;
    if (!ix_server_find(api->server, w->ticket) || write_on(w)) { /* it may have gone away */
        bool is_turn = w->takes_turns;
        answer_written(w);
        free_writing(w);
        if (is_turn)
            ix_turn_over(api);
    } else {
        queue(api, w);
    }
    go_on(api);
}

/* As ix_answer_json, over several turns of the loop if the list is long: then true, and the client's turn goes on. */
static bool answer_list(struct ix_device_api *api, struct ix_exchange *x, const struct ix_later *later,
                        json_t *json)
{
    json_t *items = json_is_array(json) ? json : json_object_get(json, "items");
    if (json_array_size(items) <= PIECE) {
        ix_answer_json(x, later->status, json);
        return false;
    }
    struct writing *w = ix_calloc(1, sizeof(*w));
    *w = (struct writing){.api = api,
                          .ticket = ix_exchange_ticket(x),
                          .status = later->status,
                          .takes_turns = later->takes_turns,
                          .json = json,
                          .items = json_incref(items)};
    ix_buf_init(&w->text, 256u << 20);
    queue(api, w);
    go_on(api);
    return true;
}

static int status_of(enum ix_failure_kind kind)
{
    switch (kind) {
    case IX_FAILURE_INVALID:
    case IX_FAILURE_SCRIPT:
        return 400;
    case IX_FAILURE_UNKNOWN:
        return 404;
    case IX_FAILURE_CONFLICT:
        return 409;
    case IX_FAILURE_FULL:
    case IX_FAILURE_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

static void answer_failure(struct ix_exchange *x, const struct ix_failure *failure)
{
    json_t *errors = failure->faults ? json_incref(failure->faults) : NULL;
    if (!errors && failure->field[0])
        errors = json_pack("[{s:s, s:s}]", "path", failure->field, "message", failure->text);
    ix_problem_answer(x, status_of(failure->kind), errors, "%s", failure->text);
}

void ix_answer_failure(struct ix_exchange *x, struct ix_failure *failure)
{
    answer_failure(x, failure);
    ix_failure_deinit(failure);
}

void ix_answer_result(struct ix_call *call, int status, json_t *json, struct ix_failure *failure)
{
    if (json)
        ix_answer_json(call->exchange, status, json);
    else
        ix_answer_failure(call->exchange, failure);
}

bool ix_list_window(struct ix_call *call, uint64_t count, uint64_t *offset, uint64_t *limit)
{
    char total[24];
    if (!ix_call_window(call->query, offset, limit)) {
        ix_problem_field(call->exchange, "page", "give page and pageSize, or offset and limit, not both");
        return false;
    }
    snprintf(total, sizeof(total), "%llu", (unsigned long long)count);
    ix_exchange_set_header(call->exchange, "X-Total-Count", total);
    return true;
}

json_t *ix_list_slice(struct ix_call *call, json_t *array)
{
    uint64_t count = json_array_size(array), offset = 0, limit = count;
    if (!ix_list_window(call, count, &offset, &limit)) {
        json_decref(array);
        return NULL;
    }
    if (offset == 0 && limit >= count)
        return array;
    json_t *part = json_array();
    for (uint64_t i = offset; i < count && i - offset < limit; i++)
        json_array_append(part, json_array_get(array, i));
    json_decref(array);
    return part;
}

/* ---- later ---- */

void *ix_later_context(struct ix_call *call, const struct ix_later *later)
{
    struct ix_device_api *api = ix_api_of(call);
    struct pending *pending = ix_calloc(1, sizeof(*pending));
    *pending = (struct pending){
        .next = api->pending, .api = api, .ticket = ix_exchange_ticket(call->exchange), .later = *later};
    if (api->pending)
        api->pending->previous = pending;
    api->pending = pending;
    return pending;
}

static void set_location(struct ix_exchange *x, const struct ix_later *later, const json_t *result)
{
    const char *id = json_string_value(json_object_get(result, later->identity));
    struct ix_buf text;
    ix_buf_init(&text, 4096);
    ix_buf_str(&text, later->location);
    for (; id && *id; id++) {
        if (strchr("/?#% \"<>\\^`{|}", *id) || (unsigned char)*id < 0x21 || (unsigned char)*id > 0x7e)
            ix_buf_printf(&text, "%%%02X", (unsigned char)*id);
        else
            ix_buf_char(&text, *id);
    }
    ix_exchange_set_header(x, "Location", ix_buf_cstr(&text));
    ix_buf_deinit(&text);
}

void ix_later_done(void *context, const struct ix_failure *failure, json_t *result)
{
    struct pending *pending = context;
    struct ix_device_api *api = pending->api;
    const struct ix_later *later = &pending->later;
    struct ix_exchange *x = api ? ix_server_find(api->server, pending->ticket) : NULL;
    bool is_over = true;
    if (x && failure) {
        answer_failure(x, failure);
        json_decref(result);
    } else if (x) {
        if (later->location)
            set_location(x, later, result);
        if (later->reshape)
            result = later->reshape(result, later->first, later->second);
        if (later->status == 204) {
            json_decref(result);
            ix_exchange_answer(x, 204, NULL, NULL, 0);
        } else {
            is_over = !answer_list(api, x, later, result);
        }
    } else {
        json_decref(result);
    }
    if (api) {
        if (pending->previous)
            pending->previous->next = pending->next;
        else
            api->pending = pending->next;
        if (pending->next)
            pending->next->previous = pending->previous;
        if (later->takes_turns && is_over)
            ix_turn_over(api);
    }
    free(pending);
}

void ix_later_forget(struct ix_device_api *api)
{
    for (struct pending *pending = api->pending; pending; pending = pending->next)
        pending->api = NULL;
    api->pending = NULL;
    ix_turns_forget(api);
    while (api->writings) {
        struct writing *w = api->writings;
        bool is_due = api->writes; /* the first one is: it frees itself then */
        api->writings = w->next;
        api->writes = false;
        w->api = NULL;
        if (!is_due)
            free_writing(w);
    }
}

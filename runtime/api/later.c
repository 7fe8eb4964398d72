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

json_t *ix_list_slice(struct ix_call *call, json_t *array)
{
    uint64_t count = json_array_size(array), offset = 0, limit = count;
    char total[24];
    if (!ix_call_window(call->query, &offset, &limit)) {
        ix_problem_field(call->exchange, "page", "give page and pageSize, or offset and limit, not both");
        json_decref(array);
        return NULL;
    }
    snprintf(total, sizeof(total), "%llu", (unsigned long long)count);
    ix_exchange_set_header(call->exchange, "X-Total-Count", total);
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
            ix_answer_json(x, later->status, result);
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
    }
    free(pending);
}

void ix_later_forget(struct ix_device_api *api)
{
    for (struct pending *pending = api->pending; pending; pending = pending->next)
        pending->api = NULL;
    api->pending = NULL;
}

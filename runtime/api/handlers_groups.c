/* The operations on groups (device_routes.c). */
#include "api/device_internal.h"

static const struct ix_later created = {.status = 201, .location = "/api/v1/groups/", .identity = "groupId"};
static const struct ix_later done = {.status = 200};
static const struct ix_later gone = {.status = 204};
static const struct ix_later listed = {.status = 200, .takes_turns = true};

#define SHORT_LIST 100

void ix_list_groups(struct ix_call *call)
{
    struct ix_service *service = ix_api_of(call)->service;
    uint64_t offset = 0, limit = UINT64_MAX, count = ix_service_group_count(service);
    if (!ix_list_window(call, count, &offset, &limit))
        return;
    if (limit <= SHORT_LIST || count <= SHORT_LIST)
        ix_service_groups(service, offset, limit, ix_later_done, ix_later_context(call, &done));
    else
        ix_turn_wait(call, &listed, offset, limit);
}

void ix_create_group(struct ix_call *call)
{
    ix_service_group_create(ix_api_of(call)->service, call->body, ix_later_done,
                            ix_later_context(call, &created));
}

void ix_get_group(struct ix_call *call)
{
    struct ix_failure failure;
    json_t *group = ix_service_group(ix_api_of(call)->service, call->variables[0], &failure);
    ix_answer_result(call, 200, group, &failure);
}

void ix_get_group_history(struct ix_call *call)
{
    struct ix_failure failure;
    int64_t seconds = ix_call_integer(call->query, "seconds", IX_SERVICE_HISTORY_S);
    json_t *history =
        ix_service_group_history(ix_api_of(call)->service, call->variables[0], (uint64_t)seconds, &failure);
    ix_answer_result(call, 200, history, &failure);
}

void ix_delete_group(struct ix_call *call)
{
    ix_service_group_delete(ix_api_of(call)->service, call->variables[0], ix_later_done,
                            ix_later_context(call, &gone));
}

/* Settings may stand in the query as well; the body wins. */
void ix_start_group(struct ix_call *call)
{
    double stagger_ms = ix_call_number(call->query, "staggerMs", -1);
    json_t *settings = json_copy(call->query);
    json_object_del(settings, "staggerMs");
    json_object_update(settings, call->body);
    ix_service_group_start(ix_api_of(call)->service, call->variables[0],
                           json_object_size(settings) > 0 ? settings : NULL, stagger_ms, ix_later_done,
                           ix_later_context(call, &done));
    json_decref(settings);
}

void ix_stop_group(struct ix_call *call)
{
    ix_service_group_stop(ix_api_of(call)->service, call->variables[0], ix_later_done,
                          ix_later_context(call, &done));
}

void ix_drop_group(struct ix_call *call)
{
    json_t *empty = json_object();
    ix_service_group_dropout(ix_api_of(call)->service, call->variables[0], call->body ? call->body : empty,
                             ix_later_done, ix_later_context(call, &done));
    json_decref(empty);
}

void ix_list_strategies(struct ix_call *call)
{
    struct ix_failure failure;
    json_t *strategies = ix_service_strategies(ix_api_of(call)->service, &failure);
    ix_answer_result(call, 200, strategies, &failure);
}

void ix_preview_strategy(struct ix_call *call)
{
    struct ix_failure failure;
    json_t *preview = ix_service_strategy_preview(ix_api_of(call)->service, call->body, &failure);
    ix_answer_result(call, 200, preview, &failure);
}

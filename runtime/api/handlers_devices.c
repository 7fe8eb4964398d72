/* The operations on single devices (device_routes.c). */
#include "api/device_internal.h"

#include <string.h>

#define PAGE_DEFAULT 100

static const struct ix_later created = {.status = 201, .location = "/api/v1/devices/", .identity = "id"};
static const struct ix_later done = {.status = 200};
static const struct ix_later gone = {.status = 204};
static const struct ix_later accepted = {.status = 202};

static int status_of(const char *name)
{
    for (int i = 0; name && i < IX_D_STATUS_COUNT; i++)
        if (strcmp(ix_status_names[i], name) == 0)
            return i;
    return -1;
}

static json_t *add_page(json_t *result, uint64_t page, uint64_t size)
{
    json_object_set_new(result, "page", json_integer((json_int_t)page));
    json_object_set_new(result, "pageSize", json_integer((json_int_t)size));
    return result;
}

void ix_list_devices(struct ix_call *call)
{
    struct ix_device_filter filter = {.group = ix_call_text(call->query, "groupId"),
                                      .model = ix_call_text(call->query, "modelId"),
                                      .status = status_of(ix_call_text(call->query, "status")),
                                      .limit = PAGE_DEFAULT};
    if (!ix_call_window(call->query, &filter.offset, &filter.limit)) {
        ix_problem_field(call->exchange, "page", "give page and pageSize, or offset and limit, not both");
        return;
    }
    struct ix_later later = {.status = 200,
                             .reshape = add_page,
                             .first = filter.offset / filter.limit + 1,
                             .second = filter.limit};
    ix_service_devices(ix_api_of(call)->service, &filter, ix_later_done, ix_later_context(call, &later));
}

void ix_create_device(struct ix_call *call)
{
    ix_service_device_create(ix_api_of(call)->service, call->body, ix_later_done,
                             ix_later_context(call, &created));
}

void ix_get_device(struct ix_call *call)
{
    struct ix_failure failure;
    json_t *device = ix_service_device(ix_api_of(call)->service, call->variables[0], &failure);
    ix_answer_result(call, 200, device, &failure);
}

void ix_delete_device(struct ix_call *call)
{
    ix_service_device_delete(ix_api_of(call)->service, call->variables[0], ix_later_done,
                             ix_later_context(call, &gone));
}

void ix_start_device(struct ix_call *call)
{
    ix_service_device_start(ix_api_of(call)->service, call->variables[0], ix_later_done,
                            ix_later_context(call, &done));
}

void ix_stop_device(struct ix_call *call)
{
    ix_service_device_stop(ix_api_of(call)->service, call->variables[0], ix_later_done,
                           ix_later_context(call, &done));
}

void ix_get_device_metrics(struct ix_call *call)
{
    ix_service_device_metrics(ix_api_of(call)->service, call->variables[0], ix_later_done,
                              ix_later_context(call, &done));
}

void ix_send_command(struct ix_call *call)
{
    ix_service_device_command(ix_api_of(call)->service, call->variables[0], call->variables[1], call->body,
                              ix_later_done, ix_later_context(call, &accepted));
}

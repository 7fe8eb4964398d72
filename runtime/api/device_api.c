#include "api/device_internal.h"

#include "api/openapi.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *ix_device_openapi(size_t *len)
{
    static const struct ix_schema *const lists[] = {ix_common_schemas, ix_device_schemas};
    struct ix_openapi_config config = {
        .title = "iotix device engine",
        .description = "Simulates fleets of IoT devices: models, devices, groups, launches and dropouts.",
        .schemas = lists,
        .schema_list_count = IX_ARRAY_LEN(lists),
    };
    config.operations = ix_device_operations(&config.operation_count);
    return ix_openapi_text(&config, len);
}

/* Until the fleet is there again, only that can be said. */
static void on_handle(void *context, struct ix_exchange *x)
{
    struct ix_device_api *api = context;
    const char *detail;
    bool fleet =
        strncmp(ix_exchange_target(x), "/api/", 5) == 0 || strncmp(ix_exchange_target(x), "/ready", 6) == 0;
    if (fleet && !ix_exchange_refusal(x, &detail) && !ix_service_is_ready(api->service))
        ix_problem_answer(x, 503, NULL, "the service is starting: it makes its devices anew; try again soon");
    else
        ix_router_handle(api->router, x);
}

static void on_begin(void *context, struct ix_exchange *x)
{
    ix_router_begin(((struct ix_device_api *)context)->router, x);
}

static void on_finished(void *context, struct ix_exchange *x, int status, uint64_t took_ns)
{
    ix_router_finished(((struct ix_device_api *)context)->router, x, status, took_ns);
}

static void free_parts(struct ix_device_api *api)
{
    ix_router_free(api->router);
    free(api->openapi);
    free(api);
}

static void make_parts(struct ix_device_api *api, const struct ix_device_api_config *config)
{
    struct ix_router_config router = {
        .guard = {config->hosts, config->host_count}, .find_file = ix_web_find, .context = api};
    router.operations = ix_device_operations(&router.operation_count);
    api->router = ix_router_new(&router);
    api->openapi = ix_device_openapi(&api->openapi_len);
    snprintf(api->openapi_etag, sizeof(api->openapi_etag), "\"%016llx\"",
             (unsigned long long)ix_hash64(api->openapi, api->openapi_len));
}

int ix_device_api_start(const struct ix_device_api_config *config, struct ix_device_api **out,
                        struct ix_error *err)
{
    struct ix_device_api *api = ix_calloc(1, sizeof(*api));
    struct ix_server_config server = {.loop = config->loop,
                                      .name = "device engine",
                                      .host = config->host,
                                      .port = config->port,
                                      .connections = config->connections,
                                      .connections_per_address = config->connections_per_address,
                                      .begin = on_begin,
                                      .handle = on_handle,
                                      .finished = on_finished,
                                      .context = api};
    api->loop = config->loop;
    api->service = config->service;
    make_parts(api, config);
    int code = ix_server_start(&server, &api->server, err);
    if (code < 0) {
        free_parts(api);
        return code;
    }
    api->events = ix_events_new(config->loop, config->service);
    *out = api;
    return 0;
}

const char *ix_device_api_address(const struct ix_device_api *api)
{
    return ix_server_address(api->server);
}

void ix_device_api_stop(struct ix_device_api *api, uint64_t drain_ms, void (*stopped)(void *context),
                        void *context)
{
    ix_server_stop(api->server, drain_ms, stopped, context);
}

void ix_device_api_free(struct ix_device_api *api)
{
    if (!api)
        return;
    ix_server_free(api->server);
    ix_events_free(api->events);
    ix_later_forget(api);
    free_parts(api);
}

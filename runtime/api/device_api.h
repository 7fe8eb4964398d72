/* The device engine's REST service: routes, events, metrics, page, over one fleet (control/service.h). */
#ifndef IX_API_DEVICE_API_H
#define IX_API_DEVICE_API_H

#include "api/server.h"
#include "control/service.h"

struct ix_device_api;
struct ix_operation;

struct ix_device_api_config {
    struct ix_loop *loop;
    struct ix_service *service; /* outlives the api, or is freed after ix_device_api_stop's `stopped` */
    const char *host;           /* NULL: 127.0.0.1 */
    uint16_t port;              /* 0: any free one */
    const char *const *hosts;   /* names allowed in Host beside addresses and localhost; borrowed */
    size_t host_count;
    /* Asked before each operation: 0, or 401/403 with a message. NULL: nobody is asked, as loopback allows. */
    int (*authorize)(void *context, struct ix_exchange *x, const struct ix_operation *operation,
                     struct ix_error *err);
    void *authorize_context;
    uint32_t connections;             /* 0: 1000 */
    uint32_t connections_per_address; /* 0: 250 */
};

/* Listens when it returns, and answers as soon as the service is ready (503 before). */
int ix_device_api_start(const struct ix_device_api_config *config, struct ix_device_api **api,
                        struct ix_error *err);
const char *ix_device_api_address(const struct ix_device_api *api); /* "127.0.0.1:8080", "[::1]:8080" */
/* No new connections, streams end, requests under way get `drain_ms`; then `stopped`, never inside the call. Before
 * ix_service_stop, whose answers requests may wait for. */
void ix_device_api_stop(struct ix_device_api *api, uint64_t drain_ms, void (*stopped)(void *context),
                        void *context);
/* At any time; the service may still answer what was asked of it. May be NULL. */
void ix_device_api_free(struct ix_device_api *api);

/* The table of operations: for the OpenAPI document and its tests. */
const struct ix_operation *ix_device_operations(size_t *count);
/* The OpenAPI document; the caller frees it. */
char *ix_device_openapi(size_t *len);

#endif

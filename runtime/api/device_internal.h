/* What the files of the device engine's service share. */
#ifndef IX_API_DEVICE_INTERNAL_H
#define IX_API_DEVICE_INTERNAL_H

#include "api/device_api.h"
#include "api/events.h"
#include "api/problem.h"
#include "api/router.h"

struct pending;

struct ix_device_api {
    struct ix_loop *loop;
    struct ix_service *service;
    struct ix_server *server;
    struct ix_router *router;
    struct ix_events *events;
    struct pending *pending; /* asked of the service, not answered by it yet */
    struct writing
        *writings; /* long answers that are being written, a piece of one in each turn of the loop */
    bool writes;
    struct turn *turns; /* clients that wait for theirs; in order */
    bool has_turn;
    char *openapi;
    size_t openapi_len;
    char openapi_etag[20];
};

static inline struct ix_device_api *ix_api_of(const struct ix_call *call)
{
    return call->context;
}

/* Answers with JSON; takes the reference. Made at once: for what is short. */
void ix_answer_json(struct ix_exchange *x, int status, json_t *json);
/* Answers with what the service did not do; deinits the failure. */
void ix_answer_failure(struct ix_exchange *x, struct ix_failure *failure);
/* One or the other: `json` NULL means the failure. */
void ix_answer_result(struct ix_call *call, int status, json_t *json, struct ix_failure *failure);

/* The part of a list of `count` that the query asks for, with X-Total-Count; false: answered, the query was wrong. */
bool ix_list_window(struct ix_call *call, uint64_t count, uint64_t *offset, uint64_t *limit);
/* The part of a list that the query asks for (takes the reference), with X-Total-Count; NULL: answered, the query was
 * wrong. */
json_t *ix_list_slice(struct ix_call *call, json_t *array);

/* How a result becomes the answer; NULL: as it is. Takes and returns references. */
typedef json_t *ix_reshape(json_t *result, uint64_t first, uint64_t second);
struct ix_later {
    int status;           /* on success; 204 sends no body */
    const char *location; /* "/api/v1/groups/": Location is this and the member `identity` of the result */
    const char *identity;
    ix_reshape *reshape;
    uint64_t first, second; /* for reshape */
    bool takes_turns;       /* the next client's turn comes when the answer is written */
};
/* For ix_service_…(…, ix_later_done, ix_later_context(call, &later)): the answer comes with the service's. */
void *ix_later_context(struct ix_call *call, const struct ix_later *later);
ix_service_done ix_later_done;
void ix_later_forget(struct ix_device_api *api); /* the api ends */

/* That part of the groups for the call, when its turn has come; `later` takes turns. */
void ix_turn_wait(struct ix_call *call, const struct ix_later *later, uint64_t offset, uint64_t limit);
void ix_turn_over(struct ix_device_api *api);
void ix_turns_forget(struct ix_device_api *api); /* after its pendings were */

/* The handlers, by resource. */
ix_operation_handler ix_get_health, ix_get_ready, ix_get_metrics, ix_get_openapi, ix_get_stats,
    ix_get_history, ix_get_events, ix_list_models, ix_create_model, ix_get_model, ix_replace_model,
    ix_delete_model, ix_list_devices, ix_create_device, ix_get_device, ix_delete_device, ix_start_device,
    ix_stop_device, ix_get_device_metrics, ix_send_command, ix_list_groups, ix_create_group, ix_get_group,
    ix_get_group_history, ix_delete_group, ix_start_group, ix_stop_group, ix_drop_group, ix_list_strategies,
    ix_preview_strategy;

/* The Prometheus text of everything; the caller frees it. */
char *ix_metrics_text(struct ix_device_api *api, size_t *len);

#endif

/* Health, figures, events and the documentation. */
#include "api/device_internal.h"

#include "api/files.h"

void ix_get_health(struct ix_call *call)
{
    ix_answer_json(call->exchange, 200, ix_service_health(ix_api_of(call)->service));
}

void ix_get_ready(struct ix_call *call)
{
    ix_answer_json(call->exchange, 200, json_pack("{s:s}", "status", "ready"));
}

void ix_get_stats(struct ix_call *call)
{
    ix_answer_json(call->exchange, 200, ix_service_stats(ix_api_of(call)->service));
}

void ix_get_history(struct ix_call *call)
{
    int64_t seconds = ix_call_integer(call->query, "seconds", IX_SERVICE_HISTORY_S);
    ix_answer_json(call->exchange, 200, ix_service_history(ix_api_of(call)->service, (uint64_t)seconds));
}

void ix_get_events(struct ix_call *call)
{
    ix_events_answer(ix_api_of(call)->events, call->exchange);
}

void ix_get_metrics(struct ix_call *call)
{
    size_t len;
    char *text = ix_metrics_text(ix_api_of(call), &len);
    ix_exchange_answer(call->exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
}

static bool next_openapi(void *context, struct ix_buf *piece)
{
    const struct ix_device_api *api = context;
    ix_buf_put(piece, api->openapi, api->openapi_len);
    return false;
}

void ix_get_openapi(struct ix_call *call)
{
    struct ix_device_api *api = ix_api_of(call);
    ix_exchange_set_header(call->exchange, "ETag", api->openapi_etag);
    ix_exchange_set_header(call->exchange, "Cache-Control", "no-cache");
    if (ix_etag_matches(ix_exchange_header(call->exchange, "If-None-Match"), api->openapi_etag))
        ix_exchange_answer(call->exchange, 304, NULL, NULL, 0);
    else
        ix_exchange_answer_pieces(call->exchange, 200, "application/json", next_openapi, NULL, api);
}

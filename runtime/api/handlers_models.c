/* The operations on models (device_routes.c). */
#include "api/device_internal.h"

#include <stdlib.h>

static const struct ix_later created = {.status = 201, .location = "/api/v1/models/", .identity = "id"};
static const struct ix_later replaced = {.status = 200};
static const struct ix_later gone = {.status = 204};

/* Models are long and may be many: each is written when the client has taken the one before. */
struct listing {
    json_t *models;
    size_t next;
};

static bool next_model(void *context, struct ix_buf *piece)
{
    struct listing *listing = context;
    size_t count = json_array_size(listing->models);
    if (listing->next == 0)
        ix_buf_char(piece, '[');
    while (listing->next < count && piece->len < 16384) {
        char *text = json_dumps(json_array_get(listing->models, listing->next),
                                JSON_COMPACT | JSON_REAL_PRECISION(15));
        if (listing->next++ > 0)
            ix_buf_char(piece, ',');
        ix_buf_str(piece, text ? text : "null");
        free(text);
    }
    if (listing->next < count)
        return true;
    ix_buf_char(piece, ']');
    return false;
}

static void free_listing(void *context)
{
    struct listing *listing = context;
    json_decref(listing->models);
    free(listing);
}

void ix_list_models(struct ix_call *call)
{
    json_t *models = ix_list_slice(call, ix_service_models(ix_api_of(call)->service));
    if (!models)
        return;
    struct listing *listing = ix_calloc(1, sizeof(*listing));
    listing->models = models;
    ix_exchange_answer_pieces(call->exchange, 200, "application/json", next_model, free_listing, listing);
}

void ix_create_model(struct ix_call *call)
{
    struct ix_device_api *api = ix_api_of(call);
    struct ix_failure failure;
    if (ix_call_boolean(call->query, "validate"))
        ix_answer_result(
            call, 200, ix_service_model_check(api->service, call->text, call->text_len, &failure), &failure);
    else
        ix_service_model_put(api->service, call->text, call->text_len, NULL, ix_later_done,
                             ix_later_context(call, &created));
}

void ix_get_model(struct ix_call *call)
{
    struct ix_failure failure;
    json_t *model = ix_service_model(ix_api_of(call)->service, call->variables[0], &failure);
    ix_answer_result(call, 200, model, &failure);
}

void ix_replace_model(struct ix_call *call)
{
    ix_service_model_put(ix_api_of(call)->service, call->text, call->text_len, call->variables[0],
                         ix_later_done, ix_later_context(call, &replaced));
}

void ix_delete_model(struct ix_call *call)
{
    ix_service_model_delete(ix_api_of(call)->service, call->variables[0], ix_later_done,
                            ix_later_context(call, &gone));
}

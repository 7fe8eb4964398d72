/* Long lists of groups are made and written for one client at a time: each takes megabytes until it is handed over, and
 * many clients may ask at once, or ask and go away again. */
#include "api/device_internal.h"

#include <stdlib.h>

struct turn {
    struct turn *next;
    void *context; /* of ix_later_done */
    uint64_t ticket, offset, limit;
};

static void next_turn(struct ix_device_api *api)
{
    struct turn *t = api->turns;
    if (!t || api->has_turn)
        return;
    api->turns = t->next;
    api->has_turn = true;
    if (ix_server_find(api->server, t->ticket))
        ix_service_groups(api->service, t->offset, t->limit, ix_later_done, t->context);
    else /* the client has gone; this ends the turn */
        ix_later_done(t->context, NULL, NULL);
    free(t);
}

void ix_turn_wait(struct ix_call *call, const struct ix_later *later, uint64_t offset, uint64_t limit)
{
    struct ix_device_api *api = ix_api_of(call);
    struct turn **end = &api->turns, *t = ix_calloc(1, sizeof(*t));
    *t =
        (struct turn){NULL, ix_later_context(call, later), ix_exchange_ticket(call->exchange), offset, limit};
    while (*end)
        end = &(*end)->next;
    *end = t;
    next_turn(api);
}

void ix_turn_over(struct ix_device_api *api)
{
    api->has_turn = false;
    next_turn(api);
}

void ix_turns_forget(struct ix_device_api *api)
{
    while (api->turns) {
        struct turn *t = api->turns;
        api->turns = t->next;
        ix_later_done(t->context, NULL, NULL);
        free(t);
    }
}

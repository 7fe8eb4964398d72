/* What changes, for listeners. States are compared with those that were told before, in pieces, and only while
 * somebody listens. */
#include "control/service_internal.h"

#include "base/log.h"
#include "base/units.h"

#include <stdlib.h>

#define FEED_NS     (250 * IX_MS)
#define STATES_MAX  200   /* in one event */
#define ROWS_A_TICK 65536 /* compared in one tick, about 2 ms at most */
#define NEVER_TOLD  0xffff

void ix_service_tell(struct ix_service *service, const char *event, const json_t *data)
{
    bool outermost = !service->telling;
    service->telling = true;
    for (struct ix_service_listener *l = service->listeners; l; l = l->next)
        if (!l->removed)
            l->event(l->context, event, data);
    if (!outermost)
        return;
    service->telling = false;
    for (struct ix_service_listener **at = &service->listeners; *at;) {
        struct ix_service_listener *l = *at;
        if (l->removed) {
            *at = l->next;
            free(l);
        } else {
            at = &l->next;
        }
    }
}

void ix_service_tell_change(struct ix_service *service, const char *event, const char *id)
{
    if (!service->listeners)
        return;
    json_t *data = id[0] ? json_pack("{s:s}", "id", id) : json_object();
    ix_service_tell(service, event, data);
    json_decref(data);
}

void ix_service_note_log(struct ix_service *service, enum ix_log_level level, const char *line)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (!service->listeners || service->telling)
        return;
    json_t *message = json_string(line);
    json_t *data =
        json_pack("{s:s, s:o, s:o}", "level", names[level], "time",
                  ix_service_time(ix_service_wall_ms(service)), "message", message ? message : json_null());
    ix_service_tell(service, "log", data);
    json_decref(data);
}

struct ix_service_listener *ix_service_listen(struct ix_service *service,
                                              void (*event)(void *context, const char *name,
                                                            const json_t *data),
                                              void *context)
{
    struct ix_service_listener *l = ix_calloc(1, sizeof *l);
    *l = (struct ix_service_listener){.next = service->listeners, .event = event, .context = context};
    service->listeners = l;
    return l;
}

void ix_service_unlisten(struct ix_service *service, struct ix_service_listener *listener)
{
    listener->removed = true;
    if (service->telling)
        return;
    struct ix_service_listener **at = &service->listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    free(listener);
}

/* ---- states ---- */

struct changes {
    struct ix_service *service;
    json_t *devices;
    uint64_t more;
};

static struct service_group *group_of_key(const struct ix_service *service, uint64_t key,
                                          struct service_group **last)
{
    if (*last && ix_hash64((*last)->id, strlen((*last)->id)) == key)
        return *last;
    for (struct service_group *g = service->groups; g; g = g->next)
        if (ix_hash64(g->id, strlen(g->id)) == key)
            return *last = g;
    return NULL;
}

static void add_change(struct changes *c, const struct ix_device_row *row, struct service_group **last)
{
    if (json_array_size(c->devices) >= STATES_MAX) {
        c->more++;
        return;
    }
    const struct service_group *g = group_of_key(c->service, row->group_key, last);
    if (!g || g->leaving || (row->flags & IX_ROW_GONE) || row->status >= IX_D_STATUS_COUNT ||
        row->link >= IX_L_COUNT)
        return;
    struct ix_buf id;
    ix_buf_init(&id, 4096);
    ix_service_put_id(g, row->index, &id);
    json_array_append_new(c->devices, json_pack("{s:s, s:o, s:s, s:s}", "id", ix_buf_cstr(&id), "groupId",
                                                g->hidden ? json_null() : json_string(g->id), "status",
                                                ix_status_names[row->status], "connectionState",
                                                ix_link_names[row->link]));
    ix_buf_deinit(&id);
}

static void compare_worker(struct changes *c, uint32_t worker, uint32_t *left)
{
    const struct ix_segment *segment = ix_workers_segment(c->service->workers, worker);
    struct shadow *shadow = &c->service->shadows[worker];
    struct service_group *last = NULL;
    uint32_t rows = segment->rows_used;
    if (rows > shadow->room) {
        shadow->states = ix_realloc(shadow->states, rows * sizeof *shadow->states);
        for (uint32_t i = shadow->room; i < rows; i++)
            shadow->states[i] = NEVER_TOLD;
        shadow->room = rows;
    }
    for (uint32_t n = 0; n < rows && *left; n++, --*left) {
        uint32_t i = shadow->at = (shadow->at + 1) % rows;
        const struct ix_device_row *row = &segment->rows[i];
        uint16_t state = (uint16_t)(row->status << 8 | row->link);
        if (state == shadow->states[i])
            continue;
        /* A first look is no change, unless the row is new. */
        bool silent = shadow->states[i] == NEVER_TOLD && row->status == IX_D_CREATED;
        shadow->states[i] = state;
        if (!silent && row->group_key && c->service->knows_states)
            add_change(c, row, &last);
    }
}

/* What moves when states do: nothing is compared while it stands still. */
static uint64_t sum_of_states(struct ix_service *service)
{
    struct ix_totals now;
    ix_fleet_counts(service->fleet, NULL, &now);
    uint64_t sum = (uint64_t)now.connected;
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        sum = sum * 1000003 + (uint64_t)now.by_status[s];
    return sum + now.counters[IX_C_CONNECTED] + now.counters[IX_C_CONNECTION_LOST] +
           now.counters[IX_C_DROPPED] + now.counters[IX_C_CONNECT_ATTEMPTS] + now.counters[IX_C_REFUSED] +
           now.counters[IX_C_CONNECT_FAILED];
}

static void compare_states(struct ix_service *service)
{
    uint64_t sum = sum_of_states(service);
    uint32_t left = ROWS_A_TICK;
    struct changes c = {.service = service, .devices = json_array()};
    uint64_t rows = 0;
    for (uint32_t i = 0; i < ix_workers_count(service->workers); i++)
        rows += ix_workers_segment(service->workers, i)->rows_used;
    if (sum != service->scan_sum) {
        service->scan_sum = sum;
        service->rows_left = rows + ROWS_A_TICK; /* each row once more */
    }
    if (service->rows_left) {
        for (uint32_t n = 0; n < ix_workers_count(service->workers) && left; n++) {
            uint32_t worker = (service->scan_at + n) % ix_workers_count(service->workers);
            compare_worker(&c, worker, &left);
            if (!left)
                service->scan_at = worker;
        }
        uint64_t looked = ROWS_A_TICK - left;
        service->rows_left = left || looked >= service->rows_left ? 0 : service->rows_left - looked;
    }
    service->knows_states = service->knows_states || service->rows_left == 0;
    if (json_array_size(c.devices)) {
        json_t *data = json_pack("{s:O, s:I}", "devices", c.devices, "more", (json_int_t)c.more);
        ix_service_tell(service, "state", data);
        json_decref(data);
    }
    service->feed_dropped += c.more;
    json_decref(c.devices);
}

/* ---- progress ---- */

static void tell_progress(struct ix_service *service)
{
    for (struct service_group *g = service->groups; g; g = g->next) {
        struct operation *o = &g->operation;
        if (o->kind == OPERATION_NONE || (o->is_over && o->told == o->done))
            continue;
        ix_service_operation_update(service, g);
        if (o->told == o->done && !o->is_over)
            continue;
        o->told = o->done;
        if (g->hidden)
            continue;
        json_t *data = ix_service_view_operation(service, g);
        json_object_set_new(data, "groupId", json_string(g->id));
        ix_service_tell(service, "progress", data);
        json_decref(data);
    }
}

static void on_feed(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_service *service =
        (struct ix_service *)((char *)entry - offsetof(struct ix_service, feed_tick));
    if (service->listeners) {
        compare_states(service);
        tell_progress(service);
    } else {
        service->knows_states = false;
    }
    ix_wheel_add(service->loop->wheel, &service->feed_tick, now_ns + FEED_NS);
}

void ix_service_feed_begin(struct ix_service *service)
{
    service->feed_tick.fire = on_feed;
    ix_wheel_add(service->loop->wheel, &service->feed_tick, ix_loop_update(service->loop) + FEED_NS);
}

void ix_service_feed_end(struct ix_service *service)
{
    ix_wheel_cancel(service->loop->wheel, &service->feed_tick);
    while (service->listeners) {
        struct ix_service_listener *l = service->listeners;
        service->listeners = l->next;
        free(l);
    }
    for (size_t i = 0; i < IX_WORKERS_MAX; i++)
        free(service->shadows[i].states);
}

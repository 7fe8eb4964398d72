/* Single devices: added, started, stopped, deleted, asked for values, given commands. */
#include "control/service_internal.h"

#include "base/random.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_NS  (10 * IX_S) /* for all, of which … */
#define PATIENCE_NS (8 * IX_S)  /* … so much for the broker's name to be looked up */
#define LOOK_NS     (10 * IX_MS)
#define STOP_NS     (5 * IX_S)

static const char *text_in(const json_t *body, const char *key)
{
    return json_string_value(json_object_get(body, key));
}

/* The device of a request, or an answer that there is none. */
static bool need_device(struct wait *w, const char *id, struct device_ref *ref)
{
    struct ix_failure failure;
    if (!ix_service_find_device(w->service, id, ref)) {
        ix_service_fail(&failure, IX_FAILURE_UNKNOWN, "", "there is no device \"%.160s\"", id);
        ix_service_refuse(w, &failure);
        return false;
    }
    w->group = ix_strdup(ref->group->id);
    w->index = ref->index;
    return true;
}

/* The device that a step goes on with; it may have been deleted meanwhile. */
static bool still_there(struct wait *w, struct device_ref *ref)
{
    ref->group = ix_service_find_group(w->service, w->group);
    ref->index = w->index;
    if (ref->group && !ref->group->leaving && !ix_service_is_gone(ref->group, ref->index))
        return true;
    ix_service_refuse_text(w, IX_FAILURE_UNKNOWN, "the device was deleted meanwhile");
    return false;
}

json_t *ix_service_device(struct ix_service *service, const char *id, struct ix_failure *failure)
{
    struct device_ref ref;
    if (ix_service_find_device(service, id, &ref))
        return ix_service_view_device(service, &ref);
    ix_service_fail(failure, IX_FAILURE_UNKNOWN, "", "there is no device \"%.160s\"", id);
    return NULL;
}

/* ---- adding ---- */

static bool same_connection(const struct service_group *g, const json_t *connection)
{
    const json_t *wished = json_is_object(connection) && json_object_size(connection) ? connection : NULL;
    if (!wished || !g->connection)
        return !wished && !g->connection;
    return json_equal((json_t *)wished, g->connection);
}

static struct service_group *hidden_group(struct ix_service *service, const json_t *body,
                                          struct ix_failure *failure)
{
    const json_t *connection = json_object_get(body, "overrideConnection");
    for (struct service_group *g = service->groups; g; g = g->next)
        if (g->hidden && !g->leaving && strcmp(g->model, text_in(body, "modelId")) == 0 &&
            same_connection(g, connection))
            return g;
    char id[32];
    snprintf(id, sizeof id, "~%llu", (unsigned long long)++service->hidden_last);
    return ix_service_make_group(service, body, id, "single-{index}", 0, failure);
}

static struct service_group *group_for(struct ix_service *service, const json_t *body,
                                       struct ix_failure *failure)
{
    const char *id = text_in(body, "groupId");
    if (!id)
        return hidden_group(service, body, failure);
    struct service_group *g = ix_service_find_group(service, id);
    if (!g && service->group_count >= SERVICE_GROUPS_MAX) {
        ix_service_fail(failure, IX_FAILURE_FULL, "", "%d groups are the limit: delete some first",
                        SERVICE_GROUPS_MAX);
        return NULL;
    }
    if (!g)
        return ix_service_make_group(service, body, id, "{groupId}-{index}", 0, failure);
    if (g->leaving) {
        ix_service_fail(failure, IX_FAILURE_CONFLICT, "groupId", "group \"%s\" is being made or deleted", id);
    } else if (strcmp(g->model, text_in(body, "modelId")) != 0) {
        ix_service_fail(failure, IX_FAILURE_CONFLICT, "groupId",
                        "the devices of group \"%s\" have the model \"%s\"; choose another groupId", id,
                        g->model);
    } else if (!same_connection(g, json_object_get(body, "overrideConnection"))) {
        ix_service_fail(failure, IX_FAILURE_CONFLICT, "overrideConnection",
                        "all devices of group \"%s\" have one connection; choose another groupId", id);
    } else if (g->count >= SERVICE_DEVICES_MAX) {
        ix_service_fail(failure, IX_FAILURE_FULL, "groupId",
                        "group \"%s\" has %d devices, which is the limit", id, SERVICE_DEVICES_MAX);
    } else {
        return g;
    }
    return NULL;
}

static char *fresh_name(const struct ix_service *service, const char *model)
{
    struct device_ref ref;
    char *id = NULL;
    do {
        free(id);
        id = ix_asprintf("%.64s-%08llx", model, (unsigned long long)(ix_random_system() & 0xffffffff));
    } while (ix_service_find_device(service, id, &ref));
    return id;
}

static void on_device_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct ix_service *service = w->service;
    struct service_group *g = ix_service_find_group(service, w->group);
    if (code < 0) { /* the index stays a hole: others may have been given later ones */
        struct ix_error err;
        if (g)
            ix_service_group_gone(service, g, w->index);
        if (g && g->at_work)
            ix_fleet_remove_device(service->fleet, g->id, w->index, 0, &err);
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
        return;
    }
    struct device_ref ref;
    if (!still_there(w, &ref))
        return;
    ix_service_tell_change(service, "groups", g->hidden ? "" : g->id);
    ix_service_answer(w, ix_service_view_device(service, &ref));
}

/* It takes the group's next index. In the fleet, too, if that has the group. */
static int join(struct ix_service *service, struct service_group *g, const char *name,
                struct ix_failure *failure)
{
    struct ix_error err;
    int64_t now = ix_service_wall_ms(service);
    if (g->at_work && ix_fleet_grow(service->fleet, g->id, 1, name, 0, &err) < 0)
        return ix_service_fail(failure, ix_service_kind(err.code), "", "%s", err.text);
    ix_service_group_joined(service, g, name, now);
    ix_service_keep_group(service, g);
    struct ix_store_device row = {g->id, (int64_t)g->count - 1, name, now};
    if (service->store)
        ix_store_put_device(service->store, &row);
    return 0;
}

static int check_id(struct ix_service *service, const json_t *body, struct ix_failure *failure)
{
    static const char *const fields[] = {"modelId", "deviceId", "groupId", "overrideConnection",
                                         "id",      "name"};
    struct device_ref ref;
    if (ix_service_check_model(service, body, failure) < 0 ||
        ix_service_check_fields(body, fields, IX_ARRAY_LEN(fields), failure) < 0 ||
        ix_service_check_text(body, "deviceId", IX_DEVICE_ID_MAX - 20, false, failure) < 0 ||
        ix_service_check_text(body, "groupId", IX_ID_MAX, false, failure) < 0)
        return -1;
    const char *id = text_in(body, "deviceId");
    if (id && ix_service_find_device(service, id, &ref))
        return ix_service_fail(failure, IX_FAILURE_CONFLICT, "deviceId", "there is a device \"%s\" already",
                               id);
    return 0;
}

void ix_service_device_create(struct ix_service *service, const json_t *body, ix_service_done *done,
                              void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    struct service_group *g =
        check_id(service, body, &failure) == 0 ? group_for(service, body, &failure) : NULL;
    if (!g) {
        ix_service_refuse(w, &failure);
        return;
    }
    const char *wish = text_in(body, "deviceId");
    char *name = wish ? ix_strdup(wish) : g->hidden ? fresh_name(service, g->model) : NULL;
    struct device_ref ref;
    if (!name) { /* by the group's pattern */
        struct ix_buf id;
        ix_buf_init(&id, 4096);
        ix_id_pattern_render(&g->pattern, g->count, &id);
        if (ix_service_find_device(service, ix_buf_cstr(&id), &ref))
            ix_service_fail(&failure, IX_FAILURE_CONFLICT, "deviceId",
                            "the group's next device would be \"%s\", which exists; give it a deviceId",
                            ix_buf_cstr(&id));
        ix_buf_deinit(&id);
    }
    if (!failure.kind)
        join(service, g, name ? name : "", &failure);
    free(name);
    if (failure.kind) {
        ix_service_refuse(w, &failure);
        return;
    }
    w->group = ix_strdup(g->id);
    w->index = g->count - 1;
    ix_service_keep(w, on_device_kept);
}

/* ---- starting ---- */

static void on_order_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    if (code < 0)
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
    else
        ix_service_answer(w, json_incref(w->body));
}

/* The desired state. The last order holds, whichever was waited for longest or is answered first: stops are noted as
 * they are sent, starts once workers have them. */
static void note_order(const struct wait *w, const struct device_ref *ref, bool started)
{
    struct ix_service *service = w->service;
    if (ix_service_group_order(ref->group, ref->index, started, w->order) && service->store)
        ix_store_put_order(service->store, ref->group->id, (int64_t)ref->index, started);
}

/* The answer waits until the desired state is on the disk. */
static void answer_kept(struct wait *w, json_t *view)
{
    json_decref(w->body);
    w->body = view;
    ix_service_keep(w, on_order_kept);
}

/* An order that came later, to the device or to its group, is the other way round. */
static bool is_overtaken(const struct wait *w, const struct device_ref *ref, bool started)
{
    uint64_t number;
    bool is_started = ix_service_is_started(ref->group, ref->index, &number);
    return (number > w->order && is_started != started) || (started && ref->group->stop_order > w->order);
}

static void look_whether_connected(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct wait *w = (struct wait *)((char *)entry - offsetof(struct wait, timer));
    struct device_ref ref;
    if (!still_there(w, &ref))
        return;
    const struct ix_device_row *row = ix_fleet_row(w->service->fleet, w->group, w->index, NULL);
    bool connected = row && row->status == IX_D_RUNNING && row->link == IX_L_CONNECTED;
    bool failed = row && row->status == IX_D_ERROR && row->launch_sequence >= (uint64_t)w->number;
    bool began = row && row->started_ns != w->began_ns; /* workers may still be at the order */
    bool stopped = (began || is_overtaken(w, &ref, true)) && row &&
                   (row->status == IX_D_STOPPED || row->status == IX_D_STOPPING);
    if (!connected && !failed && !stopped && now_ns < w->until_ns) {
        ix_wheel_add(w->service->loop->wheel, &w->timer, now_ns + LOOK_NS);
        return;
    }
    json_t *view = ix_service_view_device(w->service, &ref);
    if (!connected && !failed && !stopped) { /* it goes on trying */
        const char *why = json_string_value(json_object_get(view, "errorMessage"));
        char *text =
            ix_asprintf("not connected after 10 s%s%s; it goes on trying", why ? ": " : "", why ? why : "");
        json_object_set_new(view, "status", json_string("error"));
        json_object_set_new(view, "errorMessage", json_string(text));
        free(text);
    }
    answer_kept(w, view);
}

static void on_start_ordered(struct wait *w, int code, json_t *result, const char *message)
{
    struct device_ref ref;
    json_decref(result);
    if (code < 0) {
        ix_service_refuse_text(w, ix_service_kind(code), message);
        return;
    }
    if (!still_there(w, &ref))
        return;
    note_order(w, &ref, true);
    w->then = NULL;
    w->timer.fire = look_whether_connected;
    ix_wheel_add(w->service->loop->wheel, &w->timer, ix_clock_now(&w->service->loop->clock) + LOOK_NS);
}

static void on_device_placed(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct device_ref ref;
    struct ix_error err;
    if (code < 0 && code != -EHOSTUNREACH) {
        ix_service_refuse_text(w, ix_service_kind(code), message);
        return;
    }
    if (!still_there(w, &ref))
        return;
    if (is_overtaken(w, &ref, true)) {
        answer_kept(w, ix_service_view_device(w->service, &ref));
        return;
    }
    if (code < 0) { /* as a broker that is down: the device goes on trying */
        note_order(w, &ref, true);
        ix_service_group_trouble(w->service, ref.group, message);
        answer_kept(w, ix_service_view_device(w->service, &ref));
        return;
    }
    ix_service_expect(w, on_start_ordered);
    const struct ix_device_row *row = ix_fleet_row(w->service->fleet, w->group, w->index, NULL);
    w->number = row ? (double)row->launch_sequence + (row->status == IX_D_ERROR) : 0;
    w->began_ns = row ? row->started_ns : 0;
    if (ix_fleet_device_order(w->service->fleet, w->group, w->index, true, w->ticket, &err) < 0)
        ix_service_refuse_text(w, ix_service_kind(err.code), err.text);
}

void ix_service_device_start(struct ix_service *service, const char *id, ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct device_ref ref;
    if (!w || !need_device(w, id, &ref))
        return;
    w->until_ns = ix_clock_now(&service->loop->clock) + CONNECT_NS;
    w->order = ++service->last_order;
    ix_service_place(w, ref.group, PATIENCE_NS, on_device_placed);
}

/* ---- stopping ---- */

static void look_whether_stopped(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct wait *w = (struct wait *)((char *)entry - offsetof(struct wait, timer));
    struct device_ref ref;
    if (!still_there(w, &ref))
        return;
    const struct ix_device_row *row = ix_fleet_row(w->service->fleet, w->group, w->index, NULL);
    bool overtaken = is_overtaken(w, &ref, false);
    if (row && row->status != IX_D_STOPPED && row->status != IX_D_CREATED && row->status != IX_D_ERROR &&
        !overtaken && now_ns < w->until_ns) {
        ix_wheel_add(w->service->loop->wheel, &w->timer, now_ns + LOOK_NS);
        return;
    }
    json_t *view = ix_service_view_device(w->service, &ref);
    if (!overtaken)
        json_object_set_new(view, "status", json_string("stopped"));
    answer_kept(w, view);
}

static void on_stop_ordered(struct wait *w, int code, json_t *result, const char *message)
{
    struct device_ref ref;
    json_decref(result);
    if (code < 0) {
        ix_service_refuse_text(w, ix_service_kind(code), message);
        return;
    }
    if (!still_there(w, &ref))
        return;
    uint64_t now = ix_clock_now(&w->service->loop->clock);
    w->then = NULL;
    w->until_ns = now + STOP_NS;
    w->timer.fire = look_whether_stopped;
    ix_wheel_add(w->service->loop->wheel, &w->timer, now);
}

void ix_service_device_stop(struct ix_service *service, const char *id, ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct device_ref ref;
    struct ix_error err;
    if (!w || !need_device(w, id, &ref))
        return;
    w->order = ++service->last_order;
    if (ref.group->at_work) {
        ix_service_expect(w, on_stop_ordered);
        if (ix_fleet_device_order(service->fleet, w->group, w->index, false, w->ticket, &err) < 0) {
            ix_service_refuse_text(w, ix_service_kind(err.code), err.text);
            return;
        }
    }
    note_order(w, &ref, false);
    if (!ix_service_is_wanted(ref.group))
        ix_service_group_calm(service, ref.group);
    if (!ref.group->at_work)
        on_stop_ordered(w, 0, NULL, "");
}

/* ---- deleting ---- */

static void on_device_removed(struct wait *w, int code, json_t *result, const char *message)
{
    (void)code, (void)message;
    struct service_group *g = ix_service_find_group(w->service, w->group);
    json_decref(result);
    if (g && g->hidden && !g->busy && ix_service_alive(g) == 0)
        ix_service_drop_empty(w->service, g);
    ix_service_answer(w, NULL);
}

static void on_gone_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct ix_service *service = w->service;
    struct device_ref ref;
    struct ix_error err;
    if (code < 0) {
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
        return;
    }
    if (!still_there(w, &ref))
        return;
    ix_service_group_gone(service, ref.group, ref.index);
    if (!ix_service_is_wanted(ref.group))
        ix_service_group_calm(service, ref.group);
    ix_service_tell_change(service, "groups", ref.group->hidden ? "" : ref.group->id);
    ix_service_expect(w, on_device_removed);
    if (!ref.group->at_work ||
        ix_fleet_remove_device(service->fleet, w->group, w->index, w->ticket, &err) < 0)
        on_device_removed(w, 0, NULL, "");
}

void ix_service_device_delete(struct ix_service *service, const char *id, ix_service_done *done,
                              void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct device_ref ref;
    if (!w || !need_device(w, id, &ref))
        return;
    if (service->store)
        ix_store_put_gone(service->store, w->group, (int64_t)w->index);
    ix_service_keep(w, on_gone_kept);
}

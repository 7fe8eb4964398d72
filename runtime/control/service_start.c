/* What is done with whole groups: made, started, stopped, deleted. */
#include "control/service_internal.h"

#include "base/random.h"
#include "base/units.h"

#include <stdlib.h>

#define PATIENCE_NS (1 * IX_S) /* for a broker's name to be looked up, before the start is answered */
#define DRAIN_NS    (2 * IX_S)
#define LEAVE_NS    (5 * IX_S)   /* a group that is deleted stops first, for this long at most */
#define LOOK_NS     (20 * IX_MS) /* between two looks at whether it has */

/* ---- progress ---- */

void ix_service_operation_set(struct ix_service *service, struct service_group *g, enum operation_kind kind,
                              const char *strategy, uint64_t total, uint64_t duration_ns)
{
    free(g->operation.strategy);
    g->operation = (struct operation){
        .kind = kind,
        .strategy = ix_strdup(strategy),
        .total = total,
        .duration_ns = duration_ns,
        .end_ns = ix_clock_now(&service->loop->clock) + duration_ns + IX_S,
        .started_ms = ix_service_wall_ms(service),
        .told = UINT64_MAX,
    };
}

static void update_dropout(struct ix_service *service, struct operation *o)
{
    struct ix_dropout_metrics m;
    const struct ix_dropout_facts *facts = ix_fleet_dropout_find(service->fleet, o->dropout, &m);
    if (!facts) {
        o->is_over = true;
        return;
    }
    o->total = facts->chosen;
    o->done = m.dropped + m.already_gone + m.cancelled;
    o->is_cancelled = facts->cancelled;
    o->is_over = o->done >= o->total;
}

void ix_service_operation_update(struct ix_service *service, struct service_group *g)
{
    struct operation *o = &g->operation;
    struct ix_totals now;
    if (o->kind == OPERATION_NONE || o->is_over)
        return;
    if (o->kind == OPERATION_DROPOUT) {
        update_dropout(service, o);
        return;
    }
    ix_service_group_counts(service, g, &now);
    int64_t left = o->kind == OPERATION_START
                       ? now.by_status[IX_D_CREATED] + now.by_status[IX_D_STOPPED]
                       : now.by_status[IX_D_STARTING] + now.by_status[IX_D_RUNNING] +
                             now.by_status[IX_D_STOPPING] + now.by_status[IX_D_DROPPED];
    uint64_t pending = left > 0 ? (uint64_t)left : 0;
    o->done = pending < o->total ? o->total - pending : 0;
    o->is_over = pending == 0 || ix_clock_now(&service->loop->clock) >= o->end_ns;
}

/* ---- creating ---- */

static const char *text_in(const json_t *body, const char *key)
{
    return json_string_value(json_object_get(body, key));
}

static void on_group_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct ix_service *service = w->service;
    struct service_group *g = ix_service_find_group(service, w->group);
    if (code < 0) {
        if (g)
            ix_service_drop_group(service, g);
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
        return;
    }
    g->leaving = false; /* nobody saw it before it was kept */
    ix_service_tell_change(service, "groups", g->id);
    ix_service_answer(w, ix_service_view_group(service, g));
}

static char *fresh_id(const struct ix_service *service, const char *model)
{
    char *id = NULL;
    do {
        free(id);
        id = ix_asprintf("%.48s-%08llx", model, (unsigned long long)(ix_random_system() & 0xffffffff));
    } while (ix_service_find_group(service, id));
    return id;
}

static int check_creation(struct ix_service *service, const json_t *body, struct ix_failure *failure)
{
    static const char *const fields[] = {"modelId", "count", "groupId", "idPattern", "overrideConnection",
                                         "name"};
    const json_t *count = json_object_get(body, "count"), *pattern = json_object_get(body, "idPattern");
    if (ix_service_check_model(service, body, failure) < 0 ||
        ix_service_check_fields(body, fields, IX_ARRAY_LEN(fields), failure) < 0 ||
        ix_service_check_text(body, "groupId", IX_ID_MAX, false, failure) < 0)
        return -1;
    if (!json_is_integer(count) || json_integer_value(count) < 1 ||
        json_integer_value(count) > SERVICE_DEVICES_MAX)
        return ix_service_fail(failure, IX_FAILURE_INVALID, "count",
                               "count must be a whole number from 1 to %d", SERVICE_DEVICES_MAX);
    if (pattern && !json_is_string(pattern) && !json_is_null(pattern))
        return ix_service_fail(failure, IX_FAILURE_INVALID, "idPattern",
                               "idPattern must be a text with {index} in it");
    if (service->group_count >= SERVICE_GROUPS_MAX)
        return ix_service_fail(failure, IX_FAILURE_FULL, "", "%d groups are the limit: delete some first",
                               SERVICE_GROUPS_MAX);
    return 0;
}

/* A group of the body's model; NULL with a failure. */
struct service_group *ix_service_make_group(struct ix_service *service, const json_t *body, const char *id,
                                            const char *pattern, uint64_t count, struct ix_failure *failure)
{
    const json_t *connection = json_object_get(body, "overrideConnection");
    char *overrides = json_is_object(connection) ? json_dumps(connection, JSON_COMPACT) : NULL;
    struct ix_error err;
    struct ix_store_group row = {
        .id = id,
        .hidden = id[0] == '~',
        .model = text_in(body, "modelId"),
        .count = (int64_t)count,
        .pattern = pattern,
        .connection = overrides ? overrides : "",
        .names_base = (int64_t)count,
        .created_ms = ix_service_wall_ms(service),
        .launch = "",
    };
    struct service_group *g = ix_service_add_group(service, &row, false, &err);
    free(overrides);
    if (!g)
        ix_service_fail(failure, err.code == -EEXIST ? IX_FAILURE_CONFLICT : IX_FAILURE_INVALID, "idPattern",
                        "%s", err.text);
    return g;
}

void ix_service_group_create(struct ix_service *service, const json_t *body, ix_service_done *done,
                             void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    if (check_creation(service, body, &failure) < 0) {
        ix_service_refuse(w, &failure);
        return;
    }
    const char *wish = text_in(body, "groupId"), *pattern = text_in(body, "idPattern");
    char *id = wish ? ix_strdup(wish) : fresh_id(service, text_in(body, "modelId"));
    struct service_group *g = NULL;
    if (ix_service_find_group(service, id))
        ix_service_fail(&failure, IX_FAILURE_CONFLICT, "groupId", "there is a group \"%s\" already", id);
    else
        g = ix_service_make_group(service, body, id, pattern ? pattern : "{groupId}-{index}",
                                  (uint64_t)json_integer_value(json_object_get(body, "count")), &failure);
    free(id);
    if (!g) {
        ix_service_refuse(w, &failure);
        return;
    }
    g->leaving = true;
    w->group = ix_strdup(g->id);
    ix_service_keep_group(service, g);
    ix_service_keep(w, on_group_kept);
}

/* ---- starting ---- */

static json_t *view_after(struct ix_service *service, struct service_group *g, const char *status,
                          const char *field, json_int_t devices)
{
    json_t *view = ix_service_view_group(service, g);
    json_object_set_new(view, "status", json_string(status));
    json_object_set_new(view, field, json_integer(devices));
    return view;
}

static json_t *view_started(struct ix_service *service, struct service_group *g, json_int_t devices)
{
    json_t *view = view_after(service, g, "started", "devicesStarted", devices);
    json_t *advice = ix_service_advice(service);
    if (json_array_size(advice))
        json_object_set(view, "advice", advice);
    json_decref(advice);
    return view;
}

static void on_start_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct service_group *g = ix_service_find_group(w->service, w->group);
    if (code < 0)
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
    else if (!g)
        ix_service_refuse_text(w, IX_FAILURE_UNKNOWN, "the group was deleted meanwhile");
    else if (json_object_get(w->body, "strategy"))
        ix_service_answer(w, view_started(w->service, g, (json_int_t)w->number));
    else
        ix_service_answer(w, view_after(w->service, g, "stopped", "devicesStopped", (json_int_t)w->number));
}

/* Later ones to single devices hold on. */
static void void_orders(struct service_group *g, uint64_t number)
{
    size_t kept = 0;
    for (size_t i = 0; i < g->order_count; i++)
        if (g->orders[i].number > number)
            g->orders[kept++] = g->orders[i];
    g->order_count = kept;
}

/* From now on it is the desired state, unless a later one is already. */
static void note_state(struct wait *w, struct service_group *g)
{
    struct ix_service *service = w->service;
    bool starts = json_object_get(w->body, "strategy") != NULL;
    if (w->order < g->state_order) {
        ix_service_keep(w, on_start_kept);
        return;
    }
    g->state = starts ? IX_STORE_STARTED : IX_STORE_STOPPED;
    g->state_order = w->order;
    void_orders(g, w->order);
    if (starts) {
        json_decref(g->launch);
        g->launch = json_incref(w->body);
        g->operation.total = (uint64_t)w->number;
    } else {
        ix_service_group_calm(service, g);
    }
    ix_service_tell_change(service, "groups", g->id);
    ix_service_keep_state(service, g);
    ix_service_keep(w, on_start_kept);
}

/* Workers have the order. */
static void on_ordered(struct wait *w, int code, json_t *result, const char *message)
{
    struct service_group *g = ix_service_find_group(w->service, w->group);
    w->number = (double)json_integer_value(json_object_get(result, "devices"));
    json_decref(result);
    if (code < 0 || !g || g->leaving)
        ix_service_refuse_text(w, code < 0 ? ix_service_kind(code) : IX_FAILURE_UNKNOWN,
                               code < 0 ? message : "the group was deleted meanwhile");
    else
        note_state(w, g);
}

static void on_placed(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct ix_service *service = w->service;
    struct service_group *g = ix_service_find_group(service, w->group);
    struct ix_error err;
    if (g && w->order < g->stop_order)
        code = -ECANCELED, message = "the group was stopped before its start was done";
    if (g && code == -EHOSTUNREACH) { /* as a broker that is down: the devices go on trying */
        w->number = (double)ix_service_alive(g);
        ix_service_group_trouble(service, g, message);
        note_state(w, g);
        return;
    }
    if (code < 0 || !g) {
        ix_service_refuse_text(w, code < 0 ? ix_service_kind(code) : IX_FAILURE_UNKNOWN, message);
        return;
    }
    struct ix_strategy_spec spec = ix_service_strategy_spec(w->body, false);
    ix_service_operation_set(service, g, OPERATION_START, spec.name, ix_service_alive(g), w->until_ns);
    ix_service_expect(w, on_ordered);
    if (ix_fleet_launch(service->fleet, g->id, &spec, w->ticket, &err) < 0) {
        g->operation.kind = OPERATION_NONE;
        ix_service_refuse_text(w, ix_service_kind(err.code), err.text);
    } else { /* it waited: what devices were told since holds */
        for (size_t i = 0; i < g->order_count; i++)
            if (g->orders[i].number > w->order)
                ix_fleet_device_order(service->fleet, g->id, g->orders[i].index, g->orders[i].started, 0,
                                      &err);
    }
    ix_service_strategy_deinit(&spec);
}

void ix_service_group_start(struct ix_service *service, const char *id, const json_t *body, double stagger_ms,
                            ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    struct service_group *g = ix_service_need_group(service, id, &failure);
    json_t *own = NULL, *launch = NULL;
    if (g && body && !json_is_object(body) && !json_is_null(body))
        ix_service_fail(&failure, IX_FAILURE_INVALID, "", "the body must be an object");
    else if (g) {
        own = json_is_object(body) ? json_copy((json_t *)body) : json_object();
        if (stagger_ms >= 0 && !json_object_get(own, "strategy")) {
            json_object_set_new(own, "strategy", json_string("linear"));
            json_object_set_new(own, "delayMs", json_real(stagger_ms));
        }
        launch = ix_service_read_strategy(service, own, false, NULL, g->count, &w->until_ns, &failure);
    }
    json_decref(own);
    if (!launch) {
        ix_service_refuse(w, &failure);
        return;
    }
    w->body = launch;
    w->group = ix_strdup(g->id);
    w->order = ++service->last_order;
    ix_service_place(w, g, PATIENCE_NS, on_placed);
}

/* ---- stopping ---- */

void ix_service_group_stop(struct ix_service *service, const char *id, ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    struct service_group *g = ix_service_need_group(service, id, &failure);
    if (!g) {
        ix_service_refuse(w, &failure);
        return;
    }
    struct ix_error err;
    struct ix_totals now;
    w->group = ix_strdup(g->id);
    w->order = g->stop_order = ++service->last_order;
    ix_service_group_counts(service, g, &now);
    if (!g->at_work) {
        json_int_t waited = g->trouble ? (json_int_t)now.by_status[IX_D_ERROR] : 0;
        on_ordered(w, 0, json_pack("{s:I}", "devices", waited), "");
        return;
    }
    uint64_t alive = (uint64_t)(now.by_status[IX_D_STARTING] + now.by_status[IX_D_RUNNING] +
                                now.by_status[IX_D_STOPPING] + now.by_status[IX_D_DROPPED]);
    ix_service_operation_set(service, g, OPERATION_STOP, "", alive, DRAIN_NS);
    ix_service_expect(w, on_ordered);
    if (ix_fleet_stop(service->fleet, g->id, DRAIN_NS, w->ticket, &err) < 0)
        ix_service_refuse_text(w, ix_service_kind(err.code), err.text);
}

/* ---- deleting ---- */

static void on_removed(struct wait *w, int code, json_t *result, const char *message)
{
    (void)code, (void)message;
    struct service_group *g = ix_service_find_group(w->service, w->group);
    json_decref(result);
    if (g)
        ix_service_drop_group(w->service, g);
    ix_service_tell_change(w->service, "groups", w->group);
    ix_service_answer(w, NULL);
}

static void remove_group(struct wait *w)
{
    struct ix_service *service = w->service;
    struct service_group *g = ix_service_find_group(service, w->group);
    struct ix_error err;
    ix_service_expect(w, on_removed);
    if (!g->at_work || ix_fleet_remove(service->fleet, g->id, w->ticket, &err) < 0)
        on_removed(w, 0, NULL, "");
}

/* Its devices disconnect politely before it goes. */
static void look_whether_stopped(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct wait *w = (struct wait *)((char *)entry - offsetof(struct wait, timer));
    const struct service_group *g = ix_service_find_group(w->service, w->group);
    struct ix_totals now;
    ix_service_group_counts(w->service, g, &now);
    int64_t alive = now.by_status[IX_D_STARTING] + now.by_status[IX_D_RUNNING] +
                    now.by_status[IX_D_STOPPING] + now.by_status[IX_D_DROPPED];
    if (!g->at_work || alive <= 0 || now_ns >= w->until_ns)
        remove_group(w);
    else
        ix_wheel_add(w->service->loop->wheel, &w->timer, now_ns + LOOK_NS);
}

static void on_delete_kept(struct wait *w, int code, json_t *unused, const char *message)
{
    (void)unused;
    struct ix_service *service = w->service;
    struct service_group *g = ix_service_find_group(service, w->group);
    struct ix_error err;
    if (code < 0) {
        g->leaving = false;
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE, message);
        return;
    }
    w->then = NULL;
    if (g->at_work)
        ix_fleet_stop(service->fleet, g->id, DRAIN_NS, 0, &err);
    uint64_t now = ix_clock_now(&service->loop->clock);
    w->until_ns = now + LEAVE_NS;
    w->timer.fire = look_whether_stopped;
    ix_wheel_add(service->loop->wheel, &w->timer, g->at_work ? now + LOOK_NS : now);
}

void ix_service_group_delete(struct ix_service *service, const char *id, ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    struct ix_failure failure = {0};
    if (!w)
        return;
    struct service_group *g = ix_service_need_group(service, id, &failure);
    if (!g) {
        ix_service_refuse(w, &failure);
        return;
    }
    g->leaving = true;
    w->group = ix_strdup(g->id);
    if (service->store)
        ix_store_delete_group(service->store, g->id);
    ix_service_keep(w, on_delete_kept);
}

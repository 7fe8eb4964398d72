/* What a service keeps, and what it makes of that when it starts again. */
#include "control/service_internal.h"

#include "base/log.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

void ix_service_keep_group(struct ix_service *service, const struct service_group *g)
{
    char *connection = g->connection ? json_dumps(g->connection, JSON_COMPACT) : NULL;
    char *launch = g->launch ? json_dumps(g->launch, JSON_COMPACT) : NULL;
    struct ix_store_group row = {
        .id = g->id,
        .hidden = g->hidden,
        .model = g->model,
        .count = (int64_t)g->count,
        .pattern = g->pattern_text,
        .connection = connection ? connection : "",
        .names_base = (int64_t)g->names_base,
        .created_ms = g->created_ms,
        .state = g->state,
        .launch = launch ? launch : "",
    };
    if (service->store)
        ix_store_put_group(service->store, &row);
    free(connection);
    free(launch);
}

void ix_service_keep_state(struct ix_service *service, const struct service_group *g)
{
    char *launch = g->launch ? json_dumps(g->launch, JSON_COMPACT) : NULL;
    if (service->store)
        ix_store_put_state(service->store, g->id, g->state, launch);
    for (size_t i = 0; service->store && i < g->order_count; i++) /* it voids all that were kept before */
        ix_store_put_order(service->store, g->id, g->orders[i].index, g->orders[i].started);
    free(launch);
}

/* ---- reading ---- */

static void on_meta(void *context, const char *key, const char *value)
{
    struct ix_service *service = context;
    if (strcmp(key, "seed") == 0)
        service->seed = strtoull(value, NULL, 10);
}

static void on_model(void *context, const char *id, const char *text, int64_t created_ms)
{
    struct ix_faults faults;
    struct ix_error err;
    ix_faults_init(&faults);
    /* A gateway may come before its children: those that fail are tried again. */
    if (!ix_service_add_model(context, LAYER_REST, NULL, NULL, text, strlen(text), created_ms, &faults,
                              &err) &&
        !ix_service_find_model(context, id))
        ix_log(IX_LOG_DEBUG, "kept model \"%s\": %s", id, err.text);
    ix_faults_deinit(&faults);
}

static void on_group(void *context, const struct ix_store_group *row)
{
    struct ix_service *service = context;
    struct ix_error err;
    unsigned long long number;
    if (!ix_service_add_group(service, row, true, &err))
        ix_log(IX_LOG_ERROR, "kept group \"%s\" can't be made again: %s", row->id, err.text);
    if (row->hidden && sscanf(row->id, "~%llu", &number) == 1 && number > service->hidden_last)
        service->hidden_last = number;
}

static void on_device(void *context, const struct ix_store_device *row)
{
    struct service_group *g = ix_service_find_group(context, row->group);
    if (!g || (uint64_t)row->index < g->names_base + g->name_count)
        return;
    while (g->names_base + g->name_count <
           (uint64_t)row->index) { /* its keeping failed: a hole from the start */
        ix_service_group_joined(context, g, "", 0);
        ix_service_group_gone(context, g, g->names_base + g->name_count - 1);
    }
    ix_service_group_joined(context, g, row->name, row->created_ms);
}

static void on_gone(void *context, const char *group, int64_t index)
{
    struct service_group *g = ix_service_find_group(context, group);
    if (g)
        ix_service_group_gone(context, g, (uint64_t)index);
}

static void on_order(void *context, const char *group, int64_t index, bool started)
{
    struct service_group *g = ix_service_find_group(context, group);
    if (g)
        ix_service_group_order(g, (uint64_t)index, started, 0);
}

static void nothing_of_meta(void *context, const char *key, const char *value)
{
    (void)context, (void)key, (void)value;
}

static void nothing_of_group(void *context, const struct ix_store_group *group)
{
    (void)context, (void)group;
}

static void nothing_of_device(void *context, const struct ix_store_device *device)
{
    (void)context, (void)device;
}

static void nothing_of_index(void *context, const char *group, int64_t index)
{
    (void)context, (void)group, (void)index;
}

static void nothing_of_order(void *context, const char *group, int64_t index, bool started)
{
    (void)context, (void)group, (void)index, (void)started;
}

static void on_model_again(void *context, const char *id, const char *text, int64_t created_ms)
{
    struct ix_service *service = context;
    const struct model_entry *m = ix_service_find_model(service, id);
    struct ix_faults faults;
    struct ix_error err;
    if (m && m->layer == LAYER_REST)
        return;
    ix_faults_init(&faults);
    if (!ix_service_add_model(service, LAYER_REST, NULL, NULL, text, strlen(text), created_ms, &faults, &err))
        ix_log(IX_LOG_ERROR, "model \"%s\" came over REST and can't be used any more: %s", id, err.text);
    ix_faults_deinit(&faults);
}

int ix_service_open_store(struct ix_service *service, struct ix_error *err)
{
    const struct ix_store_reader reader = {on_meta, on_model, on_group, on_device,
                                           on_gone, on_order, service};
    const struct ix_store_reader again = {
        nothing_of_meta,  on_model_again,   nothing_of_group, nothing_of_device,
        nothing_of_index, nothing_of_order, service};
    service->seed = 0;
    int code = 0;
    if (service->data_dir) {
        code = ix_store_open(service->loop, service->data_dir, &service->store, err);
        if (code == 0)
            code = ix_store_read(service->store, &reader, err);
        if (code == 0)
            code = ix_store_read(service->store, &again, err);
    }
    struct service_group *next;
    for (struct service_group *g = code == 0 ? service->groups : NULL; g; g = next) {
        next = g->next;
        if (g->hidden && ix_service_alive(g) == 0) /* killed before it was dropped */
            ix_service_drop_empty(service, g);
    }
    if (code == 0 && service->seed == 0) {
        char text[24];
        service->seed = ix_random_system() | 1;
        snprintf(text, sizeof text, "%llu", (unsigned long long)service->seed);
        if (service->store) {
            ix_store_put_meta(service->store, "seed", text);
            ix_store_commit(service->store, NULL, NULL);
        }
    }
    return code;
}

/* ---- what ran runs again ---- */

static void start_again(struct ix_service *service, struct service_group *g)
{
    struct ix_error err;
    double seconds = 0;
    if (g->state == IX_STORE_STARTED && g->launch) {
        struct ix_strategy_spec spec = ix_service_strategy_spec(g->launch, false);
        if (ix_script_strategy_duration(service->script, &spec, g->count, &seconds, &err) < 0)
            seconds = 0;
        ix_service_operation_set(service, g, OPERATION_START, spec.name, ix_service_alive(g),
                                 (uint64_t)(seconds * 1e9));
        if (ix_fleet_launch(service->fleet, g->id, &spec, 0, &err) < 0)
            ix_log(IX_LOG_ERROR, "group \"%s\" can't be started again: %s", g->id, err.text);
        ix_service_strategy_deinit(&spec);
    }
    for (size_t i = 0; i < g->order_count; i++)
        ix_fleet_device_order(service->fleet, g->id, g->orders[i].index, g->orders[i].started, 0, &err);
}

void ix_service_placed(struct ix_service *service, struct service_group *g, int code, const char *message)
{
    if (!ix_service_is_wanted(g)) {
        ix_service_group_calm(service, g);
        return;
    }
    if (code < 0) {
        ix_service_group_trouble(service, g, message);
        return;
    }
    if (g->trouble) {
        char *title = ix_service_group_title(service, g->id);
        ix_log(IX_LOG_INFO, "%s: what kept it from running is over", title);
        free(title);
        ix_service_tell_change(service, "groups", g->hidden ? "" : g->id);
    }
    ix_service_group_calm(service, g);
    start_again(service, g);
}

void ix_service_resume(struct ix_service *service)
{
    for (struct service_group *g = service->groups; g; g = g->next)
        if (ix_service_is_wanted(g))
            ix_service_take_up(service, g);
}

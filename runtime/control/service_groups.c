/* The groups of a service and their devices, as far as no worker is needed: ids, holes, desired states. */
#include "control/service_internal.h"

#include "base/random.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->id, ((const struct named *)b)->id);
}

static struct named *find_name(const struct ix_service *service, const char *id)
{
    struct named key = {.id = (char *)id};
    struct named *const *found = tfind(&key, &service->names, compare_names);
    return found ? *found : NULL;
}

static void add_name(struct ix_service *service, struct service_group *g, uint64_t index, const char *id)
{
    struct named *n = ix_malloc(sizeof *n);
    *n = (struct named){ix_strdup(id), g, index};
    tsearch(n, &service->names, compare_names);
}

static void drop_name(struct ix_service *service, const char *id)
{
    struct named *n = find_name(service, id);
    if (!n)
        return;
    tdelete(n, &service->names, compare_names);
    free(n->id);
    free(n);
}

static const char *name_of(const struct service_group *g, uint64_t index)
{
    uint64_t place = index - g->names_base;
    return index >= g->names_base && place < g->name_count && g->names[place][0] ? g->names[place] : NULL;
}

void ix_service_put_id(const struct service_group *g, uint64_t index, struct ix_buf *out)
{
    const char *name = name_of(g, index);
    if (name)
        ix_buf_str(out, name);
    else
        ix_id_pattern_render(&g->pattern, index, out);
}

bool ix_service_find_device(const struct ix_service *service, const char *id, struct device_ref *ref)
{
    const struct named *n = find_name(service, id);
    if (n) {
        *ref = (struct device_ref){n->group, n->index};
        return !n->group->leaving;
    }
    size_t len = strlen(id);
    for (struct service_group *g = service->groups; g; g = g->next) {
        uint64_t index;
        if (g->hidden || g->leaving || !ix_id_pattern_invert(&g->pattern, id, len, &index) ||
            index >= g->count || name_of(g, index) || ix_service_is_gone(g, index))
            continue;
        *ref = (struct device_ref){g, index};
        return true;
    }
    return false;
}

/* ---- sorted lists of indexes ---- */

static size_t gone_place(const struct service_group *g, uint64_t index)
{
    size_t low = 0, high = g->gone_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (g->gone[middle] < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ix_service_is_gone(const struct service_group *g, uint64_t index)
{
    size_t place = gone_place(g, index);
    return place < g->gone_count && g->gone[place] == index;
}

static size_t order_place(const struct service_group *g, uint64_t index)
{
    size_t low = 0, high = g->order_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (g->orders[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct order *order_of(const struct service_group *g, uint64_t index)
{
    size_t place = order_place(g, index);
    return place < g->order_count && g->orders[place].index == index ? &g->orders[place] : NULL;
}

bool ix_service_is_started(const struct service_group *g, uint64_t index, uint64_t *number)
{
    const struct order *own = order_of(g, index);
    *number = own ? own->number : g->state_order;
    return own ? own->started : g->state == IX_STORE_STARTED;
}

bool ix_service_group_order(struct service_group *g, uint64_t index, bool started, uint64_t number)
{
    size_t place = order_place(g, index);
    const struct order *own = order_of(g, index);
    if (ix_service_is_gone(g, index) || number < g->state_order || (own && number < own->number))
        return false;
    if (!own) {
        g->orders = ix_realloc(g->orders, (g->order_count + 1) * sizeof *g->orders);
        memmove(&g->orders[place + 1], &g->orders[place], (g->order_count - place) * sizeof *g->orders);
        g->order_count++;
    }
    g->orders[place] = (struct order){(uint32_t)index, started, number};
    return true;
}

void ix_service_group_gone(struct ix_service *service, struct service_group *g, uint64_t index)
{
    size_t place = gone_place(g, index);
    if (place < g->gone_count && g->gone[place] == index)
        return;
    g->gone = ix_realloc(g->gone, (g->gone_count + 1) * sizeof *g->gone);
    memmove(&g->gone[place + 1], &g->gone[place], (g->gone_count - place) * sizeof *g->gone);
    g->gone[place] = (uint32_t)index;
    g->gone_count++;
    place = order_place(g, index);
    if (place < g->order_count && g->orders[place].index == index) {
        memmove(&g->orders[place], &g->orders[place + 1], (g->order_count - place - 1) * sizeof *g->orders);
        g->order_count--;
    }
    const char *name = name_of(g, index);
    if (name) {
        drop_name(service, name);
        g->names[index - g->names_base][0] = '\0';
    }
}

enum ix_device_status ix_service_rest_status(const struct service_group *g, uint64_t index)
{
    const struct order *own = order_of(g, index);
    bool starts = own ? own->started : g->state == IX_STORE_STARTED;
    if (starts && g->trouble)
        return IX_D_ERROR;
    bool stopped = own ? !own->started : g->state == IX_STORE_STOPPED;
    return stopped ? IX_D_STOPPED : IX_D_CREATED;
}

bool ix_service_is_wanted(const struct service_group *g)
{
    bool wanted = g->state == IX_STORE_STARTED;
    for (size_t i = 0; i < g->order_count && !wanted; i++)
        wanted = g->orders[i].started;
    return wanted && ix_service_alive(g) > 0;
}

/* ---- groups ---- */

static int compare_groups(const void *a, const void *b)
{
    return strcmp(((const struct service_group *)a)->id, ((const struct service_group *)b)->id);
}

struct service_group *ix_service_find_group(const struct ix_service *service, const char *id)
{
    struct service_group key = {.id = (char *)id};
    struct service_group *const *found = tfind(&key, &service->group_ids, compare_groups);
    return found ? *found : NULL;
}

struct service_group *ix_service_need_group(struct ix_service *service, const char *id,
                                            struct ix_failure *failure)
{
    struct service_group *g = ix_service_find_group(service, id);
    if (g && !g->hidden && !g->leaving)
        return g;
    ix_service_fail(failure, IX_FAILURE_UNKNOWN, "", "there is no group \"%.64s\"", id);
    return NULL;
}

static void free_group(struct service_group *g)
{
    for (size_t i = 0; i < g->name_count; i++)
        free(g->names[i]);
    free(g->names);
    free(g->created);
    free(g->gone);
    free(g->orders);
    free(g->operation.strategy);
    free(g->past);
    json_decref(g->connection);
    json_decref(g->launch);
    ix_id_pattern_deinit(&g->pattern);
    free(g->pattern_text);
    free(g->model);
    free(g->id);
    free(g);
}

/* A device that was added by itself may have an id that a pattern makes as well. */
static int check_ids(const struct ix_service *service, const struct service_group *fresh,
                     struct ix_error *err)
{
    for (const struct service_group *g = service->groups; g; g = g->next) {
        if (!g->hidden && ix_id_pattern_collides(&g->pattern, &fresh->pattern))
            return ix_fail(
                err, -EEXIST,
                "device ids of the pattern \"%s\" could collide with those of group \"%s\" (\"%s\"); choose "
                "patterns with different beginnings",
                fresh->pattern_text, g->id, g->pattern_text);
        for (size_t i = 0; i < g->name_count; i++) {
            uint64_t index;
            if (ix_id_pattern_invert(&fresh->pattern, g->names[i], strlen(g->names[i]), &index) &&
                index < fresh->count)
                return ix_fail(err, -EEXIST,
                               "device \"%s\" exists already, and the pattern \"%s\" would make it again",
                               g->names[i], fresh->pattern_text);
        }
    }
    return 0;
}

struct service_group *ix_service_add_group(struct ix_service *service, const struct ix_store_group *s,
                                           bool is_kept, struct ix_error *err)
{
    struct service_group *g = ix_calloc(1, sizeof *g);
    g->service = service;
    g->id = ix_strdup(s->id);
    g->hidden = s->hidden;
    g->model = ix_strdup(s->model);
    g->count = (uint64_t)s->count;
    g->pattern_text = ix_strdup(s->pattern);
    g->connection = s->connection[0] ? json_loads(s->connection, 0, NULL) : NULL;
    g->names_base = (uint64_t)s->names_base;
    g->created_ms = s->created_ms;
    g->state = s->state;
    g->launch = s->launch[0] ? json_loads(s->launch, 0, NULL) : NULL;
    int code = ix_id_pattern_compile(&g->pattern, s->pattern, s->id, err);
    if (code == 0 && !g->hidden && !is_kept)
        code = check_ids(service, g, err);
    if (code < 0) {
        free_group(g);
        return NULL;
    }
    tsearch(g, &service->group_ids, compare_groups);
    g->before = service->last_group;
    *(g->before ? &g->before->next : &service->groups) = g;
    service->last_group = g;
    service->group_count += !g->hidden;
    return g;
}

void ix_service_drop_group(struct ix_service *service, struct service_group *g)
{
    tdelete(g, &service->group_ids, compare_groups);
    *(g->before ? &g->before->next : &service->groups) = g->next;
    *(g->next ? &g->next->before : &service->last_group) = g->before;
    service->group_count -= !g->hidden;
    ix_service_group_calm(service, g);
    ix_service_placing_void(service, g);
    for (size_t i = 0; i < g->name_count; i++)
        if (g->names[i][0])
            drop_name(service, g->names[i]);
    free_group(g);
}

void ix_service_drop_empty(struct ix_service *service, struct service_group *g)
{
    struct ix_error err;
    if (g->at_work)
        ix_fleet_remove(service->fleet, g->id, 0, &err);
    if (service->store) {
        ix_store_delete_group(service->store, g->id);
        ix_store_commit(service->store, NULL, NULL);
    }
    ix_service_drop_group(service, g);
}

char *ix_service_group_title(const struct ix_service *service, const char *id)
{
    const struct service_group *g = ix_service_find_group(service, id);
    return g && g->hidden ? ix_asprintf("single devices of model \"%s\"", g->model)
                          : ix_asprintf("group \"%s\"", id);
}

void ix_service_groups_free(struct ix_service *service)
{
    while (service->groups)
        ix_service_drop_group(service, service->groups);
}

void ix_service_group_joined(struct ix_service *service, struct service_group *g, const char *name,
                             int64_t created_ms)
{
    g->names = ix_realloc(g->names, (g->name_count + 1) * sizeof *g->names);
    g->created = ix_realloc(g->created, (g->name_count + 1) * sizeof *g->created);
    g->names[g->name_count] = ix_strdup(name);
    g->created[g->name_count++] = created_ms;
    if (g->names_base + g->name_count > g->count)
        g->count = g->names_base + g->name_count;
    if (name[0])
        add_name(service, g, g->names_base + g->name_count - 1, name);
}

/* ---- counts ---- */

void ix_service_group_counts(struct ix_service *service, const struct service_group *g,
                             struct ix_totals *totals)
{
    if (g->at_work) {
        ix_fleet_counts(service->fleet, g->id, totals);
        return;
    }
    memset(totals, 0, offsetof(struct ix_totals, trends));
    uint64_t started = 0, stopped = 0; /* by themselves */
    for (size_t i = 0; i < g->order_count; i++)
        g->orders[i].started ? started++ : stopped++;
    uint64_t alive = ix_service_alive(g), rest = alive - started - stopped;
    enum ix_device_status of_rest = g->state == IX_STORE_STOPPED                 ? IX_D_STOPPED
                                    : g->state == IX_STORE_STARTED && g->trouble ? IX_D_ERROR
                                                                                 : IX_D_CREATED;
    totals->count = alive;
    totals->by_status[IX_D_STOPPED] = (int64_t)stopped;
    totals->by_status[g->trouble ? IX_D_ERROR : IX_D_CREATED] += (int64_t)started;
    totals->by_status[of_rest] += (int64_t)rest;
}

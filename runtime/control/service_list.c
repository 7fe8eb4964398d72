/* Pages of devices and groups, made in pieces: the loop turns in between, and one turn makes a piece of one listing,
 * however many there are. Without a status the page's place follows from the groups' sizes; with one, rows are looked
 * through. Each device or group is shown as it is at one instant. */
#include "control/service_internal.h"

#include <stdlib.h>

#define PIECE 8192 /* devices looked at in one turn of the loop: under 1 ms */
#define SHOWN 100  /* devices or groups of a page that are made into JSON in one turn: under 1 ms */

struct listing {
    struct listing *next;
    bool (*go_on)(struct listing *l); /* one piece; true: it is over, and answered */
    struct wait *wait;
    struct ix_service *service;
    struct ix_device_filter filter;
    char *group, *model;
    char *at_group; /* where the search stands */
    uint64_t at_index;
    uint64_t skip;  /* of those that fit, before the page */
    uint64_t total; /* that fit; with a status: by the counts, since nobody looks further than the page */
    json_t *items;
    char **ids; /* of the groups to show */
    size_t id_count;
};

static bool fits(const struct listing *l, const struct service_group *g)
{
    if (g->leaving || (l->group && (g->hidden || strcmp(g->id, l->group) != 0)))
        return false;
    return !l->model || strcmp(g->model, l->model) == 0;
}

static bool has_status(struct ix_service *service, const struct service_group *g, uint64_t index, int status)
{
    const struct ix_device_row *row = g->at_work ? ix_fleet_row(service->fleet, g->id, index, NULL) : NULL;
    return status == (row ? row->status : (int)ix_service_rest_status(g, index));
}

static void add(struct listing *l, struct service_group *g, uint64_t index)
{
    struct device_ref ref = {g, index};
    json_array_append_new(l->items, ix_service_view_device(l->service, &ref));
}

static void count_all(struct listing *l)
{
    struct ix_totals now;
    for (const struct service_group *g = l->service->groups; g; g = g->next) {
        if (!fits(l, g))
            continue;
        ix_service_group_counts(l->service, g, &now);
        int64_t n = l->filter.status < 0 ? (int64_t)now.count : now.by_status[l->filter.status];
        l->total += n > 0 ? (uint64_t)n : 0;
    }
}

static void finish(struct listing *l)
{
    uint64_t shown = json_array_size(l->items);
    if (shown && l->filter.offset + shown > l->total) /* states moved between counting and looking */
        l->total = l->filter.offset + shown;
    ix_service_answer(l->wait,
                      json_pack("{s:O, s:I, s:I, s:I, s:b}", "items", l->items, "total", (json_int_t)l->total,
                                "offset", (json_int_t)l->filter.offset, "limit", (json_int_t)l->filter.limit,
                                "hasMore", l->filter.offset + shown < l->total));
    l->wait = NULL;
}

static void free_listing(struct listing *l)
{
    json_decref(l->items);
    free(l->group);
    free(l->model);
    free(l->at_group);
    for (size_t i = 0; i < l->id_count; i++)
        free(l->ids[i]);
    free(l->ids);
    free(l);
}

/* ---- turns ---- */

static void make_listings(void *context);

static void queue(struct listing *l)
{
    struct ix_service *service = l->service;
    struct listing **end = &service->listings;
    while (*end)
        end = &(*end)->next;
    l->next = NULL;
    *end = l;
    if (!service->makes_listings)
        ix_loop_defer(service->loop, make_listings, service);
    service->makes_listings = true;
}

/* A piece of the one that waited longest. */
static void make_listings(void *context)
{
    struct ix_service *service = context;
    struct listing *l = service->listings;
    service->makes_listings = false;
    service->listings = l->next;
    if (service->stopping)
        ix_service_refuse_text(l->wait, IX_FAILURE_UNAVAILABLE, "the service is ending");
    if (service->stopping || l->go_on(l))
        free_listing(l);
    else
        queue(l);
    if (service->listings && !service->makes_listings) {
        service->makes_listings = true;
        ix_loop_defer(service->loop, make_listings, service);
    }
}

/* The first piece at once: most pages are done with it. */
static void start(struct listing *l, bool (*go_on)(struct listing *l))
{
    l->go_on = go_on;
    if (go_on(l))
        free_listing(l);
    else
        queue(l);
}

/* ---- the page alone ---- */

/* The group and index of the page's first device; NULL: the page lies behind the last one. */
static struct service_group *find_page(struct listing *l)
{
    for (struct service_group *g = l->service->groups; g; g = g->next) {
        if (!fits(l, g))
            continue;
        if (l->skip >= ix_service_alive(g)) {
            l->skip -= ix_service_alive(g);
            continue;
        }
        /* The index of the device of that rank: holes before it push it on. */
        l->at_index = l->skip;
        for (size_t hole = 0; hole < g->gone_count && g->gone[hole] <= l->at_index; hole++)
            l->at_index++;
        l->at_group = ix_strdup(g->id);
        return g;
    }
    return NULL;
}

static struct service_group *next_group(struct listing *l, struct service_group *g)
{
    do
        g = g->next;
    while (g && !fits(l, g));
    free(l->at_group);
    l->at_group = g ? ix_strdup(g->id) : NULL;
    l->at_index = 0;
    return g;
}

static bool take_page(struct listing *l)
{
    struct service_group *g = l->at_group ? ix_service_find_group(l->service, l->at_group) : find_page(l);
    size_t looked = 0;
    while (g && json_array_size(l->items) < l->filter.limit && looked++ < SHOWN) {
        if (l->at_index >= g->count)
            g = next_group(l, g);
        else if (!ix_service_is_gone(g, l->at_index++))
            add(l, g, l->at_index - 1);
    }
    if (g && json_array_size(l->items) < l->filter.limit)
        return false;
    finish(l);
    return true;
}

/* ---- with a status ---- */

/* Goes on in group `g`; true: the page is full, or the piece. */
static bool look_through(struct listing *l, struct service_group *g, uint64_t *left)
{
    const uint64_t costs = PIECE / SHOWN; /* to show one, in looks */
    for (; l->at_index < g->count; l->at_index++) {
        if (json_array_size(l->items) == l->filter.limit || *left == 0)
            return true;
        --*left;
        if (ix_service_is_gone(g, l->at_index) || !has_status(l->service, g, l->at_index, l->filter.status))
            continue;
        if (l->skip) {
            l->skip--;
            continue;
        }
        add(l, g, l->at_index);
        *left -= *left < costs ? *left : costs;
    }
    return false;
}

/* Whole groups without a device of that status need not be looked through. */
static bool may_have(struct listing *l, const struct service_group *g)
{
    struct ix_totals now;
    ix_service_group_counts(l->service, g, &now);
    return now.by_status[l->filter.status] > 0;
}

static bool look_on(struct listing *l)
{
    uint64_t left = PIECE;
    /* If the group was deleted meanwhile, what was found so far is the page. */
    struct service_group *g =
        l->at_group ? ix_service_find_group(l->service, l->at_group) : l->service->groups;
    for (; g; g = g->next) {
        bool goes_on = l->at_group && strcmp(g->id, l->at_group) == 0;
        if (!goes_on) {
            if (!fits(l, g) || !may_have(l, g))
                continue;
            free(l->at_group);
            l->at_group = ix_strdup(g->id);
            l->at_index = 0;
        }
        if (!look_through(l, g, &left))
            continue;
        if (json_array_size(l->items) < l->filter.limit)
            return false;
        break;
    }
    finish(l);
    return true;
}

void ix_service_devices(struct ix_service *service, const struct ix_device_filter *filter,
                        ix_service_done *done, void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    if (!w)
        return;
    struct listing *l = ix_calloc(1, sizeof *l);
    *l = (struct listing){.wait = w, .service = service, .filter = *filter, .skip = filter->offset};
    if (l->filter.limit > IX_SERVICE_PAGE_MAX)
        l->filter.limit = IX_SERVICE_PAGE_MAX;
    l->group = filter->group ? ix_strdup(filter->group) : NULL;
    l->model = filter->model ? ix_strdup(filter->model) : NULL;
    l->items = json_array();
    count_all(l);
    start(l, filter->status < 0 || l->filter.limit == 0 ? take_page : look_on);
}

/* ---- groups ---- */

static bool take_groups(struct listing *l)
{
    size_t end = l->at_index + SHOWN < l->id_count ? l->at_index + SHOWN : l->id_count;
    for (; l->at_index < end; l->at_index++) {
        struct service_group *g = ix_service_find_group(l->service, l->ids[l->at_index]);
        if (g && !g->leaving) /* else it was deleted meanwhile */
            json_array_append_new(l->items, ix_service_view_group(l->service, g));
    }
    if (end < l->id_count)
        return false;
    ix_service_answer(l->wait, json_incref(l->items));
    l->wait = NULL;
    return true;
}

void ix_service_groups(struct ix_service *service, uint64_t offset, uint64_t limit, ix_service_done *done,
                       void *context)
{
    struct wait *w = ix_service_wait(service, done, context);
    uint64_t place = 0;
    if (!w)
        return;
    struct listing *l = ix_calloc(1, sizeof *l);
    *l = (struct listing){.wait = w, .service = service, .items = json_array()};
    l->ids = ix_calloc(service->group_count + 1, sizeof *l->ids);
    for (const struct service_group *g = service->groups; g && l->id_count < limit; g = g->next)
        if (!g->hidden && !g->leaving && place++ >= offset)
            l->ids[l->id_count++] = ix_strdup(g->id);
    start(l, take_groups);
}

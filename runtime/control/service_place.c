/* From a group that is only known to one that workers have: its model is compiled, its brokers looked up (not on the
 * loop's thread: names may take seconds), its devices placed. */
#include "control/service_internal.h"

#include "base/log.h"
#include "control/memory.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct placing {
    struct placing *next;
    uv_work_t work;
    struct wait *wait;
    struct ix_service *service; /* NULL: it ended meanwhile */
    char *group;
    struct ix_found_model found;
    uint64_t model_hash;
    struct ix_target *targets;
    size_t target_count;
    void (*then)(struct wait *w, int code, json_t *result, const char *message);
    int code;
    struct ix_error err;
};

static void free_placing(struct placing *p)
{
    struct placing **at = p->service ? &p->service->placings : NULL;
    while (at && *at && *at != p)
        at = &(*at)->next;
    if (at && *at)
        *at = p->next;
    ix_found_model_deinit(&p->found);
    free(p->targets);
    free(p->group);
    free(p);
}

static char *names_of(const struct service_group *g)
{
    struct ix_buf out;
    ix_buf_init(&out, 64u << 20);
    for (size_t i = 0; i < g->name_count; i++) {
        if (i)
            ix_buf_char(&out, '\n');
        ix_buf_str(&out, g->names[i]);
    }
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

/* None of its devices runs, or is about to. */
static bool is_idle(struct ix_service *service, const struct service_group *g)
{
    struct ix_totals now;
    if (!g->at_work || g->busy || g->leaving || g->state == IX_STORE_STARTED)
        return false;
    for (size_t i = 0; i < g->order_count; i++)
        if (g->orders[i].started)
            return false;
    ix_fleet_counts(service->fleet, g->id, &now);
    return now.by_status[IX_D_STARTING] + now.by_status[IX_D_RUNNING] + now.by_status[IX_D_STOPPING] +
               now.by_status[IX_D_DROPPED] ==
           0;
}

/* Workers have room for so many groups only: one that was stopped makes room. It comes back when it is started. */
static void make_room(struct ix_service *service, const struct service_group *wanted)
{
    struct ix_error err;
    for (struct service_group *g = service->groups; g && ix_fleet_is_full(service->fleet); g = g->next)
        if (g != wanted && is_idle(service, g) && ix_fleet_remove(service->fleet, g->id, 0, &err) == 0)
            g->at_work = false;
}

static int create(struct ix_service *service, struct service_group *g, struct placing *p,
                  struct ix_error *err)
{
    struct ix_sources sources;
    int code = ix_source_choice_of(&service->sources, p->targets, p->target_count, g->count, &sources, err);
    if (code < 0)
        return code;
    make_room(service, g);
    char *names = g->name_count ? names_of(g) : NULL;
    struct ix_group_config config = {
        .id = g->id,
        .count = g->count,
        .id_pattern = g->pattern_text,
        .model_id = g->model,
        .model_text = p->found.text,
        .model_folder = p->found.folder,
        .model_hash = p->found.model->hash,
        .targets = p->targets,
        .target_count = p->target_count,
        .sources = &sources,
        .device_memory = ix_memory_of_device(p->found.model, ix_broker_is_here(&p->targets[0])),
        .broker_is_here = ix_broker_is_here(&p->targets[0]),
        .broker_is_embedded =
            service->brokers.is_embedded &&
            ix_brokers_is_shared(&service->brokers, p->found.model,
                                 json_string_value(json_object_get(g->connection, "broker"))),
        .tags = "",
        .label = g->hidden ? "single" : NULL,
        .is_hidden = g->hidden,
        .names_base = g->names_base,
        .names = names,
        .gone = g->gone,
        .gone_count = g->gone_count,
    };
    code = ix_fleet_create(service->fleet, &config, err);
    if (code == 0) {
        g->at_work = true;
        g->model_hash = p->model_hash;
    }
    free(names);
    ix_sources_deinit(&sources);
    return code;
}

static void finish(struct placing *p)
{
    struct wait *w = p->wait;
    struct service_group *g = ix_service_find_group(p->service, p->group);
    if (p->code == 0 && (!g || g->leaving))
        p->code = ix_fail(&p->err, -ENOENT, "group \"%s\" was deleted meanwhile", p->group);
    if (g)
        g->busy = false;
    if (p->code == 0)
        p->code = create(p->service, g, p, &p->err);
    p->then(w, p->code, NULL, p->err.text);
    free_placing(p);
}

static void look_up(uv_work_t *work)
{
    struct placing *p = work->data;
    p->code = ix_brokers_look_up(p->found.model, &p->targets, &p->target_count, &p->err);
}

static void finish_now(void *context)
{
    struct placing *p = context;
    if (p->service && !p->service->stopping)
        finish(p);
    else
        free_placing(p);
}

static void looked_up(uv_work_t *work, int status)
{
    (void)status;
    struct placing *p = work->data;
    if (p->service)
        ix_loop_update(p->service->loop);
    finish_now(p);
}

bool ix_service_placings_end(struct ix_service *service)
{
    bool any = false;
    while (service->placings) {
        struct placing *p = service->placings;
        service->placings = p->next;
        p->service = NULL;
        any = true;
    }
    return any;
}

static bool is_numeric(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

struct later {
    struct wait *wait;
    void (*then)(struct wait *w, int code, json_t *result, const char *message);
    int code;
    char *message;
};

static void tell_later(void *context)
{
    struct later *l = context;
    l->then(l->wait, l->code, NULL, l->message);
    free(l->message);
    free(l);
}

static void answer(struct wait *w,
                   void (*then)(struct wait *w, int code, json_t *result, const char *message), int code,
                   const char *message)
{
    struct later *l = ix_malloc(sizeof *l);
    *l = (struct later){w, then, code, ix_strdup(message)};
    ix_loop_defer(w->service->loop, tell_later, l);
}

/* One that works with an older model starts anew with the current one, as long as no device runs. */
static bool is_current(struct ix_service *service, struct service_group *g, const struct model_entry *model)
{
    if (!g->at_work || !model || g->model_hash == model->hash)
        return g->at_work;
    struct ix_totals now;
    ix_fleet_counts(service->fleet, g->id, &now);
    if (now.by_status[IX_D_STARTING] + now.by_status[IX_D_RUNNING] + now.by_status[IX_D_STOPPING] +
            now.by_status[IX_D_DROPPED] >
        0)
        return true;
    struct ix_error err;
    ix_fleet_remove(service->fleet, g->id, 0, &err);
    g->at_work = false;
    return false;
}

/* Compiles the model and finds its brokers; true: they are to be looked up first. */
static bool prepare(struct ix_service *service, const struct service_group *g,
                    const struct model_entry *model, struct placing *p)
{
    const char *own = json_string_value(json_object_get(g->connection, "broker"));
    struct ix_error unsupported;
    p->code = ix_service_compile(service, model, g->connection, &p->found, &p->err);
    if (p->code == 0 && !ix_protocol_find(p->found.model->connection.protocol, &unsupported))
        p->code = ix_fail(&p->err, -ENOTSUP, "model \"%s\": %s", g->model, unsupported.text);
    if (p->code < 0)
        return false;
    const char *host = p->found.model->connection.host;
    if (!ix_brokers_is_shared(&service->brokers, p->found.model, own) && host && !is_numeric(host))
        return true;
    p->code =
        ix_brokers_targets(&service->brokers, p->found.model, own, &p->targets, &p->target_count, &p->err);
    return false;
}

void ix_service_place(struct wait *w, struct service_group *g,
                      void (*then)(struct wait *w, int code, json_t *result, const char *message))
{
    struct ix_service *service = w->service;
    const struct model_entry *model = ix_service_find_model(service, g->model);
    if (g->busy) {
        answer(w, then, -EAGAIN, "the group's broker is being looked up; try again in a moment");
        return;
    }
    if (is_current(service, g, model)) {
        answer(w, then, 0, "");
        return;
    }
    if (!model) {
        answer(w, then, -EAGAIN, "its model can't be used any more; the log of the start says why");
        return;
    }
    struct placing *p = ix_calloc(1, sizeof *p);
    *p = (struct placing){.wait = w, .service = service, .then = then, .next = service->placings};
    service->placings = p;
    p->work.data = p;
    p->group = ix_strdup(g->id);
    p->model_hash = model->hash;
    g->busy = true;
    if (prepare(service, g, model, p)) {
        IX_REQUIRE(uv_queue_work(&service->loop->uv, &p->work, look_up, looked_up) == 0);
        return;
    }
    ix_loop_defer(service->loop, finish_now, p);
}

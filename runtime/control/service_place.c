/* From a group that is only known to one that workers have: its model is compiled, its brokers looked up (not on the
 * loop's thread: names may take seconds), its devices placed.
 *
 * A broker whose name can't be looked up is as one that is down: what was to run is in error and says why
 * (service_group.trouble), and it is tried again, with longer and longer pauses, until it works. */
#include "control/service_internal.h"

#include "base/log.h"
#include "base/units.h"
#include "control/memory.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define AGAIN_NS     (2 * IX_S) /* before what went wrong is tried again, at first … */
#define AGAIN_MAX_NS (60 * IX_S)
#define LOOKUPS_MAX \
    2 /* at once: each may hold a thread of the pool for many seconds, and the store writes there, too */

typedef void step(struct wait *w, int code, json_t *result, const char *message);

struct waiter {
    struct waiter *next;
    struct wait *wait;
    step *then;
};

struct placing {
    struct placing *next;
    uv_work_t work;
    struct waiter *waiters;     /* in order */
    struct ix_service *service; /* NULL: it ended meanwhile */
    char *group;                /* "": it was deleted meanwhile */
    struct ix_found_model found;
    uint64_t model_hash;
    bool is_own;    /* begun by the service: what is to run is started in the end */
    bool is_shared; /* goes to the service's brokers */
    bool tls;
    char *name;        /* that is looked up, with port and kind; NULL: none */
    bool waits, looks; /* for its turn; now */
    struct ix_target *targets;
    size_t target_count;
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
    while (p->waiters) {
        struct waiter *waiter = p->waiters;
        p->waiters = waiter->next;
        free(waiter);
    }
    ix_found_model_deinit(&p->found);
    free(p->targets);
    free(p->group);
    free(p->name);
    free(p);
}

static struct placing *find_placing(const struct ix_service *service, const char *group)
{
    struct placing *p = service->placings;
    while (p && strcmp(p->group, group) != 0)
        p = p->next;
    return p;
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

/* Workers know devices as never started; those that were stopped before are so again. */
static void stop_again(struct ix_service *service, const struct service_group *g)
{
    struct ix_error err;
    if (g->state == IX_STORE_STOPPED)
        ix_fleet_stop_again(service->fleet, g->id, &err);
    for (size_t i = 0; i < g->order_count && g->state == IX_STORE_CREATED; i++)
        if (!g->orders[i].started)
            ix_fleet_device_order(service->fleet, g->id, g->orders[i].index, false, 0, &err);
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
        stop_again(service, g);
    }
    free(names);
    ix_sources_deinit(&sources);
    return code;
}

/* ---- trouble ---- */

static void on_again(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct service_group *g = (struct service_group *)((char *)entry - offsetof(struct service_group, again));
    ix_service_take_up(g->service, g);
}

void ix_service_group_trouble(struct ix_service *service, struct service_group *g, const char *message)
{
    char *title = ix_service_group_title(service, g->id);
    bool is_news = !g->trouble || strcmp(g->trouble, message) != 0;
    if (is_news) {
        ix_log(IX_LOG_ERROR, "%s: %s; it is tried again until it works", title, message);
        free(g->trouble);
        g->trouble = ix_strdup(message);
        ix_service_tell_change(service, "groups", g->hidden ? "" : g->id);
    }
    free(title);
    g->again_pause_ns = g->again_pause_ns ? g->again_pause_ns * 2 : AGAIN_NS;
    if (g->again_pause_ns > AGAIN_MAX_NS)
        g->again_pause_ns = AGAIN_MAX_NS;
    g->again.fire = on_again;
    ix_wheel_add(service->loop->wheel, &g->again, ix_clock_now(&service->loop->clock) + g->again_pause_ns);
}

void ix_service_group_calm(struct ix_service *service, struct service_group *g)
{
    ix_wheel_cancel(service->loop->wheel, &g->again);
    free(g->trouble);
    g->trouble = NULL;
    g->again_pause_ns = 0;
}

/* ---- the end of a placing ---- */

/* The service's brokers are known from now on. */
static void keep_addresses(struct placing *p)
{
    struct ix_brokers *brokers = &p->service->brokers;
    if (p->is_shared && p->target_count == brokers->target_count)
        memcpy(brokers->targets, p->targets, p->target_count * sizeof *p->targets);
}

static void finish(struct placing *p)
{
    struct ix_service *service = p->service;
    struct service_group *g = ix_service_find_group(service, p->group);
    if (p->code == 0 && (!g || g->leaving))
        p->code = ix_fail(&p->err, -ENOENT, "the group was deleted meanwhile");
    if (g)
        g->busy = false;
    if (p->code == 0)
        keep_addresses(p);
    bool is_wanted = p->waiters || (g && ix_service_is_wanted(g)); /* it may have been stopped meanwhile */
    if (p->code == 0 && is_wanted)
        p->code = create(service, g, p, &p->err);
    /* Those who lost patience left what they wanted behind: it is taken up before others have their turn. */
    if (g && !g->leaving && (p->is_own || g->trouble))
        ix_service_placed(service, g, p->code, p->err.text);
    while (p->waiters) {
        struct waiter *waiter = p->waiters;
        p->waiters = waiter->next;
        ix_wheel_cancel(service->loop->wheel, &waiter->wait->timer);
        waiter->then(waiter->wait, p->code, NULL, p->err.text);
        free(waiter);
    }
    free_placing(p);
}

/* A name that can't be looked up now, and not something wrong with what was asked. */
static void look_up(uv_work_t *work)
{
    struct placing *p = work->data;
    if (p->is_shared)
        p->code = ix_brokers_look_up_shared(p->targets, p->target_count, p->tls, &p->err);
    else
        p->code = ix_brokers_look_up(p->found.model, &p->targets, &p->target_count, &p->err);
    if (p->code < 0 && p->code != -EINVAL)
        p->code = p->err.code = -EHOSTUNREACH;
}

static void finish_now(void *context)
{
    struct placing *p = context;
    if (p->service && !p->service->stopping)
        finish(p);
    else
        free_placing(p);
}

static void looked_up(uv_work_t *work, int status);

/* One lookup serves all that want the same name, and only some are under way at once. */
static void look_on(struct ix_service *service)
{
    size_t looking = 0;
    for (const struct placing *p = service->placings; p; p = p->next)
        looking += p->looks;
    for (struct placing *p = service->placings; p && looking < LOOKUPS_MAX; p = p->next) {
        bool is_known = false;
        for (const struct placing *other = service->placings; other && p->waits && !is_known;
             other = other->next)
            is_known = other->looks && strcmp(other->name, p->name) == 0;
        if (!p->waits || is_known)
            continue;
        p->waits = false;
        p->looks = true;
        looking++;
        IX_REQUIRE(uv_queue_work(&service->loop->uv, &p->work, look_up, looked_up) == 0);
    }
}

static void share_result(const struct placing *from, struct placing *to)
{
    to->waits = false;
    to->code = from->code;
    to->err = from->err;
    if (from->code < 0)
        return;
    free(to->targets);
    to->targets = ix_calloc(from->target_count, sizeof *to->targets);
    memcpy(to->targets, from->targets, from->target_count * sizeof *to->targets);
    to->target_count = from->target_count;
}

static void looked_up(uv_work_t *work, int status)
{
    (void)status;
    struct placing *p = work->data;
    struct ix_service *service = p->service;
    p->looks = false;
    for (struct placing *other = service ? service->placings : NULL; other; other = other->next) {
        if (!other->waits || strcmp(other->name, p->name) != 0)
            continue;
        share_result(p, other);
        ix_loop_defer(service->loop, finish_now, other);
    }
    if (service)
        ix_loop_update(service->loop);
    finish_now(p);
    if (service && !service->stopping)
        look_on(service);
}

bool ix_service_placings_end(struct ix_service *service)
{
    bool any = false;
    while (service->placings) {
        struct placing *p = service->placings;
        bool is_asleep = p->waits;
        any = any || p->looks;
        service->placings = p->next;
        p->service = NULL;
        if (is_asleep) /* nobody will come back to it */
            free_placing(p);
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
    step *then;
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

static void answer(struct wait *w, step *then, int code, const char *message)
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
    p->is_shared = ix_brokers_is_shared(&service->brokers, p->found.model, own);
    p->tls = service->brokers.tls;
    if (!p->is_shared && host && !is_numeric(host))
        return true;
    p->code =
        ix_brokers_targets(&service->brokers, p->found.model, own, &p->targets, &p->target_count, &p->err);
    return p->code == 0 && p->is_shared && !ix_brokers_are_known(&service->brokers);
}

static void on_patience_lost(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct wait *w = (struct wait *)((char *)entry - offsetof(struct wait, timer));
    struct waiter **at = NULL;
    struct placing *p = w->service->placings;
    for (; p; p = p->next) {
        for (at = &p->waiters; *at && (*at)->wait != w;)
            at = &(*at)->next;
        if (*at)
            break;
    }
    IX_REQUIRE(p);
    struct waiter *waiter = *at;
    step *then = waiter->then;
    *at = waiter->next;
    free(waiter);
    const char *host = p->is_shared ? ix_service_broker(w->service) : p->found.model->connection.host;
    char *text =
        ix_asprintf("broker '%s': its name is still being looked up; no name server has answered yet", host);
    then(w, -EHOSTUNREACH, NULL, text);
    free(text);
}

static void wait_for(struct placing *p, struct wait *w, uint64_t patience_ns, step *then)
{
    struct ix_loop *loop = p->service->loop;
    struct waiter **end = &p->waiters;
    while (*end)
        end = &(*end)->next;
    *end = ix_malloc(sizeof **end);
    **end = (struct waiter){NULL, w, then};
    w->timer.fire = on_patience_lost;
    ix_wheel_add(loop->wheel, &w->timer, ix_clock_now(&loop->clock) + patience_ns);
}

/* Goes to work on it; the placing is on its way, or over with its code set. */
static void begin(struct placing *p, const struct service_group *g, const struct model_entry *model)
{
    struct ix_service *service = p->service;
    if (!prepare(service, g, model, p)) {
        ix_loop_defer(service->loop, finish_now, p);
        return;
    }
    const struct ix_connection_spec *c = &p->found.model->connection;
    p->name = p->is_shared ? ix_strdup("") : ix_asprintf("%s %u %d", c->host, c->port, c->tls);
    p->waits = true;
    look_on(service);
}

static struct placing *new_placing(struct ix_service *service, struct service_group *g,
                                   const struct model_entry *model)
{
    struct placing *p = ix_calloc(1, sizeof *p);
    *p = (struct placing){.service = service, .next = service->placings};
    service->placings = p;
    p->work.data = p;
    p->group = ix_strdup(g->id);
    p->model_hash = model->hash;
    g->busy = true;
    return p;
}

static const char no_model[] = "its model can't be used any more; the log of the start says why";

void ix_service_place(struct wait *w, struct service_group *g, uint64_t patience_ns, step *then)
{
    struct ix_service *service = w->service;
    const struct model_entry *model = ix_service_find_model(service, g->model);
    struct placing *p = g->busy ? find_placing(service, g->id) : NULL;
    if (p) {
        wait_for(p, w, patience_ns, then);
    } else if (is_current(service, g, model)) {
        answer(w, then, 0, "");
    } else if (!model) {
        answer(w, then, -EAGAIN, no_model);
    } else {
        p = new_placing(service, g, model);
        wait_for(p, w, patience_ns, then);
        begin(p, g, model);
    }
}

void ix_service_take_up(struct ix_service *service, struct service_group *g)
{
    const struct model_entry *model = ix_service_find_model(service, g->model);
    if (g->busy || g->leaving || service->stopping)
        return; /* whoever is busy with it takes it up */
    if (is_current(service, g, model)) {
        ix_service_placed(service, g, 0, "");
    } else if (!model) {
        ix_service_placed(service, g, -EAGAIN, no_model);
    } else {
        struct placing *p = new_placing(service, g, model);
        p->is_own = true;
        begin(p, g, model);
    }
}

void ix_service_placing_void(struct ix_service *service, const struct service_group *g)
{
    struct placing *p = g->busy ? find_placing(service, g->id) : NULL;
    if (p)
        p->group[0] = '\0';
}

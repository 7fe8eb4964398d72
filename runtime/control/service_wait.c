/* Requests that wait, for workers or for the disk, and how they are answered: once, and never inside the call. */
#include "control/service_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct answer { /* posted: given on the loop's next turn */
    struct wait *wait;
    bool failed;
    struct ix_failure failure;
    json_t *result;
};

void ix_failure_deinit(struct ix_failure *failure)
{
    json_decref(failure->faults);
    failure->faults = NULL;
}

int ix_service_fail(struct ix_failure *failure, enum ix_failure_kind kind, const char *field,
                    const char *format, ...)
{
    va_list args;
    *failure = (struct ix_failure){.kind = kind};
    snprintf(failure->field, sizeof failure->field, "%s", field);
    va_start(args, format);
    vsnprintf(failure->text, sizeof failure->text, format, args);
    va_end(args);
    return -1;
}

enum ix_failure_kind ix_service_kind(int code)
{
    switch (code) {
    case -ENOENT: /* a file or handler that a model names: what the caller asked for was found */
    case -EEXIST:
        return IX_FAILURE_CONFLICT;
    case -ENOSPC:
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return IX_FAILURE_FULL;
    case -EAGAIN:
    case -ENOTCONN:
    case -ECANCELED:
        return IX_FAILURE_CONFLICT;
    case IX_SCRIPT_ERROR:
        return IX_FAILURE_SCRIPT;
    case -ECONNRESET: /* a worker died */
        return IX_FAILURE_UNAVAILABLE;
    case -EINVAL:
    case -EBADMSG:
    case -EPERM:
    case -ENOTSUP:
        return IX_FAILURE_INVALID;
    default:
        return IX_FAILURE_INTERNAL;
    }
}

int64_t ix_service_wall_ms(const struct ix_service *service)
{
    return ix_clock_wall(&service->loop->clock, ix_clock_now(&service->loop->clock)) / 1000000;
}

struct wait *ix_service_wait(struct ix_service *service, ix_service_done *done, void *context)
{
    struct wait *w = ix_calloc(1, sizeof *w);
    w->service = service;
    w->ticket = ++service->last_ticket;
    w->done = done;
    w->context = context;
    w->next = service->waits;
    service->waits = w;
    service->wait_count++;
    if (service->stopping || !service->is_ready)
        ix_service_refuse_text(w, IX_FAILURE_UNAVAILABLE,
                               service->stopping ? "the service is ending" : "the service is starting");
    else if (service->wait_count > SERVICE_WAITS_MAX)
        ix_service_refuse_text(w, IX_FAILURE_FULL, "too many requests wait already; try again in a moment");
    else
        return w;
    return NULL;
}

static void unlink_wait(struct wait *w)
{
    struct wait **at = &w->service->waits;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->service->wait_count--;
    ix_wheel_cancel(w->service->loop->wheel, &w->timer);
}

static void free_wait(struct wait *w)
{
    json_decref(w->body);
    ix_service_free_entry(w->model);
    free(w->group);
    free(w);
}

static void deliver(void *context)
{
    struct answer *a = context;
    struct wait *w = a->wait;
    if (w->done)
        w->done(w->context, a->failed ? &a->failure : NULL, a->result);
    else
        json_decref(a->result);
    ix_failure_deinit(&a->failure);
    free_wait(w);
    free(a);
}

static struct answer *begin_answer(struct wait *w)
{
    struct answer *a = ix_calloc(1, sizeof *a);
    unlink_wait(w); /* nothing else can come for it */
    w->then = NULL;
    a->wait = w;
    return a;
}

void ix_service_answer(struct wait *w, json_t *result)
{
    struct ix_loop *loop = w->service->loop;
    struct answer *a = begin_answer(w);
    a->result = result;
    ix_loop_defer(loop, deliver, a);
}

void ix_service_refuse(struct wait *w, const struct ix_failure *failure)
{
    struct ix_loop *loop = w->service->loop;
    struct answer *a = begin_answer(w);
    a->failed = true;
    a->failure = *failure;
    ix_loop_defer(loop, deliver, a);
}

void ix_service_refuse_text(struct wait *w, enum ix_failure_kind kind, const char *message)
{
    struct ix_failure failure;
    ix_service_fail(&failure, kind, "", "%s", message);
    ix_service_refuse(w, &failure);
}

/* ---- what is waited for ---- */

static void on_kept(void *context, int code, const char *message)
{
    struct wait *w = context;
    w->then(w, code, NULL, message);
}

static void on_nothing_to_keep(void *context)
{
    on_kept(context, 0, "");
}

void ix_service_keep(struct wait *w,
                     void (*then)(struct wait *w, int code, json_t *result, const char *message))
{
    w->then = then;
    if (w->service->store)
        ix_store_commit(w->service->store, on_kept, w);
    else
        ix_loop_defer(w->service->loop, on_nothing_to_keep, w);
}

void ix_service_expect(struct wait *w,
                       void (*then)(struct wait *w, int code, json_t *result, const char *message))
{
    w->then = then;
}

void ix_service_fleet_done(void *context, uint64_t ticket, bool is_record, int code, json_t *result,
                           const char *message)
{
    (void)is_record;
    struct ix_service *service = context;
    for (struct wait *w = service->waits; w; w = w->next) {
        if (w->ticket != ticket || !w->then)
            continue;
        w->then(w, code, result, message);
        return;
    }
    json_decref(result);
}

void ix_service_waits_free(struct ix_service *service)
{
    struct ix_failure failure;
    while (service->waits) {
        struct wait *w = service->waits;
        unlink_wait(w);
        ix_service_fail(&failure, IX_FAILURE_UNAVAILABLE, "", "the service ended before it was done");
        if (w->done)
            w->done(w->context, &failure, NULL);
        free_wait(w);
    }
}

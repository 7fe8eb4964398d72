/* Begin and end of a service, and what its workers and its broker do by themselves. */
#include "control/service_internal.h"

#include "base/log.h"
#include "base/random.h"
#include "base/units.h"
#include "loop/child.h"

#include <stdlib.h>
#include <unistd.h>

#define STOP_NS      (5 * IX_S) /* for workers to end, after the drain */
#define AGAIN_NS     (2 * IX_S) /* before a broker or worker that ended is tried again, at first … */
#define AGAIN_MAX_NS (60 * IX_S)

/* ---- workers ---- */

static void on_worker_ready(void *context, uint32_t worker)
{
    struct ix_service *service = context;
    ix_fleet_worker_ready(service->fleet, worker);
}

static void on_worker_lost(void *context, uint32_t worker, const char *reason)
{
    struct ix_service *service = context;
    (void)reason; /* the pool has logged it */
    ix_fleet_worker_lost(service->fleet, worker);
}

static void on_revive(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_service *service = (struct ix_service *)((char *)entry - offsetof(struct ix_service, revive));
    struct ix_error err;
    bool failed = false;
    for (uint32_t i = 0; i < ix_workers_count(service->workers); i++) {
        if (ix_workers_revive(service->workers, i, &err) == 0)
            continue;
        ix_log(IX_LOG_ERROR, "worker %u can't be started: %s", i, err.text);
        failed = true;
    }
    service->revive_pause_ns *= 2;
    if (service->revive_pause_ns > AGAIN_MAX_NS)
        service->revive_pause_ns = AGAIN_MAX_NS;
    if (failed)
        ix_wheel_add(service->loop->wheel, &service->revive, now_ns + service->revive_pause_ns);
}

/* A service does not end with a worker: its devices are away until it can be started again. */
static void on_worker_fatal(void *context, uint32_t worker, int code, const char *message)
{
    struct ix_service *service = context;
    (void)code;
    uint64_t now = ix_loop_update(service->loop);
    if (now - service->revived_ns > 2 * AGAIN_MAX_NS)
        service->revive_pause_ns = AGAIN_NS;
    service->revived_ns = now;
    ix_log(IX_LOG_ERROR, "worker %u: %s; it is started again in %llu s", worker, message,
           (unsigned long long)(service->revive_pause_ns / IX_S));
    ix_fleet_worker_lost(service->fleet, worker);
    if (!service->stopping)
        ix_wheel_add(service->loop->wheel, &service->revive, now + service->revive_pause_ns);
}

static void on_device_failure(struct ix_service *service, struct ix_reader *in)
{
    char *group = ix_read_str(in);
    uint64_t index = ix_read_u64(in);
    char *message = ix_read_str(in);
    const struct service_group *g = ix_service_find_group(service, group);
    struct ix_buf id;
    ix_buf_init(&id, 4096);
    if (g && index < g->count)
        ix_service_put_id(g, index, &id);
    ix_log(IX_LOG_ERROR, "device \"%s\": %s", ix_buf_cstr(&id), message);
    ix_buf_deinit(&id);
    free(group);
    free(message);
}

static void on_worker_frame(void *context, uint32_t worker, uint8_t type, struct ix_reader *in)
{
    struct ix_service *service = context;
    if (type == IX_UP_FAILURE) {
        on_device_failure(service, in);
    } else if (type == IX_UP_LATE_FAILURE) {
        char *group = ix_read_str(in), *message = ix_read_str(in);
        char *title = ix_service_group_title(service, group);
        ix_log(IX_LOG_ERROR, "%s: %s", title, message);
        free(title);
        free(group);
        free(message);
    } else if (type != IX_UP_EVENT) {
        ix_fleet_frame(service->fleet, worker, type, in);
    }
}

static void on_record_failed(void *context, int code, const char *message)
{
    (void)context, (void)code;
    ix_log(IX_LOG_ERROR, "%s", message);
}

static void make_fleet(struct ix_service *service)
{
    static const struct ix_workers_events events = {on_worker_ready, on_worker_frame, on_worker_lost,
                                                    on_worker_fatal};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    service->allowed_env = ix_texts_join(service->config.allowed_env, service->config.allowed_env_count);
    service->hello = (struct ix_hello){
        .run = ix_random_system(),
        .seed = service->seed,
        .run_start_ns = service->start_ns,
        .wall_offset_ns = service->loop->clock.wall_offset_ns,
        .scenario_path = "",
        .scenario = "",
        .options = "{}",
        .allowed_env = service->allowed_env,
    };
    service->workers = ix_workers_new(service->loop, &service->hello, &events, service);
    struct ix_fleet_config fleet = {
        .loop = service->loop,
        .workers = service->workers,
        .base_workers = service->config.workers ? service->config.workers
                        : cores > 0             ? (uint32_t)cores
                                                : 1,
        .connect_rate = service->config.connect_rate,
        .seed = service->seed,
        .done = ix_service_fleet_done,
        .failed = on_record_failed,
        .context = service,
    };
    service->fleet = ix_fleet_new(&fleet);
}

/* ---- the broker ---- */

static void begin(struct ix_service *service)
{
    service->is_ready = true;
    ix_service_stats_begin(service);
    ix_service_feed_begin(service);
    ix_service_watch_folders(service);
    ix_service_resume(service);
    service->ready(service->context_of_ready, NULL);
}

static void try_broker_later(struct ix_service *service)
{
    ix_wheel_add(service->loop->wheel, &service->broker_again,
                 ix_clock_now(&service->loop->clock) + service->broker_pause_ns);
    service->broker_pause_ns *= 2;
    if (service->broker_pause_ns > AGAIN_MAX_NS)
        service->broker_pause_ns = AGAIN_MAX_NS;
}

static void on_broker_ready(void *context, const struct ix_error *failure)
{
    struct ix_service *service = context;
    if (!service->is_ready && failure) {
        service->ready(service->context_of_ready, failure);
    } else if (!service->is_ready) {
        begin(service);
    } else if (failure) {
        ix_log(IX_LOG_ERROR, "%s", failure->text);
        try_broker_later(service);
    } else {
        ix_log(IX_LOG_INFO, "the embedded broker is back on port %u", service->brokers.targets[0].port);
        service->broker_pause_ns = AGAIN_NS;
    }
}

static void on_broker_again(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    struct ix_service *service =
        (struct ix_service *)((char *)entry - offsetof(struct ix_service, broker_again));
    struct ix_error err;
    if (ix_brokers_restart(&service->brokers, &err) < 0) {
        ix_log(IX_LOG_ERROR, "%s", err.text);
        try_broker_later(service);
    }
}

static void on_broker_ended(void *context, const struct ix_error *reason)
{
    struct ix_service *service = context;
    ix_log(IX_LOG_ERROR, "%s; it is started again", reason->text);
    if (!service->stopping)
        try_broker_later(service);
}

/* ---- begin ---- */

static void copy_config(struct ix_service *service, const struct ix_service_config *config)
{
    service->config = *config;
    service->broker_wish = config->broker ? ix_strdup(config->broker) : NULL;
    service->bind = config->bind ? ix_strdup(config->bind) : NULL;
    service->data_dir = config->data_dir ? ix_strdup(config->data_dir) : NULL;
    service->folders = ix_calloc(config->model_path_count + 1, sizeof(char *));
    for (size_t i = 0; i < config->model_path_count; i++)
        service->folders[service->folder_count++] = ix_strdup(config->model_path[i]);
}

static int open_all(struct ix_service *service, struct ix_error *err)
{
    struct ix_script_config script = {
        .role = IX_ROLE_CONTROLLER, .loop = service->loop, .seed = 1, .run_start_ns = service->start_ns};
    int code = ix_source_choice_init(&service->sources, service->bind, err);
    if (code == 0)
        code = ix_script_new(&script, &service->script, err);
    if (code < 0)
        return code;
    ix_service_read_folders(service, true);
    code = ix_service_open_store(service, err);
    if (code < 0)
        return code;
    make_fleet(service);
    struct ix_brokers_config brokers = {
        .loop = service->loop,
        .wish = service->broker_wish,
        .embedded_port = service->config.embedded_port,
        .is_patient = true,
        .ready = on_broker_ready,
        .ended = on_broker_ended,
        .context = service,
    };
    return ix_brokers_start(&service->brokers, &brokers, err);
}

int ix_service_new(const struct ix_service_config *config,
                   void (*ready)(void *context, const struct ix_error *failure), struct ix_service **out,
                   struct ix_error *err)
{
    struct ix_service *service = ix_calloc(1, sizeof *service);
    service->loop = config->loop;
    service->ready = ready;
    service->context_of_ready = config->context;
    service->start_ns = ix_loop_update(config->loop);
    service->revive_pause_ns = service->broker_pause_ns = AGAIN_NS;
    service->revive.fire = on_revive;
    service->broker_again.fire = on_broker_again;
    ix_snapshot_init(&service->now);
    copy_config(service, config);
    ix_raise_descriptor_limit();
    *out = service;
    int code = open_all(service, err);
    if (code < 0) {
        ix_service_free(service);
        *out = NULL;
    }
    return code;
}

bool ix_service_is_ready(const struct ix_service *service)
{
    return service->is_ready && !service->stopping;
}

const char *ix_service_broker(const struct ix_service *service)
{
    return service->brokers.text ? service->brokers.text : "";
}

/* ---- end ---- */

static void on_stopped(void *context)
{
    struct ix_service *service = context;
    if (service->stopped)
        service->stopped(service->stopped_context);
    service->stopped = NULL;
}

static void on_drained(void *context)
{
    struct ix_service *service = context;
    ix_workers_stop(service->workers, STOP_NS, on_stopped, service);
}

void ix_service_stop(struct ix_service *service, uint64_t drain_ns, void (*stopped)(void *context),
                     void *context)
{
    service->stopping = true;
    service->stopped = stopped;
    service->stopped_context = context;
    ix_wheel_cancel(service->loop->wheel, &service->revive);
    ix_wheel_cancel(service->loop->wheel, &service->broker_again);
    ix_fleet_drain(service->fleet, drain_ns, on_drained, service);
}

bool ix_service_free(struct ix_service *service)
{
    if (!service)
        return false;
    service->stopping = true;
    bool looks_up = ix_service_placings_end(service);
    ix_service_watch_end(service);
    ix_service_stats_end(service);
    ix_wheel_cancel(service->loop->wheel, &service->revive);
    ix_wheel_cancel(service->loop->wheel, &service->broker_again);
    ix_loop_run_deferred(service->loop);
    ix_store_close(service->store); /* writes what is unwritten, and says so to those who wait */
    service->store = NULL;
    ix_loop_run_deferred(service->loop);
    ix_service_waits_free(service);
    ix_service_feed_end(service);
    ix_fleet_free(service->fleet);
    ix_workers_free(service->workers);
    ix_brokers_deinit(&service->brokers);
    ix_script_free(service->script);
    ix_service_groups_free(service);
    ix_service_models_free(service);
    ix_source_choice_deinit(&service->sources);
    ix_snapshot_deinit(&service->now);
    json_decref(service->stats);
    free(service->past);
    ix_advice_deinit(&service->advice);
    for (size_t i = 0; i < service->folder_count; i++)
        free(service->folders[i]);
    free(service->folders);
    free(service->broker_wish);
    free(service->bind);
    free(service->data_dir);
    free(service->allowed_env);
    free(service);
    return looks_up;
}

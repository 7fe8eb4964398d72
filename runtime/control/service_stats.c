/* Figures of the service, made once a second. */
#include "control/service_internal.h"

#include "base/log.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ADVICE_HOLDS_S 120 /* devices back off for less: what did not happen again meanwhile is over */

/* Errors of connections and messages, for the rate. */
static const enum ix_counter errors[] = {
    IX_C_LOST,         IX_C_REFUSED, IX_C_CONNECT_FAILED, IX_C_CONNECTION_LOST, IX_C_NEVER_SENT_ERROR,
    IX_C_SCRIPT_ERRORS};

/* Resident memory of a process in bytes. */
static uint64_t memory_of(int pid)
{
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "re");
    unsigned long long pages = 0, shared = 0;
    if (f && fgets(text, sizeof text, f) && sscanf(text, "%*u %llu %llu", &pages, &shared) != 2)
        pages = shared = 0;
    if (f)
        fclose(f);
    return (uint64_t)(pages > shared ? pages - shared : 0) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void note_memory(struct ix_service *service)
{
    uint64_t sum = memory_of((int)getpid());
    for (uint32_t i = 0; i < ix_workers_count(service->workers); i++) {
        int pid = ix_workers_pid(service->workers, i);
        sum += pid ? memory_of(pid) : 0;
    }
    service->memory = sum;
}

static double share(uint64_t busy_ns, uint64_t *before, double seconds)
{
    double used = busy_ns >= *before ? (double)(busy_ns - *before) / 1e9 : 0; /* less: a new process began */
    *before = busy_ns;
    return seconds > 0 && used < seconds ? used / seconds : seconds > 0 ? 1 : 0;
}

static void note_load(struct ix_service *service)
{
    double seconds = (double)(service->now.at_ns - service->busy_at_ns) / 1e9, most = 0;
    for (size_t i = 0; i < service->now.worker_count; i++) {
        const struct ix_worker_totals *w = &service->now.workers[i];
        double load = share(w->busy_ns, &service->busy_ns[w->worker % IX_WORKERS_MAX], seconds);
        most = load > most ? load : most;
    }
    service->own_loop_busy = share(ix_loop_busy_ns(service->loop), &service->own_busy_ns, seconds);
    service->loop_busy = most;
    service->busy_at_ns = service->now.at_ns;
}

static void note_figures(struct ix_service *service)
{
    const struct ix_totals *all = &service->now.all;
    service->figure_at = (service->figure_at + 1) % FIGURES;
    if (service->figure_count < FIGURES)
        service->figure_count++;
    struct figures *f = &service->figures[service->figure_at];
    *f = (struct figures){.at_ns = service->now.at_ns,
                          .sent = all->counters[IX_C_SENT],
                          .received = all->counters[IX_C_RECEIVED],
                          .bytes_sent = all->counters[IX_C_BYTES_SENT],
                          .connects = all->counters[IX_C_CONNECTED],
                          .latency = all->trends[IX_T_RESPONSE],
                          .lateness = all->trends[IX_T_LATENESS]};
    for (size_t i = 0; i < IX_ARRAY_LEN(errors); i++)
        f->errors += all->counters[errors[i]];
}

/* The latest figures but n; NULL: there are not so many. */
static const struct figures *before(const struct ix_service *service, size_t n)
{
    return n < service->figure_count ? &service->figures[(service->figure_at + FIGURES - n) % FIGURES] : NULL;
}

static double rate(uint64_t now, uint64_t then, double seconds)
{
    return now > then && seconds > 0 ? (double)(now - then) / seconds : 0;
}

static json_t *rates_of(const struct ix_service *service)
{
    const struct figures *now = before(service, 0), *then = before(service, 1);
    if (!then)
        then = now;
    double s = (double)(now->at_ns - then->at_ns) / 1e9;
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "messagesSent", rate(now->sent, then->sent, s),
                     "messagesReceived", rate(now->received, then->received, s), "bytesSent",
                     rate(now->bytes_sent, then->bytes_sent, s), "connects",
                     rate(now->connects, then->connects, s), "errors", rate(now->errors, then->errors, s));
}

/* What came since `then`, in ms. The maximum is that of the highest bucket: a histogram forgets when it was. */
static json_t *times_since(const struct ix_histogram *now, const struct ix_histogram *then)
{
    struct ix_histogram *h = ix_malloc(sizeof *h);
    ix_histogram_diff(h, now, then);
    json_t *times = h->count == 0 ? json_null()
                                  : json_pack("{s:f, s:f, s:f, s:f, s:I}", "p50",
                                              (double)ix_histogram_quantile(h, 0.5) / 1e6, "p95",
                                              (double)ix_histogram_quantile(h, 0.95) / 1e6, "p99",
                                              (double)ix_histogram_quantile(h, 0.99) / 1e6, "max",
                                              (double)h->max / 1e6, "count", (json_int_t)h->count);
    free(h);
    return times;
}

static uint64_t device_count(const struct ix_service *service)
{
    uint64_t devices = 0;
    for (const struct service_group *g = service->groups; g; g = g->next)
        devices += g->leaving ? 0 : ix_service_alive(g);
    return devices;
}

/* States of all devices, those that no worker has included. */
static json_t *states_of(struct ix_service *service, int64_t *running, int64_t *connected)
{
    int64_t sums[IX_D_STATUS_COUNT] = {0};
    struct ix_totals now;
    *connected = 0;
    for (const struct service_group *g = service->groups; g; g = g->next) {
        if (g->leaving)
            continue;
        ix_service_group_counts(service, g, &now);
        for (int s = 0; s < IX_D_STATUS_COUNT; s++)
            sums[s] += now.by_status[s];
        *connected += now.connected;
    }
    json_t *states = json_object();
    for (int s = 0; s < IX_D_STATUS_COUNT; s++)
        json_object_set_new(states, ix_status_names[s], json_integer(sums[s]));
    *running = sums[IX_D_RUNNING];
    return states;
}

static double uptime(const struct ix_service *service)
{
    return (double)(ix_clock_now(&service->loop->clock) - service->start_ns) / 1e9;
}

static void make_stats(struct ix_service *service)
{
    const struct ix_totals *all = &service->now.all;
    const struct figures *now = before(service, 0), *then = before(service, service->figure_count - 1);
    int64_t running, connected;
    json_t *states = states_of(service, &running, &connected);
    json_decref(service->stats);
    service->stats = json_pack(
        "{s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:o}", "deviceCount",
        (json_int_t)device_count(service), "runningDeviceCount", (json_int_t)running, "groupCount",
        (json_int_t)service->group_count, "modelCount", (json_int_t)service->model_count, "uptimeSeconds",
        uptime(service), "messagesSent", (json_int_t)all->counters[IX_C_SENT], "messagesReceived",
        (json_int_t)all->counters[IX_C_RECEIVED], "bytesSent", (json_int_t)all->counters[IX_C_BYTES_SENT],
        "bytesReceived", (json_int_t)all->counters[IX_C_BYTES_RECEIVED], "byStatus", states, "connected",
        (json_int_t)connected, "rates", rates_of(service), "latencyMs",
        times_since(&now->latency, &then->latency), "latenessMs",
        times_since(&now->lateness, &then->lateness));
    json_t *own =
        json_pack("{s:I, s:I, s:f, s:f, s:I, s:s}", "workers", (json_int_t)ix_workers_count(service->workers),
                  "workerRestarts", (json_int_t)ix_workers_restarts(service->workers), "loopBusy",
                  service->loop_busy, "ownLoopBusy", service->own_loop_busy, "memoryBytes",
                  (json_int_t)service->memory, "broker", ix_service_broker(service));
    json_object_set_new(own, "advice", ix_service_advice(service));
    json_object_update(service->stats, own);
    json_decref(own);
}

json_t *ix_service_advice(const struct ix_service *service)
{
    struct ix_shortage shortages[IX_SHORT_COUNT];
    json_t *lines = json_array();
    size_t count = service->fleet ? ix_fleet_shortages(service->fleet, shortages) : 0;
    for (size_t i = 0; i < count; i++) {
        char *line = ix_asprintf("%s; to lift it: %s", shortages[i].text, shortages[i].cure);
        json_array_append_new(lines, json_string(line));
        free(line);
    }
    ix_shortages_free(shortages, count);
    for (int kind = 0; kind < IX_ADVICE_COUNT; kind++)
        if (service->advice.lines[kind])
            json_array_append_new(lines, json_string(service->advice.lines[kind]));
    return lines;
}

static void advise(struct ix_service *service)
{
    service->advice.embedded = service->brokers.is_embedded;
    service->advice.forget_after = ADVICE_HOLDS_S;
    ix_advice_look(&service->advice, &service->now.all, service->brokers.targets,
                   service->brokers.target_count, NULL);
}

static void take(struct ix_service *service)
{
    ix_fleet_snapshot(service->fleet, &service->now);
}

static void on_tick(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_service *service = (struct ix_service *)((char *)entry - offsetof(struct ix_service, tick));
    take(service);
    note_load(service);
    note_memory(service);
    note_figures(service);
    advise(service);
    make_stats(service);
    ix_service_history_note(service);
    ix_log_flush(now_ns);
    ix_service_tell(service, "stats", service->stats);
    ix_wheel_add(service->loop->wheel, &service->tick, now_ns + IX_S);
}

void ix_service_stats_begin(struct ix_service *service)
{
    service->tick.fire = on_tick;
    on_tick(&service->tick, ix_loop_update(service->loop));
}

void ix_service_stats_end(struct ix_service *service)
{
    ix_wheel_cancel(service->loop->wheel, &service->tick);
}

/* Counts of models, groups and devices are those of now: whoever just made a group looks for it here. */
json_t *ix_service_stats(struct ix_service *service)
{
    json_t *stats = service->stats ? json_copy(service->stats) : json_object();
    int64_t running, connected;
    json_object_set_new(stats, "byStatus", states_of(service, &running, &connected));
    json_object_set_new(stats, "runningDeviceCount", json_integer(running));
    json_object_set_new(stats, "connected", json_integer(connected));
    json_object_set_new(stats, "deviceCount", json_integer((json_int_t)device_count(service)));
    json_object_set_new(stats, "groupCount", json_integer((json_int_t)service->group_count));
    json_object_set_new(stats, "modelCount", json_integer((json_int_t)service->model_count));
    json_object_set_new(stats, "uptimeSeconds", json_real(uptime(service)));
    return stats;
}

json_t *ix_service_health(struct ix_service *service)
{
    int64_t running, connected;
    json_decref(states_of(service, &running, &connected));
    return json_pack("{s:s, s:s, s:f, s:I, s:I}", "status", "healthy", "version", IX_VERSION, "uptimeSeconds",
                     uptime(service), "deviceCount", (json_int_t)device_count(service), "runningDeviceCount",
                     (json_int_t)running);
}

const struct ix_snapshot *ix_service_snapshot(struct ix_service *service)
{
    if (service->fleet && ix_clock_now(&service->loop->clock) - service->now.at_ns > 200 * IX_MS)
        take(service);
    return &service->now;
}

void ix_service_facts(struct ix_service *service, struct ix_service_facts *facts)
{
    *facts = (struct ix_service_facts){
        .uptime_s = uptime(service),
        .models = service->model_count,
        .groups = service->group_count,
        .devices = device_count(service),
        .worker_restarts = service->workers ? ix_workers_restarts(service->workers) : 0,
        .feed_dropped = service->feed_dropped,
        .memory_bytes = service->memory,
        .loop_busy = service->loop_busy,
        .own_loop_busy = service->own_loop_busy,
    };
    if (service->store)
        ix_store_figures(service->store, &facts->store_commits, &facts->store_seconds);
}

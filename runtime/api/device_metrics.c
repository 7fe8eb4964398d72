/* GET /metrics of the device engine. Labels are bounded: the largest groups by name and the rest as one, reasons by the
 * segment's limit, operations by the table. */
#include "api/device_internal.h"

#include "metrics/prometheus.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define GROUPS_MAX  100 /* by name; the rest is added up as "(other)" */
#define TEXT_MAX    (16u << 20)
#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- the fleet ---- */

/* bytes.sent is iotix_sent_bytes_total: the unit stands at the end. */
static void put_counter_name(struct ix_buf *name, const char *metric)
{
    ix_buf_clear(name);
    if (strncmp(metric, "bytes.", 6) == 0)
        ix_prometheus_name(name, metric + 6, "_bytes_total");
    else
        ix_prometheus_name(name, metric, "_total");
}

static const char *doc_of(const char *metric)
{
    const struct ix_metric_doc *doc = ix_metric_find(metric);
    return doc ? doc->doc : metric;
}

static void put_totals(struct ix_buf *out, const struct ix_totals *all)
{
    struct ix_buf name;
    ix_buf_init(&name, 256);
    for (int i = 0; i < IX_C_COUNT; i++) {
        put_counter_name(&name, ix_counter_names[i]);
        ix_prometheus_single(out, ix_buf_cstr(&name), "counter", doc_of(ix_counter_names[i]),
                             (double)all->counters[i]);
    }
    for (int i = 0; i < IX_T_COUNT; i++) {
        ix_buf_clear(&name);
        ix_prometheus_name(&name, ix_trend_names[i], "_seconds");
        ix_prometheus_family(out, ix_buf_cstr(&name), "histogram", doc_of(ix_trend_names[i]));
        ix_prometheus_histogram(out, ix_buf_cstr(&name), NULL, &all->trends[i]);
    }
    ix_buf_deinit(&name);
    ix_prometheus_family(out, "iotix_connection_faults_total", "counter",
                         "refused, failed and lost connections by reason");
    for (int i = 0; i < IX_SEGMENT_REASONS && all->reasons[i].text[0]; i++)
        ix_prometheus_sample(out, "iotix_connection_faults_total", LABELS("reason", all->reasons[i].text),
                             (double)all->reasons[i].count);
}

struct group_sums {
    const char *name;
    double count, connected, by_status[IX_D_STATUS_COUNT], counters[IX_C_COUNT];
};

static void add_group(struct group_sums *sums, const struct ix_totals *group)
{
    sums->count += (double)group->count;
    sums->connected += (double)group->connected;
    for (int i = 0; i < IX_D_STATUS_COUNT; i++)
        sums->by_status[i] += (double)group->by_status[i];
    for (int i = 0; i < IX_C_COUNT; i++)
        sums->counters[i] += (double)group->counters[i];
}

static int by_size(const void *a, const void *b)
{
    const struct ix_totals *x = *(const struct ix_totals *const *)a, *y = *(const struct ix_totals *const *)b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return strcmp(x->group, y->group);
}

/* What single devices share, and what is left of removed groups, is no group that anybody made. */
static bool is_hidden(const struct ix_totals *group)
{
    return group->group[0] == '~';
}

/* The groups to name; *count of them, at most GROUPS_MAX + 2. */
static struct group_sums *sum_groups(const struct ix_snapshot *snapshot, size_t *count)
{
    const struct ix_totals **order = ix_calloc(snapshot->group_count + 1, sizeof(*order));
    struct group_sums *sums = ix_calloc(GROUPS_MAX + 2, sizeof(*sums)), hidden = {.name = "(single)"};
    size_t shown = 0;
    for (size_t i = 0; i < snapshot->group_count; i++) {
        if (!is_hidden(&snapshot->groups[i]))
            order[shown++] = &snapshot->groups[i];
        else if (strcmp(snapshot->groups[i].group, "~removed") != 0)
            add_group(&hidden, &snapshot->groups[i]);
    }
    qsort(order, shown, sizeof(*order), by_size);
    for (size_t i = 0; i < shown; i++) {
        size_t place = i < GROUPS_MAX ? i : GROUPS_MAX;
        sums[place].name = i < GROUPS_MAX ? order[i]->group : "(other)";
        add_group(&sums[place], order[i]);
    }
    *count = shown <= GROUPS_MAX ? shown : GROUPS_MAX + 1;
    if (hidden.count > 0)
        sums[(*count)++] = hidden;
    free(order);
    return sums;
}

static void put_group_counter(struct ix_buf *out, const struct group_sums *sums, size_t count,
                              enum ix_counter which, const char *name)
{
    ix_prometheus_family(out, name, "counter", doc_of(ix_counter_names[which]));
    for (size_t i = 0; i < count; i++)
        ix_prometheus_sample(out, name, LABELS("group", sums[i].name), sums[i].counters[which]);
}

static void put_devices(struct ix_buf *out, const struct group_sums *sums, size_t count, uint64_t devices)
{
    double seen = 0;
    ix_prometheus_family(out, "iotix_devices", "gauge", "devices by group and status");
    for (size_t i = 0; i < count; i++) {
        seen += sums[i].count;
        for (int k = 0; k < IX_D_STATUS_COUNT; k++)
            ix_prometheus_sample(out, "iotix_devices",
                                 LABELS("group", sums[i].name, "status", ix_status_names[k]),
                                 sums[i].by_status[k]);
    }
    if ((double)devices > seen) /* groups that nobody ever started are not in the snapshot */
        ix_prometheus_sample(out, "iotix_devices", LABELS("group", "(never started)", "status", "created"),
                             (double)devices - seen);
}

static void put_groups(struct ix_buf *out, const struct ix_snapshot *snapshot, uint64_t devices)
{
    size_t count;
    struct group_sums *sums = sum_groups(snapshot, &count);
    put_devices(out, sums, count, devices);
    ix_prometheus_family(out, "iotix_devices_connected", "gauge",
                         "devices with an accepted connection, by group");
    for (size_t i = 0; i < count; i++)
        ix_prometheus_sample(out, "iotix_devices_connected", LABELS("group", sums[i].name),
                             sums[i].connected);
    put_group_counter(out, sums, count, IX_C_SENT, "iotix_group_messages_sent_total");
    put_group_counter(out, sums, count, IX_C_RECEIVED, "iotix_group_messages_received_total");
    put_group_counter(out, sums, count, IX_C_LOST, "iotix_group_messages_lost_total");
    put_group_counter(out, sums, count, IX_C_BYTES_SENT, "iotix_group_sent_bytes_total");
    put_group_counter(out, sums, count, IX_C_CONNECTED, "iotix_group_connect_accepted_total");
    put_group_counter(out, sums, count, IX_C_REFUSED, "iotix_group_connect_refused_total");
    put_group_counter(out, sums, count, IX_C_CONNECTION_LOST, "iotix_group_connection_lost_total");
    free(sums);
}

/* ---- processes ---- */

static void put_worker(struct ix_buf *out, const struct ix_snapshot *snapshot, const char *name,
                       const char *type, const char *help, double (*value)(const struct ix_worker_totals *))
{
    char label[16];
    ix_prometheus_family(out, name, type, help);
    for (size_t i = 0; i < snapshot->worker_count; i++) {
        snprintf(label, sizeof(label), "%u", snapshot->workers[i].worker);
        ix_prometheus_sample(out, name, LABELS("worker", label), value(&snapshot->workers[i]));
    }
}

static double busy_of(const struct ix_worker_totals *w)
{
    return (double)w->busy_ns / 1e9;
}

static double cpu_of(const struct ix_worker_totals *w)
{
    return (double)w->cpu_ns / 1e9;
}

static double devices_of(const struct ix_worker_totals *w)
{
    return (double)w->devices;
}

static double lua_of(const struct ix_worker_totals *w)
{
    return (double)w->lua_bytes;
}

static double restarts_of(const struct ix_worker_totals *w)
{
    return w->epoch > 0 ? w->epoch - 1.0 : 0;
}

static void put_workers(struct ix_buf *out, const struct ix_snapshot *snapshot)
{
    put_worker(out, snapshot, "iotix_worker_busy_seconds_total", "counter",
               "time that a worker's loop spent working, not waiting", busy_of);
    put_worker(out, snapshot, "iotix_worker_cpu_seconds_total", "counter", "user and system time of a worker",
               cpu_of);
    put_worker(out, snapshot, "iotix_worker_devices", "gauge", "devices that live on a worker", devices_of);
    put_worker(out, snapshot, "iotix_worker_lua_bytes", "gauge", "memory of a worker's Lua state", lua_of);
    put_worker(out, snapshot, "iotix_worker_restarts_total", "counter",
               "times that a worker had to be started anew", restarts_of);
}

static void put_service(struct ix_buf *out, const struct ix_service_facts *facts)
{
    ix_prometheus_family(out, "iotix_build_info", "gauge", "always 1; says which version runs");
    ix_prometheus_sample(out, "iotix_build_info", LABELS("version", IX_VERSION), 1);
    ix_prometheus_single(out, "iotix_uptime_seconds", "gauge", "time since the service began",
                         facts->uptime_s);
    ix_prometheus_single(out, "iotix_models", "gauge", "device models", (double)facts->models);
    ix_prometheus_single(out, "iotix_groups", "gauge", "groups", (double)facts->groups);
    ix_prometheus_single(out, "iotix_loop_busy_ratio", "gauge",
                         "0 to 1: the busiest worker over the last second", facts->loop_busy);
    ix_prometheus_single(out, "iotix_controller_busy_ratio", "gauge",
                         "0 to 1: the serving process over the last second", facts->own_loop_busy);
    ix_prometheus_single(out, "iotix_memory_bytes", "gauge", "resident memory of the service and its workers",
                         (double)facts->memory_bytes);
    ix_prometheus_single(out, "iotix_store_commits_total", "counter", "writes of the store that are on disk",
                         (double)facts->store_commits);
    ix_prometheus_single(out, "iotix_store_commit_seconds_total", "counter", "time that these writes took",
                         facts->store_seconds);
    ix_prometheus_single(out, "iotix_events_dropped_total", "counter", "events that listeners did not get",
                         (double)facts->feed_dropped);
}

static void put_process(struct ix_buf *out, double uptime_s)
{
    struct rusage usage;
    struct timespec now;
    getrusage(RUSAGE_SELF, &usage);
    clock_gettime(CLOCK_REALTIME, &now);
    ix_prometheus_single(out, "process_cpu_seconds_total", "counter",
                         "user and system time of the serving process",
                         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    ix_prometheus_single(out, "process_start_time_seconds", "gauge", "when the service began, since 1970",
                         (double)now.tv_sec - uptime_s);
}

/* ---- requests ---- */

static void put_requests(struct ix_buf *out, const struct ix_device_api *api)
{
    static const char *const classes[IX_ROUTER_CLASSES] = {"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"};
    size_t count;
    const struct ix_operation *operations = ix_device_operations(&count);
    ix_prometheus_family(out, "iotix_http_requests_total", "counter",
                         "requests by operation and class of status");
    for (size_t i = 0; i <= count; i++) {
        const struct ix_operation_counts *counts = ix_router_counts(api->router, i);
        for (int k = 0; k < IX_ROUTER_CLASSES; k++)
            if (counts->by_class[k] > 0)
                ix_prometheus_sample(
                    out, "iotix_http_requests_total",
                    LABELS("operation", i < count ? operations[i].id : "other", "status", classes[k]),
                    (double)counts->by_class[k]);
    }
    ix_prometheus_family(out, "iotix_http_request_duration_seconds", "histogram",
                         "from a request's first line to the end of its answer, streams included");
    for (size_t i = 0; i <= count; i++) {
        const struct ix_operation_counts *counts = ix_router_counts(api->router, i);
        uint64_t asked = 0;
        for (int k = 0; k < IX_ROUTER_CLASSES; k++)
            asked += counts->by_class[k];
        if (asked > 0)
            ix_prometheus_buckets(out, "iotix_http_request_duration_seconds",
                                  LABELS("operation", i < count ? operations[i].id : "other"),
                                  ix_router_bounds_s, counts->buckets, IX_ROUTER_BUCKETS, counts->sum_s);
    }
    struct ix_server_facts facts = ix_server_facts(api->server);
    ix_prometheus_single(out, "iotix_http_connections", "gauge", "clients that are connected",
                         facts.connections);
    ix_prometheus_single(out, "iotix_http_connections_accepted_total", "counter", "clients that connected",
                         (double)facts.accepted);
    ix_prometheus_single(out, "iotix_http_connections_cut_total", "counter",
                         "clients that were cut off as too slow", (double)facts.cut_off);
    ix_prometheus_single(out, "iotix_http_streams", "gauge", "clients that listen to events", facts.streams);
}

char *ix_metrics_text(struct ix_device_api *api, size_t *len)
{
    const struct ix_snapshot *snapshot = ix_service_snapshot(api->service);
    struct ix_service_facts facts = {0};
    struct ix_buf out;
    ix_buf_init(&out, TEXT_MAX);
    ix_service_facts(api->service, &facts);
    put_service(&out, &facts);
    if (snapshot) {
        put_totals(&out, &snapshot->all);
        put_groups(&out, snapshot, facts.devices);
        put_workers(&out, snapshot);
    }
    put_process(&out, facts.uptime_s);
    put_requests(&out, api);
    *len = out.len;
    return out.data;
}

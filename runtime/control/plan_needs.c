/* From what a dry run did to what the run will need. */
#include "control/plan_internal.h"

#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The scaling table: up to how many devices which launch suits. */
static const struct {
    uint64_t devices;
    const char *strategy;
    unsigned batch_size, delay_ms;
} scaling[] = {
    {100, "immediate", 0, 0},     {1000, "linear", 0, 10},           {10000, "batch", 100, 500},
    {100000, "batch", 500, 1000}, {UINT64_MAX, "batch", 1000, 2000},
};

/* CPU of a message and of a connection, µs, by quality of service: iotix itself; a broker takes about as much again
 * (tests/bench/README.md). */
static const double message_us[] = {6, 13, 28};

static void recommend(struct plan_group *g)
{
    size_t row = 0;
    while (g->count > scaling[row].devices)
        row++;
    uint64_t last = g->count ? g->count - 1 : 0;
    g->strategy = scaling[row].strategy;
    g->batch_size = scaling[row].batch_size;
    g->delay_ms = scaling[row].delay_ms;
    g->seconds = (double)(g->batch_size ? last / g->batch_size : last) * g->delay_ms / 1000;
}

/* ---- ports ---- */

struct pair {
    const char *source; /* "" the kernel's choice */
    const struct ix_target *target;
    uint64_t connections, sources;
};

/* Index 0 goes to the first broker from the first address: no pair of a group has more. */
static void add_pair(struct pair *pairs, size_t *count, const struct group *g)
{
    const struct ix_group_spec *spec = &g->spec.spec;
    uint64_t sources = spec->sources.count ? spec->sources.count : 1, ways = sources * spec->target_count;
    uint64_t connections = (g->count + ways - 1) / ways;
    const char *source = spec->sources.count ? spec->sources.items[0].address : "";
    const struct ix_target *target = &spec->targets[0];
    for (size_t i = 0; i < *count; i++) {
        struct pair *p = &pairs[i];
        if (strcmp(p->source, source) == 0 && p->target->port == target->port &&
            strcmp(p->target->address, target->address) == 0) {
            p->connections += connections;
            return;
        }
    }
    pairs[(*count)++] = (struct pair){source, target, connections, sources};
}

static void sum_ports(const struct ix_fleet *fleet, struct ix_demand *d)
{
    struct pair *pairs = ix_calloc(fleet->group_count + 1, sizeof *pairs);
    size_t count = 0, most = 0;
    for (const struct group *g = fleet->groups; g; g = g->next)
        if (g->placed || g->assumed)
            add_pair(pairs, &count, g);
    for (size_t i = 1; i < count; i++)
        if (pairs[i].connections > pairs[most].connections)
            most = i;
    if (count) {
        const struct pair *p = &pairs[most];
        d->port_connections = p->connections;
        d->sources = p->sources;
        d->loopback = ix_source_is_loopback(p->target->address);
        d->broker_port = p->target->port;
        snprintf(d->broker, sizeof d->broker, "%s", p->target->server_name);
    }
    free(pairs);
}

/* ---- groups ---- */

struct rates {
    double messages, bytes; /* per second, of groups that were not followed */
    double cpu;             /* cores while publishing at the peak */
};

/* Of a group that was too large to be followed: every stream at its interval; lengths as of a short message. */
static void rates_of_model(const struct ix_model *model, uint64_t count, struct rates *rates)
{
    for (size_t i = 0; i < model->attribute_count; i++)
        if (model->attributes[i].interval_ns)
            rates->messages += (double)count * 1e9 / (double)model->attributes[i].interval_ns;
}

static void sum_group(const struct ix_run *run, struct ix_plan *plan, const struct group *g, size_t place,
                      struct rates *rates)
{
    struct plan_group *p = &plan->groups[plan->group_count++];
    *p = (struct plan_group){.id = g->id, .model = g->model_id, .count = g->count, .assumed = g->assumed};
    p->connected_after = place < plan->connected_count && !isnan(plan->connected_after[place])
                             ? plan->connected_after[place]
                             : -1;
    recommend(p);
    if (!g->placed && !g->assumed)
        return;
    struct ix_demand *d = &plan->demand;
    d->devices += g->count;
    d->broker_end += g->broker_is_here ? g->count : 0;
    d->memory_iotix += g->count * g->device_memory.iotix;
    d->memory_kernel += g->count * g->device_memory.kernel;
    d->memory_broker += g->count * g->device_memory.broker;
    struct ix_faults faults;
    ix_faults_init(&faults);
    struct ix_model_options options = {.folder = g->spec.spec.model_folder,
                                       .allowed_env = run->config.allowed_env,
                                       .allowed_env_count = run->config.allowed_env_count,
                                       .lenient = true};
    struct ix_model *model =
        ix_model_parse(g->spec.spec.model, strlen(g->spec.spec.model), &options, &faults);
    if (model) {
        const struct ix_totals *t =
            place < run->result.final.group_count ? &run->result.final.groups[place] : NULL;
        double each = message_us[model->connection.qos % 3] * (g->broker_is_here ? 2 : 1);
        double sent = t && run->result.seconds > 0 ? (double)t->counters[IX_C_SENT] / run->result.seconds : 0;
        if (g->assumed) {
            struct rates own = {0};
            rates_of_model(model, g->count, &own);
            rates->messages += own.messages;
            sent = own.messages;
        }
        rates->cpu += sent * each / 1e6;
        ix_model_free(model);
    }
    ix_faults_deinit(&faults);
}

/* ---- sums ---- */

static void sum_files(const struct ix_run *run, struct ix_plan *plan)
{
    uint64_t fullest = 0;
    for (uint32_t i = 0; i < ix_workers_count(run->workers); i++) {
        if (ix_workers_role(run->workers, i) != IX_WORKER_DEVICES) {
            plan->observers++;
            continue;
        }
        fullest = run->fleet->placed[i] > fullest ? run->fleet->placed[i] : fullest;
        plan->workers++;
    }
    uint64_t wanted = ix_limits_workers(&plan->host, plan->demand.devices, plan->demand.workers);
    uint64_t capacity = ix_workers_capacity();
    if (!wanted) /* more than descriptors allow: as many as it would take */
        wanted = capacity ? (plan->demand.devices + capacity - 1) / capacity : 0;
    if (plan->workers < wanted && plan->demand.devices)
        plan->workers = wanted;
    if (plan->workers && fullest * plan->workers < plan->demand.devices)
        fullest = (plan->demand.devices + plan->workers - 1) / plan->workers;
    plan->files_worker = fullest + IX_FILES_OF_WORKER;
    plan->files_controller = 2 * (plan->workers + plan->observers) + IX_FILES_OF_CONTROLLER;
    plan->files_all = plan->demand.devices + plan->demand.broker_end +
                      (plan->workers + plan->observers) * IX_FILES_OF_WORKER + plan->files_controller;
}

static void sum_rates(const struct ix_run *run, struct ix_plan *plan, const struct rates *assumed)
{
    const struct ix_result *r = &run->result;
    const struct ix_totals *all = &r->final.all;
    double seconds = r->seconds > 0 ? r->seconds : 1;
    plan->seconds = r->seconds;
    plan->messages = all->counters[IX_C_SENT];
    plan->bytes = all->counters[IX_C_BYTES_SENT];
    plan->dropped = all->counters[IX_C_DROPPED];
    plan->messages_average = (double)plan->messages / seconds + assumed->messages;
    plan->bytes_average = (double)plan->bytes / seconds + assumed->bytes;
    plan->messages_peak = fmax(plan->peak_messages + assumed->messages, plan->messages_average);
    plan->bytes_peak = fmax(plan->peak_bytes + assumed->bytes, plan->bytes_average);
    plan->connects_peak = r->series.peak_connects_per_s;
    for (size_t i = 0; i < r->series.count; i++)
        if (r->series.points[i].connects)
            plan->connect_seconds += r->series.points[i].seconds;
    plan->connects_average =
        (double)all->counters[IX_C_CONNECTED] / (plan->connect_seconds > 0 ? plan->connect_seconds : seconds);
    plan->connects_peak = fmax(plan->connects_peak, plan->connects_average);
}

void ix_plan_sum_up(struct ix_run *run, struct ix_plan *plan)
{
    struct rates rates = {0};
    size_t place = 0;
    struct ix_demand *d = &plan->demand;
    ix_limits_read(&plan->host);
    plan->groups = ix_calloc(run->fleet->group_count + 1, sizeof *plan->groups);
    for (const struct group *g = run->fleet->groups; g; g = g->next)
        sum_group(run, plan, g, place++, &rates);
    d->workers = run->fleet->config.base_workers;
    d->embedded = run->brokers.is_embedded;
    bool followed = true;
    for (size_t i = 0; i < plan->group_count; i++)
        followed = followed && !plan->groups[i].assumed;
    d->clients = followed ? plan->peak_connected : d->devices;
    sum_ports(run->fleet, d);
    sum_files(run, plan);
    sum_rates(run, plan, &rates);
    struct ix_memory_parts processes = ix_memory_of_processes(plan->workers, plan->observers, d->embedded);
    d->memory_iotix += processes.iotix;
    d->memory_broker += processes.broker;
    d->connects_per_s = plan->connects_peak;
    d->cpu_share = plan->cpu_publishing = rates.cpu;
    if (d->devices)
        plan->shortage_count = ix_limits_check(&plan->host, d, plan->shortages);
    for (size_t i = 0; i < plan->group_count; i++)
        if (plan->groups[i].assumed)
            ix_plan_note(plan,
                         "group %s is too large to be followed device by device on this host: its messages "
                         "are those of "
                         "its model, its launch and payload are left out",
                         plan->groups[i].id);
}

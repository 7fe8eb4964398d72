#include "control/limits.h"

#include "base/log.h"
#include "control/memory.h"
#include "control/option_names.h"
#include "control/workers.h"
#include "loop/child.h"
#include "metrics/segment.h"
#include "protocol/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILES_OF_BROKER   24 /* beside its clients' */
#define FILES_STEP        64
#define WIDE_LOW          1024
#define WIDE_PORTS        (65535 - WIDE_LOW + 1)
#define CONNECTS_PER_CORE 10000.0 /* brokers elsewhere; one that shares the cores takes as much again */

const char *const ix_shortage_names[IX_SHORT_COUNT] = {
    [IX_SHORT_FILES] = "descriptors",
    [IX_SHORT_ALL_FILES] = "descriptors of the host",
    [IX_SHORT_PROCESSES] = "processes",
    [IX_SHORT_PORTS] = "ports",
    [IX_SHORT_MEMORY] = "memory",
    [IX_SHORT_BROKER] = "broker",
    [IX_SHORT_PORT_SEARCH] = "port search",
    [IX_SHORT_CONNECTS] = "connects",
    [IX_SHORT_CPU] = "cpu",
};

typedef unsigned long long ull;

/* ---- what there is ---- */

static uint64_t read_number(const char *path, uint64_t missing, uint64_t *third)
{
    ull number = 0, second = 0, last = 0;
    FILE *f = fopen(path, "re");
    int found = f ? fscanf(f, "%llu %llu %llu", &number, &second, &last) : 0;
    if (f)
        fclose(f);
    if (third && found == 3)
        *third = last;
    return found >= 1 ? number : missing;
}

void ix_limits_read(struct ix_limits_of_host *host)
{
    struct rlimit processes;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *host = (struct ix_limits_of_host){.cores = cores > 0 ? (uint32_t)cores : 1,
                                       .is_root = geteuid() == 0,
                                       .files = ix_raise_descriptor_limit(),
                                       .all_files = UINT64_MAX,
                                       .processes = UINT64_MAX,
                                       .memory = ix_memory_available()};
    host->files_most = read_number("/proc/sys/fs/nr_open", host->files, NULL);
    host->all_files_open = read_number("/proc/sys/fs/file-nr", 0, &host->all_files);
    if (getrlimit(RLIMIT_NPROC, &processes) == 0 && processes.rlim_cur != RLIM_INFINITY)
        host->processes = processes.rlim_cur;
    ix_source_port_range(&host->port_low, &host->port_high);
    host->ports = host->port_high - host->port_low + 1;
}

static uint64_t capacity_at(uint64_t files)
{
    uint64_t capacity = ix_workers_capacity_at(files);
    return capacity ? capacity : 1;
}

static uint64_t workers_at(uint64_t files, uint64_t devices, uint32_t at_least)
{
    uint64_t capacity = ix_workers_capacity_at(files);
    uint64_t workers = capacity ? (devices + capacity - 1) / capacity : UINT64_MAX / 4;
    if (workers < at_least)
        workers = at_least;
    return workers <= IX_WORKERS_MAX && 2 * workers + 2 * IX_FILES_OF_CONTROLLER <= files ? workers : 0;
}

uint64_t ix_limits_workers(const struct ix_limits_of_host *host, uint64_t devices, uint32_t at_least)
{
    return workers_at(host->files, devices, at_least);
}

/* ---- shortages ---- */

struct list {
    struct ix_shortage *items;
    size_t count;
};

static struct ix_shortage *add(struct list *list, enum ix_shortage_kind kind, bool hard, const char *format,
                               ...) IX_PRINTF(4, 5);

static struct ix_shortage *add(struct list *list, enum ix_shortage_kind kind, bool hard, const char *format,
                               ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t at = list->count++;
    while (hard && at > 0 && !list->items[at - 1].hard) {
        list->items[at] = list->items[at - 1];
        at--;
    }
    list->items[at] = (struct ix_shortage){.kind = kind, .hard = hard, .text = ix_strdup(text)};
    return &list->items[at];
}

static void check_files(const struct ix_limits_of_host *host, const struct ix_demand *d, struct list *list)
{
    if (workers_at(host->files, d->devices, 1))
        return;
    uint64_t enough = host->files / FILES_STEP * FILES_STEP;
    do
        enough += FILES_STEP;
    while (!workers_at(enough, d->devices, 1) && enough < 1u << 30);
    struct ix_shortage *s =
        add(list, IX_SHORT_FILES, true,
            "%llu devices are too many for a limit of %llu open descriptors a process: a worker holds %llu "
            "devices "
            "then, and the controller two descriptors for each of at most %d workers",
            (ull)d->devices, (ull)host->files, (ull)ix_workers_capacity_at(host->files), IX_WORKERS_MAX);
    if (enough >= 1u << 30) {
        s->cure = ix_asprintf("fewer devices: a run has at most %llu on one host, whatever the limit",
                              (ull)IX_WORKERS_MAX * IX_SEGMENT_ROWS);
        return;
    }
    char *raise = enough > host->files_most ? ix_asprintf("sudo sysctl -w fs.nr_open=%llu && ", (ull)enough)
                                            : ix_strdup("");
    s->cure = ix_asprintf("%ssudo prlimit --pid $$ --nofile=%llu:%llu", raise, (ull)enough, (ull)enough);
    free(raise);
}

static void check_all_files(const struct ix_limits_of_host *host, const struct ix_demand *d, uint64_t workers,
                            struct list *list)
{
    uint64_t needed = d->devices + d->broker_end + workers * IX_FILES_OF_WORKER + IX_FILES_OF_CONTROLLER;
    uint64_t left = host->all_files > host->all_files_open ? host->all_files - host->all_files_open : 0;
    if (host->all_files == UINT64_MAX || needed <= left)
        return;
    struct ix_shortage *s = add(
        list, IX_SHORT_ALL_FILES, !host->is_root,
        "%llu devices need %llu descriptors on this host%s, and %llu of its %llu (fs.file-max) are left",
        (ull)d->devices, (ull)needed, d->broker_end ? ", with both ends of connections to brokers here" : "",
        (ull)left, (ull)host->all_files);
    s->cure =
        ix_asprintf("sudo sysctl -w fs.file-max=%llu", (ull)(host->all_files_open + needed + needed / 10));
}

static void check_processes(const struct ix_limits_of_host *host, uint64_t workers, struct list *list)
{
    if (host->is_root || workers + 2 <= host->processes)
        return;
    struct ix_shortage *s =
        add(list, IX_SHORT_PROCESSES, true,
            "%llu workers and the controller are more processes than the %llu of ulimit -u", (ull)workers,
            (ull)host->processes);
    s->cure =
        ix_asprintf("sudo prlimit --pid $$ --nproc=%llu:%llu", (ull)(workers + 256), (ull)(workers + 256));
}

static char *more_addresses(const struct ix_limits_of_host *host, const struct ix_demand *d)
{
    uint64_t budget = host->ports > 1 ? host->ports / 2 : 1;
    uint64_t addresses = (d->port_connections * (d->sources ? d->sources : 1) + budget - 1) / budget;
    uint64_t last = 1 + addresses; /* the first is 127.0.0.2 */
    if (d->loopback)
        return ix_asprintf("%s 127.0.0.2-127.%llu.%llu.%llu", ix_option_names->bind, (ull)(last >> 16 & 255),
                           (ull)(last >> 8 & 255), (ull)(last & 255));
    return ix_asprintf("%s with %llu addresses of this host, or %s with more addresses of the broker",
                       ix_option_names->bind, (ull)addresses, ix_option_names->broker);
}

static void check_ports(const struct ix_limits_of_host *host, const struct ix_demand *d, struct list *list)
{
    uint64_t connections = d->port_connections;
    bool short_of = connections > host->ports;
    if (connections <= host->ports / 2 || host->ports == 0)
        return;
    struct ix_shortage *s =
        short_of ? add(list, IX_SHORT_PORTS, true,
                       "%llu connections from one address to broker %s:%u need as many source ports, and an "
                       "address has "
                       "%u (net.ipv4.ip_local_port_range)",
                       (ull)connections, d->broker, d->broker_port, host->ports)
                 : add(list, IX_SHORT_PORT_SEARCH, false,
                       "%llu connections from one address to broker %s:%u take more than half of its %u "
                       "source ports: "
                       "from there on the kernel searches long for a free one, and connecting becomes slow",
                       (ull)connections, d->broker, d->broker_port, host->ports);
    if (connections > WIDE_PORTS / 2 ||
        host->ports >= WIDE_PORTS) /* a wider range would not do, or be slow again */
        s->cure = more_addresses(host, d);
    else if (d->loopback)
        s->cure = ix_asprintf("sudo sysctl -w net.ipv4.ip_local_reserved_ports=%u "
                              "net.ipv4.ip_local_port_range=\"%d 65535\"",
                              d->broker_port, WIDE_LOW);
    else
        s->cure = ix_asprintf("sudo sysctl -w net.ipv4.ip_local_port_range=\"%d 65535\"", WIDE_LOW);
}

static void check_memory(const struct ix_limits_of_host *host, const struct ix_demand *d, struct list *list)
{
    uint64_t needed = d->memory_iotix + d->memory_kernel + d->memory_broker;
    struct ix_error err;
    if (ix_memory_check(d->devices, needed, host->memory, &err) == 0)
        return;
    struct ix_shortage *s = add(list, IX_SHORT_MEMORY, true, "%s", err.text);
    double fit = (double)host->memory * 0.95 / ((double)needed / (double)d->devices);
    s->cure =
        ix_asprintf("at most %llu devices fit; use fewer devices, or a host with more memory", (ull)fit);
}

static void check_broker(const struct ix_limits_of_host *host, const struct ix_demand *d, struct list *list)
{
    uint64_t clients = d->clients ? d->clients : d->devices;
    uint64_t most = host->files > FILES_OF_BROKER ? host->files - FILES_OF_BROKER : 1;
    if (!d->embedded || clients <= most)
        return;
    struct ix_shortage *s =
        add(list, IX_SHORT_BROKER, true,
            "%llu clients are more than the embedded broker can hold: %llu, by the limit of %llu "
            "open descriptors a process",
            (ull)clients, (ull)most, (ull)host->files);
    s->cure = ix_asprintf("%s,… with %llu brokers, or "
                          "sudo prlimit --pid $$ --nofile=%llu:%llu",
                          ix_option_names->broker_list, (ull)((clients + most - 1) / most),
                          (ull)(clients + 64), (ull)(clients + 64));
}

static void check_pace(const struct ix_limits_of_host *host, const struct ix_demand *d, struct list *list)
{
    double most = host->cores * CONNECTS_PER_CORE / (d->broker_end ? 2 : 1);
    if (d->connects_per_s > most)
        add(list, IX_SHORT_CONNECTS, false,
            "%.0f connects a second at the peak are more than about %.0f that %u cores open%s: they will be "
            "late",
            d->connects_per_s, most, host->cores, d->broker_end ? ", with the broker on the same cores" : "")
            ->cure =
            ix_asprintf("%s%.0f%s", ix_option_names->connect_rate, most, ix_option_names->per_second);
    if (d->cpu_share > host->cores)
        add(list, IX_SHORT_CPU, false,
            "publishing takes about %.1f cores%s, and this host has %u: messages will be late, the run "
            "invalid",
            d->cpu_share, d->broker_end ? ", the broker's share included" : "", host->cores)
            ->cure =
            ix_strdup("fewer devices or longer intervals, a host with more cores, or the broker elsewhere");
}

size_t ix_limits_check(const struct ix_limits_of_host *host, const struct ix_demand *demand,
                       struct ix_shortage out[IX_SHORT_COUNT])
{
    struct list list = {out, 0};
    uint64_t workers = (demand->devices + capacity_at(host->files) - 1) / capacity_at(host->files);
    if (workers < demand->workers)
        workers = demand->workers;
    check_memory(host, demand, &list);
    check_files(host, demand, &list);
    check_all_files(host, demand, workers, &list);
    check_processes(host, workers, &list);
    check_ports(host, demand, &list);
    check_broker(host, demand, &list);
    check_pace(host, demand, &list);
    return list.count;
}

void ix_shortages_free(struct ix_shortage *shortages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(shortages[i].text);
        free(shortages[i].cure);
    }
}

size_t ix_limits_felt(const struct ix_limits_of_host *host, const struct ix_demand *demand,
                      struct ix_shortage out[IX_SHORT_COUNT])
{
    struct ix_shortage all[IX_SHORT_COUNT];
    size_t count = ix_limits_check(host, demand, all), felt = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].kind == IX_SHORT_BROKER || (all[i].kind == IX_SHORT_ALL_FILES && !all[i].hard))
            out[felt++] = all[i];
        else
            ix_shortages_free(&all[i], 1);
    return felt;
}

void ix_limits_warn(const struct ix_limits_of_host *host, const struct ix_demand *demand, unsigned *warned)
{
    struct ix_shortage shortages[IX_SHORT_COUNT];
    size_t count = ix_limits_felt(host, demand, shortages);
    for (size_t i = 0; i < count; i++) {
        const struct ix_shortage *s = &shortages[i];
        if (!(*warned & 1u << s->kind))
            ix_log(IX_LOG_WARN, "%s; to lift it: %s", s->text, s->cure);
        *warned |= 1u << s->kind;
    }
    ix_shortages_free(shortages, count);
}

void ix_limits_warn_of_ports(const struct ix_demand *demand)
{
    struct ix_shortage shortages[IX_SHORT_COUNT];
    struct ix_limits_of_host host;
    struct list list = {shortages, 0};
    ix_limits_read(&host);
    check_ports(&host, demand, &list);
    for (size_t i = 0; i < list.count; i++)
        ix_log(IX_LOG_WARN, "%s; to lift it: %s", shortages[i].text, shortages[i].cure);
    ix_shortages_free(shortages, list.count);
}

int ix_limits_require(const struct ix_limits_of_host *host, const struct ix_demand *demand,
                      struct ix_error *err)
{
    struct ix_shortage shortages[IX_SHORT_COUNT];
    size_t count = ix_limits_check(host, demand, shortages);
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        const struct ix_shortage *s = &shortages[i];
        if (s->hard && s->kind == IX_SHORT_MEMORY)
            code = ix_fail(err, -ENOMEM, "%s; %s", s->text, s->cure);
        else if (s->hard && s->kind <= IX_SHORT_PROCESSES)
            code = ix_fail(err, -EMFILE, "%s; to lift it: %s", s->text, s->cure);
    }
    ix_shortages_free(shortages, count);
    return code;
}

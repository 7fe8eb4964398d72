#include "control/memory.h"

#include <stdio.h>

#define KIB 1024.0
#define GIB (1024.0 * 1024 * 1024)

/* Bytes, measured with 200,000 and more devices of one attribute. */
#define DEVICE        1460  /* in the worker, library included */
#define SOCKET        3850  /* one end of an idle TCP connection, in the kernel */
#define BROKER        750   /* a client in mosquitto */
#define TLS           31000 /* a session with a shared context */
#define OBSERVER      2100000
#define CONTROLLER    4400000 /* Pss of the processes themselves, shared pages divided */
#define WORKER        2800000
#define BROKER_ITSELF 2100000
#define WITH_BEHAVIOR 2000 /* last values, conditions, and what Lua keeps */

struct ix_memory_parts ix_memory_of_device(const struct ix_model *model, bool broker_is_here)
{
    struct ix_memory_parts parts = {.iotix = DEVICE, .kernel = SOCKET};
    if (model->connection.tls)
        parts.iotix += TLS;
    if (model->behavior_count)
        parts.iotix += WITH_BEHAVIOR;
    if (broker_is_here) {
        parts.kernel += SOCKET;
        parts.broker = BROKER;
    }
    return parts;
}

struct ix_memory_parts ix_memory_of_processes(uint64_t workers, uint64_t observers, bool embedded_broker)
{
    return (struct ix_memory_parts){.iotix = CONTROLLER + workers * WORKER + observers * OBSERVER,
                                    .broker = embedded_broker ? BROKER_ITSELF : 0};
}

static bool read_number(const char *path, uint64_t *out)
{
    unsigned long long number;
    FILE *f = fopen(path, "re");
    bool good = f && fscanf(f, "%llu", &number) == 1;
    if (f)
        fclose(f);
    if (good)
        *out = number;
    return good;
}

static uint64_t of_host(void)
{
    char line[256];
    unsigned long long kib;
    uint64_t available = UINT64_MAX;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && available == UINT64_MAX && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            available = kib * 1024;
    if (f)
        fclose(f);
    return available;
}

/* In a container: its limit less what it uses, of either version of control groups. "max" is no number. */
static uint64_t of_control_group(void)
{
    static const char *const files[][2] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
    };
    uint64_t limit, used;
    for (size_t i = 0; i < IX_ARRAY_LEN(files); i++)
        if (read_number(files[i][0], &limit) && read_number(files[i][1], &used))
            return limit > used ? limit - used : 0;
    return UINT64_MAX;
}

uint64_t ix_memory_available(void)
{
    uint64_t host = of_host(), group = of_control_group();
    return host < group ? host : group;
}

int ix_memory_check(uint64_t devices, uint64_t needed, uint64_t available, struct ix_error *err)
{
    if (needed <= available || available == UINT64_MAX)
        return 0;
    return ix_fail(err, -ENOMEM,
                   "%llu devices need about %.1f GiB of memory (%.1f KiB each), and %.1f GiB are available",
                   (unsigned long long)devices, (double)needed / GIB, (double)needed / (double)devices / KIB,
                   (double)available / GIB);
}

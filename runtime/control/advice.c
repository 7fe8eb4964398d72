#include "control/advice.h"

#include "base/log.h"
#include "control/limits.h"
#include "control/option_names.h"
#include "protocol/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Looks in a row without anybody let in before a broker is called full: reconnects after a restart take less. */
#define STUCK_LOOKS 2
#define TURNED_AWAY 5 /* … and so many attempts that it ended */

typedef unsigned long long ull;

static uint64_t reasons_with(const struct ix_totals *all, const char *beginning)
{
    uint64_t count = 0;
    for (size_t i = 0; i < IX_SEGMENT_REASONS && all->reasons[i].text[0]; i++)
        if (strncmp(all->reasons[i].text, beginning, strlen(beginning)) == 0)
            count += all->reasons[i].count;
    return count;
}

static char *about_ports(const struct ix_limits_of_host *host, const struct ix_target *targets, size_t count,
                         uint64_t connected)
{
    bool loopback = count > 0;
    for (size_t i = 0; i < count; i++)
        loopback = loopback && ix_source_is_loopback(targets[i].address);
    return ix_asprintf("source ports ran out at %llu connections: one address has %u for each broker (%u to "
                       "%u). Widen the range with "
                       "sudo sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", or connect from more "
                       "addresses with %s %s, or "
                       "to more brokers with %s",
                       (ull)connected, host->ports, host->port_low, host->port_high, ix_option_names->bind,
                       loopback ? "auto (127.0.0.2-127.0.0.9 and so on)" : "ADDR-ADDR",
                       ix_option_names->broker);
}

static char *about_files(const struct ix_limits_of_host *host, uint64_t connected)
{
    bool all =
        host->all_files != UINT64_MAX && host->all_files_open + host->all_files / 100 >= host->all_files;
    if (all)
        return ix_asprintf(
            "descriptors of this host ran out at %llu connections: %llu of %llu are open. Raise them with "
            "sudo sysctl -w fs.file-max=%llu",
            (ull)connected, (ull)host->all_files_open, (ull)host->all_files, (ull)host->all_files * 2);
    return ix_asprintf(
        "descriptors of a process ran out at %llu connections: it may open %llu. Raise the limit with sudo "
        "prlimit --pid $$ --nofile=%llu:%llu before iotix starts, or begin with more --workers",
        (ull)connected, (ull)host->files, (ull)host->files * 4, (ull)host->files * 4);
}

static char *about_memory(const struct ix_limits_of_host *host, uint64_t connected)
{
    return ix_asprintf(
        "memory ran out at %llu connections, with %llu MiB available: use fewer devices or a host with more; "
        "if enough is free, the kernel's share for TCP may be at its end (net.ipv4.tcp_mem)",
        (ull)connected, (ull)(host->memory == UINT64_MAX ? 0 : host->memory >> 20));
}

static char *about_broker(const struct ix_limits_of_host *host, uint64_t connected, bool embedded)
{
    if (embedded)
        return ix_asprintf("the embedded broker lets nobody more in at %llu connections, and ends what "
                           "comes: it may have %llu "
                           "descriptors open. Raise the limit with sudo prlimit --pid $$ --nofile=N:N before "
                           "iotix starts, or "
                           "spread the devices over brokers of your own with %s",
                           (ull)connected, (ull)host->files, ix_option_names->broker_list);
    return ix_asprintf(
        "the broker lets nobody more in at %llu connections, and ends what comes: it is at a limit of its "
        "own. Look at its max_connections and open files (prlimit --pid $(pidof mosquitto) --nofile=N:N), "
        "or spread the devices over more brokers with %s",
        (ull)connected, ix_option_names->broker_list);
}

/* A full broker accepts TCP connections and ends them before it answers CONNECT, or says that it is busy. */
static bool broker_is_full(struct ix_advice *advice, const struct ix_totals *all)
{
    static const char *const endings[] = {"connection reset",   "connection closed by the server",
                                          "server unavailable", "server busy",
                                          "quota exceeded",     "connection rate exceeded"};
    uint64_t ended = 0, lost = all->counters[IX_C_CONNECTION_LOST], accepted = all->counters[IX_C_CONNECTED];
    uint64_t failed = all->counters[IX_C_CONNECT_FAILED] + all->counters[IX_C_REFUSED];
    for (size_t i = 0; i < IX_ARRAY_LEN(endings); i++)
        ended += reasons_with(all, endings[i]);
    /* Attempts that ended so: without those that were connected before. */
    ended = ended > lost ? ended - lost : 0;
    ended = ended < failed ? ended : failed;
    uint64_t more = ended > advice->before[IX_ADVICE_BROKER] ? ended - advice->before[IX_ADVICE_BROKER] : 0;
    bool stuck = all->connected > 0 && accepted == advice->connected_before && more > 0;
    advice->stuck = stuck ? advice->stuck + 1 : 0;
    advice->connected_before = accepted;
    advice->before[IX_ADVICE_BROKER] = ended;
    return advice->stuck >= STUCK_LOOKS && ended >= TURNED_AWAY;
}

static void give(struct ix_advice *advice, enum ix_advice_kind kind, char *line, char **text)
{
    advice->lines[kind] = line;
    ix_log(IX_LOG_WARN, "%s", line);
    if (!text)
        return;
    char *both = *text ? ix_asprintf("%s\n%s", *text, line) : ix_strdup(line);
    free(*text);
    *text = both;
}

/* What did not happen for long is over: if it comes back, it is news. */
static void forget(struct ix_advice *advice, enum ix_advice_kind kind)
{
    if (!advice->lines[kind] || !advice->forget_after || ++advice->calm[kind] < advice->forget_after)
        return;
    free(advice->lines[kind]);
    advice->lines[kind] = NULL;
}

static bool grew(struct ix_advice *advice, enum ix_advice_kind kind, uint64_t count)
{
    bool more = count > advice->before[kind];
    advice->before[kind] = count;
    return more;
}

void ix_advice_look(struct ix_advice *advice, const struct ix_totals *all, const struct ix_target *targets,
                    size_t target_count, char **text)
{
    bool found[IX_ADVICE_COUNT] = {
        [IX_ADVICE_PORTS] = grew(advice, IX_ADVICE_PORTS, reasons_with(all, "no free source port")),
        [IX_ADVICE_FILES] = grew(advice, IX_ADVICE_FILES, reasons_with(all, "too many open files")),
        [IX_ADVICE_MEMORY] = grew(advice, IX_ADVICE_MEMORY, reasons_with(all, "out of memory")),
        [IX_ADVICE_BROKER] = broker_is_full(advice, all),
    };
    uint64_t connected = all->connected > 0 ? (uint64_t)all->connected : 0;
    struct ix_limits_of_host host = {0};
    for (int kind = 0; kind < IX_ADVICE_COUNT; kind++) {
        if (!found[kind]) {
            forget(advice, (enum ix_advice_kind)kind);
            continue;
        }
        advice->calm[kind] = 0;
        if (advice->lines[kind])
            continue;
        if (!host.files)
            ix_limits_read(&host);
        give(advice, (enum ix_advice_kind)kind,
             kind == IX_ADVICE_PORTS   ? about_ports(&host, targets, target_count, connected)
             : kind == IX_ADVICE_FILES ? about_files(&host, connected)
             : kind == IX_ADVICE_MEMORY
                 ? about_memory(&host, connected)
                 : about_broker(&host, connected, advice->embedded && connected >= host.files / 2),
             text);
    }
}

void ix_advice_deinit(struct ix_advice *advice)
{
    for (int kind = 0; kind < IX_ADVICE_COUNT; kind++)
        free(advice->lines[kind]);
}

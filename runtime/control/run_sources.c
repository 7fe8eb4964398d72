/* From which addresses devices connect. One source address has only so many ports for each broker; on loopback every
 * address of 127.0.0.0/8 is ours, so that a large fleet can be given as many as it needs. */
#include "control/run_internal.h"

#include "base/log.h"

#include <string.h>

int ix_run_sources_init(struct ix_run *run, struct ix_error *err)
{
    const char *wish = run->config.bind;
    run->next_loopback = 1;
    run->sources_auto = !wish || strcmp(wish, "auto") == 0;
    if (run->sources_auto || strcmp(wish, "none") == 0)
        return 0;
    int code = ix_sources_parse(wish, &run->sources, err);
    if (code < 0)
        ix_error_prefix(err, "--bind");
    return code;
}

static bool is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

bool ix_run_broker_is_here(const struct ix_target *target)
{
    return ix_source_is_loopback(target->address) || strcmp(target->address, "::1") == 0;
}

/* Those of --bind, which must be of the brokers' kind. */
static int given(const struct ix_run *run, const struct ix_target *targets, size_t target_count,
                 struct ix_sources *sources, struct ix_error *err)
{
    for (size_t i = 0; i < run->sources.count; i++)
        for (size_t k = 0; k < target_count; k++)
            if (is_v6(run->sources.items[i].address) != is_v6(targets[k].address))
                return ix_fail(err, -EINVAL,
                               "--bind: broker %s can't be reached from %s: one is IPv4, one IPv6",
                               targets[k].server_name, run->sources.items[i].address);
    size_t size = run->sources.count * sizeof *sources->items;
    sources->items = ix_malloc(size);
    memcpy(sources->items, run->sources.items, size);
    sources->count = run->sources.count;
    return 0;
}

int ix_run_sources_of(struct ix_run *run, const struct ix_target *targets, size_t target_count,
                      uint64_t count, struct ix_sources *sources, struct ix_error *err)
{
    *sources = (struct ix_sources){0};
    if (run->sources.count)
        return given(run, targets, target_count, sources, err);
    uint64_t ports = ix_source_ports(),
             budget = ports > 1 ? ports / 2 : 1; /* half: finding a free one stays fast */
    uint64_t each = (count + target_count - 1) / target_count;
    if (run->ports_shared + each <= budget) {
        run->ports_shared += each;
        return 0;
    }
    bool loopback = run->sources_auto;
    for (size_t i = 0; i < target_count; i++)
        loopback = loopback && ix_source_is_loopback(targets[i].address);
    if (!loopback) {
        run->ports_shared += each;
        if (run->ports_shared > ports)
            ix_log(IX_LOG_WARN,
                   "%llu connections to one broker need as many source ports, and an address has %llu: give "
                   "more "
                   "source addresses with --bind, or more brokers with --broker",
                   (unsigned long long)run->ports_shared, (unsigned long long)ports);
        return 0;
    }
    uint64_t addresses = (each + budget - 1) / budget;
    uint32_t first = run->next_loopback;
    if (addresses > IX_SOURCES_MAX)
        addresses = IX_SOURCES_MAX;
    run->next_loopback += (uint32_t)addresses;
    return ix_sources_loopback(first, (size_t)addresses, sources, err);
}

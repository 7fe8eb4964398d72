/* From which addresses devices connect. One source address has only so many ports for each broker; on loopback every
 * address of 127.0.0.0/8 is ours, so that a large fleet can be given as many as it needs. */
#include "control/source_choice.h"

#include "control/limits.h"
#include "control/option_names.h"

#include <stdio.h>
#include <string.h>

int ix_source_choice_init(struct ix_source_choice *choice, const char *wish, struct ix_error *err)
{
    *choice = (struct ix_source_choice){.next_loopback = 1, .is_auto = !wish || strcmp(wish, "auto") == 0};
    if (choice->is_auto || strcmp(wish, "none") == 0)
        return 0;
    int code = ix_sources_parse(wish, &choice->given, err);
    if (code < 0)
        ix_error_prefix(err, "%s", ix_option_names->bind);
    return code;
}

static bool is_v6(const char *address)
{
    return strchr(address, ':') != NULL;
}

void ix_source_choice_deinit(struct ix_source_choice *choice)
{
    ix_sources_deinit(&choice->given);
}

static void warn_of_ports(const struct ix_target *target, uint64_t connections, uint64_t sources)
{
    struct ix_demand demand = {.port_connections = connections,
                               .sources = sources,
                               .loopback = ix_source_is_loopback(target->address),
                               .broker_port = target->port};
    snprintf(demand.broker, sizeof demand.broker, "%s", target->server_name);
    ix_limits_warn_of_ports(&demand);
}

/* Those of --bind, which must be of the brokers' kind. */
static int given(struct ix_source_choice *choice, const struct ix_target *targets, size_t target_count,
                 uint64_t count, struct ix_sources *sources, struct ix_error *err)
{
    for (size_t i = 0; i < choice->given.count; i++)
        for (size_t k = 0; k < target_count; k++)
            if (is_v6(choice->given.items[i].address) != is_v6(targets[k].address))
                return ix_fail(err, -EINVAL, "%s: broker %s can't be reached from %s: one is IPv4, one IPv6",
                               ix_option_names->bind, targets[k].server_name, choice->given.items[i].address);
    size_t size = choice->given.count * sizeof *sources->items;
    sources->items = ix_malloc(size);
    memcpy(sources->items, choice->given.items, size);
    sources->count = choice->given.count;
    uint64_t pairs = sources->count * target_count;
    choice->ports_shared += (count + pairs - 1) / pairs;
    warn_of_ports(&targets[0], choice->ports_shared, sources->count);
    return 0;
}

int ix_source_choice_of(struct ix_source_choice *choice, const struct ix_target *targets, size_t target_count,
                        uint64_t count, struct ix_sources *sources, struct ix_error *err)
{
    *sources = (struct ix_sources){0};
    if (choice->given.count)
        return given(choice, targets, target_count, count, sources, err);
    uint64_t ports = ix_source_ports(),
             budget = ports > 1 ? ports / 2 : 1; /* half: finding a free one stays fast */
    uint64_t each = (count + target_count - 1) / target_count;
    if (choice->ports_shared + each <= budget) {
        choice->ports_shared += each;
        return 0;
    }
    bool loopback = choice->is_auto;
    for (size_t i = 0; i < target_count; i++)
        loopback = loopback && ix_source_is_loopback(targets[i].address);
    if (!loopback) {
        choice->ports_shared += each;
        warn_of_ports(&targets[0], choice->ports_shared, 1);
        return 0;
    }
    uint64_t addresses = (each + budget - 1) / budget;
    uint32_t first = choice->next_loopback;
    if (addresses > IX_SOURCES_MAX)
        addresses = IX_SOURCES_MAX;
    choice->next_loopback += (uint32_t)addresses;
    return ix_sources_loopback(first, (size_t)addresses, sources, err);
}

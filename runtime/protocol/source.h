/* Source addresses of connections, as users write them: "10.0.0.5", "10.0.0.5-10.0.0.9", lists of these. */
#ifndef IX_PROTOCOL_SOURCE_H
#define IX_PROTOCOL_SOURCE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IX_SOURCES_MAX 4096

struct ix_source {
    char address[64]; /* numeric */
};

struct ix_sources {
    struct ix_source *items;
    size_t count;
};

/* Expands "ADDR[-ADDR][,…]"; ranges of IPv4 only. Addresses that are none, and ones that are not this host's,
 * are errors. */
int ix_sources_parse(const char *text, struct ix_sources *sources, struct ix_error *err);
void ix_sources_deinit(struct ix_sources *sources);
/* `count` addresses of the loopback network, the first of them 127.0.0.1 + first. */
int ix_sources_loopback(uint32_t first, size_t count, struct ix_sources *sources, struct ix_error *err);

/* How many ports the kernel gives to outgoing connections of one source address to one destination. */
uint32_t ix_source_ports(void);
/* … as a range, both included. */
void ix_source_port_range(uint32_t *low, uint32_t *high);
/* Whether an address is IPv4 of the loopback network, where every address is this host's. */
bool ix_source_is_loopback(const char *address);

#endif

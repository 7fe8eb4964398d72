/* Payloads that say when they were sent, so that a receiver on the same host can tell how long they took.
 *
 * 24 bytes, little-endian: the characters "ixS1", 32 bits that name the host's boot, the tick (64 bits), the
 * instant of sending (CLOCK_MONOTONIC in ns, 64 bits: it is the same for all processes of a host). Whatever
 * follows is filling. */
#ifndef IX_GENERATOR_STAMP_H
#define IX_GENERATOR_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IX_STAMP_LEN 24

struct ix_stamp {
    uint64_t tick;
    uint64_t sent_ns;
};

/* Writes IX_STAMP_LEN bytes. */
void ix_stamp_write(char *out, const struct ix_stamp *stamp);
/* false for payloads without one, and for those of another host, whose clock says nothing here. */
bool ix_stamp_read(const void *payload, size_t len, struct ix_stamp *stamp);

#endif

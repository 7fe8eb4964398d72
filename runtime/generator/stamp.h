/* Payloads that say when they were sent, so that a receiver can tell how long they took: on the same
 * host by itself, on another one once it has measured how far that clock is from its own (device/clocks.h).
 *
 * 24 bytes, little-endian: the characters "ixS1", 32 bits that name the clock, the tick (64 bits), the
 * instant of sending (CLOCK_MONOTONIC in ns, 64 bits: it is the same for all processes of a host since its boot, unless a time namespace moves
 * it). Whatever
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
    uint32_t clock; /* by which it was sent; read only */
};

/* The name of the clock of this process: of its boot and time namespace. */
uint32_t ix_stamp_clock(void);

/* Writes IX_STAMP_LEN bytes. */
void ix_stamp_write(char *out, const struct ix_stamp *stamp);
/* false for payloads without one. */
bool ix_stamp_read(const void *payload, size_t len, struct ix_stamp *stamp);

#endif

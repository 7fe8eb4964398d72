/* Which indices of a group are this worker's: position ↔ index in O(1), from the set of shards alone. */
#ifndef IX_DEVICE_PLACE_H
#define IX_DEVICE_PLACE_H

#include "device/record.h"

/* Index i belongs to shard (key + i) mod IX_SHARDS, so own indices repeat every IX_SHARDS: a set of
 * residues. */
struct ix_place {
    uint64_t residues[IX_SHARDS / 64];
    uint16_t before[IX_SHARDS / 64]; /* set bits before each word */
    uint32_t per_cycle;              /* own indices in IX_SHARDS consecutive ones */
    uint64_t count;                  /* own indices below the group's count */
};

void ix_place_init(struct ix_place *place, const uint8_t *shards, uint64_t group_key, uint64_t group_count);
bool ix_place_has(const struct ix_place *place, uint64_t index);
/* How many own indices are below `index`: the position of an own one. */
uint64_t ix_place_position(const struct ix_place *place, uint64_t index);
/* The own index at a position < count. */
uint64_t ix_place_index(const struct ix_place *place, uint64_t position);

#endif

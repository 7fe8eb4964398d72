#include "device/place.h"

void ix_place_init(struct ix_place *place, const uint8_t *shards, uint64_t group_key, uint64_t group_count)
{
    *place = (struct ix_place){0};
    for (uint32_t residue = 0; residue < IX_SHARDS; residue++) {
        if (residue % 64 == 0)
            place->before[residue / 64] = (uint16_t)place->per_cycle;
        if (ix_shard_is_set(shards, ix_shard_of(group_key % IX_SHARDS, residue))) {
            place->residues[residue / 64] |= 1ull << (residue % 64);
            place->per_cycle++;
        }
    }
    place->count = ix_place_position(place, group_count);
}

bool ix_place_has(const struct ix_place *place, uint64_t index)
{
    uint32_t residue = (uint32_t)(index % IX_SHARDS);
    return place->residues[residue / 64] >> (residue % 64) & 1;
}

uint64_t ix_place_position(const struct ix_place *place, uint64_t index)
{
    uint32_t residue = (uint32_t)(index % IX_SHARDS);
    uint64_t below = place->residues[residue / 64] & ((1ull << (residue % 64)) - 1);
    return index / IX_SHARDS * place->per_cycle + place->before[residue / 64] +
           (uint64_t)__builtin_popcountll(below);
}

uint64_t ix_place_index(const struct ix_place *place, uint64_t position)
{
    uint32_t rank = (uint32_t)(position % place->per_cycle);
    uint32_t low = 0, high = IX_SHARDS / 64 - 1;
    while (low < high) { /* the last word with no more than `rank` set bits before it */
        uint32_t middle = (low + high + 1) / 2;
        if (place->before[middle] <= rank)
            low = middle;
        else
            high = middle - 1;
    }
    uint64_t word = place->residues[low];
    for (uint32_t i = place->before[low]; i < rank; i++)
        word &= word - 1;
    return position / place->per_cycle * IX_SHARDS + low * 64 + (uint64_t)__builtin_ctzll(word);
}

/* Exactly k of the eligible devices, chosen at random but reproducibly.
 *
 * A bitmap names the eligible indices of a group; the position of an index among them is permuted by the
 * seed: its rank. Chosen are the ranks below k, and the rank is also the place in the schedule. */
#ifndef IX_STRATEGY_SELECTION_H
#define IX_STRATEGY_SELECTION_H

#include "base/error.h"

struct ix_bitmap {
    uint64_t *words; /* owned */
    uint64_t bits;
};

void ix_bitmap_init(struct ix_bitmap *map, uint64_t bits);
void ix_bitmap_deinit(struct ix_bitmap *map);
void ix_bitmap_set(struct ix_bitmap *map, uint64_t bit);
bool ix_bitmap_get(const struct ix_bitmap *map, uint64_t bit);
uint64_t ix_bitmap_count(const struct ix_bitmap *map);
/* into |= from; sizes must be equal. */
void ix_bitmap_merge(struct ix_bitmap *into, const struct ix_bitmap *from);
/* Run-length packed for the pipe; unpack checks everything. */
struct ix_buf;
struct ix_reader;
void ix_bitmap_pack(const struct ix_bitmap *map, struct ix_buf *out);
int ix_bitmap_unpack(struct ix_bitmap *map, struct ix_reader *in, struct ix_error *err);

struct ix_selection {
    struct ix_bitmap eligible; /* owned */
    uint64_t eligible_count;
    uint64_t chosen; /* k */
    uint64_t seed;
    uint64_t *before; /* set bits before each block of 8 words: rank in O(1); owned */
};

/* Takes over `eligible`. */
void ix_selection_init(struct ix_selection *s, struct ix_bitmap *eligible, uint64_t chosen, uint64_t seed);
void ix_selection_deinit(struct ix_selection *s);
/* True and its rank if index is chosen. */
bool ix_selection_rank(const struct ix_selection *s, uint64_t index, uint64_t *rank);

/* DESIGN: `count` wins over `percentage` (floored); neither means all; more than there are means all.
 * Negative means not given. */
uint64_t ix_selection_size(int64_t count, double percentage, uint64_t eligible);

#endif

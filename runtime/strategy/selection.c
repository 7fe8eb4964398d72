#include "strategy/selection.h"

#include "base/pack.h"
#include "base/random.h"

#include <stdlib.h>

/* A bitmap from a pipe may not claim more: 32 MiB of words for a few packed bytes. */
#define MAX_BITS (1ull << 28)

/* Words between two entries of ix_selection.before: a rank costs at most this many popcounts. */
#define BLOCK_WORDS 8

enum packing { PACKED_RUNS, PACKED_WORDS };

static uint64_t word_count(uint64_t bits)
{
    return (bits + 63) / 64;
}

void ix_bitmap_init(struct ix_bitmap *map, uint64_t bits)
{
    *map = (struct ix_bitmap){.words = ix_calloc(word_count(bits) + 1, sizeof(*map->words)), .bits = bits};
}

void ix_bitmap_deinit(struct ix_bitmap *map)
{
    free(map->words);
    *map = (struct ix_bitmap){0};
}

void ix_bitmap_set(struct ix_bitmap *map, uint64_t bit)
{
    IX_REQUIRE(bit < map->bits);
    map->words[bit / 64] |= 1ull << (bit % 64);
}

bool ix_bitmap_get(const struct ix_bitmap *map, uint64_t bit)
{
    return bit < map->bits && (map->words[bit / 64] >> (bit % 64) & 1);
}

uint64_t ix_bitmap_count(const struct ix_bitmap *map)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < word_count(map->bits); i++)
        count += (uint64_t)__builtin_popcountll(map->words[i]);
    return count;
}

void ix_bitmap_merge(struct ix_bitmap *into, const struct ix_bitmap *from)
{
    IX_REQUIRE(into->bits == from->bits);
    for (uint64_t i = 0; i < word_count(into->bits); i++)
        into->words[i] |= from->words[i];
}

/* The first bit at or after `from` that differs from `value`; map->bits if there is none. */
static uint64_t run_end(const struct ix_bitmap *map, uint64_t from, bool value)
{
    uint64_t flip = value ? ~0ull : 0;
    while (from < map->bits) {
        uint64_t different = (map->words[from / 64] ^ flip) >> (from % 64);
        if (different) {
            uint64_t end = from + (uint64_t)__builtin_ctzll(different);
            return end < map->bits ? end : map->bits;
        }
        from = (from / 64 + 1) * 64;
    }
    return map->bits;
}

/* Seven bits a byte, lowest first; the top bit says that more follow. */
static void pack_length(struct ix_buf *out, uint64_t length)
{
    for (; length >= 0x80; length >>= 7)
        ix_pack_u8(out, (uint8_t)(length | 0x80));
    ix_pack_u8(out, (uint8_t)length);
}

static uint64_t read_length(struct ix_reader *in)
{
    uint64_t length = 0;
    for (int shift = 0; shift < 63; shift += 7) {
        uint8_t byte = ix_read_u8(in);
        length |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return length;
    }
    in->bad = true;
    return 0;
}

static void pack_runs(const struct ix_bitmap *map, struct ix_buf *out)
{
    bool value = false;
    for (uint64_t at = 0; at < map->bits; value = !value) {
        uint64_t end = run_end(map, at, value);
        pack_length(out, end - at);
        at = end;
    }
}

/* Bytes that pack_runs would write, counted only up to `limit`. */
static uint64_t runs_size(const struct ix_bitmap *map, uint64_t limit)
{
    uint64_t size = 0;
    bool value = false;
    for (uint64_t at = 0; at < map->bits && size < limit; value = !value) {
        uint64_t end = run_end(map, at, value);
        for (uint64_t length = end - at; length >= 0x80; length >>= 7)
            size++;
        size++;
        at = end;
    }
    return size;
}

/* Runs of zeros and ones in turn, zeros first; plain words where those are shorter (a random half). */
void ix_bitmap_pack(const struct ix_bitmap *map, struct ix_buf *out)
{
    uint64_t plain = word_count(map->bits) * 8;
    bool as_runs = runs_size(map, plain) < plain;
    ix_pack_u64(out, map->bits);
    ix_pack_u8(out, as_runs ? PACKED_RUNS : PACKED_WORDS);
    if (as_runs) {
        pack_runs(map, out);
        return;
    }
    for (uint64_t i = 0; i < word_count(map->bits); i++)
        ix_pack_u64(out, map->words[i]);
}

static void set_range(struct ix_bitmap *map, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t in_word = 64 - from % 64;
        uint64_t take = to - from < in_word ? to - from : in_word;
        uint64_t mask = take == 64 ? ~0ull : (1ull << take) - 1;
        map->words[from / 64] |= mask << (from % 64);
        from += take;
    }
}

static void read_runs(struct ix_bitmap *map, struct ix_reader *in)
{
    bool value = false;
    for (uint64_t at = 0; at < map->bits && !in->bad; value = !value) {
        uint64_t length = read_length(in);
        /* Only the first run may be empty: else a message could keep us here without getting anywhere. */
        if (length > map->bits - at || (length == 0 && at + value != 0)) {
            in->bad = true;
            return;
        }
        if (value)
            set_range(map, at, at + length);
        at += length;
    }
}

static void read_words(struct ix_bitmap *map, struct ix_reader *in)
{
    uint64_t words = word_count(map->bits);
    for (uint64_t i = 0; i < words; i++)
        map->words[i] = ix_read_u64(in);
    if (map->bits % 64 && map->words[words - 1] >> (map->bits % 64))
        in->bad = true;
}

int ix_bitmap_unpack(struct ix_bitmap *map, struct ix_reader *in, struct ix_error *err)
{
    *map = (struct ix_bitmap){0};
    uint64_t bits = ix_read_u64(in);
    uint8_t packing = ix_read_u8(in);
    if (in->bad)
        return ix_fail(err, -EBADMSG, "a packed bitmap ends within its head");
    if (bits > MAX_BITS || packing > PACKED_WORDS)
        return ix_fail(err, -EBADMSG, "a packed bitmap claims %llu bits in packing %u",
                       (unsigned long long)bits, packing);
    if (packing == PACKED_WORDS && word_count(bits) * 8 > (uint64_t)(in->end - in->at))
        return ix_fail(err, -EBADMSG, "a packed bitmap of %llu bits has only %zu bytes left",
                       (unsigned long long)bits, (size_t)(in->end - in->at));
    ix_bitmap_init(map, bits);
    if (packing == PACKED_RUNS)
        read_runs(map, in);
    else
        read_words(map, in);
    if (in->bad) {
        ix_bitmap_deinit(map);
        return ix_fail(err, -EBADMSG, "a packed bitmap of %llu bits holds a wrong run or too few bytes",
                       (unsigned long long)bits);
    }
    return 0;
}

void ix_selection_init(struct ix_selection *s, struct ix_bitmap *eligible, uint64_t chosen, uint64_t seed)
{
    uint64_t words = word_count(eligible->bits);
    *s = (struct ix_selection){.eligible = *eligible, .chosen = chosen, .seed = seed};
    *eligible = (struct ix_bitmap){0};
    s->before = ix_calloc(words / BLOCK_WORDS + 1, sizeof(*s->before));
    uint64_t count = 0;
    for (uint64_t i = 0; i < words; i++) {
        if (i % BLOCK_WORDS == 0)
            s->before[i / BLOCK_WORDS] = count;
        count += (uint64_t)__builtin_popcountll(s->eligible.words[i]);
    }
    s->eligible_count = count;
}

void ix_selection_deinit(struct ix_selection *s)
{
    ix_bitmap_deinit(&s->eligible);
    free(s->before);
    *s = (struct ix_selection){0};
}

bool ix_selection_rank(const struct ix_selection *s, uint64_t index, uint64_t *rank)
{
    if (!ix_bitmap_get(&s->eligible, index))
        return false;
    uint64_t word = index / 64;
    uint64_t position = s->before[word / BLOCK_WORDS];
    for (uint64_t i = word / BLOCK_WORDS * BLOCK_WORDS; i < word; i++)
        position += (uint64_t)__builtin_popcountll(s->eligible.words[i]);
    position += (uint64_t)__builtin_popcountll(s->eligible.words[word] & ((1ull << (index % 64)) - 1));
    *rank = ix_permute(s->seed, s->eligible_count, position);
    return *rank < s->chosen;
}

uint64_t ix_selection_size(int64_t count, double percentage, uint64_t eligible)
{
    if (count >= 0)
        return (uint64_t)count < eligible ? (uint64_t)count : eligible;
    if (!(percentage >= 0)) /* negative or NaN: not given */
        return eligible;
    if (percentage >= 100)
        return eligible;
    /* 29 % of 100 is 28.999… in binary: what is whole in decimal stays whole. */
    double share = percentage * (double)eligible / 100;
    uint64_t size = (uint64_t)(share + share * 1e-12);
    return size < eligible ? size : eligible;
}

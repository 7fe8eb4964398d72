/* XXH64 with seed 0, from its published description (xxHash fast digest algorithm, version 0.1.1). */
#include "base/random.h"

#include <endian.h>
#include <string.h>

#define PRIME_1 0x9e3779b185ebca87ull
#define PRIME_2 0xc2b2ae3d27d4eb4full
#define PRIME_3 0x165667b19e3779f9ull
#define PRIME_4 0x85ebca77c2b2ae63ull
#define PRIME_5 0x27d4eb2f165667c5ull

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t load64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

static uint32_t load32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static uint64_t lane_step(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

/* Stripes of 32 bytes go through four lanes, which are then folded into one. */
static uint64_t hash_stripes(const unsigned char **at, size_t stripes)
{
    uint64_t lane[4] = {PRIME_1 + PRIME_2, PRIME_2, 0, -PRIME_1};
    for (; stripes; stripes--, *at += 32)
        for (int i = 0; i < 4; i++)
            lane[i] = lane_step(lane[i], load64(*at + 8 * i));
    uint64_t hash = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) + rotate(lane[3], 18);
    for (int i = 0; i < 4; i++)
        hash = (hash ^ lane_step(0, lane[i])) * PRIME_1 + PRIME_4;
    return hash;
}

uint64_t ix_hash64(const void *data, size_t len)
{
    const unsigned char *at = data;
    uint64_t hash = len >= 32 ? hash_stripes(&at, len / 32) : PRIME_5;
    size_t left = len % 32;
    hash += len;
    for (; left >= 8; left -= 8, at += 8)
        hash = rotate(hash ^ lane_step(0, load64(at)), 27) * PRIME_1 + PRIME_4;
    if (left >= 4) {
        hash = rotate(hash ^ load32(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        left -= 4;
        at += 4;
    }
    for (; left; left--, at++)
        hash = rotate(hash ^ *at * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}

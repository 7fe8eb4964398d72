/* Counter-based randomness: value = f(key, counter), without state. The same seed gives the same values
 * whatever the number of workers and the order of events.
 *
 * Keys are derived like paths: ix_random_key(ix_random_key(seed, group), index) and so on. */
#ifndef IX_BASE_RANDOM_H
#define IX_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Finaliser "variant 13" of D. Stafford, as used by SplitMix64 (Steele, Lea, Flood: Fast splittable
 * pseudorandom number generators, OOPSLA 2014). */
static inline uint64_t ix_random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* A child key; different (parent, part) give independent sequences. */
static inline uint64_t ix_random_key(uint64_t parent, uint64_t part)
{
    return ix_random_mix(ix_random_mix(parent + 0x9e3779b97f4a7c15ull) ^
                         (part * 0xd1342543de82ef95ull + 0x2545f4914f6cdd1dull));
}

/* 64 random bits: the counter-th value of the sequence of `key`. */
static inline uint64_t ix_random_u64(uint64_t key, uint64_t counter)
{
    return ix_random_mix(key + (counter + 1) * 0x9e3779b97f4a7c15ull);
}

/* Uniform in [0, 1), 53 bits. */
static inline double ix_random_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

/* Uniform integer in [0, n), n > 0 (multiply-shift; bias below n / 2^64). */
static inline uint64_t ix_random_below(uint64_t bits, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)bits * n) >> 64);
}

/* Standard normal from one draw: inverse distribution function, Wichura's AS 241 (PPND16), about 1e-16. */
double ix_random_normal(uint64_t bits);

/* Exponential with rate 1 from one draw: −ln(1 − u). */
double ix_random_exponential(uint64_t bits);

/* Bits from the operating system, for default seeds and run ids. */
uint64_t ix_random_system(void);

/* 64-bit hash of bytes (XXH64, as published; seed 0): for keys of group ids, models and builds. */
uint64_t ix_hash64(const void *data, size_t len);

/* A bijection of [0, n): the place of `i` in a random order fixed by `seed`. Feistel network with cycle
 * walking (Black, Rogaway: Ciphers with arbitrary finite domains, 2002); O(1) memory, n ≤ 2^63. */
uint64_t ix_permute(uint64_t seed, uint64_t n, uint64_t i);

#endif

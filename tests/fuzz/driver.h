/* Runs a fuzz target without a fuzzing engine: mutates seeds in a fixed order, so that a failure comes again
 * with the same number. With an engine (clang -fsanitize=fuzzer -DIX_FUZZ_ENGINE) only the target is used.
 *
 * usage: fuzz_NAME [RUNS [FIRST]]     RUNS inputs from number FIRST on; default 20000 from 0
 *        fuzz_NAME FILE...            these inputs as they are */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include "base/buf.h"
#include "base/file.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_seed {
    char *data;
    size_t len;
};

/* Fills `seeds` (each freed by the driver) and returns how many. */
size_t fuzz_seeds(struct fuzz_seed *seeds, size_t max);
/* Mutates by structure instead of bytes, drawing from `key`: the new length, or 0 if it can't. */
size_t fuzz_restructure(char *data, size_t len, size_t max, uint64_t key);
/* Pieces worth inserting; ends with NULL. */
extern const char *const fuzz_words[];

#ifndef IX_FUZZ_ENGINE

#define FUZZ_SEEDS_MAX 64
#define FUZZ_INPUT_MAX 65536

struct fuzz_input {
    char data[FUZZ_INPUT_MAX];
    size_t len;
    uint64_t key;
    uint64_t draws;
};

static uint64_t fuzz_draw(struct fuzz_input *in, uint64_t below)
{
    return ix_random_below(ix_random_u64(in->key, in->draws++), below ? below : 1);
}

/* Replaces `cut` bytes at `at` by `len` bytes. */
static void fuzz_splice(struct fuzz_input *in, size_t at, size_t cut, const char *data, size_t len)
{
    char copy[4096];

    if (len > sizeof(copy) || in->len - cut + len > sizeof(in->data))
        return;
    memcpy(copy, data, len); /* `data` may be part of the input */
    memmove(in->data + at + len, in->data + at + cut, in->len - at - cut);
    memcpy(in->data + at, copy, len);
    in->len = in->len - cut + len;
}

static void fuzz_mutate(struct fuzz_input *in)
{
    size_t at = fuzz_draw(in, in->len + 1), left = in->len - at, from, len, words = 0;
    char byte = (char)fuzz_draw(in, 256);

    while (fuzz_words[words])
        words++;
    len = fuzz_draw(in, left < 32 ? left + 1 : 32);
    switch (fuzz_draw(in, 6)) {
    case 0:
        fuzz_splice(in, at, left > 0, &byte, 1);
        break;
    case 1:
        fuzz_splice(in, at, len, "", 0);
        break;
    case 2:
        from = fuzz_draw(in, in->len + 1);
        len = fuzz_draw(in, in->len - from < 64 ? in->len - from + 1 : 64);
        fuzz_splice(in, at, 0, in->data + from, len);
        break;
    case 3:
        in->len = fuzz_draw(in, 20) ? in->len : at;
        break;
    default:
        from = fuzz_draw(in, words);
        fuzz_splice(in, at, fuzz_draw(in, 2) ? len : 0, fuzz_words[from], strlen(fuzz_words[from]));
        break;
    }
}

static void fuzz_run(const struct fuzz_seed *seeds, size_t count, uint64_t runs, uint64_t first)
{
    static struct fuzz_input in;

    for (uint64_t n = first; n < first + runs; n++) {
        const struct fuzz_seed *seed;
        uint64_t mutations;
        char *exact;

        in.key = ix_random_key(1, n);
        in.draws = 0;
        seed = &seeds[fuzz_draw(&in, count)];
        in.len = seed->len < sizeof(in.data) ? seed->len : sizeof(in.data);
        memcpy(in.data, seed->data, in.len);
        mutations = n < count ? 0 : 1 + fuzz_draw(&in, 8);
        /* Most changes of bytes end in the first parser; what lies behind it is reached by structure. */
        if (n % 4 != 0) {
            size_t len = fuzz_restructure(in.data, in.len, sizeof(in.data), in.key);

            in.len = len ? len : in.len;
            mutations = len && n % 4 != 3 ? 0 : mutations;
        }
        for (uint64_t i = 0; i < mutations; i++)
            fuzz_mutate(&in);
        /* A block of exactly this size, so that the sanitizer sees one byte too many. */
        exact = ix_malloc(in.len ? in.len : 1);
        memcpy(exact, in.data, in.len);
        if (getenv("FUZZ_VERBOSE"))
            fprintf(stderr, "input %llu: %.*s\n", (unsigned long long)n, (int)in.len, exact);
        LLVMFuzzerTestOneInput((const uint8_t *)exact, in.len);
        free(exact);
    }
}

int main(int argc, char **argv)
{
    struct fuzz_seed seeds[FUZZ_SEEDS_MAX];
    char *end = argc > 1 ? argv[1] : NULL;
    uint64_t runs = argc > 1 ? strtoull(argv[1], &end, 10) : 20000;
    size_t count;

    if (end && *end) {
        for (int i = 1; i < argc; i++) {
            char *text;
            size_t len;

            if (ix_file_read(argv[i], FUZZ_INPUT_MAX, &text, &len, NULL) < 0)
                return 2;
            LLVMFuzzerTestOneInput((const uint8_t *)text, len);
            free(text);
        }
        return 0;
    }
    count = fuzz_seeds(seeds, FUZZ_SEEDS_MAX);
    fuzz_run(seeds, count, runs, argc > 2 ? strtoull(argv[2], NULL, 10) : 0);
    for (size_t i = 0; i < count; i++)
        free(seeds[i].data);
    printf("%s: %llu inputs\n", argv[0], (unsigned long long)runs);
    return 0;
}

#endif
#endif

#include "base/pack.h"
#include "base/random.h"
#include "check.h"
#include "strategy/selection.h"

#include <stdlib.h>

static struct ix_bitmap round_trip(const struct ix_bitmap *map, size_t *size)
{
    struct ix_buf buf;
    ix_buf_init(&buf, 1 << 24);
    ix_bitmap_pack(map, &buf);
    *size = buf.len;
    struct ix_bitmap again;
    struct ix_error err;
    struct ix_reader in = ix_reader_of(buf.data, buf.len);
    assert_number(ix_bitmap_unpack(&again, &in, &err), 0);
    assert_true(in.at == in.end);

    /* Every shorter message is refused, never read past its end. */
    for (size_t len = 0; len < buf.len && len < 200; len++) {
        struct ix_bitmap none;
        unsigned char *part = malloc(len + 1);
        memcpy(part, buf.data, len);
        in = ix_reader_of(part, len);
        assert_true(ix_bitmap_unpack(&none, &in, &err) < 0);
        free(part);
    }
    ix_buf_deinit(&buf);
    return again;
}

static void assert_same(const struct ix_bitmap *a, const struct ix_bitmap *b)
{
    assert_number(a->bits, b->bits);
    assert_memory_equal(a->words, b->words, (a->bits + 63) / 64 * 8);
}

static void test_bitmap(void **state)
{
    (void)state;
    struct ix_bitmap map, other;
    ix_bitmap_init(&map, 130);
    ix_bitmap_init(&other, 130);
    ix_bitmap_set(&map, 0);
    ix_bitmap_set(&map, 129);
    ix_bitmap_set(&other, 64);
    ix_bitmap_merge(&map, &other);
    assert_true(ix_bitmap_get(&map, 0) && ix_bitmap_get(&map, 64) && ix_bitmap_get(&map, 129));
    assert_false(ix_bitmap_get(&map, 1));
    assert_false(ix_bitmap_get(&map, 130)); /* a group that grew since: not among them */
    assert_number(ix_bitmap_count(&map), 3);
    ix_bitmap_deinit(&map);
    ix_bitmap_deinit(&other);
}

static void test_bitmap_packing(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 63, 64, 65, 1000, 100000};
    for (size_t s = 0; s < IX_ARRAY_LEN(sizes); s++) {
        for (int density = 0; density <= 4; density++) {
            struct ix_bitmap map;
            ix_bitmap_init(&map, sizes[s]);
            for (uint64_t i = 0; i < sizes[s]; i++) {
                if (ix_random_below(ix_random_u64(7, i), 4) < (uint64_t)density)
                    ix_bitmap_set(&map, i);
            }
            size_t packed;
            struct ix_bitmap again = round_trip(&map, &packed);
            assert_same(&map, &again);
            assert_true(packed <= 9 + (sizes[s] + 63) / 64 * 8);
            if (density == 4)
                assert_true(packed <= 9 + 4); /* all devices run: a few bytes, whatever their number */
            ix_bitmap_deinit(&again);
            ix_bitmap_deinit(&map);
        }
    }
}

static int unpack_bytes(const void *bytes, size_t len)
{
    struct ix_bitmap map;
    struct ix_error err;
    struct ix_reader in = ix_reader_of(bytes, len);
    int rc = ix_bitmap_unpack(&map, &in, &err);
    if (rc == 0)
        ix_bitmap_deinit(&map);
    return rc;
}

static void test_bitmap_refuses_nonsense(void **state)
{
    (void)state;
    static const unsigned char huge[] = {0, 0, 0, 0, 0, 0, 0, 0x10, 0, 5};
    static const unsigned char packing[] = {8, 0, 0, 0, 0, 0, 0, 0, 9, 8};
    static const unsigned char longer[] = {8, 0, 0, 0, 0, 0, 0, 0, 0, 9};
    static const unsigned char empty_runs[] = {8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8};
    static const unsigned char endless[] = {8,    0,    0,    0,    0,    0,    0,    0,    0,    0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    static const unsigned char beyond[] = {3, 0, 0, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0};
    static const unsigned char fine[] = {8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8};
    assert_true(unpack_bytes(huge, sizeof(huge)) < 0);
    assert_true(unpack_bytes(packing, sizeof(packing)) < 0);
    assert_true(unpack_bytes(longer, sizeof(longer)) < 0);
    assert_true(unpack_bytes(empty_runs, sizeof(empty_runs)) < 0);
    assert_true(unpack_bytes(endless, sizeof(endless)) < 0);
    assert_true(unpack_bytes(beyond, sizeof(beyond)) < 0);
    assert_number(unpack_bytes(fine, sizeof(fine)), 0);
}

/* Exactly k are chosen, their ranks are 0 … k − 1, and only eligible ones are among them. */
static void check_selection(uint64_t bits, uint64_t chosen, uint64_t seed)
{
    struct ix_bitmap eligible;
    ix_bitmap_init(&eligible, bits);
    uint64_t count = 0;
    for (uint64_t i = 0; i < bits; i++) {
        if (ix_random_u64(99, i) % 3) {
            ix_bitmap_set(&eligible, i);
            count++;
        }
    }
    if (chosen > count)
        chosen = count;
    struct ix_selection s;
    ix_selection_init(&s, &eligible, chosen, seed);
    assert_null(eligible.words);
    assert_number(s.eligible_count, count);
    unsigned char *seen = calloc(chosen + 1, 1);
    uint64_t named = 0, rank;
    for (uint64_t i = 0; i < bits + 70; i++) {
        if (!ix_selection_rank(&s, i, &rank))
            continue;
        assert_true(i < bits && ix_random_u64(99, i) % 3 && rank < chosen && !seen[rank]);
        seen[rank] = 1;
        named++;
    }
    assert_number(named, chosen);
    free(seen);
    ix_selection_deinit(&s);
}

static void test_selection_is_exact(void **state)
{
    (void)state;
    check_selection(1, 1, 5);
    check_selection(2, 0, 5);
    for (uint64_t seed = 0; seed < 20; seed++) {
        check_selection(1000, 333, seed);
        check_selection(64 * 8 * 3, 500, seed);
    }
    check_selection(100000, 1, 1);
    check_selection(100000, 100000, 1);
}

static void test_selection_depends_on_seed(void **state)
{
    (void)state;
    uint64_t first[2] = {0, 0}, rank;
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct ix_bitmap eligible;
        ix_bitmap_init(&eligible, 64);
        for (uint64_t i = 0; i < 64; i++)
            ix_bitmap_set(&eligible, i);
        struct ix_selection s;
        ix_selection_init(&s, &eligible, 32, seed);
        for (uint64_t i = 0; i < 64; i++)
            first[seed] |= (uint64_t)ix_selection_rank(&s, i, &rank) << i;
        ix_selection_deinit(&s);
    }
    assert_true(first[0] != first[1]);
}

static void test_selection_size(void **state)
{
    (void)state;
    assert_number(ix_selection_size(10, 50, 1000), 10);
    assert_number(ix_selection_size(2000, -1, 1000), 1000);
    assert_number(ix_selection_size(0, -1, 1000), 0);
    assert_number(ix_selection_size(-1, 50, 1000), 500);
    assert_number(ix_selection_size(-1, 30, 99), 29);
    assert_number(ix_selection_size(-1, 29, 100), 29);
    assert_number(ix_selection_size(-1, 0, 100), 0);
    assert_number(ix_selection_size(-1, 0.1, 1000), 1);
    assert_number(ix_selection_size(-1, 250, 100), 100);
    assert_number(ix_selection_size(-1, -1, 77), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bitmap),
                                       cmocka_unit_test(test_bitmap_packing),
                                       cmocka_unit_test(test_bitmap_refuses_nonsense),
                                       cmocka_unit_test(test_selection_is_exact),
                                       cmocka_unit_test(test_selection_depends_on_seed),
                                       cmocka_unit_test(test_selection_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

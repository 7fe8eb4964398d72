#include "base/error.h"
#include "base/random.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The bits whose draw is the p-quantile. */
static uint64_t bits_of(double p)
{
    return (uint64_t)(p * 0x1p52) << 12;
}

static void test_normal_quantiles(void **state)
{
    (void)state;
    static const struct {
        double p, z;
    } known[] = {{0.5, 0.0},
                 {0.75, 0.6744897501960817},
                 {0.975, 1.959963984540054},
                 {0.999, 3.090232306167813},
                 {1e-6, -4.753424308822899}};
    for (size_t i = 0; i < IX_ARRAY_LEN(known); i++) {
        double z = ix_random_normal(bits_of(known[i].p));
        if (fabs(z - known[i].z) > 1e-9)
            fail_msg("quantile %g: %.15g instead of %.15g", known[i].p, z, known[i].z);
    }
}

/* Against the C library's erfc, at places where all three regions of the approximation are met. */
static void test_normal_inverts_erfc(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t bits = ix_random_u64(7, i) >> (i % 50);
        double p = ((double)(bits >> 12) + 0.5) * 0x1p-52;
        double z = ix_random_normal(bits);
        double back = 0.5 * erfc(-z / sqrt(2.0));
        if (fabs(back - p) > 2e-15 * (1 + z * z) * p) /* dp/p is about z dz */
            fail_msg("p = %.17g gives z = %.17g, whose p is %.17g", p, z, back);
        if (ix_random_normal(~bits) != -z)
            fail_msg("not symmetric at %.17g", p);
    }
    assert_true(isfinite(ix_random_normal(0)) && isfinite(ix_random_normal(UINT64_MAX)));
}

static void test_moments(void **state)
{
    (void)state;
    const int count = 1000000;
    double unit = 0, normal = 0, square = 0, exponential = 0;
    uint64_t key = ix_random_key(ix_random_key(42, 1), 2);
    for (int i = 0; i < count; i++) {
        uint64_t bits = ix_random_u64(key, (uint64_t)i);
        double z = ix_random_normal(bits);
        unit += ix_random_unit(bits);
        normal += z;
        square += z * z;
        exponential += ix_random_exponential(bits);
    }
    /* six standard errors each; the draws are fixed */
    assert_true(fabs(unit / count - 0.5) < 6 * 0.2887 / 1000);
    assert_true(fabs(normal / count) < 6.0 / 1000);
    assert_true(fabs(square / count - 1) < 6 * 1.4142 / 1000);
    assert_true(fabs(exponential / count - 1) < 6.0 / 1000);
    assert_true(ix_random_exponential(0) == 0 && isfinite(ix_random_exponential(UINT64_MAX)));
}

/* Neighbouring devices, streams and ticks must not resemble each other. */
static void test_keys_are_independent(void **state)
{
    (void)state;
    for (uint64_t parent = 0; parent < 50; parent++)
        for (uint64_t part = 0; part < 50; part++) {
            uint64_t a = ix_random_key(parent, part), b = ix_random_key(parent, part + 1);
            int same = 0;
            for (uint64_t i = 0; i < 64; i++)
                same += 64 - __builtin_popcountll(ix_random_u64(a, i) ^ ix_random_u64(b, i));
            assert_in_range(same, 2048 - 6 * 32, 2048 + 6 * 32);
            assert_true(ix_random_key(parent, part) != ix_random_key(part, parent) || parent == part);
        }
}

static void test_hash_vectors(void **state)
{
    (void)state;
    assert_true(ix_hash64("", 0) == 0xef46db3751d8e999ull);
    assert_true(ix_hash64("a", 1) == 0xd24ec4f1a98c6e5bull);
    assert_true(ix_hash64("abc", 3) == 0x44bc2cf5ad770999ull);
    const char *long_text = "Nobody inspects the spammish repetition"; /* 39 bytes: stripes and every tail */
    assert_true(ix_hash64(long_text, strlen(long_text)) == 0xfbcea83c8a378bf1ull);
}

static void test_permutation_is_a_bijection(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 100, 1000, 4096, 4097, 100000};
    for (size_t s = 0; s < IX_ARRAY_LEN(sizes); s++) {
        uint64_t n = sizes[s];
        unsigned char *seen = calloc(1, n);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t place = ix_permute(99, n, i);
            assert_true(place < n);
            assert_false(seen[place]);
            seen[place] = 1;
        }
        free(seen);
    }
    uint64_t places[1000];
    static const uint64_t large[] = {1ull << 40, (1ull << 62) + 12345, 1ull << 63};
    for (size_t s = 0; s < IX_ARRAY_LEN(large); s++)
        for (uint64_t i = 0; i < IX_ARRAY_LEN(places); i++) {
            places[i] = ix_permute(7, large[s], large[s] / IX_ARRAY_LEN(places) * i);
            assert_true(places[i] < large[s]);
            for (uint64_t k = 0; k < i; k++)
                assert_true(places[k] != places[i]);
        }
}

/* Each of the 24 orders of 4, and each place of 10 devices, comes up equally often over the seeds. */
static void test_permutation_is_fair(void **state)
{
    (void)state;
    const int seeds = 24000;
    int orders[256] = {0}, places[10][10] = {{0}};
    for (int seed = 0; seed < seeds; seed++) {
        unsigned code = 0;
        for (uint64_t i = 0; i < 4; i++)
            code = code << 2 | (unsigned)ix_permute((uint64_t)seed, 4, i);
        orders[code]++;
        for (uint64_t i = 0; i < 10; i++)
            places[i][ix_permute((uint64_t)seed, 10, i)]++;
    }
    double chi = 0;
    for (int i = 0; i < 256; i++)
        if (orders[i])
            chi += pow(orders[i] - seeds / 24.0, 2) / (seeds / 24.0);
    assert_true(chi < 60); /* 23 degrees of freedom: 0.9999-quantile 55 */
    for (int i = 0; i < 10; i++)
        for (int place = 0; place < 10; place++)
            assert_in_range(places[i][place], 2400 - 280, 2400 + 280); /* six standard errors */
}

static void test_system_bits_differ(void **state)
{
    (void)state;
    assert_true(ix_random_system() != ix_random_system());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_normal_quantiles),
                                       cmocka_unit_test(test_normal_inverts_erfc),
                                       cmocka_unit_test(test_moments),
                                       cmocka_unit_test(test_keys_are_independent),
                                       cmocka_unit_test(test_hash_vectors),
                                       cmocka_unit_test(test_permutation_is_a_bijection),
                                       cmocka_unit_test(test_permutation_is_fair),
                                       cmocka_unit_test(test_system_bits_differ)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

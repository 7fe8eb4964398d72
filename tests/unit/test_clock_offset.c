/* The offset of another host's clock, from questions and answers of known delays. */
#include "metrics/clock_offset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS 1000000ull
#define S  1000000000ull

/* One question at `at`, by a clock that is `ahead`: `there` and `back` under way, `held` before it is answered. */
static void ask(struct ix_clock_offset *o, uint64_t at, int64_t ahead, uint64_t there, uint64_t held,
                uint64_t back)
{
    uint64_t t2 = at + there + (uint64_t)ahead;
    ix_clock_offset_add(o, at, t2, t2 + held, at + there + held + back);
}

static void assert_within(const struct ix_clock_offset *o, int64_t ahead, uint64_t bound)
{
    int64_t wrong = o->offset_ns - ahead;
    assert_true((uint64_t)(wrong < 0 ? -wrong : wrong) <= bound);
}

static void test_the_error_is_half_of_the_round_trip_at_most(void **state)
{
    (void)state;
    static const int64_t aheads[] = {0, 5000 * (int64_t)S, -700 * (int64_t)S, 1};
    for (size_t i = 0; i < sizeof aheads / sizeof *aheads; i++)
        for (uint64_t there = 0; there <= 10 * MS; there += MS) {
            struct ix_clock_offset o = {.clock = 1};
            ask(&o, 1000 * S, aheads[i], there, 3 * MS, 10 * MS - there);
            assert_int_equal(o.samples, 1);
            assert_int_equal(o.bound_ns, 5 * MS);
            assert_within(&o, aheads[i], 5 * MS);
        }
}

static void test_the_best_sample_counts_until_it_is_old(void **state)
{
    (void)state;
    struct ix_clock_offset o = {.clock = 1};
    ask(&o, 100 * S, 7 * MS, 5 * MS, 0, 1 * MS);
    ask(&o, 101 * S, 7 * MS, 100000, 0, 100000);
    assert_int_equal(o.bound_ns, 100000);
    assert_within(&o, 7 * MS, 100000);
    ask(&o, 102 * S, 7 * MS, 9 * MS, 0, 1 * MS); /* worse */
    assert_int_equal(o.bound_ns, 100000);
    assert_int_equal(ix_clock_offset_bound(&o, o.at_ns + 10 * S), 100000 + MS);
    ask(&o, 200 * S, 8 * MS, 500000, 0, 500000); /* better than one that is 100 s old */
    assert_int_equal(o.bound_ns, 500000);
    assert_within(&o, 8 * MS, 500000);
    assert_int_equal(o.samples, 4);
}

static void test_no_time_is_less_than_nothing(void **state)
{
    (void)state;
    struct ix_clock_offset o = {.clock = 1};
    uint64_t age = 77;
    assert_false(ix_clock_offset_age(&o, 5, 10, &age)); /* not measured */
    ask(&o, 100 * S, 50 * S, 2 * MS, 0, 0);
    uint64_t now = 101 * S;
    assert_true(ix_clock_offset_age(&o, now + 50 * S - 10 * MS, now, &age));
    assert_true(age >= 8 * MS && age <= 12 * MS);
    assert_true(ix_clock_offset_age(&o, now + 50 * S + MS / 2, now, &age)); /* within the error */
    assert_true(age <= MS);
    assert_false(ix_clock_offset_age(&o, now + 60 * S, now, &age)); /* it can't be */
    assert_true(o.worst_ns >= MS);
}

static void test_impossible_answers_are_no_samples(void **state)
{
    (void)state;
    struct ix_clock_offset o = {.clock = 1};
    uint64_t age;
    ix_clock_offset_add(&o, 10, 20, 30, 5);                /* back before it was asked */
    ix_clock_offset_add(&o, 10, 30, 20, 50);               /* answered before it came */
    ix_clock_offset_add(&o, 10, 20, 90, 50);               /* held longer than it was away */
    ix_clock_offset_add(&o, 0, 1ull << 63, 1ull << 63, 9); /* of no clock */
    ix_clock_offset_add(&o, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_int_equal(o.samples, 0);
    ask(&o, 100 * S, 0, MS, 0, MS);
    ix_clock_offset_age(&o, 1ull << 63, 100 * S, &age);
    ix_clock_offset_age(&o, UINT64_MAX, 0, &age);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_error_is_half_of_the_round_trip_at_most),
        cmocka_unit_test(test_the_best_sample_counts_until_it_is_old),
        cmocka_unit_test(test_no_time_is_less_than_nothing),
        cmocka_unit_test(test_impossible_answers_are_no_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

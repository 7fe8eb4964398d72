#include "base/error.h"
#include "base/random.h"
#include "base/units.h"
#include "check.h"
#include "loop/wheel.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 400

_Static_assert(sizeof(struct ix_wheel_entry) <= 40, "an entry is part of every device's memory");

/* The reference: for every entry its deadline and the sequence of its latest add. */
struct item {
    struct ix_wheel_entry entry;
    bool expected;
    uint64_t due_tick;
    uint64_t sequence;
};

static struct item items[ENTRIES];
static struct ix_wheel *wheel;
static uint64_t draw_key, draws, sequence, last_tick, last_sequence;
static size_t fired_count;
static bool meddle;

static uint64_t draw(uint64_t n)
{
    return ix_random_below(ix_random_u64(draw_key, draws++), n);
}

/* From the same ms to centuries. */
static uint64_t some_delay(void)
{
    return ix_random_u64(draw_key, draws++) >> (20 + draw(44));
}

/* The tick that counts: rounded up, and not before the wheel's own. */
static uint64_t tick_of(uint64_t due_ns, uint64_t now_ns)
{
    uint64_t tick = (due_ns + IX_MS - 1) / IX_MS, now = now_ns / IX_MS;
    return tick < now ? now : tick;
}

static void add_some(uint64_t now_ns, uint64_t due_ns)
{
    struct item *item = &items[draw(ENTRIES)];
    item->expected = true;
    item->due_tick = tick_of(due_ns, now_ns);
    item->sequence = ++sequence;
    ix_wheel_add(wheel, &item->entry, due_ns);
}

static void cancel_some(void)
{
    struct item *item = &items[draw(ENTRIES)];
    item->expected = false;
    ix_wheel_cancel(wheel, &item->entry);
    assert_false(ix_wheel_has(&item->entry));
}

static void fire(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct item *item = (struct item *)entry;
    assert_false(ix_wheel_has(entry));
    assert_true(item->expected);
    assert_true(now_ns >= entry->due_ns);
    item->expected = false;
    fired_count++;
    if (!meddle) {
        /* earliest tick first, in order of adding within one */
        assert_true(item->due_tick > last_tick ||
                    (item->due_tick == last_tick && item->sequence > last_sequence));
        last_tick = item->due_tick;
        last_sequence = item->sequence;
        return;
    }
    for (uint64_t i = draw(3); i; i--)
        cancel_some(); /* often one that is next in line */
    for (uint64_t i = draw(2); i; i--)
        add_some(now_ns, draw(4) ? now_ns + some_delay() : now_ns - draw(now_ns));
    if (draw(4) == 0) {
        item->expected = true;
        ix_wheel_add(wheel, entry, now_ns + some_delay());
        item->due_tick = tick_of(entry->due_ns, now_ns);
        item->sequence = ++sequence;
    }
}

/* Nothing that is due before now is left, and everything else still is. */
static void check_rest(uint64_t now_ns)
{
    size_t count = 0;
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(items[i].expected, ix_wheel_has(&items[i].entry));
        count += items[i].expected;
        if (!items[i].expected)
            continue;
        if (!meddle)
            assert_true(items[i].due_tick > now_ns / IX_MS);
        if (items[i].due_tick < first)
            first = items[i].due_tick;
    }
    assert_int_equal(ix_wheel_count(wheel), count);
    uint64_t next = ix_wheel_next(wheel);
    assert_true(count ? next <= first * IX_MS : next == UINT64_MAX);
}

static void drain(uint64_t now_ns, size_t limit)
{
    size_t before = fired_count, fired;
    last_tick = last_sequence = 0;
    do {
        fired = ix_wheel_run(wheel, now_ns, limit);
        assert_true(fired <= limit);
    } while (fired == limit);
    assert_true(fired_count >= before);
}

static void play(uint64_t seed, bool meddling)
{
    uint64_t now = seed % 3 == 0 ? 0 : ix_random_u64(seed, 1) >> 20;
    draw_key = ix_random_key(seed, 0);
    draws = sequence = 0;
    meddle = meddling;
    memset(items, 0, sizeof(items));
    for (size_t i = 0; i < ENTRIES; i++)
        items[i].entry.fire = fire;
    wheel = ix_wheel_new(now);
    for (int step = 0; step < 2000; step++) {
        for (uint64_t i = draw(20); i; i--)
            add_some(now, draw(10) ? now + some_delay() : now - draw(now + 1));
        for (uint64_t i = draw(5); i; i--)
            cancel_some();
        uint64_t next = ix_wheel_next(wheel);
        switch (draw(4)) {
        case 0: /* one small step */
            now += draw(3 * IX_MS);
            break;
        case 1: /* exactly to the next instant */
            now = next != UINT64_MAX && next > now ? next : now;
            break;
        case 2: /* a huge jump, over many deadlines */
            now += some_delay() >> 2;
            break;
        default:
            break;
        }
        drain(now, draw(2) ? 1 + draw(7) : SIZE_MAX);
        check_rest(now);
        if (now > UINT64_MAX / 4)
            break;
    }
    ix_wheel_free(wheel);
}

static void test_against_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        play(seed, false);
    assert_true(fired_count > 10000);
}

static void test_entries_change_the_wheel_as_they_fire(void **state)
{
    (void)state;
    fired_count = 0;
    for (uint64_t seed = 100; seed < 140; seed++)
        play(seed, true);
    assert_true(fired_count > 10000);
}

struct periodic {
    struct ix_wheel_entry entry;
    uint64_t interval_ns;
    uint64_t fires;
};

static void fire_periodic(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct periodic *p = (struct periodic *)entry;
    assert_true(now_ns >= entry->due_ns && now_ns < entry->due_ns + IX_MS);
    p->fires++;
    ix_wheel_add(wheel, entry, entry->due_ns + p->interval_ns);
}

/* Intervals that are no whole number of ms keep their exact instants for a simulated day. */
static void test_no_drift(void **state)
{
    (void)state;
    struct periodic p[] = {{.interval_ns = 333333333}, {.interval_ns = IX_S}, {.interval_ns = 1500001}};
    wheel = ix_wheel_new(0);
    for (size_t i = 0; i < IX_ARRAY_LEN(p); i++) {
        p[i].entry.fire = fire_periodic;
        ix_wheel_add(wheel, &p[i].entry, p[i].interval_ns);
    }
    const uint64_t end = 86400 * IX_S;
    for (uint64_t next = ix_wheel_next(wheel); next <= end; next = ix_wheel_next(wheel))
        ix_wheel_run(wheel, next, SIZE_MAX);
    for (size_t i = 0; i < IX_ARRAY_LEN(p); i++) {
        assert_true(p[i].entry.due_ns == (p[i].fires + 1) * p[i].interval_ns);
        assert_true(p[i].fires == end / p[i].interval_ns);
    }
    ix_wheel_free(wheel);
}

static void fire_again_at_once(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    (void)now_ns;
    fired_count++;
    ix_wheel_add(wheel, entry, 0);
}

/* An entry that is always overdue fires once per run: a run without a limit still ends. */
static void test_overdue_waits_for_the_next_run(void **state)
{
    (void)state;
    struct ix_wheel_entry entry = {.fire = fire_again_at_once};
    wheel = ix_wheel_new(0);
    ix_wheel_add(wheel, &entry, 5 * IX_MS);
    fired_count = 0;
    assert_int_equal(ix_wheel_run(wheel, 5 * IX_MS - 1, SIZE_MAX), 0);
    for (size_t runs = 1; runs <= 5; runs++) {
        assert_int_equal(ix_wheel_run(wheel, 5 * IX_MS, SIZE_MAX), 1);
        assert_int_equal(fired_count, runs);
        assert_true(ix_wheel_next(wheel) == 5 * IX_MS);
    }
    ix_wheel_free(wheel);
}

static void test_the_last_instant(void **state)
{
    (void)state;
    struct item item = {.entry.fire = fire, .expected = true, .due_tick = 1, .sequence = 1};
    wheel = ix_wheel_new(0);
    meddle = true;
    draw_key = 0;
    memset(items, 0, sizeof(items));
    ix_wheel_add(wheel, &item.entry, UINT64_MAX);
    assert_true(ix_wheel_next(wheel) != UINT64_MAX);
    assert_int_equal(ix_wheel_run(wheel, UINT64_MAX / 2, SIZE_MAX), 0);
    assert_true(ix_wheel_has(&item.entry));
    ix_wheel_cancel(wheel, &item.entry);
    assert_true(ix_wheel_next(wheel) == UINT64_MAX);
    ix_wheel_cancel(wheel, &item.entry); /* a second time does nothing */
    assert_int_equal(ix_wheel_count(wheel), 0);
    ix_wheel_free(wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list), cmocka_unit_test(test_entries_change_the_wheel_as_they_fire),
        cmocka_unit_test(test_no_drift), cmocka_unit_test(test_overdue_waits_for_the_next_run),
        cmocka_unit_test(test_the_last_instant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Messages that wait for room, and those that are late through iotix itself: every tick that came due is accounted for, in
 * order and with its own instant. */
#include "fake_protocol.h"

#define MODEL(connection, telemetry)                                          \
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\"," \
    "\"connection\":{" connection "},\"telemetry\":[" telemetry "]}"
#define VALUE(name, interval)                                             \
    "{\"name\":\"" name "\",\"type\":\"number\",\"intervalMs\":" interval \
    ",\"generator\":{\"type\":\"sequence\",\"start\":0,\"max\":1000000000}}"
#define ONE   "\"maxInflight\":1,\"reconnect\":{\"backoff\":\"fixed\",\"delayMs\":1000,\"jitter\":\"none\"},"
#define BLOCK ONE "\"queue\":{\"policy\":\"block\"}"

static uint64_t waiting(void)
{
    return metrics("g")->waiting;
}

static uint64_t due_so_far(void)
{
    return counter("g", IX_C_SCHEDULED) + waiting();
}

static void begin(const char *model, uint64_t devices)
{
    add_group("g", devices, model);
    launch("g", 0, "0");
    run_until(0);
}

static void assert_dues(uint64_t first_tick, size_t count, uint64_t interval)
{
    assert_true(rig.due_count >= count);
    for (size_t i = 0; i < count; i++)
        assert_number(rig.dues[rig.due_count - count + i], 5 * MS + (first_tick + i) * interval);
}

static void test_what_finds_no_room_waits(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(BLOCK, VALUE("t", "100")), 1);
    run_until(10 * S);
    assert_number(counter("g", IX_C_SENT), 1);
    assert_number(waiting(), 99);
    assert_number(due_so_far(), 100);
    fake.holds_acks = false;
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(12 * S);
    assert_number(waiting(), 0);
    assert_number(counter("g", IX_C_SENT), 120);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 0);
    assert_dues(0, 120, 100 * MS);
    /* One by one as they are acknowledged: the wait is the server's doing, not ours. */
    assert_true(metrics("g")->trends[IX_T_RESPONSE].max >= 9 * S);
    assert_true(metrics("g")->trends[IX_T_LATENESS].max < 2 * MS);
    check_ledger("g");
}

static void test_the_oldest_makes_room(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(ONE "\"queue\":{\"policy\":\"drop-oldest\",\"size\":3}", VALUE("t", "100")), 1);
    run_until(1 * S);
    assert_number(waiting(), 3);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 6);
    assert_number(due_so_far(), 10);
    fake.holds_acks = false;
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(1050 * MS);
    assert_number(counter("g", IX_C_SENT), 5);
    assert_dues(7, 4, 100 * MS);
    check_ledger("g");
}

static void test_the_newest_finds_none(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(ONE "\"queue\":{\"policy\":\"drop-newest\",\"size\":3}", VALUE("t", "100")), 1);
    run_until(1 * S); /* tick 0 was sent, 1 to 3 wait, 4 to 9 were dropped */
    assert_number(waiting(), 3);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 6);
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(1300 * MS); /* 1 was sent, so 10 waits; 11 and 12 were dropped */
    assert_number(waiting(), 3);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 8);
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(1310 * MS); /* 2 was sent, 13 waits */
    fake.holds_acks = false;
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(1590 * MS);
    static const uint64_t ticks[] = {0, 1, 2, 3, 10, 13, 14, 15};
    assert_number(rig.due_count, IX_ARRAY_LEN(ticks));
    for (size_t i = 0; i < IX_ARRAY_LEN(ticks); i++)
        assert_number(rig.dues[i], 5 * MS + ticks[i] * 100 * MS);
    assert_number(due_so_far(), 16);
    assert_number(waiting(), 0);
    check_ledger("g");
}

static void test_streams_of_one_instant(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(BLOCK, VALUE("a", "100") "," VALUE("b", "200") "," VALUE("c", "100")), 1);
    run_until(110 * MS);
    assert_number(counter("g", IX_C_SENT), 1);
    assert_number(waiting(), 4);
    for (size_t sent = 1; sent < 5; sent++) {
        assert_number(counter("g", IX_C_SENT), sent);
        fake_acknowledge(fake_link_of("g-0"), 1);
        run_until(rig.loop.clock.virtual_ns + 2 * MS);
    }
    assert_non_null(strstr(fake.payload, "\"c\":1"));
    assert_number(waiting(), 0);
    fake.holds_acks = false;
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(2 * S);
    assert_number(counter("g", IX_C_SENT), 20 + 10 + 20);
    check_ledger("g");
}

static void test_one_message_for_what_coincides(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(BLOCK ",\"payload\":\"combined\"", VALUE("a", "100") "," VALUE("b", "300")), 1);
    run_until(1 * S);
    assert_number(counter("g", IX_C_SENT), 1);
    assert_number(waiting(), 9);
    fake.holds_acks = false;
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(2 * S);
    assert_number(counter("g", IX_C_SENT), 20);
    assert_dues(0, 20, 100 * MS);
    check_ledger("g");
}

static void test_a_full_socket_is_no_room_either(void **state)
{
    (void)state;
    fake.room = 2;
    fake.holds_acks = true;
    begin(MODEL("\"queue\":{\"policy\":\"block\"}", VALUE("t", "100")), 1);
    run_until(1 * S);
    assert_number(counter("g", IX_C_SENT), 2);
    assert_number(waiting(), 8);
    fake_acknowledge(fake_link_of("g-0"), 1);
    run_until(1001 * MS);
    assert_number(counter("g", IX_C_SENT), 3);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 0);
    check_ledger("g");
}

static void test_what_waits_when_the_connection_ends_is_never_sent(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(BLOCK, VALUE("t", "100")), 1);
    run_until(1 * S);
    fake_lose("g-0");
    fake.holds_acks = false;
    run_until(3 * S);
    assert_number(waiting(), 0);
    assert_number(counter("g", IX_C_LOST), 1);
    /* 1 to 9 waited; 10 to 19 came due before it was back, at 2,005 ms as tick 20 */
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 9 + 10);
    assert_dues(20, 10, 100 * MS);
    assert_number(due_so_far(), 30);
    check_ledger("g");
}

static void test_a_drain_sends_what_waits(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(BLOCK, VALUE("t", "100")), 2);
    run_until(1 * S);
    stop("g", 1 * S, 2 * S);
    run_until(1500 * MS);
    assert_number(waiting(), 18);
    fake_acknowledge(fake_link_of("g-0"), 1); /* the first goes on, with acknowledgements one by one */
    for (int i = 0; i < 8; i++) {
        run_until(rig.loop.clock.virtual_ns + 2 * MS);
        fake_acknowledge(fake_link_of("g-0"), 1);
    }
    run_until(rig.loop.clock.virtual_ns + 2 * MS);
    fake_acknowledge(fake_link_of("g-0"), 1);
    assert_number(row("g", 0)->status, IX_D_STOPPED);
    assert_number(row("g", 0)->sent, 10);
    assert_number(row("g", 1)->status, IX_D_STOPPING);
    run_until(4 * S);
    assert_number(row("g", 1)->status, IX_D_STOPPED);
    assert_number(waiting(), 0);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 9);
    assert_number(counter("g", IX_C_LOST), 1);
    check_ledger("g");
}

static void test_what_waits_dies_with_its_worker(void **state)
{
    (void)state;
    fake.holds_acks = true;
    begin(MODEL(BLOCK, VALUE("a", "100") "," VALUE("b", "100")), 3);
    run_until(1 * S);
    assert_number(waiting(), 3 * 19);
    rig_restart();
    assert_number(waiting(), 0);
    assert_number(counter("g", IX_C_NEVER_SENT_LATE), 3 * 19);
    assert_number(counter("g", IX_C_LOST_WORKER), 3);
    fake.holds_acks = false;
    struct ix_record spec = spec_of("g", 3, MODEL(BLOCK, VALUE("a", "100") "," VALUE("b", "100")));
    must_apply(&spec);
    launch("g", 0, "0");
    run_until(2 * S);
    assert_number(waiting(), 0);
    assert_number(due_so_far(), 3 * 2 * 20);
    check_ledger("g");
}

/* ---- late ---- */

static void stopped_until(uint64_t instant)
{
    ix_clock_advance(&rig.loop.clock, instant);
}

static void test_late_ticks_are_skipped(void **state)
{
    (void)state;
    begin(MODEL("\"qos\":0,\"lateAfterMs\":1000", VALUE("t", "100")), 1);
    run_until(950 * MS);
    stopped_until(5 * S);
    run_until(5 * S);
    /* 10 to 39 came due more than 1 s before; the rest is sent at once */
    assert_number(counter("g", IX_C_NEVER_SENT_LATE), 30);
    assert_number(counter("g", IX_C_SENT), 10 + 10);
    assert_dues(40, 10, 100 * MS);
    run_until(6 * S);
    assert_number(due_so_far(), 60);
    check_ledger("g");
}

static void test_late_ticks_are_caught_up_with(void **state)
{
    (void)state;
    begin(MODEL("\"qos\":0,\"lateAfterMs\":1000,\"onLate\":\"catch-up\"", VALUE("t", "100")), 1);
    run_until(950 * MS);
    stopped_until(5 * S);
    run_until(5 * S);
    assert_number(rig.due_count, 11); /* no burst: ten times its own pace */
    run_until(5 * S + 95 * MS);
    assert_number(rig.due_count, 20);
    run_until(7 * S);
    assert_number(counter("g", IX_C_NEVER_SENT_LATE), 0);
    assert_dues(0, 70, 100 * MS);
    check_ledger("g");
}

static void test_late_ticks_of_a_queue(void **state)
{
    (void)state;
    begin(MODEL(BLOCK ",\"lateAfterMs\":1000", VALUE("t", "100")), 1);
    run_until(950 * MS);
    stopped_until(5 * S);
    run_until(6 * S);
    assert_number(counter("g", IX_C_NEVER_SENT_LATE), 30);
    assert_number(counter("g", IX_C_SENT), 30);
    assert_dues(50, 10, 100 * MS);
    check_ledger("g");
}

static void test_a_late_stop_accounts_for_the_rest(void **state)
{
    (void)state;
    begin(MODEL("\"qos\":0", VALUE("t", "10")), 1);
    run_until(100 * MS);
    stopped_until(4 * S);
    stop("g", 4 * S, 1 * S);
    run_until(5 * S);
    assert_number(row("g", 0)->status, IX_D_STOPPED);
    assert_number(due_so_far(), 400);
    check_ledger("g");
}

/* ---- everything at once ---- */

static void mix(const char *model, uint64_t seed)
{
    enum { DEVICES = 5 };
    uint64_t key = ix_random_key(seed, 1), n = 0;
    fake.holds_acks = true;
    begin(model, DEVICES);
    run_until(10 * MS);
    for (int step = 0; step < 600; step++) {
        uint64_t draw = ix_random_u64(key, n++);
        char id[16];
        snprintf(id, sizeof(id), "g-%u", (unsigned)(draw >> 32) % DEVICES);
        struct ix_link *link = fake_link_of(id);
        bool up = link && link->is_up;
        if (up && draw % 50 == 0)
            fake_lose(id);
        else if (up && draw % 3)
            fake_acknowledge(link, draw % 4);
        if (draw % 97 == 0)
            stopped_until(rig.loop.clock.virtual_ns + 2 * S);
        run_until(rig.loop.clock.virtual_ns + draw % 60 * MS);
        check_ledger("g");
    }
    uint64_t end = rig.loop.clock.virtual_ns;
    for (unsigned i = 0; i < DEVICES; i++) { /* as if the server went on */
        char id[16];
        snprintf(id, sizeof(id), "g-%u", i);
        struct ix_link *link = fake_link_of(id);
        for (int k = 0; link && k < 5000 && link->is_up && link->token_count; k++) {
            fake_acknowledge(link, 20);
            run_until(end);
        }
    }
    /* Streams of 30 and of 50 ms, from 5 ms on. */
    uint64_t ticks = (end - 5 * MS) / (30 * MS) + 1 + (end - 5 * MS) / (50 * MS) + 1;
    uint64_t offline = 0;
    for (unsigned i = 0; i < DEVICES; i++) {
        char id[16];
        snprintf(id, sizeof(id), "g-%u", i);
        offline += !fake_link_of(id) || !fake_link_of(id)->is_up;
    }
    if (!offline)
        assert_number(due_so_far(), DEVICES * ticks);
    else
        assert_true(due_so_far() <= DEVICES * ticks);
    assert_number(offline ? 0 : waiting(), 0);
    stop("g", end, 0);
    run_until(end + 1 * S);
    assert_number(waiting(), 0);
    assert_true(counter("g", IX_C_SENT) > 100);
    check_ledger("g");
}

#define TWO_STREAMS VALUE("a", "30") "," VALUE("b", "50")

static void test_mix_of_policies(void **state)
{
    static const char *const models[] = {
        MODEL(ONE "\"queue\":{\"policy\":\"block\"}", TWO_STREAMS),
        MODEL(ONE "\"queue\":{\"policy\":\"drop-oldest\",\"size\":7}", TWO_STREAMS),
        MODEL(ONE "\"queue\":{\"policy\":\"drop-newest\",\"size\":7}", TWO_STREAMS),
        MODEL(ONE "\"queue\":{\"policy\":\"drop-newest\",\"size\":1},\"lateAfterMs\":500", TWO_STREAMS),
        MODEL(ONE "\"queue\":{\"policy\":\"block\"},\"lateAfterMs\":500", TWO_STREAMS),
        MODEL(ONE "\"lateAfterMs\":500", TWO_STREAMS),
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(models); i++) {
        for (uint64_t seed = 0; seed < 5; seed++) {
            mix(models[i], seed);
            rig_end(state);
            rig_start(state);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)
        TEST(test_what_finds_no_room_waits),
        TEST(test_the_oldest_makes_room),
        TEST(test_the_newest_finds_none),
        TEST(test_streams_of_one_instant),
        TEST(test_one_message_for_what_coincides),
        TEST(test_a_full_socket_is_no_room_either),
        TEST(test_what_waits_when_the_connection_ends_is_never_sent),
        TEST(test_a_drain_sends_what_waits),
        TEST(test_what_waits_dies_with_its_worker),
        TEST(test_late_ticks_are_skipped),
        TEST(test_late_ticks_are_caught_up_with),
        TEST(test_late_ticks_of_a_queue),
        TEST(test_a_late_stop_accounts_for_the_rest),
        TEST(test_mix_of_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

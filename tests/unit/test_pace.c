/* Connecting in turn: a rate is never exceeded, the order is kept, and nobody is forgotten. */
#include "device/internal.h"
#include "fake_protocol.h"

static const char model[] =
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"connection\":{"
    "\"reconnect\":{\"backoff\":\"fixed\",\"delayMs\":1000,\"jitter\":\"none\"}},"
    "\"telemetry\":[{\"name\":\"t\",\"type\":\"number\",\"intervalMs\":1000,"
    "\"generator\":{\"type\":\"constant\",\"value\":1}}]}";

static void test_rate_is_exact(void **state)
{
    (void)state;
    add_group("g", 3000, model);
    ix_engine_set_pace(rig.engine, 2 * MS, 0, 0); /* 500 a second */
    launch("g", 1 * S, "0");
    for (uint64_t at = 1000; at <= 7000; at++) {
        run_until(at * MS);
        assert_number(fake.connects, at < 6998 ? (at - 1000) / 2 + 1 : 3000);
    }
    assert_number(metrics("g")->trends[IX_T_CONNECT].max, 5 * MS); /* the queue is not the server's fault */
    check_ledger("g");
}

static void test_rates_that_are_no_whole_milliseconds(void **state)
{
    (void)state;
    add_group("g", 3000, model);
    ix_engine_set_pace(rig.engine, 1e9 / 3300, 1e9 / 6600, 0);
    launch("g", 0, "0");
    for (uint64_t at = 100; at <= 800; at += 100) {
        run_until(at * MS);
        assert_number(fake.connects, at * 33 / 10); /* and 0.5 instants before the first */
    }
    run_until(1 * S);
    assert_number(fake.connects, 3000);
}

static void test_order_is_that_of_asking(void **state)
{
    (void)state;
    add_group("g", 100, model);
    ix_engine_set_pace(rig.engine, 10 * MS, 0, 0);
    launch("g", 0, "0");
    for (uint64_t i = 0; i < 100; i++) {
        run_until(i * 10 * MS + 1 * MS);
        char id[16];
        snprintf(id, sizeof(id), "g-%d", (int)i);
        assert_string_equal(fake.client_id, id);
    }
}

/* A server that answers after 100 ms, and takes 50 at a time: 500 a second, and never more under way. */
static void test_a_window_is_never_exceeded(void **state)
{
    (void)state;
    fake.connect_ns = 100 * MS;
    add_group("g", 1000, model);
    ix_engine_set_pace(rig.engine, 0, 0, 50);
    launch("g", 1 * S, "0");
    for (uint64_t at = 1000; at < 3000; at += 10) {
        run_until(at * MS);
        assert_in_range(fake.connects - (size_t)metrics("g")->counters[IX_C_CONNECTED], 0, 50);
    }
    run_until(3500 * MS);
    assert_number(metrics("g")->counters[IX_C_CONNECTED], 1000);
    check_ledger("g");
}

/* Refused, unreachable and stopped connections make room as well. */
static void test_a_window_has_room_again_after_failures(void **state)
{
    (void)state;
    fake.connect_ns = 10 * MS;
    fake.answer = UNREACHABLE;
    add_group("g", 100, model);
    ix_engine_set_pace(rig.engine, 0, 0, 7);
    launch("g", 0, "0");
    run_until(400 * MS);
    assert_true(fake.connects >= 100); /* each had its attempt */
    fake.answer = ACCEPT;
    run_until(5 * S);
    assert_number(metrics("g")->counters[IX_C_CONNECTED], 100);
    assert_number(rig.engine->pace.under_way, 0);
}

/* A process that stood still for 5 s opens 10 ms' worth of connections at once, not 5 s' worth. */
static void test_a_late_turn_makes_up_for_little(void **state)
{
    (void)state;
    add_group("g", 8000, model);
    ix_engine_set_pace(rig.engine, 1 * MS, 0, 0);
    launch("g", 0, "0");
    run_until(100 * MS);
    assert_number(fake.connects, 101);
    ix_clock_advance(&rig.loop.clock, 5100 * MS);
    run_until(5100 * MS);
    assert_in_range(fake.connects, 101 + 10, 101 + 11);
    run_until(6100 * MS);
    assert_in_range(fake.connects, 1101 + 10, 1101 + 11);
}

/* Those that stop while they wait cost no instant of the others; one that starts again goes to the end. */
static void test_stopped_while_waiting(void **state)
{
    (void)state;
    add_group("a", 50, model);
    add_group("b", 50, model);
    ix_engine_set_pace(rig.engine, 100 * MS, 0, 0);
    launch("a", 0, "0");
    launch("b", 0, "0");
    run_until(50 * MS);
    assert_number(fake.connects, 1);
    stop("a", 60 * MS, 0);
    run_until(70 * MS);
    assert_number(in_status("a", IX_D_STOPPED), 50);
    launch("a", 80 * MS, "0");
    run_until(5050 * MS);
    assert_number(metrics("b")->connected, 50);
    assert_number(metrics("a")->connected, 0);
    run_until(10060 * MS);
    assert_number(metrics("a")->connected, 50);
    assert_number(fake.connects, 101);
}

static void test_dropped_while_waiting(void **state)
{
    (void)state;
    add_group("g", 100, model);
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_number(metrics("g")->connected, 100);
    ix_engine_set_pace(rig.engine, 100 * MS, 0, 0);
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof(id), "g-%d", i);
        fake_lose(id);
    }
    run_until(6 * S); /* they ask after 1 s; 46 instants since then */
    assert_number(fake.connects, 146);
    ix_engine_set_pace(rig.engine, 0, 0, 0); /* no rate any more */
    run_until(6010 * MS);
    assert_number(metrics("g")->connected, 100);
    check_ledger("g");
}

/* Without a rate many at one instant still come in portions: sockets and telemetry get their turn in between. */
static void test_portions(void **state)
{
    (void)state;
    add_group("g", 20000, model);
    launch("g", 1 * S, "0");
    run_until(1 * S - 1);
    ix_clock_advance(&rig.loop.clock, 1 * S);
    ix_wheel_run(rig.loop.wheel, 1 * S, SIZE_MAX);
    assert_in_range(fake.connects, 1, 100);
    run_until(1 * S);
    assert_number(fake.connects, 20000);
    run_until(1100 * MS);
    assert_number(metrics("g")->connected, 20000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rate_is_exact),
        TEST(test_rates_that_are_no_whole_milliseconds),
        TEST(test_order_is_that_of_asking),
        TEST(test_a_window_is_never_exceeded),
        TEST(test_a_window_has_room_again_after_failures),
        TEST(test_a_late_turn_makes_up_for_little),
        TEST(test_stopped_while_waiting),
        TEST(test_dropped_while_waiting),
        TEST(test_portions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

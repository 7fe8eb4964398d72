/* Measuring by payload: the generator stamp, devices that subscribe, streams that end after a total. */
#include "fake_protocol.h"
#include "generator/stamp.h"

#define DEVICE(more, telemetry)                                                                             \
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"custom\",\"protocol\":\"mqtt\",\"connection\":{\"qos\":1" more \
    "},\"telemetry\":[" telemetry "]}"

#define STAMPED(size, more)                                                                   \
    "{\"name\":\"p\",\"type\":\"binary\",\"intervalMs\":100" more ",\"generator\":{\"type\":" \
    "\"stamp\",\"size\":" size "}}"

static void test_payload_has_its_size_tick_and_instant(void **state)
{
    (void)state;
    struct ix_stamp stamp;
    add_group("g", 1, DEVICE("", STAMPED("40", "")));
    launch("g", 0, "0");
    run_until(250 * MS); /* connected at 5 ms: ticks at 5, 105, 205 ms */
    assert_number(fake.published, 3);
    assert_number(fake.payload_len, 40);
    assert_true(ix_stamp_read(fake.payload, fake.payload_len, &stamp));
    assert_number(stamp.tick, 2);
    assert_number(stamp.sent_ns, 205 * MS);
}

static void test_short_payloads_are_not_stamped(void **state)
{
    (void)state;
    struct ix_stamp stamp;
    add_group("g", 1, DEVICE("", STAMPED("23", "")));
    launch("g", 0, "0");
    run_until(50 * MS);
    assert_number(fake.payload_len, 23);
    assert_false(ix_stamp_read(fake.payload, fake.payload_len, &stamp));
}

static void test_foreign_payloads_are_no_stamps(void **state)
{
    (void)state;
    char payload[IX_STAMP_LEN];
    struct ix_stamp stamp = {.tick = 7, .sent_ns = 123456789}, read;
    ix_stamp_write(payload, &stamp);
    assert_true(ix_stamp_read(payload, sizeof payload, &read));
    assert_true(read.tick == 7 && read.sent_ns == 123456789);
    assert_false(ix_stamp_read(payload, sizeof payload - 1, &read));
    assert_false(ix_stamp_read("", 0, &read));
    assert_true(read.clock == ix_stamp_clock());
    payload[5] ^= 1; /* another host */
    assert_true(ix_stamp_read(payload, sizeof payload, &read));
    assert_true(read.clock != ix_stamp_clock());
    payload[5] ^= 1;
    payload[0] = 'X';
    assert_false(ix_stamp_read(payload, sizeof payload, &read));
}

static const char subscriber[] =
    DEVICE(",\"subscribe\":[{\"topic\":\"a/${index+5}/#\"},{\"topic\":\"b/+\",\"qos\":2}]", "");

static void deliver(const void *payload, size_t len, bool retain)
{
    struct ix_link *link = fake_link_of("g-0");
    struct ix_message message = {.topic = "b/c", .payload = payload, .len = len, .retain = retain};
    link->transport->events->message(link->owner, &message);
}

static void test_subscriptions_measure_latency(void **state)
{
    (void)state;
    char payload[IX_STAMP_LEN];
    add_group("g", 1, subscriber);
    launch("g", 0, "0");
    run_until(1000 * MS);
    assert_number(fake.subscribed, 2);
    assert_string_equal(fake.filter, "b/+");
    struct ix_link *link = fake_link_of("g-0");
    link->transport->events->subscribed(link->owner, true);
    link->transport->events->subscribed(link->owner, false);
    assert_number(counter("g", IX_C_SUBSCRIBED), 1);
    assert_number(counter("g", IX_C_SUBSCRIBE_FAILED), 1);

    ix_stamp_write(payload, &(struct ix_stamp){.sent_ns = 990 * MS});
    deliver(payload, sizeof payload, false);
    deliver(payload, sizeof payload, true); /* kept by the broker: says nothing of now */
    deliver("{}", 2, false);
    ix_stamp_write(payload, &(struct ix_stamp){.sent_ns = 2000 * MS}); /* not sent yet: no stamp of ours */
    deliver(payload, sizeof payload, false);
    assert_number(counter("g", IX_C_RECEIVED), 4);
    assert_number(metrics("g")->trends[IX_T_RECEIVE].count, 1);
    assert_number(metrics("g")->trends[IX_T_RECEIVE].max, 10 * MS);
}

static void test_subscribes_again_after_a_loss(void **state)
{
    (void)state;
    add_group("g", 1, subscriber);
    launch("g", 0, "0");
    run_until(100 * MS);
    fake_lose("g-0");
    run_until(5 * S);
    assert_number(fake.subscribed, 4);
}

static void test_total_is_shared_out_exactly(void **state)
{
    (void)state;
    add_group("g", 4, DEVICE("", STAMPED("24", ",\"total\":10")));
    launch("g", 0, "30");
    run_until(5 * S);
    assert_number(counter("g", IX_C_SCHEDULED), 10);
    assert_number(row("g", 0)->sent, 3);
    assert_number(row("g", 1)->sent, 3);
    assert_number(row("g", 2)->sent, 2);
    assert_number(row("g", 3)->sent, 2);
    check_ledger("g");
}

static void test_total_counts_what_came_due_offline(void **state)
{
    (void)state;
    add_group("g", 1, DEVICE("", STAMPED("24", ",\"total\":10")));
    launch("g", 0, "0");
    run_until(250 * MS);
    fake.answer = UNREACHABLE;
    fake_lose("g-0");
    run_until(9 * S);
    fake.answer = ACCEPT;
    run_until(60 * S);
    assert_number(counter("g", IX_C_SCHEDULED), 10);
    assert_number(counter("g", IX_C_SENT), 3);
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 7);
    check_ledger("g");
}

static void test_more_devices_than_values(void **state)
{
    (void)state;
    add_group("g", 5, DEVICE("", STAMPED("24", ",\"total\":2")));
    launch("g", 0, "0");
    run_until(2 * S);
    assert_number(counter("g", IX_C_SCHEDULED), 2);
    assert_number(in_status("g", IX_D_RUNNING), 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_payload_has_its_size_tick_and_instant),
                                       TEST(test_short_payloads_are_not_stamped),
                                       cmocka_unit_test(test_foreign_payloads_are_no_stamps),
                                       TEST(test_subscriptions_measure_latency),
                                       TEST(test_subscribes_again_after_a_loss),
                                       TEST(test_total_is_shared_out_exactly),
                                       TEST(test_total_counts_what_came_due_offline),
                                       TEST(test_more_devices_than_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

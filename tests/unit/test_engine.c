/* Devices from record to message: starting, ticking, losing and finding their connection, stopping. */
#include "fake_protocol.h"

#define MODEL(connection, telemetry)                                          \
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\"," \
    "\"connection\":{" connection "},\"telemetry\":[" telemetry "]}"
#define CONSTANT(name, value, interval)                                                        \
    "{\"name\":\"" name "\",\"type\":\"number\",\"unit\":\"celsius\",\"intervalMs\":" interval \
    ",\"generator\":{\"type\":\"constant\",\"value\":" value "}}"
#define FIXED_1S "\"reconnect\":{\"backoff\":\"fixed\",\"delayMs\":1000,\"jitter\":\"none\"}"

static const char one_second[] = MODEL("", CONSTANT("temperature", "22.5", "1000"));
static const char fixed[] = MODEL(FIXED_1S, CONSTANT("temperature", "22.5", "1000"));

static void test_created_devices_cost_no_connection(void **state)
{
    (void)state;
    add_group("g", 50, one_second);
    run_until(10 * S);
    assert_number(in_status("g", IX_D_CREATED), 50);
    assert_number(fake.connects, 0);
    assert_number(ix_wheel_count(rig.loop.wheel), 0);
}

static void test_payload(void **state)
{
    (void)state;
    add_group("g", 1, one_second);
    launch("g", 995 * MS, "0");
    run_until(1 * S);
    assert_number(row("g", 0)->status, IX_D_RUNNING);
    assert_number(row("g", 0)->base_ns, 1 * S);
    assert_string_equal(fake.client_id, "g-0");
    run_until(1001 * MS);
    assert_string_equal(fake.payload, "{\"deviceId\":\"g-0\",\"timestamp\":\"2026-02-01T00:00:00.000Z\","
                                      "\"temperature\":22.5,\"unit\":\"celsius\"}");
    assert_string_equal(fake.topic, "devices/g-0/telemetry");
    assert_number(fake.qos, 1);
    run_until(2 * S);
    assert_string_equal(fake.payload, "{\"deviceId\":\"g-0\",\"timestamp\":\"2026-02-01T00:00:01.000Z\","
                                      "\"temperature\":22.5,\"unit\":\"celsius\"}");
}

static void test_combined_payload(void **state)
{
    (void)state;
    add_group("g", 1,
              MODEL("\"payload\":\"combined\"",
                    CONSTANT("temperature", "22.5", "1000") "," CONSTANT("humidity", "40", "2000")));
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_string_equal(fake.payload, "{\"deviceId\":\"g-0\",\"timestamp\":\"2026-01-31T23:59:59.005Z\","
                                      "\"temperature\":22.5,\"humidity\":40}");
    run_until(1500 * MS);
    assert_string_equal(fake.payload, "{\"deviceId\":\"g-0\",\"timestamp\":\"2026-02-01T00:00:00.005Z\","
                                      "\"temperature\":22.5}");
    assert_number(counter("g", IX_C_SCHEDULED), 2);
    check_ledger("g");
}

static void test_binary_payload_is_raw(void **state)
{
    (void)state;
    add_group("g", 1,
              MODEL("\"qos\":0", "{\"name\":\"b\",\"type\":\"binary\",\"intervalMs\":1000,\"generator\":"
                                 "{\"type\":\"constant\",\"value\":\"AAECAw==\"}}"));
    launch("g", 0, "0");
    run_until(10 * MS);
    assert_number(fake.payload_len, 4);
    assert_number(counter("g", IX_C_BYTES_SENT), 4);
    assert_number(counter("g", IX_C_ACKED), 1);
}

/* 100,000 ticks later the instants are still exact. */
static void test_ticks_do_not_drift(void **state)
{
    (void)state;
    add_group("g", 1, MODEL("\"qos\":0", CONSTANT("t", "1", "7")));
    launch("g", 0, "0");
    run_until(5 * MS + 99999 * 7 * MS);
    assert_number(rig.due_count, 100000);
    for (size_t k = 0; k < rig.due_count; k++)
        assert_number(rig.dues[k], 5 * MS + k * 7 * MS);
    check_ledger("g");
}

static void test_late_turns_keep_their_instants(void **state)
{
    (void)state;
    add_group("g", 1, MODEL("\"qos\":0", CONSTANT("t", "1", "10")));
    launch("g", 0, "0");
    run_until(20 * MS);
    ix_clock_advance(&rig.loop.clock, 1 * S); /* the process was stopped */
    run_until(1 * S);
    assert_number(rig.due_count, 100);
    for (size_t k = 0; k < rig.due_count; k++)
        assert_number(rig.dues[k], 5 * MS + k * 10 * MS);
    assert_number(metrics("g")->trends[IX_T_LATENESS].max, 1 * S - 25 * MS);
}

static void test_launch_at_exact_instants(void **state)
{
    (void)state;
    add_group("g", 3000, one_second);
    launch("g", 100 * MS, "2");
    run_until(100 * MS + 500 * 2 * MS);
    assert_number(in_status("g", IX_D_CREATED), 3000 - 501);
    run_until(10 * S);
    for (uint64_t i = 0; i < 3000; i++)
        assert_number(row("g", i)->started_ns, 100 * MS + i * 2 * MS);
    assert_number(in_status("g", IX_D_RUNNING), 3000);
    assert_number(metrics("g")->connected, 3000);
    assert_number(metrics("g")->trends[IX_T_CONNECT].max, 5 * MS);
}

static void test_bad_strategy_changes_nothing(void **state)
{
    (void)state;
    add_group("g", 10, one_second);
    struct ix_record bad = launch_of("g", 0, "-5");
    struct ix_error err = {0};
    assert_number(apply(&bad, &err), -EINVAL);
    assert_non_null(strstr(err.text, "linear.lua:3"));
    run_until(1 * S);
    assert_number(in_status("g", IX_D_CREATED), 10);
    launch("g", 1 * S, "0");
    run_until(2 * S);
    assert_number(in_status("g", IX_D_RUNNING), 10);
}

static void test_unacknowledged_messages_are_bounded(void **state)
{
    (void)state;
    fake.holds_acks = true;
    add_group("g", 1, MODEL("\"maxInflight\":3", CONSTANT("t", "1", "100")));
    launch("g", 0, "0");
    run_until(1 * S);
    assert_number(counter("g", IX_C_SENT), 3);
    assert_number(counter("g", IX_C_NEVER_SENT_BACKPRESSURE), 7);
    check_ledger("g");
    fake.holds_acks = false;
    fake_ack(&fake_link_of("g-0")->ack, 0);
    assert_number(counter("g", IX_C_ACKED), 3);
    assert_number(metrics("g")->trends[IX_T_RESPONSE].max, 1 * S - 5 * MS);
    run_until(2 * S);
    assert_number(counter("g", IX_C_SENT), 13);
    check_ledger("g");
    fake.refuses_publish = true;
    run_until(2200 * MS);
    assert_number(counter("g", IX_C_LOST), 2);
    check_ledger("g");
}

static void test_loss_and_return(void **state)
{
    (void)state;
    fake.holds_acks = true;
    add_group("g", 1, fixed);
    launch("g", 0, "0");
    run_until(1 * S); /* base at 5 ms: one tick */
    fake.answer = UNREACHABLE;
    fake_lose("g-0");
    assert_number(row("g", 0)->status, IX_D_RUNNING);
    assert_number(row("g", 0)->link, IX_L_RECONNECTING);
    assert_number(counter("g", IX_C_LOST), 1);
    check_ledger("g");
    run_until(4500 * MS);
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 4);
    assert_true(counter("g", IX_C_CONNECT_FAILED) >= 2);
    fake.answer = ACCEPT;
    fake.holds_acks = false;
    run_until(10 * S);
    assert_number(counter("g", IX_C_RECONNECTED), 1);
    assert_number(metrics("g")->trends[IX_T_OUTAGE].count, 1);
    assert_number(row("g", 0)->base_ns, 5 * MS); /* ticks did not move */
    assert_number(rig.dues[1] % S, 5 * MS);
    assert_number(counter("g", IX_C_SCHEDULED), 10);
    check_ledger("g");
}

static void test_refusal_ends_in_error(void **state)
{
    (void)state;
    fake.answer = REFUSE;
    add_group("g", 2, one_second);
    launch("g", 0, "0");
    run_until(60 * S);
    assert_number(in_status("g", IX_D_ERROR), 2);
    assert_number(counter("g", IX_C_CONNECT_ATTEMPTS), 2);
    assert_number(counter("g", IX_C_REFUSED), 2);
    assert_true(row("g", 0)->reason > 0);
    assert_string_equal(metrics("g")->reasons[row("g", 0)->reason - 1].text, "not authorised");
    assert_number(metrics("g")->reasons[row("g", 0)->reason - 1].count, 2);
    fake.answer = ACCEPT;
    launch("g", 60 * S, "0"); /* a new launch starts those that ended in error */
    run_until(61 * S);
    assert_number(in_status("g", IX_D_RUNNING), 2);
    assert_number(row("g", 0)->reason, 0);
}

static void test_unreachable_broker_keeps_starting(void **state)
{
    (void)state;
    fake.answer = UNREACHABLE;
    add_group("g", 1, fixed);
    launch("g", 0, "0");
    run_until(10 * S);
    assert_number(row("g", 0)->status, IX_D_STARTING);
    assert_number(row("g", 0)->link, IX_L_RECONNECTING);
    assert_number(counter("g", IX_C_CONNECT_ATTEMPTS), 10); /* 0, 1005, 2010 … */
    assert_number(counter("g", IX_C_SCHEDULED), 0);         /* no first connection: no ticks yet */
}

static void test_attempts_run_out(void **state)
{
    (void)state;
    fake.answer = UNREACHABLE;
    add_group("g", 1,
              MODEL("\"reconnect\":{\"backoff\":\"fixed\",\"delayMs\":10,\"jitter\":\"none\",\"attempts\":4}",
                    CONSTANT("t", "1", "1000")));
    launch("g", 0, "0");
    run_until(10 * S);
    assert_number(counter("g", IX_C_CONNECT_ATTEMPTS), 4);
    assert_number(row("g", 0)->status, IX_D_ERROR);
}

/* Waits double up to the limit; full jitter stays within them and differs between devices. */
static void test_backoff_bounds(void **state)
{
    (void)state;
    fake.answer = UNREACHABLE;
    fake.connect_ns = 0;
    add_group("g", 1,
              MODEL("\"reconnect\":{\"delayMs\":1000,\"maxDelayMs\":8000,\"base\":2,\"jitter\":\"none\"}",
                    CONSTANT("t", "1", "1000")));
    launch("g", 0, "0");
    static const uint64_t expected[] = {1, 3, 7, 15, 23, 31, 39}; /* seconds of the next attempts */
    for (size_t i = 0; i < IX_ARRAY_LEN(expected); i++) {
        run_until(expected[i] * S - 1);
        assert_number(fake.connects, i + 1);
        run_until(expected[i] * S);
        assert_number(fake.connects, i + 2);
    }
    add_group("j", 200,
              MODEL("\"reconnect\":{\"delayMs\":1000,\"maxDelayMs\":8000,\"base\":2,\"jitter\":\"full\"}",
                    CONSTANT("t", "1", "1000")));
    uint64_t now = rig.loop.clock.virtual_ns;
    launch("j", now, "0");
    run_until(now + 1 * S); /* the first wait is below 1 s for everybody */
    for (uint64_t i = 0; i < 200; i++)
        assert_true(ix_device_find(rig.engine, "j", i)->attempts >= 2);
    uint64_t a = counter("j", IX_C_CONNECT_ATTEMPTS);
    assert_true(a > 400 && a < 700);
}

static void test_stop_drains(void **state)
{
    (void)state;
    fake.holds_acks = true;
    add_group("g", 2, one_second);
    launch("g", 0, "0");
    run_until(1 * S);
    stop("g", 1500 * MS, 2 * S);
    run_until(1600 * MS);
    assert_number(in_status("g", IX_D_STOPPING), 2);
    fake.holds_acks = false;
    fake_ack(&fake_link_of("g-0")->ack, 0);
    assert_number(row("g", 0)->status, IX_D_STOPPED);
    assert_number(fake.closes, 1);
    run_until(3499 * MS);
    assert_number(row("g", 1)->status, IX_D_STOPPING);
    run_until(3500 * MS); /* at most the drain time */
    assert_number(row("g", 1)->status, IX_D_STOPPED);
    assert_number(fake.closes, 2);
    assert_number(counter("g", IX_C_SCHEDULED), 4); /* no tick after the stop */
    assert_number(counter("g", IX_C_LOST), 2);
    assert_number(metrics("g")->connected, 0);
    check_ledger("g");
    run_until(20 * S);
    assert_number(counter("g", IX_C_SCHEDULED), 4);
}

static void test_stop_cancels_a_launch(void **state)
{
    (void)state;
    add_group("g", 100, one_second);
    launch("g", 0, "100");
    stop("g", 1 * S, 0);
    run_until(30 * S);
    assert_number(counter("g", IX_C_CONNECT_ATTEMPTS), 11); /* 0 … 1,000 ms */
    assert_number(in_status("g", IX_D_STOPPED), 100);
    launch("g", 30 * S, "0"); /* and a later launch starts them all, anew */
    run_until(31 * S);
    assert_number(in_status("g", IX_D_RUNNING), 100);
    assert_number(row("g", 0)->base_ns, 30 * S + 5 * MS);
    launch("g", 31 * S, "0"); /* running ones are left alone */
    run_until(32 * S);
    assert_number(counter("g", IX_C_CONNECT_ATTEMPTS), 111);
}

static void order_device(const char *group, uint64_t index, bool start, uint64_t at_ns)
{
    struct ix_record record = {.kind = IX_RECORD_DEVICE,
                               .group = (char *)group,
                               .device = {.index = index, .start = start, .at_ns = at_ns}};
    must_apply(&record);
}

static void test_single_devices(void **state)
{
    (void)state;
    add_group("g", 3, one_second);
    order_device("g", 1, true, 1 * S);
    run_until(2 * S);
    assert_number(row("g", 0)->status, IX_D_CREATED);
    assert_number(row("g", 1)->status, IX_D_RUNNING);
    launch("g", 2 * S, "0");
    order_device("g", 0, false, 3 * S);
    run_until(4 * S);
    assert_number(row("g", 0)->status, IX_D_STOPPED);
    assert_number(in_status("g", IX_D_RUNNING), 2);
    stop("g", 5 * S, 0);
    order_device("g", 2, true, 6 * S);
    run_until(7 * S);
    assert_number(row("g", 2)->status, IX_D_RUNNING);
    assert_number(in_status("g", IX_D_STOPPED), 2);
}

static void test_group_grows(void **state)
{
    (void)state;
    struct ix_record record = spec_of("g", 10000, one_second);
    memset(record.spec.shards, 0, sizeof(record.spec.shards));
    record.spec.shards[5] = 0xff;
    must_apply(&record);
    uint32_t some = rig.segment->rows_used;
    assert_true(some >= 16 && some <= 24);
    launch("g", 0, "0");
    run_until(1 * S);
    record = spec_of("g", 10000, one_second);
    must_apply(&record);
    assert_number(rig.segment->rows_used, 10000);
    run_until(2 * S);
    assert_number(in_status("g", IX_D_RUNNING), 10000); /* the launch holds for them too */
    assert_number(counter("g", IX_C_CONNECTED), 10000); /* and nobody connected twice */
    for (uint64_t i = 0; i < 10000; i++)
        assert_number(row("g", i)->index, i);
    struct ix_error err;
    record = spec_of("g", 10000, fixed);
    assert_number(apply(&record, &err), -EEXIST);
    record = spec_of("h", 60000, one_second);
    assert_number(apply(&record, &err), -ENOSPC);
    record = spec_of("g", 0, one_second); /* removed: its rows are free again */
    must_apply(&record);
    assert_null(ix_device_find(rig.engine, "g", 0));
    record = spec_of("h", 60000, one_second);
    record.sequence = 0;
    must_apply(&record);
    assert_non_null(ix_device_find(rig.engine, "h", 59999));
}

static void test_bad_models_are_refused(void **state)
{
    (void)state;
    struct ix_error err = {0};
    struct ix_record record = spec_of("g", 10, "{\"id\":\"x\"");
    assert_true(apply(&record, &err) < 0);
    assert_non_null(strstr(err.text, "\"g\""));
    record = spec_of("g", 10, one_second);
    record.spec.id_pattern = "no-index";
    assert_true(apply(&record, &err) < 0);
    record = launch_of("g", 0, "0");
    assert_number(apply(&record, &err), -ENOENT);
    assert_number(rig.segment->rows_used, 0);
    add_group("g", 10, one_second);
}

static void test_references(void **state)
{
    (void)state;
    add_group("g", 2, one_second);
    struct ix_device *d = ix_device_find(rig.engine, "g", 1);
    struct ix_device_ref ref = ix_device_ref_of(d);
    assert_ptr_equal(ix_device_deref(rig.engine, ref), d);
    struct ix_record record = spec_of("g", 0, one_second);
    must_apply(&record);
    assert_null(ix_device_deref(rig.engine, ref));
    add_group("other", 2, one_second);
    assert_null(ix_device_deref(rig.engine, ref));
}

static void on_drained(void *context)
{
    ++*(int *)context;
}

/* To close many connections takes its time: what comes due until a device's turn comes is not late, but not of the
 * schedule any more. */
static void test_a_slow_stop_makes_nothing_late(void **state)
{
    (void)state;
    add_group("g", 3000, one_second);
    launch("g", 0, "0");
    run_until(1500 * MS);
    stop("g", 1600 * MS, 1 * S);
    ix_clock_advance(&rig.loop.clock, 2500 * MS); /* of which the process got nothing */
    run_until(3 * S);
    assert_number(in_status("g", IX_D_STOPPED), 3000);
    assert_number(counter("g", IX_C_SCHEDULED), 6000); /* at 5 and 1,005 ms */
    assert_number(counter("g", IX_C_SENT), 6000);
    assert_number(metrics("g")->trends[IX_T_LATENESS].max, 0);
    check_ledger("g");

    launch("g", 3 * S, "0"); /* anew, and the worker ends before the first turn after an instant */
    run_until(3500 * MS);
    ix_clock_advance(&rig.loop.clock, 4100 * MS);
    int drained = 0;
    ix_engine_drain(rig.engine, 1 * S, on_drained, &drained);
    ix_clock_advance(&rig.loop.clock, 7 * S);
    run_until(9 * S);
    assert_number(drained, 1);
    assert_number(counter("g", IX_C_SCHEDULED), 12000); /* at 3,005 and 4,005 ms */
    check_ledger("g");
}

/* Started again before a stop's turn came to it, a device runs on: its schedule does not end with the stop. */
static void test_start_overtakes_a_slow_stop(void **state)
{
    (void)state;
    add_group("g", 3000, one_second);
    launch("g", 0, "0");
    run_until(1500 * MS);
    stop("g", 1600 * MS, 1 * S);
    launch("g", 1600 * MS, "0");
    ix_clock_advance(&rig.loop.clock, 2500 * MS); /* of which the process got nothing */
    run_until(10 * S);
    assert_number(in_status("g", IX_D_RUNNING), 3000);
    for (uint64_t i = 0; i < 3000; i++)
        assert_true(row("g", i)->cursor_ns >= 9 * S);
    check_ledger("g");
}

static void test_engine_drains(void **state)
{
    (void)state;
    int drained = 0;
    fake.holds_acks = true;
    add_group("g", 2500, one_second);
    launch("g", 0, "0");
    run_until(1 * S);
    ix_engine_drain(rig.engine, 500 * MS, on_drained, &drained);
    run_until(1499 * MS);
    assert_number(drained, 0);
    run_until(1501 * MS);
    assert_number(drained, 1);
    assert_number(in_status("g", IX_D_STOPPED), 2500);
    assert_number(fake.closes, 2500);
    assert_null(fake.links);
    check_ledger("g");
    struct ix_error err;
    struct ix_record record = launch_of("g", 2 * S, "0");
    assert_number(apply(&record, &err), -ESHUTDOWN);
}

static void test_drain_of_nothing(void **state)
{
    (void)state;
    int drained = 0;
    ix_engine_drain(rig.engine, 500 * MS, on_drained, &drained);
    assert_number(drained, 0);
    run_until(1 * MS);
    assert_number(drained, 1);
}

static void test_random_phases(void **state)
{
    (void)state;
    add_group("g", 1000,
              MODEL("\"qos\":0",
                    "{\"name\":\"t\",\"type\":\"number\",\"intervalMs\":1000,\"phase\":\"random\","
                    "\"generator\":{\"type\":\"constant\",\"value\":1}}"));
    launch("g", 0, "0");
    run_until(5 * MS + 999 * MS);
    assert_number(rig.due_count, 1000);
    size_t first_half = 0;
    for (size_t i = 0; i < 1000; i++)
        first_half += rig.dues[i] < 505 * MS;
    assert_true(first_half > 400 && first_half < 600);
}

/* ---- values do not depend on where a device lives ---- */

static char texts[64][64];

static void keep_text(void *context, const struct ix_device *d, size_t stream, uint64_t due_ns,
                      const struct ix_message *message)
{
    (void)context, (void)stream, (void)due_ns;
    snprintf(texts[ix_device_index(d)], sizeof(texts[0]), "%s", strstr(message->payload, "\"t\":"));
}

static void run_sharded(uint8_t mask, char out[64][64])
{
    struct ix_record record =
        spec_of("g", 64,
                MODEL("\"qos\":0", "{\"name\":\"t\",\"type\":\"number\",\"intervalMs\":1000,\"generator\":"
                                   "{\"type\":\"random\",\"min\":0,\"max\":1000}}"));
    memset(record.spec.shards, mask, sizeof(record.spec.shards));
    must_apply(&record);
    launch("g", 0, "1");
    run_until(20 * S);
    memcpy(out, texts, sizeof(texts));
}

static void test_values_do_not_depend_on_placement(void **state)
{
    (void)state;
    static char whole[64][64], part[64][64];
    rig_end(NULL), rig_start(NULL);
    rig.config.published = keep_text;
    ix_engine_free(rig.engine);
    rig.engine = ix_engine_new(&rig.config);
    run_sharded(0xff, whole);
    memset(texts, 0, sizeof(texts));
    rig_end(NULL), rig_start(NULL);
    rig.config.published = keep_text;
    ix_engine_free(rig.engine);
    rig.engine = ix_engine_new(&rig.config);
    run_sharded(0x2a, part);
    size_t here = 0;
    for (size_t i = 0; i < 64; i++) {
        if (!part[i][0])
            continue;
        here++;
        assert_string_equal(part[i], whole[i]);
    }
    assert_true(here > 10 && here < 40);
    assert_string_not_equal(whole[0], whole[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_created_devices_cost_no_connection),
                                       TEST(test_payload),
                                       TEST(test_combined_payload),
                                       TEST(test_binary_payload_is_raw),
                                       TEST(test_ticks_do_not_drift),
                                       TEST(test_late_turns_keep_their_instants),
                                       TEST(test_launch_at_exact_instants),
                                       TEST(test_bad_strategy_changes_nothing),
                                       TEST(test_unacknowledged_messages_are_bounded),
                                       TEST(test_loss_and_return),
                                       TEST(test_refusal_ends_in_error),
                                       TEST(test_unreachable_broker_keeps_starting),
                                       TEST(test_attempts_run_out),
                                       TEST(test_backoff_bounds),
                                       TEST(test_stop_drains),
                                       TEST(test_a_slow_stop_makes_nothing_late),
                                       TEST(test_start_overtakes_a_slow_stop),
                                       TEST(test_stop_cancels_a_launch),
                                       TEST(test_single_devices),
                                       TEST(test_group_grows),
                                       TEST(test_bad_models_are_refused),
                                       TEST(test_references),
                                       TEST(test_engine_drains),
                                       TEST(test_drain_of_nothing),
                                       TEST(test_random_phases),
                                       TEST(test_values_do_not_depend_on_placement)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

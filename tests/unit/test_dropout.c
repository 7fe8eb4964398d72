/* Devices that fall out and come back, and workers that die and have a successor. */
#include "fake_protocol.h"

#define ONE_SECOND                                                                            \
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"connection\":{" \
    "\"reconnect\":{\"backoff\":\"fixed\",\"delayMs\":1000,\"jitter\":\"none\"}},"            \
    "\"telemetry\":[{\"name\":\"t\",\"type\":\"number\",\"intervalMs\":1000,"                 \
    "\"generator\":{\"type\":\"sequence\",\"start\":0,\"step\":1,\"max\":1e9}}]}"

static const char model[] = ONE_SECOND;

static void start_fleet(uint64_t count)
{
    add_group("g", count, model);
    launch("g", 0, "0");
    run_until(1 * S);
    assert_number(in_status("g", IX_D_RUNNING), count);
}

static struct ix_record dropout_of(uint64_t id, uint64_t chosen, const char *delay_ms)
{
    struct ix_record record = {.kind = IX_RECORD_DROPOUT,
                               .group = "g",
                               .dropout = {.id = id,
                                           .start_ns = rig.loop.clock.virtual_ns,
                                           .strategy = {.name = "linear", .settings = (char *)delay_ms},
                                           .chosen = chosen,
                                           .seed = 7,
                                           .reconnect = true,
                                           .reconnect_delay_ns = 5 * S}};
    struct ix_error err;
    ix_bitmap_init(&record.dropout.eligible, metrics("g") ? rig.segment->rows_used : 0);
    assert_number(ix_engine_eligible(rig.engine, "g", NULL, NULL, &record.dropout.eligible, &err), 0);
    return record;
}

static const struct ix_dropout_metrics *progress(uint64_t id)
{
    return ix_segment_dropout(rig.segment, id);
}

static void test_exactly_half(void **state)
{
    (void)state;
    start_fleet(1000);
    struct ix_record record = dropout_of(1, 500, "0");
    must_apply(&record);
    run_until(1500 * MS);
    assert_number(in_status("g", IX_D_DROPPED), 500);
    assert_number(metrics("g")->connected, 500);
    assert_number(progress(1)->chosen, 500);
    assert_number(progress(1)->dropped, 500);
    assert_number(counter("g", IX_C_DROPPED), 500);
    assert_number(fake.aborts, 500);
    fake.connect_ns = 4 * MS;
    run_until(6 * S + 3 * MS);
    assert_number(progress(1)->back, 0);
    run_until(6 * S + 4 * MS); /* delay and connecting */
    assert_number(progress(1)->back, 500);
    assert_number(in_status("g", IX_D_RUNNING), 1000);
    assert_number(progress(1)->back_time.min, 5004 * MS);
    assert_number(metrics("g")->trends[IX_T_OUTAGE].max, 5004 * MS);
    /* Base at 5 ms: the ticks at 1,005 … 5,005 ms of 500 devices found them gone; at 6,005 ms they are back. */
    run_until(6500 * MS);
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 5 * 500);
    check_ledger("g");
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_instants_and_own_delays(void **state)
{
    (void)state;
    start_fleet(100);
    struct ix_record record = dropout_of(1, 10, "200");
    must_apply(&record);
    for (uint64_t k = 0; k < 10; k++) {
        run_until(1 * S + k * 200 * MS);
        assert_number(in_status("g", IX_D_DROPPED), k + 1);
    }
    for (uint64_t k = 0; k < 10; k++) { /* each comes back 5 s after its own drop */
        run_until(6 * S + 5 * MS + k * 200 * MS);
        assert_number(progress(1)->back, k + 1);
    }
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_applied_again(void **state)
{
    (void)state;
    start_fleet(100);
    struct ix_record record = dropout_of(1, 50, "10");
    must_apply(&record);
    run_until(1200 * MS);
    int64_t dropped = in_status("g", IX_D_DROPPED);
    must_apply(&record);
    record.sequence = 0;
    must_apply(&record);
    assert_number(in_status("g", IX_D_DROPPED), dropped);
    run_until(20 * S);
    must_apply(&record);
    run_until(30 * S);
    assert_number(progress(1)->dropped, 50);
    assert_number(progress(1)->back, 50);
    assert_number(counter("g", IX_C_DROPPED), 50);
    assert_number(in_status("g", IX_D_RUNNING), 100);
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_already_gone(void **state)
{
    (void)state;
    start_fleet(100);
    struct ix_record record = dropout_of(1, 100, "20");
    record.dropout.reconnect = false;
    must_apply(&record);
    run_until(1990 * MS); /* places 0 … 49 */
    stop("g", 1990 * MS, 0);
    run_until(10 * S);
    assert_number(progress(1)->dropped, 50);
    assert_number(progress(1)->already_gone, 50);
    assert_number(progress(1)->ended, 50);
    assert_number(in_status("g", IX_D_STOPPED), 100);
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_cancelled(void **state)
{
    (void)state;
    start_fleet(100);
    struct ix_record record = dropout_of(1, 100, "20");
    must_apply(&record);
    run_until(1990 * MS);
    record.dropout.cancelled = true;
    record.sequence = 0;
    must_apply(&record);
    run_until(3 * S);
    assert_number(in_status("g", IX_D_DROPPED), 50);
    assert_number(progress(1)->cancelled, 50);
    run_until(10 * S); /* those dropped come back by their rule */
    assert_number(in_status("g", IX_D_RUNNING), 100);
    assert_number(progress(1)->back, 50);
    struct ix_record next = dropout_of(2, 100, "0"); /* and all may be chosen again */
    assert_number(ix_bitmap_count(&next.dropout.eligible), 100);
    must_apply(&next);
    run_until(11 * S);
    assert_number(in_status("g", IX_D_DROPPED), 100);
    ix_bitmap_deinit(&record.dropout.eligible);
    ix_bitmap_deinit(&next.dropout.eligible);
}

static void test_chosen_ones_are_not_chosen_twice(void **state)
{
    (void)state;
    start_fleet(100);
    struct ix_record first = dropout_of(1, 30, "100");
    must_apply(&first);
    run_until(1550 * MS);
    struct ix_record second = dropout_of(2, 100, "0"); /* all that are left */
    assert_number(ix_bitmap_count(&second.dropout.eligible), 70);
    second.dropout.chosen = 70;
    must_apply(&second);
    run_until(4500 * MS);
    assert_number(in_status("g", IX_D_DROPPED), 100);
    assert_number(progress(1)->dropped, 30);
    assert_number(progress(2)->dropped, 70);
    ix_bitmap_deinit(&first.dropout.eligible);
    ix_bitmap_deinit(&second.dropout.eligible);
}

/* Both were asked for before either was told: each of the chosen counts in both, and falls out once. */
static void test_two_that_chose_at_the_same_moment(void **state)
{
    (void)state;
    start_fleet(100);
    struct ix_record first = dropout_of(1, 60, "20"), second = dropout_of(2, 100, "20");
    must_apply(&first);
    must_apply(&second);
    must_apply(&first);
    run_until(5 * S);
    assert_number(progress(1)->dropped + progress(1)->already_gone, 60);
    assert_number(progress(1)->already_gone, 60);
    assert_number(progress(2)->dropped, 100);
    assert_number(counter("g", IX_C_DROPPED), 100);
    run_until(20 * S);
    assert_number(in_status("g", IX_D_RUNNING), 100);
    ix_bitmap_deinit(&first.dropout.eligible);
    ix_bitmap_deinit(&second.dropout.eligible);
}

/* One after the other, more than the segment has places. */
static void test_more_dropouts_than_places(void **state)
{
    (void)state;
    start_fleet(10);
    for (uint64_t id = 1; id <= 2 * IX_SEGMENT_DROPOUTS; id++) {
        struct ix_record record = dropout_of(id, 5, "0");
        must_apply(&record);
        ix_bitmap_deinit(&record.dropout.eligible);
        run_until(rig.loop.clock.virtual_ns + 6 * S);
        assert_number(progress(id)->back, 5);
        assert_number(progress(id)->back_time.max, 5005 * MS);
    }
    assert_null(ix_segment_find_dropout(rig.segment, 1));
    assert_number(counter("g", IX_C_DROPPED), 5 * 2 * IX_SEGMENT_DROPOUTS);
    check_ledger("g");
}

static void test_start_brings_back(void **state)
{
    (void)state;
    start_fleet(10);
    struct ix_record record = dropout_of(1, 4, "0");
    record.dropout.reconnect = false;
    must_apply(&record);
    run_until(60 * S);
    assert_number(in_status("g", IX_D_DROPPED), 4);
    launch("g", 60 * S, "0");
    run_until(61 * S);
    assert_number(in_status("g", IX_D_RUNNING), 10);
    assert_number(progress(1)->back, 4);
    assert_number(row("g", 0)->base_ns, 5 * MS);
    check_ledger("g");
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_ways_to_go(void **state)
{
    (void)state;
    start_fleet(30);
    static const enum ix_drop_mode modes[] = {IX_DROP_ABORT, IX_DROP_CLOSE, IX_DROP_SILENT};
    struct ix_record records[3];
    for (uint64_t i = 0; i < 3; i++) {
        records[i] = dropout_of(i + 1, 10, "0");
        records[i].dropout.mode = modes[i];
        must_apply(&records[i]);
        run_until(rig.loop.clock.virtual_ns + 10 * MS);
    }
    assert_number(fake.aborts, 10);
    assert_number(fake.closes, 10);
    assert_number(fake.silences, 10);
    assert_number(metrics("g")->connected, 0);
    run_until(7 * S);
    assert_number(in_status("g", IX_D_RUNNING), 30);
    assert_number(fake.aborts, 20); /* the silent ones leave their old socket when they return */
    check_ledger("g");
    for (uint64_t i = 0; i < 3; i++)
        ix_bitmap_deinit(&records[i].dropout.eligible);
}

static void test_return_needs_a_server(void **state)
{
    (void)state;
    start_fleet(10);
    struct ix_record record = dropout_of(1, 10, "0");
    must_apply(&record);
    run_until(2 * S);
    fake.answer = UNREACHABLE;
    run_until(20 * S);
    assert_number(in_status("g", IX_D_DROPPED), 10);
    assert_number(progress(1)->back, 0);
    fake.answer = ACCEPT;
    run_until(22 * S);
    assert_number(progress(1)->back, 10);
    assert_number(in_status("g", IX_D_RUNNING), 10);
    ix_bitmap_deinit(&record.dropout.eligible);
}

/* ---- successors ---- */

static struct ix_record the_spec, the_launch;

static void start_with_records(uint64_t count, const char *delay_ms)
{
    the_spec = spec_of("g", count, model);
    must_apply(&the_spec);
    the_launch = launch_of("g", 0, delay_ms);
    must_apply(&the_launch);
}

static void test_successor_goes_on(void **state)
{
    (void)state;
    start_with_records(2000, "1");
    run_until(1500 * MS);
    uint64_t sent = counter("g", IX_C_SENT), base = row("g", 3)->base_ns;
    rig_restart();
    assert_number(metrics("g")->connected, 0);
    ix_clock_advance(&rig.loop.clock, 4250 * MS); /* it takes a while */
    must_apply(&the_spec);
    must_apply(&the_launch);
    run_until(5 * S);
    assert_number(in_status("g", IX_D_RUNNING), 2000);
    assert_number(metrics("g")->connected, 2000);
    assert_number(row("g", 3)->base_ns, base);
    assert_number(base, 8 * MS);
    assert_true(counter("g", IX_C_SENT) > sent);
    /* Those that had started missed the ticks of the gap: base + 2 s, 3 s, 4 s, if they were due by then. Where one
     * was due at the very instant of the return, others had connected first. */
    uint64_t missed = 0;
    for (uint64_t i = 0; i <= 1495; i++) {
        uint64_t first = i * MS + 5 * MS;
        for (uint64_t tick = first; tick <= 4255 * MS; tick += S)
            missed += tick > 1500 * MS;
    }
    assert_number(counter("g", IX_C_NEVER_SENT_LATE), missed); /* it was we who were away */
    assert_number(rig.segment->rows_used, 2000);
    check_ledger("g");
}

static void test_successor_starts_what_is_planned(void **state)
{
    (void)state;
    start_with_records(100, "100");
    run_until(2 * S + 50 * MS);
    rig_restart();
    must_apply(&the_spec);
    must_apply(&the_launch);
    run_until(3 * S + 50 * MS);
    assert_number(in_status("g", IX_D_CREATED), 69);
    for (uint64_t i = 0; i < 31; i++)
        assert_number(row("g", i)->started_ns, i * 100 * MS);
    assert_number(counter("g", IX_C_CONNECTED), 31 + 21);
}

static void test_successor_stops(void **state)
{
    (void)state;
    start_with_records(10, "0");
    run_until(1 * S);
    struct ix_record halt = stop_of("g", 5 * S, 1 * S);
    must_apply(&halt);
    rig_restart();
    ix_clock_advance(&rig.loop.clock, 6 * S); /* the instant passes while nobody is there */
    must_apply(&the_spec);
    must_apply(&the_launch);
    must_apply(&halt);
    run_until(10 * S);
    assert_number(in_status("g", IX_D_STOPPED), 10);
    rig_restart();
    must_apply(&the_spec);
    must_apply(&the_launch);
    must_apply(&halt);
    run_until(20 * S);
    assert_number(in_status("g", IX_D_STOPPED), 10);
    assert_number(counter("g", IX_C_CONNECTED), 10);
}

static void test_successor_keeps_dropouts(void **state)
{
    (void)state;
    start_with_records(100, "0");
    run_until(1 * S);
    struct ix_record record = dropout_of(1, 40, "100"); /* 1 s … 4.9 s, back 5 s after */
    must_apply(&record);
    run_until(2050 * MS);
    assert_number(in_status("g", IX_D_DROPPED), 11);
    rig_restart();
    ix_clock_advance(&rig.loop.clock, 3050 * MS);
    must_apply(&the_spec);
    must_apply(&the_launch);
    must_apply(&record);
    run_until(3060 * MS);
    assert_number(in_status("g", IX_D_DROPPED), 21); /* ten instants passed meanwhile */
    run_until(5950 * MS);
    assert_number(in_status("g", IX_D_DROPPED), 40);
    assert_number(progress(1)->dropped, 40);
    assert_number(progress(1)->already_gone, 0);
    run_until(20 * S);
    assert_number(progress(1)->back, 40);
    assert_number(in_status("g", IX_D_RUNNING), 100);
    rig_restart();
    must_apply(&the_spec);
    must_apply(&the_launch);
    must_apply(&record);
    run_until(30 * S);
    assert_number(progress(1)->dropped, 40);
    assert_number(progress(1)->chosen, 40);
    assert_number(in_status("g", IX_D_RUNNING), 100);
    check_ledger("g");
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_successor_loses_what_was_on_its_way(void **state)
{
    (void)state;
    fake.holds_acks = true;
    start_with_records(10, "0");
    run_until(2 * S);
    assert_number(counter("g", IX_C_ACKED), 0);
    assert_number(counter("g", IX_C_SENT), 20);
    rig_restart();
    assert_number(counter("g", IX_C_LOST), 20);
    must_apply(&the_spec);
    check_ledger("g");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_exactly_half),
                                       TEST(test_instants_and_own_delays),
                                       TEST(test_applied_again),
                                       TEST(test_already_gone),
                                       TEST(test_cancelled),
                                       TEST(test_chosen_ones_are_not_chosen_twice),
                                       TEST(test_two_that_chose_at_the_same_moment),
                                       TEST(test_more_dropouts_than_places),
                                       TEST(test_start_brings_back),
                                       TEST(test_ways_to_go),
                                       TEST(test_return_needs_a_server),
                                       TEST(test_successor_goes_on),
                                       TEST(test_successor_starts_what_is_planned),
                                       TEST(test_successor_stops),
                                       TEST(test_successor_keeps_dropouts),
                                       TEST(test_successor_loses_what_was_on_its_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

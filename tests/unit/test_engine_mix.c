/* Everything at once, in an order that a seed decides: the books must balance after every step. */
#include "base/log.h"
#include "fake_protocol.h"

#define DEVICES 60
#define STEPS   400

static const char model[] =
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"connection\":{\"maxInflight\":"
    "4,"
    "\"reconnect\":{\"delayMs\":200,\"attempts\":6}},\"telemetry\":["
    "{\"name\":\"a\",\"type\":\"number\",\"intervalMs\":300,\"phase\":\"random\",\"generator\":{\"type\":"
    "\"random\"}},"
    "{\"name\":\"b\",\"type\":\"number\",\"intervalMs\":700,\"generator\":{\"type\":\"sequence\",\"max\":1e9}"
    "}],"
    "\"commands\":[{\"name\":\"reboot\",\"topic\":\"c/${deviceId}\"}],"
    "\"behaviors\":[{\"name\":\"x\",\"trigger\":{\"type\":\"condition\",\"condition\":\"a > 50\"},"
    "\"action\":{\"type\":\"publish\",\"topic\":\"a\",\"payload\":{\"x\":1}}}]}";

static const char combined[] = "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\","
                               "\"connection\":{\"payload\":\"combined\","
                               "\"reconnect\":{\"delayMs\":200,\"onRefused\":true}},\"telemetry\":["
                               "{\"name\":\"a\",\"type\":\"number\",\"intervalMs\":300,\"phase\":\"random\","
                               "\"generator\":{\"type\":\"random\"}},"
                               "{\"name\":\"b\",\"type\":\"number\",\"intervalMs\":700,\"generator\":{"
                               "\"type\":\"sequence\",\"max\":1e9}}]}";

static uint64_t seed, draws;

static uint64_t below(uint64_t n)
{
    return ix_random_below(ix_random_u64(seed, draws++), n);
}

/* The current record of each key, as the controller keeps them for a successor. */
static struct {
    struct ix_record spec, launch, stop;
    struct ix_record orders[DEVICES];
    struct ix_record dropouts[64];
    size_t dropout_count;
} records;

static void check_books(void)
{
    check_ledger("g");
    int64_t by_status[IX_D_STATUS_COUNT] = {0}, connected = 0, up = 0;
    for (uint64_t i = 0; i < DEVICES; i++) {
        const struct ix_device_row *r = row("g", i);
        by_status[r->status]++;
        connected += r->link == IX_L_CONNECTED;
        assert_number(r->index, i);
        if (r->status == IX_D_CREATED || r->status == IX_D_STOPPED || r->status == IX_D_ERROR)
            assert_null(ix_device_find(rig.engine, "g", i)->link);
    }
    for (const struct ix_link *link = fake.links; link; link = link->next)
        up += link->is_up && !link->is_silent;
    assert_memory_equal(by_status, metrics("g")->by_status, sizeof(by_status));
    assert_number(metrics("g")->connected, connected);
    assert_number(up, connected);
    for (size_t i = 0; i < records.dropout_count; i++) {
        const struct ix_dropout_metrics *p = ix_segment_dropout(rig.segment, i + 1);
        assert_true(p->chosen <= DEVICES);
        assert_true(p->dropped + p->already_gone + p->cancelled <= p->chosen);
        assert_true(p->back + p->ended <= p->dropped);
    }
}

static void successor(void)
{
    rig_restart();
    must_apply(&records.spec);
    if (records.launch.sequence)
        must_apply(&records.launch);
    if (records.stop.sequence)
        must_apply(&records.stop);
    for (size_t i = 0; i < DEVICES; i++) {
        if (records.orders[i].sequence)
            must_apply(&records.orders[i]);
    }
    for (size_t i = 0; i < records.dropout_count; i++)
        must_apply(&records.dropouts[i]);
}

static void new_dropout(uint64_t now)
{
    if (records.dropout_count == IX_ARRAY_LEN(records.dropouts))
        return;
    struct ix_record *record = &records.dropouts[records.dropout_count++];
    *record =
        (struct ix_record){.kind = IX_RECORD_DROPOUT,
                           .group = "g",
                           .dropout = {.id = records.dropout_count,
                                       .start_ns = now,
                                       .strategy = {.name = "linear", .settings = below(2) ? "0" : "40"},
                                       .seed = below(1000),
                                       .mode = (enum ix_drop_mode)below(3),
                                       .reconnect = below(2),
                                       .reconnect_delay_ns = below(3000) * MS}};
    ix_bitmap_init(&record->dropout.eligible, DEVICES);
    struct ix_error err;
    assert_number(ix_engine_eligible(rig.engine, "g", NULL, NULL, &record->dropout.eligible, &err), 0);
    record->dropout.chosen = below(ix_bitmap_count(&record->dropout.eligible) + 1);
    must_apply(record);
}

static void step(void)
{
    uint64_t now = rig.loop.clock.virtual_ns, index = below(DEVICES);
    struct ix_device *d = ix_device_find(rig.engine, "g", index);
    struct ix_error err;
    char id[32];
    snprintf(id, sizeof(id), "g-%d", (int)index);
    const struct ix_link *link = fake_link_of(id);
    switch (below(14)) {
    case 0:
        records.launch = launch_of("g", now + below(500) * MS, below(2) ? "0" : "30");
        must_apply(&records.launch);
        break;
    case 1:
        if (below(3))
            break;
        records.stop = stop_of("g", now + below(500) * MS, below(500) * MS);
        must_apply(&records.stop);
        break;
    case 2:
    case 3:
        records.orders[index] =
            (struct ix_record){.kind = IX_RECORD_DEVICE,
                               .group = "g",
                               .device = {.index = index, .start = below(2), .at_ns = now + below(500) * MS}};
        must_apply(&records.orders[index]);
        break;
    case 4:
        new_dropout(now);
        break;
    case 5:
        if (records.dropout_count) {
            struct ix_record *record = &records.dropouts[below(records.dropout_count)];
            record->dropout.cancelled = true;
            record->sequence = 0;
            must_apply(record);
        }
        break;
    case 6:
        if (link && link->is_up && !link->is_silent)
            fake_lose(id);
        break;
    case 7:
        fake.answer = (enum answer)below(3);
        break;
    case 8:
        fake.answer = ACCEPT;
        fake.holds_acks = below(2);
        break;
    case 9:
        ix_engine_command(rig.engine, d, "reboot", "{\"delayMs\":700}", 15, &err);
        break;
    case 10:
        assert_number(ix_device_set(d, "b", below(2) ? "{\"step\":5}" : "null", &err), 0);
        break;
    case 11:
        ix_device_disconnect(d, (enum ix_drop_mode)below(3), below(2) ? UINT64_MAX : below(2000) * MS);
        break;
    case 12:
        if (below(4) == 0)
            ix_device_fail(d, "enough");
        break;
    case 13:
        if (below(3) == 0)
            successor();
        break;
    default:
        break;
    }
}

static void run_mix(const char *text, uint64_t with_seed)
{
    rig_start(NULL);
    seed = with_seed;
    draws = 0;
    memset(&records, 0, sizeof(records));
    records.spec = spec_of("g", DEVICES, text);
    must_apply(&records.spec);
    for (int i = 0; i < STEPS; i++) {
        step();
        check_books();
        if (below(20) == 0) /* a late turn */
            ix_clock_advance(&rig.loop.clock, rig.loop.clock.virtual_ns + below(2000) * MS);
        run_until(rig.loop.clock.virtual_ns + below(300) * MS);
        check_books();
    }
    int drained = 0;
    ix_engine_drain(rig.engine, 100 * MS, NULL, &drained);
    run_until(rig.loop.clock.virtual_ns + 1 * S);
    check_books();
    assert_null(fake.links);
    assert_number(metrics("g")->connected, 0);
    assert_true(counter("g", IX_C_SENT) > 1000 && counter("g", IX_C_NEVER_SENT_OFFLINE) > 100);
    rig_end(NULL);
    for (size_t i = 0; i < records.dropout_count; i++)
        ix_bitmap_deinit(&records.dropouts[i].dropout.eligible);
}

static void test_mix(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 12; i++)
        run_mix(model, i);
}

static void test_mix_of_combined(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 6; i++)
        run_mix(combined, 100 + i);
}

static void no_line(void *context, enum ix_log_level level, const char *line)
{
    (void)context, (void)level, (void)line;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mix), cmocka_unit_test(test_mix_of_combined)};
    ix_log_set_sink(no_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "check.h"
#include "device/record.h"

#include <stdlib.h>

static struct ix_record copy_of(const struct ix_record *record)
{
    struct ix_buf buf;
    ix_buf_init(&buf, 1 << 20);
    ix_record_pack(record, &buf);
    struct ix_error err;
    struct ix_record again;

    /* Cut off anywhere, it is refused, and nothing is read past the end or leaked. */
    for (size_t len = 0; len < buf.len; len++) {
        unsigned char *part = malloc(len + 1);
        memcpy(part, buf.data, len);
        struct ix_reader in = ix_reader_of(part, len);
        assert_true(ix_record_unpack(&again, &in, &err) < 0);
        free(part);
    }
    /* Whatever single byte is wrong: an error or another record, never a crash. */
    for (size_t i = 0; i < buf.len; i++) {
        unsigned char *bent = malloc(buf.len);
        memcpy(bent, buf.data, buf.len);
        bent[i] ^= 0xff;
        struct ix_reader in = ix_reader_of(bent, buf.len);
        if (ix_record_unpack(&again, &in, &err) == 0)
            ix_record_deinit(&again);
        free(bent);
    }

    struct ix_reader in = ix_reader_of(buf.data, buf.len);
    assert_number(ix_record_unpack(&again, &in, &err), 0);
    assert_true(in.at == in.end);
    ix_buf_deinit(&buf);
    assert_number(again.sequence, record->sequence);
    assert_number(again.kind, record->kind);
    assert_string_equal(again.group, record->group);
    assert_string_equal(again.subkey, record->subkey ? record->subkey : "");
    return again;
}

static void test_spec(void **state)
{
    (void)state;
    struct ix_target targets[2] = {{"127.0.0.1", "broker.example", 1883}, {"::1", "", 65535}};
    struct ix_source sources[2] = {{"127.0.0.2"}, {"127.0.0.3"}};
    struct ix_record record = {.sequence = 1ull << 40,
                               .kind = IX_RECORD_SPEC,
                               .group = "sensors",
                               .spec = {.id_pattern = "s-{index}",
                                        .count = 1000000,
                                        .model = "{\"id\":\"x\"}",
                                        .targets = targets,
                                        .target_count = 2,
                                        .sources = {sources, 2},
                                        .tags = "site:north"}};
    record.spec.shards[0] = 0x81;
    record.spec.shards[511] = 0x40;
    struct ix_record again = copy_of(&record);
    assert_string_equal(again.spec.id_pattern, "s-{index}");
    assert_string_equal(again.spec.model, "{\"id\":\"x\"}");
    assert_null(again.spec.model_folder);
    assert_string_equal(again.spec.tags, "site:north");
    assert_number(again.spec.count, 1000000);
    assert_number(again.spec.target_count, 2);
    assert_string_equal(again.spec.targets[0].server_name, "broker.example");
    assert_string_equal(again.spec.targets[1].address, "::1");
    assert_number(again.spec.targets[1].port, 65535);
    assert_number(again.spec.sources.count, 2);
    assert_string_equal(again.spec.sources.items[1].address, "127.0.0.3");
    assert_memory_equal(again.spec.shards, record.spec.shards, sizeof(record.spec.shards));
    ix_record_deinit(&again);
}

static void test_launch_and_stop(void **state)
{
    (void)state;
    static char code[] = {1, 0, 2, 0, 3};
    struct ix_record launch = {
        .sequence = 7,
        .kind = IX_RECORD_LAUNCH,
        .group = "g",
        .launch = {.start_ns = 123456789, .strategy = {"run.lua:12", "{\"delayMs\":5}", code, 5, false}}};
    struct ix_record again = copy_of(&launch);
    assert_number(again.launch.start_ns, 123456789);
    assert_string_equal(again.launch.strategy.name, "run.lua:12");
    assert_string_equal(again.launch.strategy.settings, "{\"delayMs\":5}");
    assert_number(again.launch.strategy.function_len, 5);
    assert_memory_equal(again.launch.strategy.function, code, 5);
    ix_record_deinit(&again);

    struct ix_record stop = {
        .sequence = 8, .kind = IX_RECORD_STOP, .group = "g", .stop = {.at_ns = 5, .drain_ns = 6}};
    again = copy_of(&stop);
    assert_number(again.stop.at_ns, 5);
    assert_number(again.stop.drain_ns, 6);
    ix_record_deinit(&again);
}

static void test_dropout(void **state)
{
    (void)state;
    struct ix_record record = {.sequence = 9,
                               .kind = IX_RECORD_DROPOUT,
                               .group = "g",
                               .subkey = "3",
                               .dropout = {.id = 3,
                                           .start_ns = 10,
                                           .strategy = {.name = "random", .is_dropout = true},
                                           .chosen = 2,
                                           .seed = 11,
                                           .mode = IX_DROP_SILENT,
                                           .reconnect = true,
                                           .reconnect_delay_ns = 12,
                                           .cancelled = true}};
    ix_bitmap_init(&record.dropout.eligible, 100);
    ix_bitmap_set(&record.dropout.eligible, 17);
    ix_bitmap_set(&record.dropout.eligible, 99);
    struct ix_record again = copy_of(&record);
    assert_number(again.dropout.id, 3);
    assert_number(again.dropout.start_ns, 10);
    assert_string_equal(again.dropout.strategy.name, "random");
    assert_null(again.dropout.strategy.settings);
    assert_null(again.dropout.strategy.function);
    assert_true(again.dropout.strategy.is_dropout);
    assert_true(ix_bitmap_get(&again.dropout.eligible, 17) && ix_bitmap_get(&again.dropout.eligible, 99));
    assert_number(ix_bitmap_count(&again.dropout.eligible), 2);
    assert_number(again.dropout.chosen, 2);
    assert_number(again.dropout.seed, 11);
    assert_number(again.dropout.mode, IX_DROP_SILENT);
    assert_number(again.dropout.reconnect_delay_ns, 12);
    assert_true(again.dropout.reconnect && again.dropout.cancelled);
    ix_record_deinit(&again);
    ix_bitmap_deinit(&record.dropout.eligible);
}

static void test_device_and_set(void **state)
{
    (void)state;
    struct ix_record order = {.sequence = 4,
                              .kind = IX_RECORD_DEVICE,
                              .group = "g",
                              .subkey = "42",
                              .device = {.index = 42, .start = true, .at_ns = 77}};
    struct ix_record again = copy_of(&order);
    assert_number(again.device.index, 42);
    assert_number(again.device.at_ns, 77);
    assert_true(again.device.start);
    ix_record_deinit(&again);

    struct ix_record set = {.sequence = 5,
                            .kind = IX_RECORD_SET,
                            .group = "g",
                            .subkey = "temperature/",
                            .set = {.attribute = "temperature", .index = -1, .changes = "{\"min\":5}"}};
    again = copy_of(&set);
    assert_string_equal(again.set.attribute, "temperature");
    assert_number(again.set.index, -1);
    assert_string_equal(again.set.changes, "{\"min\":5}");
    ix_record_deinit(&again);
}

/* A count that no message could hold must not be believed. */
static void test_counts_are_checked(void **state)
{
    (void)state;
    struct ix_buf buf;
    ix_buf_init(&buf, 1 << 16);
    ix_pack_u64(&buf, 1);
    ix_pack_u8(&buf, IX_RECORD_SPEC);
    ix_pack_str(&buf, "g");
    ix_pack_str(&buf, "");
    ix_pack_str(&buf, "{index}");
    ix_pack_u64(&buf, 10);
    ix_pack_str(&buf, "{}");
    ix_pack_str(&buf, "");
    ix_pack_u32(&buf, 0xffffffff);
    struct ix_record record;
    struct ix_error err;
    struct ix_reader in = ix_reader_of(buf.data, buf.len);
    assert_number(ix_record_unpack(&record, &in, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "targets"));
    ix_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spec), cmocka_unit_test(test_launch_and_stop),
                                       cmocka_unit_test(test_dropout), cmocka_unit_test(test_device_and_set),
                                       cmocka_unit_test(test_counts_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

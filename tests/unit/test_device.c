/* What a device does beside ticking: commands, changed generators, and those that keep something for each device. */
#include "device_fixture.h"
#include "generator/generator.h"

static void test_valid_command(void **state)
{
    (void)state;
    start_one(commands);
    assert_number(fake.subscribed, 3);
    fake_receive("g-0", "d/g-0/update", "{\"url\":\"http://x\",\"size\":7,\"correlationId\":\"c-1\"}");
    assert_string_equal(fake.topic, "d/g-0/done");
    assert_string_equal(fake.payload, "{\"what\":\"update\",\"how\":\"ok\",\"why\":null,\"url\":\"http://x\","
                                      "\"size\":7,\"id\":\"c-1\",\"text\":\"update of g-0\"}");
    assert_number(counter("g", IX_C_COMMANDS), 1);
    assert_number(counter("g", IX_C_COMMANDS_ANSWERED), 1);
    assert_number(counter("g", IX_C_COMMANDS_INVALID), 0);
    assert_number(row("g", 0)->received, 1);
    fake_receive("g-0", "d/g-0/unknown", "{}");
    assert_number(counter("g", IX_C_COMMANDS), 1);
    assert_number(counter("g", IX_C_RECEIVED), 2);
    check_ledger("g");
}

static void test_invalid_commands(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "",    "{}",        "{\"url\":5}", "{\"url\":\"x\",\"size\":1.5}",
        "[1]", "{\"url\":", "nonsense",    "{\"url\":\"a\",\"url\":\"b\"}"};
    start_one(commands);
    for (size_t i = 0; i < IX_ARRAY_LEN(payloads); i++) {
        fake.payload[0] = '\0';
        fake_receive("g-0", "d/g-0/update", payloads[i]);
        assert_non_null(strstr(fake.payload, "\"how\":\"error\",\"why\":\"command"));
        assert_number(counter("g", IX_C_COMMANDS_INVALID), i + 1);
        run_until(rig.loop.clock.virtual_ns + 10 * MS);
    }
    assert_number(counter("g", IX_C_COMMANDS), IX_ARRAY_LEN(payloads));
}

static void test_commands_of_the_controller(void **state)
{
    (void)state;
    struct ix_error err;
    add_group("g", 1, commands);
    assert_number(command("update", "{\"url\":\"x\"}", &err), -ENOTCONN);
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_number(command("update", "{\"url\":\"x\"}", &err), 0);
    assert_non_null(strstr(fake.payload, "\"how\":\"ok\""));
    assert_number(command("update", "{}", &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"url\""));
    assert_number(command("updat", "{}", &err), -ENOENT);
    assert_non_null(strstr(err.text, "update"));
}

static void test_reboot(void **state)
{
    (void)state;
    struct ix_error err;
    start_one(commands);
    assert_number(command("reboot", "{\"delayMs\":2000}", &err), 0);
    run_until(600 * MS);
    assert_number(fake.aborts, 1);
    assert_number(row("g", 0)->link, IX_L_DISCONNECTED);
    run_until(2495 * MS);
    assert_number(metrics("g")->connected, 0);
    run_until(2600 * MS);
    assert_number(metrics("g")->connected, 1);
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 2); /* at 1,005 and 2,005 ms */
    assert_number(command("reboot", "{\"delayMs\":-1}", &err), -EINVAL);
    assert_number(command("reboot", "", &err), 0);
    run_until(7500 * MS);
    assert_number(metrics("g")->connected, 0);
    run_until(8 * S);
    assert_number(metrics("g")->connected, 1);
    check_ledger("g");
}

static void test_set_on_a_sensor(void **state)
{
    (void)state;
    struct ix_error err;
    start_one(commands);
    assert_number(command("set", "{\"attribute\":\"t\",\"value\":99,\"correlationId\":5}", &err), 0);
    assert_string_equal(fake.payload, "{\"command\":\"set\",\"status\":\"ok\",\"correlationId\":5}");
    run_until(1100 * MS);
    assert_non_null(strstr(fake.payload, "\"t\":99"));
    assert_number(command("set", "{\"attribute\":\"tt\",\"value\":1}", &err), -ENOENT);
    assert_non_null(strstr(fake.payload, "\"status\":\"error\""));
    assert_number(command("set", "{\"value\":1}", &err), -EINVAL);
}

static void test_actuator_reports_at_once(void **state)
{
    (void)state;
    struct ix_error err;
    start_one(actuator);
    uint64_t before = counter("g", IX_C_SENT);
    assert_number(command("set", "{\"attribute\":\"state\",\"value\":\"on\"}", &err), 0);
    assert_number(counter("g", IX_C_SENT), before + 2); /* its state, and the answer */
    assert_number(rig.dues[rig.due_count - 1], 500 * MS);
    struct ix_value value;
    assert_true(ix_device_value(device(), 1, &value));
    assert_memory_equal(value.text.data, "on", 2);
    check_ledger("g");
}

/* ---- overrides ---- */

static void set_record(const char *attribute, int64_t index, const char *changes)
{
    struct ix_record record = {
        .kind = IX_RECORD_SET,
        .group = "g",
        .subkey = "x",
        .set = {.attribute = (char *)attribute, .index = index, .changes = (char *)changes}};
    must_apply(&record);
}

static double number_of(uint64_t index)
{
    struct ix_value value;
    double number = -1;
    assert_true(ix_device_value(ix_device_find(rig.engine, "g", index), 0, &value));
    assert_true(ix_value_number(&value, &number));
    return number;
}

static void test_overrides(void **state)
{
    (void)state;
    add_group("g", 2, SENSOR("sensor", ""));
    struct ix_value none;
    assert_false(ix_device_value(device(), 0, &none));
    launch("g", 0, "0");
    run_until(3500 * MS);
    assert_true(number_of(0) == 3); /* recomputed: nothing is stored */
    assert_null(device()->extra);
    set_record("t", -1, "{\"start\":100}");
    assert_true(number_of(0) == 3 && number_of(1) == 3); /* nothing else was published yet */
    run_until(4500 * MS);
    assert_true(number_of(0) == 104 && number_of(1) == 104);
    set_record("t", 1, "70");
    assert_true(number_of(1) == 104);
    run_until(5500 * MS);
    assert_true(number_of(0) == 105 && number_of(1) == 70);
    set_record("t", -1, "null");
    for (int i = 0; i < 20; i++) /* more within one interval than are remembered */
        set_record("t", 1, i % 2 ? "80" : "90");
    assert_true(number_of(0) == 105);
    run_until(6500 * MS);
    assert_true(number_of(0) == 6 && number_of(1) == 80);
    set_record("t", 1, "null");
    assert_true(number_of(1) == 80);
    run_until(7500 * MS);
    assert_true(number_of(1) == 7);

    struct ix_error err;
    assert_true(ix_device_set(device(), "temperatur", "1", &err) == -ENOENT);
    assert_true(ix_device_set(device(), "t", "{\"no\":1}", &err) < 0);
    assert_true(ix_device_set(device(), "t", "{", &err) < 0);
    assert_true(number_of(0) == 7);
    assert_number(ix_device_set(device(), "t", "{\"step\":2}", &err), 0);
    run_until(8500 * MS);
    assert_true(number_of(0) == 16 && number_of(1) == 8);
}

/* An older record of the same key that comes again changes nothing. */
static void test_overrides_are_idempotent(void **state)
{
    (void)state;
    start_one(SENSOR("sensor", ""));
    set_record("t", -1, "5");
    set_record("t", -1, "null");
    struct ix_record old = {.sequence = rig.sequence - 1,
                            .kind = IX_RECORD_SET,
                            .group = "g",
                            .set = {.attribute = "t", .index = -1, .changes = "5"}};
    must_apply(&old);
    assert_true(number_of(0) == 0);
}

/* ---- generators that keep something for each device, as scripts do ---- */

static int instances;

static int custom_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    (void)g, (void)model, (void)err;
    return 0;
}
static void custom_close(struct ix_generator *g)
{
    (void)g;
}
static int custom_open_device(const struct ix_generator *g, struct ix_device *d, void **instance,
                              struct ix_error *err)
{
    (void)g;
    if (ix_device_index(d) == 2)
        return ix_fail(err, -EINVAL, "generator.lua:5: no");
    *instance = ix_calloc(1, sizeof(int));
    instances++;
    return 0;
}
static void custom_close_device(const struct ix_generator *g, void *instance)
{
    assert_ptr_equal(g->class->close_device, custom_close_device);
    free(instance);
    instances--;
}
static int custom_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                         struct ix_error *err)
{
    (void)g;
    int *calls = draw->instance;
    if (*calls == 3)
        return ix_fail(err, -EINVAL, "generator.lua:9: the fourth fails");
    *out = (struct ix_value){.kind = IX_V_INTEGER, .integer = 100 + (*calls)++};
    return 0;
}
static const struct ix_generator_class custom = {.name = "custom",
                                                 .open = custom_open,
                                                 .close = custom_close,
                                                 .sample = custom_sample,
                                                 .open_device = custom_open_device,
                                                 .close_device = custom_close_device};

static void test_custom_generators(void **state)
{
    (void)state;
    ix_generator_register(IX_GEN_CUSTOM, &custom);
    add_group("g", 3,
              "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"telemetry\":["
              "{\"name\":\"t\",\"type\":\"integer\",\"intervalMs\":1000,"
              "\"generator\":{\"type\":\"custom\",\"handler\":\"h\"}}]}");
    assert_number(instances, 0);
    launch("g", 0, "0");
    run_until(2500 * MS);
    assert_number(instances, 2);
    assert_number(row("g", 2)->status, IX_D_ERROR);
    assert_true(number_of(0) == 102); /* kept, as it can't be computed again */
    run_until(4500 * MS);
    assert_number(counter("g", IX_C_NEVER_SENT_ERROR), 4);
    assert_true(number_of(0) == 102);
    struct ix_error err;
    assert_number(ix_device_set(device(), "t", "5", &err), 0);
    assert_number(instances, 1);
    run_until(5500 * MS);
    assert_true(number_of(0) == 5);
    assert_number(ix_device_set(device(), "t", "null", &err), 0);
    assert_number(instances, 2); /* begun anew */
    run_until(6500 * MS);
    assert_true(number_of(0) == 100);
    stop("g", 7 * S, 1 * S);
    run_until(9 * S);
    assert_number(instances, 0);
    check_ledger("g");
}

#define CHILD(name, interval)                                                                       \
    "{\"id\":\"" name "\",\"name\":\"C\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"telemetry\":[" \
    "{\"name\":\"" name "\",\"type\":\"integer\",\"unit\":\"u\",\"intervalMs\":" interval           \
    ",\"generator\":{\"type\":\"sequence\",\"max\":1e9}}]}"

static const char gateway[] =
    "{\"id\":\"m\",\"name\":\"M\",\"type\":\"gateway\",\"protocol\":\"mqtt\",\"connection\":{\"qos\":0},"
    "\"telemetry\":[{\"name\":\"cpu\",\"type\":\"number\",\"intervalMs\":10000,"
    "\"generator\":{\"type\":\"constant\",\"value\":1}}],"
    "\"children\":[{\"model\":" CHILD(
        "a", "1000") ",\"count\":2},"
                     "{\"model\":" CHILD("b", "3000") ",\"idPattern\":\"{deviceId}/b{index}\"}]}";

static void test_children_of_a_gateway(void **state)
{
    (void)state;
    add_group("g", 1, gateway);
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_string_equal(fake.payload,
                        "{\"deviceId\":\"g-0\",\"timestamp\":\"2026-01-31T23:59:59.005Z\",\"children\":["
                        "{\"deviceId\":\"g-0-0\",\"a\":0},{\"deviceId\":\"g-0-1\",\"a\":0},"
                        "{\"deviceId\":\"g-0/b0\",\"b\":0}]}");
    assert_number(counter("g", IX_C_SENT), 2); /* its own, and one for all children */
    run_until(2500 * MS);
    assert_string_equal(fake.payload,
                        "{\"deviceId\":\"g-0\",\"timestamp\":\"2026-02-01T00:00:01.005Z\",\"children\":["
                        "{\"deviceId\":\"g-0-0\",\"a\":2},{\"deviceId\":\"g-0-1\",\"a\":2}]}");
    assert_number(counter("g", IX_C_SENT), 4);
    ix_device_disconnect(device(), IX_DROP_ABORT, 10 * S);
    run_until(20 * S);
    /* Offline from 2,505 to 12,500 ms: ten instants of the children, one of its own. */
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 11);
    assert_number(counter("g", IX_C_SCHEDULED), 20 + 2);
    check_ledger("g");
}

static void test_children_need_their_model(void **state)
{
    (void)state;
    struct ix_error err;
    struct ix_record record =
        spec_of("g", 1,
                "{\"id\":\"m\",\"name\":\"M\",\"type\":\"gateway\",\"protocol\":\"mqtt\","
                "\"children\":[{\"model\":\"elsewhere\"}]}");
    assert_number(apply(&record, &err), -EINVAL);
    assert_non_null(strstr(err.text, "children[0]"));
    assert_non_null(strstr(err.text, "elsewhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_valid_command),
        TEST(test_invalid_commands),
        TEST(test_commands_of_the_controller),
        TEST(test_reboot),
        TEST(test_set_on_a_sensor),
        TEST(test_actuator_reports_at_once),
        TEST(test_overrides),
        TEST(test_overrides_are_idempotent),
        TEST(test_custom_generators),
        TEST(test_children_of_a_gateway),
        TEST(test_children_need_their_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

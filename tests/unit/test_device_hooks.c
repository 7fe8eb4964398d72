/* Conditions, triggers and hooks of a device, and what scripts publish for it. */
#include "device_fixture.h"

static struct {
    size_t fired[4], starts, stops, connects, samples, commands;
    uint64_t last_ns;
    unsigned wanted;
    int command_result;
    bool fails_device, disconnects;
    size_t open_models;
} seen;

static int hook_model_open(void *context, const struct ix_model *model, void **handle, unsigned *hooks,
                           struct ix_error *err)
{
    (void)context, (void)model, (void)err;
    *handle = &seen;
    *hooks = seen.wanted;
    seen.open_models++;
    return 0;
}
static void hook_model_close(void *context, void *handle)
{
    (void)context;
    assert_ptr_equal(handle, &seen);
    seen.open_models--;
}
static void hook_start(void *context, void *handle, struct ix_device *d)
{
    (void)context, (void)handle;
    ix_device_set_script(d, &seen);
    seen.starts++;
}
static void hook_stop(void *context, void *handle, struct ix_device *d)
{
    (void)context, (void)handle;
    assert_ptr_equal(ix_device_script(d), &seen);
    seen.stops++;
    struct ix_message message = {.topic = "bye", .payload = "x", .len = 1};
    ix_device_publish(d, &message, ix_clock_now(&rig.loop.clock));
}
static void hook_connected(void *context, void *handle, struct ix_device *d)
{
    (void)context, (void)handle, (void)d;
    seen.connects++;
}
static void hook_telemetry(void *context, void *handle, struct ix_device *d, size_t stream,
                           const struct ix_value *value)
{
    (void)context, (void)handle;
    double number;
    if (stream == 0)
        assert_true(ix_value_number(value, &number));
    seen.samples++;
    if (seen.fails_device)
        ix_device_fail(d, "behaviour.lua:3: boom");
    if (seen.disconnects)
        ix_device_disconnect(d, IX_DROP_CLOSE, 2 * S);
}
static int hook_command(void *context, void *handle, struct ix_device *d, const struct ix_command *command_,
                        const json_t *parameters, struct ix_error *err)
{
    (void)context, (void)handle, (void)d, (void)command_;
    assert_true(json_is_object(parameters));
    seen.commands++;
    return seen.command_result < 0 ? ix_fail(err, seen.command_result, "script says no")
                                   : seen.command_result;
}
static void hook_fired(void *context, void *handle, struct ix_device *d, size_t place,
                       const json_t *parameters)
{
    (void)context, (void)handle, (void)parameters;
    seen.fired[place]++;
    seen.last_ns = ix_clock_now(&rig.loop.clock);
    ix_device_value(d, 0, &(struct ix_value){0});
}

static int hooked_start(void **state)
{
    rig_start(state);
    memset(&seen, 0, sizeof(seen));
    seen.wanted = 63;
    ix_engine_free(rig.engine);
    struct ix_hooks *hooks = &rig.config.hooks;
    hooks->model_open = hook_model_open;
    hooks->model_close = hook_model_close;
    hooks->device_start = hook_start;
    hooks->device_stop = hook_stop;
    hooks->connected = hook_connected;
    hooks->telemetry = hook_telemetry;
    hooks->command = hook_command;
    hooks->fired = hook_fired;
    rig.engine = ix_engine_new(&rig.config);
    return 0;
}

static int hooked_end(void **state)
{
    rig_end(state);
    assert_number(seen.open_models, 0);
    assert_number(seen.starts, seen.stops);
    return 0;
}

#define BEHAVIOR(name, trigger)                   \
    "{\"name\":\"" name "\",\"trigger\":" trigger \
    ",\"action\":{\"type\":\"publish\",\"topic\":\"a\",\"payload\":{\"x\":1}}}"

#define ON(condition, more) "{\"type\":\"condition\",\"condition\":\"" condition "\"" more "}"
#define EDGE                BEHAVIOR("edge", ON("t % 4 >= 2", ""))
#define LEVEL               BEHAVIOR("level", ON("t % 4 >= 2", ",\"mode\":\"level\""))
#define COOL                BEHAVIOR("cool", ON("t >= 1", ",\"mode\":\"level\",\"cooldownMs\":3000"))
#define CLOCK               BEHAVIOR("clock", "{\"type\":\"interval\",\"intervalMs\":700}")

/* t counts 0, 1, 2 … */
static const char triggers[] =
    SENSOR("sensor", COMMANDS ",\"behaviors\":[" EDGE "," LEVEL "," COOL "," CLOCK "]");

static void test_conditions(void **state)
{
    (void)state;
    add_group("g", 1, triggers);
    launch("g", 0, "0");
    run_until(9500 * MS); /* samples 0 … 9 */
    assert_number(seen.fired[0], 2);
    assert_number(seen.fired[1], 4);
    assert_number(seen.fired[2], 3); /* at 1, 4 and 7 */
    assert_number(seen.fired[3], 13);
    assert_number(counter("g", IX_C_BEHAVIORS_FIRED), 22);
    run_until(10 * S);
    assert_number(seen.last_ns, 5 * MS + 14 * 700 * MS);
    assert_number(seen.samples, 11); /* ten of t, one of state */
    assert_number(seen.starts, 1);
    assert_number(seen.connects, 1);
    stop("g", 10 * S, 1 * S);
    run_until(12 * S);
    assert_number(seen.stops, 1);
    assert_string_equal(fake.topic, "bye");
    check_ledger("g");
}

static const char on_connect[] =
    SENSOR("sensor", COMMANDS ",\"behaviors\":[" BEHAVIOR("hello", "{\"type\":\"connect\"}") "," BEHAVIOR(
                         "again", "{\"type\":\"command\",\"command\":\"reboot\"}") "]");

static void test_connect_and_command_triggers(void **state)
{
    (void)state;
    struct ix_error err;
    seen.wanted = IX_HOOK_FIRED | IX_HOOK_START | IX_HOOK_STOP;
    start_one(on_connect);
    assert_number(seen.fired[0], 1);
    assert_number(command("reboot", "{}", &err), 0);
    assert_number(seen.fired[1], 1);
    run_until(2 * S);
    assert_number(fake.aborts, 0); /* the behaviour does it in the built-in's place */
    fake_lose("g-0");
    run_until(60 * S);
    assert_number(seen.fired[0], 2);
    assert_number(seen.samples, 0); /* hooks that nobody wants are not called */
    assert_number(seen.connects, 0);
}

static void test_command_hook(void **state)
{
    (void)state;
    struct ix_error err;
    start_one(triggers);
    assert_number(command("update", "{\"url\":\"x\"}", &err), 0);
    assert_number(seen.commands, 1);
    seen.command_result = -EIO;
    assert_number(command("update", "{\"url\":\"x\"}", &err), -EIO);
    assert_non_null(strstr(fake.payload, "\"how\":\"error\",\"why\":\"script says no\""));
    assert_number(counter("g", IX_C_COMMANDS_INVALID), 0);
    seen.command_result = 0;
    assert_number(command("reboot", "{}", &err), 0);
    run_until(1 * S);
    assert_number(fake.aborts, 0); /* handled */
    seen.command_result = IX_COMMAND_UNHANDLED;
    assert_number(command("reboot", "{}", &err), 0);
    run_until(2 * S);
    assert_number(fake.aborts, 1);
}

static void test_hook_fails_its_device(void **state)
{
    (void)state;
    seen.fails_device = true;
    add_group("g", 3, triggers);
    launch("g", 0, "0");
    run_until(5 * S);
    assert_number(in_status("g", IX_D_ERROR), 3);
    assert_number(metrics("g")->connected, 0);
    assert_string_equal(metrics("g")->reasons[row("g", 0)->reason - 1].text, "behaviour.lua:3: boom");
    assert_number(seen.stops, 3);
    check_ledger("g");
}

static void test_hook_disconnects_its_device(void **state)
{
    (void)state;
    seen.disconnects = true;
    add_group("g", 1, triggers);
    launch("g", 0, "0");
    run_until(10 * MS);
    assert_number(fake.closes, 1);
    assert_number(metrics("g")->connected, 0);
    /* Both streams were due; only the first went out before the script hung up. */
    assert_number(counter("g", IX_C_SCHEDULED), 2);
    assert_number(counter("g", IX_C_SENT), 1);
    seen.disconnects = false;
    run_until(2020 * MS);
    assert_number(metrics("g")->connected, 1);
    check_ledger("g");
}

static void test_script_publishes(void **state)
{
    (void)state;
    start_one(SENSOR("sensor", ""));
    struct ix_message message = {.payload = "hi", .len = 2, .qos = 1};
    assert_number(ix_device_publish(device(), &message, 400 * MS), 0);
    assert_string_equal(fake.topic, "devices/g-0/telemetry");
    run_until(600 * MS);
    assert_number(metrics("g")->trends[IX_T_RESPONSE].max, 103 * MS);
    stop("g", 600 * MS, 0);
    run_until(700 * MS);
    assert_number(ix_device_publish(device(), &message, 700 * MS), -ENOTCONN);
    assert_number(counter("g", IX_C_NEVER_SENT_OFFLINE), 1);
    check_ledger("g");
}

static void test_will_and_identity(void **state)
{
    (void)state;
    add_group("g", 3,
              "{\"id\":\"m\",\"name\":\"M\",\"type\":\"sensor\",\"protocol\":\"mqtt\",\"connection\":{"
              "\"clientIdPattern\":\"c-${index}\",\"will\":{\"topic\":\"w/${deviceId}\",\"payload\":"
              "{\"gone\":\"${deviceId}\"}}},\"telemetry\":[{\"name\":\"t\",\"type\":\"number\","
              "\"intervalMs\":1000,\"generator\":{\"type\":\"constant\",\"value\":1}}]}");
    launch("g", 0, "1");
    run_until(1500 * MS);
    assert_string_equal(fake.client_id, "c-2");
    assert_string_equal(fake.will, "w/g-2 {\"gone\":\"g-2\"}");
}

#define HOOKED(name) cmocka_unit_test_setup_teardown(name, hooked_start, hooked_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOOKED(test_conditions),
        HOOKED(test_connect_and_command_triggers),
        HOOKED(test_command_hook),
        HOOKED(test_hook_fails_its_device),
        HOOKED(test_hook_disconnects_its_device),
        TEST(test_script_publishes),
        TEST(test_will_and_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Custom generators in Lua: their values, types and draws, and what their errors end. */
#include "script_device_fixture.h"

static void custom_generator_gives_values_per_device_and_tick(void **state)
{
    (void)state;
    write_file("generators/ramp.lua",
               "return function(config, device)\n"
               "  assert(device.group == 'g' and device.model == 'm')\n"
               "  local n = 0\n"
               "  return function(tick, now)\n"
               "    n = n + 1\n"
               "    if tick == 0 then start = now end\n"
               "    return device.index * config.scale + tick + (now - start) / 8 + n / 64\n"
               "  end\n"
               "end\n");
    add_group("g", 2, MODEL(CUSTOM("number", "ramp")));
    launch("g", 0, "0");
    run_until(100 * MS);
    assert_string_equal(fake.topic, "t/g-1");
    assert_value("10.015625");
    run_until(2100 * MS);
    assert_value("12.296875");
    assert_number(counter("g", IX_C_SCRIPT_ERRORS), 0);
    check_ledger("g");
}

static void values_of_generators_take_the_type_of_their_attribute(void **state)
{
    (void)state;
    static const struct {
        const char *model, *result, *json;
    } cases[] = {
        {MODEL(CUSTOM("integer", "x")), "2.5", "3"},
        {MODEL(CUSTOM("boolean", "x")), "0", "false"},
        {MODEL(CUSTOM("string", "x")), "'te\"xt'", "\"te\\\"xt\""},
        {MODEL(CUSTOM("string", "x")), "{ b = 1, a = { true } }", "{\"a\":[true],\"b\":1}"},
        {MODEL(CUSTOM("number", "x")), "true", "1"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char name[16], text[256], model[512], handler[16];
        snprintf(name, sizeof name, "g%d", (int)i);
        snprintf(handler, sizeof handler, "x%d", (int)i);
        snprintf(text, sizeof text, "return function() return function() return %s end end", cases[i].result);
        snprintf(model, sizeof model, "%s", cases[i].model);
        char *place = strstr(model, "\"x\"");
        snprintf(place, sizeof model - (size_t)(place - model), "\"%s\"%s", handler,
                 cases[i].model + (place - model) + 3);
        char path[64];
        snprintf(path, sizeof path, "generators/%s.lua", handler);
        write_file(path, text);
        add_group(name, 1, model);
        launch(name, 0, "0");
        run_until(rig.loop.clock.virtual_ns + 500 * MS);
        assert_value(cases[i].json);
    }
    write_file("generators/raw.lua", "return function() return function() return 'a\\0b' end end");
    add_group("raw", 1, MODEL(CUSTOM("binary", "raw")));
    launch("raw", 0, "0");
    run_until(rig.loop.clock.virtual_ns + 10 * MS);
    assert_number(fake.payload_len, 3);
}

static void draws_of_a_generator_depend_on_device_and_tick_only(void **state)
{
    (void)state;
    char first[4][64];
    write_file(
        "generators/dice.lua",
        "return function(_, device) return function() return math.random() + device:random(1000) end end");
    for (int round = 0; round < 2; round++) {
        add_group("g", 1, MODEL(CUSTOM("number", "dice")));
        launch("g", 0, "0");
        for (int i = 0; i < 4; i++) {
            run_until(rig.loop.clock.virtual_ns + 1000 * MS);
            if (round == 1 && i == 1) { /* what happens in between changes nothing */
                assert_lua("math.random() < 1");
                fake_lose("g-0");
            }
            if (round == 0)
                snprintf(first[i], sizeof first[i], "%s", payload_value());
            else if (i != 2) /* offline then */
                assert_string_equal(first[i], payload_value());
        }
        assert_string_not_equal(first[0], first[1]);
        ix_engine_free(rig.engine);
        memset(rig.segment->rows, 0, sizeof *rig.segment->rows);
        rig.segment->rows_used = 0;
        rig.engine = ix_engine_new(&rig.config);
        rig.sequence = 0;
    }
}

static void error_in_a_generator_ends_its_device_only(void **state)
{
    (void)state;
    write_file("generators/bad.lua", "return function(_, device) return function(tick)\n"
                                     "  if device.index == 1 and tick == 2 then\n"
                                     "    local nothing\n"
                                     "    return nothing.field\n"
                                     "  end\n"
                                     "  return 1\n"
                                     "end end\n");
    add_group("g", 3, MODEL(CUSTOM("number", "bad")));
    launch("g", 0, "0");
    run_until(5 * S);
    assert_number(in_status("g", IX_D_ERROR), 1);
    assert_number(in_status("g", IX_D_RUNNING), 2);
    assert_number(counter("g", IX_C_SCRIPT_ERRORS), 1);
    assert_number(test.tellings, 1);
    assert_memory_equal(test.told, "g 1 ", 4);
    assert_non_null(strstr(test.told, "generators/bad.lua:4: attempt to index"));
    assert_non_null(strstr(test.told, "stack traceback"));
    assert_memory_equal(metrics("g")->reasons[0].text, "bad.lua:4: attempt to index", 27);
    assert_null(strstr(strstr(test.log, "bad.lua") + 1, "bad.lua")); /* logged once, as the device's end */
    check_ledger("g");
}

static void what_was_told_is_not_logged_again(void **state)
{
    (void)state;
    test.fate = IX_ERROR_TOLD;
    write_file("generators/bad.lua",
               "return function(_, device)\n"
               "  if device.index == 2 then error('cannot open') end\n"
               "  return function(tick) assert(device.index == 0, 'no value') return 1 end\n"
               "end\n");
    add_group("g", 3, MODEL(CUSTOM("number", "bad")));
    launch("g", 0, "0");
    run_until(5 * S);
    assert_number(in_status("g", IX_D_ERROR), 2);
    assert_number(test.tellings, 2);
    assert_null(strstr(test.log, "bad.lua"));
    assert_non_null(strstr(metrics("g")->reasons[0].text, "bad.lua:"));
}

static void policy_may_end_the_run_instead(void **state)
{
    (void)state;
    test.fate = IX_ERROR_ENDS_RUN;
    write_file("generators/nan.lua", "return function() return function()\n  return 0 / 0\nend end");
    add_group("g", 1, MODEL(CUSTOM("number", "nan")));
    launch("g", 0, "0");
    run_until(5 * S);
    assert_number(test.tellings, 1);
    assert_non_null(strstr(
        test.told, "generators/nan.lua:1: generator \"nan\", tick 0: the value is not a finite number"));
    assert_number(in_status("g", IX_D_RUNNING), 1);
}

static void faulty_handlers_are_refused_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *handler, *text, *says;
    } cases[] = {
        {"gone", NULL, "generators/gone.lua"},
        {"syntax", "return return", "generators/syntax.lua:1:"},
        {"raises", "error 'at load'", "generators/raises.lua:1: at load"},
        {"table", "return {}", "must be a function(config, device)"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        char path[64], model[512];
        struct ix_error err = {0};
        snprintf(path, sizeof path, "generators/%s.lua", cases[i].handler);
        if (cases[i].text)
            write_file(path, cases[i].text);
        snprintf(model, sizeof model,
                 MODEL("\"telemetry\":[{\"name\":\"v\",\"type\":\"number\",\"intervalMs\":1000,\"generator\":"
                       "{\"type\":"
                       "\"custom\",\"handler\":\"%s\"}}]"),
                 cases[i].handler);
        struct ix_record record = spec_of("g", 1, model);
        assert_true(apply(&record, &err) < 0);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].handler, err.text);
    }
    write_file("generators/nofunction.lua", "return function() return 5 end");
    add_group("late", 1, MODEL(CUSTOM("number", "nofunction")));
    launch("late", 0, "0");
    run_until(1 * S);
    assert_number(in_status("late", IX_D_ERROR), 1);
    assert_non_null(strstr(test.told, "returned a number for the device"));
}

static void generators_only_give_values(void **state)
{
    (void)state;
    write_file("generators/busy.lua", "return function(_, device) return function()\n"
                                      "  device:disconnect()\n  return 1\nend end");
    add_group("g", 1, MODEL(CUSTOM("number", "busy")));
    launch("g", 0, "0");
    run_until(2 * S);
    assert_non_null(strstr(test.told, "a generator only gives values and can't disconnect"));
    assert_number(in_status("g", IX_D_ERROR), 1);
}

static void generator_of_the_scenario_wins(void **state)
{
    (void)state;
    struct ix_error err;
    const char *text = "local iotix = require 'iotix'\n"
                       "return iotix.scenario { name = 's', run = function() end,\n"
                       "  generators = { ramp = function() return function() return 77 end end } }";
    write_file("generators/ramp.lua", "return function() return function() return 1 end end");
    if (ix_script_load_scenario(test.script, "s.lua", text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    add_group("g", 1, MODEL(CUSTOM("number", "ramp")));
    launch("g", 0, "0");
    run_until(100 * MS);
    assert_value("77");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(custom_generator_gives_values_per_device_and_tick),
        TEST(values_of_generators_take_the_type_of_their_attribute),
        TEST(draws_of_a_generator_depend_on_device_and_tick_only),
        TEST(error_in_a_generator_ends_its_device_only),
        TEST(what_was_told_is_not_logged_again),
        TEST(policy_may_end_the_run_instead),
        TEST(faulty_handlers_are_refused_with_their_place),
        TEST(generators_only_give_values),
        TEST(generator_of_the_scenario_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

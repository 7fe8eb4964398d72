/* What workers ask of Lua while devices live: behaviours, device objects, and functions that travelled. */
#include "script_device_fixture.h"

/* ---- behaviours ---- */

static const char tracing[] =
    "trace = {}\n"
    "local function note(...) trace[#trace + 1] = table.concat({ ... }, ' ') end\n"
    "return function(config)\n"
    "  assert(config.limit == 3)\n"
    "  return {\n"
    "    on_start = function(d) d.state.n = 0 note('start', d.id, d.status) end,\n"
    "    on_connect = function(d) note('connect', d.index) d:after(0.25, 'soon') end,\n"
    "    on_telemetry = function(d, name, value) d.state.n = d.state.n + 1 note('telemetry', name, value) "
    "end,\n"
    "    on_command = function(d, name, p) note('command', name, p.times)\n"
    "      if p.times == 9 then return false, 'too often' end end,\n"
    "    on_timer = function(d, name) note('timer', name) end,\n"
    "    on_stop = function(d) note('stop', d.state.n) end,\n"
    "  }\n"
    "end\n";

static void behaviour_sees_the_life_of_its_device(void **state)
{
    (void)state;
    write_file("behaviors/trace.lua", tracing);
    add_group("g", 1, MODEL(CONSTANT COMMANDS HANDLER("trace")));
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_lua("table.concat(trace, ';') == 'start g-0 starting;connect 0;telemetry v 5;timer soon'");
    fake_receive("g-0", "c/g-0", "{\"times\":2}");
    assert_non_null(strstr(fake.payload, "\"status\":\"ok\""));
    fake_receive("g-0", "c/g-0", "{\"times\":9}");
    assert_non_null(strstr(fake.payload, "too often"));
    stop("g", 600 * MS, 0);
    run_until(2 * S);
    assert_lua("table.concat(trace, ';', 5) == 'command blink 2;command blink 9;stop 1'");
    launch("g", 0, "0"); /* again from nothing */
    run_until(3 * S);
    assert_lua("trace[8] == 'start g-0 starting'");
    assert_number(test.tellings, 0);
}

static void timers_keep_their_rhythm_and_end_with_the_device(void **state)
{
    (void)state;
    write_file("behaviors/timers.lua", "beats, stopped, instants = 0, 0, {}\n"
                                       "return { on_start = function(d)\n"
                                       "  d:every('100ms', function(x) assert(x == d) beats = beats + 1\n"
                                       "    instants[beats] = require('iotix.core').now() end)\n"
                                       "  local once = d:every(0.05, function() stopped = stopped + 1 end)\n"
                                       "  d:after(0.175, function() once:cancel() once:cancel() end)\n"
                                       "end }");
    add_group("g", 1, MODEL(CONSTANT HANDLER("timers")));
    launch("g", 0, "0");
    run_until(100050 * MS);
    assert_lua("beats == 1000 and stopped == 3");
    assert_lua("math.abs(instants[1000] - instants[1] - 99.9) < 1e-6");
    stop("g", 100100 * MS, 0);
    run_until(200 * S);
    assert_lua("beats == 1000 or beats == 1001");
    assert_number(ix_wheel_count(rig.loop.wheel), 0);
}

static void behaviour_publishes_sets_and_disconnects(void **state)
{
    (void)state;
    write_file("behaviors/acts.lua", "local steps = 0\n"
                                     "return { on_telemetry = function(d, name, value)\n"
                                     "  steps = steps + 1\n"
                                     "  if steps == 1 then\n"
                                     "    assert(d:publish('x/${deviceId}', { v = d:value 'v', all = "
                                     "d:values() }, { qos = 2, retain = true }))\n"
                                     "  elseif steps == 2 then\n"
                                     "    d:set('v', 8)\n"
                                     "  elseif steps == 3 then\n"
                                     "    d:set('v', nil)\n"
                                     "    d:disconnect { mode = 'abort', reconnectDelayMs = 1500 }\n"
                                     "    result, reason = d:publish(nil, 'text')\n"
                                     "    d:event('left', { value = value })\n"
                                     "    d:log('warn', 'bye')\n"
                                     "  end\n"
                                     "end }");
    add_group("g", 1, MODEL(CONSTANT HANDLER("acts")));
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_string_equal(fake.topic, "x/g-0");
    assert_string_equal(fake.payload, "{\"all\":{\"v\":5},\"v\":5}");
    assert_number(fake.qos, 2);
    run_until(1500 * MS);
    assert_value("5");
    run_until(2500 * MS);
    assert_value("8");
    assert_number(fake.aborts, 1);
    assert_lua("result == nil and reason == 'not connected'");
    assert_string_equal(test.event, "left {\"data\":{\"value\":8},\"device\":\"g-0\"}");
    assert_non_null(strstr(test.log, "g-0: bye"));
    run_until(5500 * MS);
    assert_value("5");
    assert_number(row("g", 0)->connections, 2);
    assert_number(test.tellings, 0);
    check_ledger("g");
}

static void error_in_a_behaviour_ends_its_device_after_the_call(void **state)
{
    (void)state;
    write_file("behaviors/breaks.lua", "stops = 0\n"
                                       "return { on_connect = function(d)\n"
                                       "    d:every(1, function() end)\n"
                                       "    if d.index == 0 then error('no way') end\n"
                                       "  end,\n"
                                       "  on_telemetry = function(d) assert(d.index == 1) end,\n"
                                       "  on_stop = function(d) stops = stops + 1 end }");
    add_group("g", 2, MODEL(CONSTANT HANDLER("breaks")));
    launch("g", 0, "0");
    run_until(3500 * MS);
    assert_number(in_status("g", IX_D_ERROR), 1);
    assert_number(in_status("g", IX_D_RUNNING), 1);
    assert_non_null(strstr(test.told, "behaviors/breaks.lua:4: no way"));
    assert_number(test.tellings, 1);
    assert_lua("stops == 0"); /* a script that failed is not called again */
    stop("g", 4 * S, 0);
    run_until(5 * S);
    assert_lua("stops == 1");
}

static void endless_recursion_through_hooks_is_an_error(void **state)
{
    (void)state;
    write_file("behaviors/again.lua", "depth = 0\n"
                                      "return { on_command = function(d)\n"
                                      "  depth = depth + 1\n"
                                      "  result, reason = d:command('blink')\n"
                                      "end }");
    add_group("g", 1, MODEL(CONSTANT COMMANDS HANDLER("again")));
    launch("g", 0, "0");
    run_until(500 * MS);
    fake_receive("g-0", "c/g-0", "{}");
    run_until(600 * MS);
    assert_non_null(strstr(test.told, "levels deep"));
    assert_lua("depth == 32");
    assert_number(in_status("g", IX_D_ERROR), 1);
}

static void unknown_event_of_a_behaviour_is_refused(void **state)
{
    (void)state;
    struct ix_error err = {0};
    write_file("behaviors/typo.lua", "return { on_telemetri = function() end }");
    struct ix_record record = spec_of("g", 1, MODEL(CONSTANT HANDLER("typo")));
    assert_true(apply(&record, &err) < 0);
    assert_non_null(strstr(err.text, "behavior \"b\""));
    assert_non_null(strstr(err.text, "did you mean \"on_telemetry\"?"));
}

static void json_behaviour_acts_when_its_trigger_fires(void **state)
{
    (void)state;
    add_group(
        "g", 1,
        MODEL(CONSTANT COMMANDS
              ",\"behaviors\":[{\"name\":\"blinks\",\"trigger\":{\"type\":\"command\",\"command\":\"blink\"},"
              "\"actions\":[{\"type\":\"publish\",\"topic\":\"blinked/${deviceId}\",\"payload\":{\"times\":"
              "\"${times}\",\"text\":\"${colour} at ${v}\"}}]},"
              "{\"name\":\"high\",\"trigger\":{\"type\":\"condition\",\"condition\":\"v > 4\"},"
              "\"action\":{\"type\":\"set\",\"attribute\":\"v\",\"value\":2}}]"));
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_number(counter("g", IX_C_BEHAVIORS_FIRED), 1);
    run_until(1500 * MS);
    assert_value("2");
    fake_receive("g-0", "c/g-0", "{\"times\":4}");
    assert_number(test.tellings, 0);
    assert_number(counter("g", IX_C_BEHAVIORS_FIRED), 2);
    run_until(1600 * MS);
    assert_number(counter("g", IX_C_SCRIPT_ERRORS), 0);
}

/* ---- device objects ---- */

static void device_renders_texts_and_conditions(void **state)
{
    (void)state;
    write_file("behaviors/render.lua",
               "return { on_telemetry = function(d)\n"
               "  for _ = 1, 3 do\n"
               "    text = d:render('${deviceId} ${index} ${v} ${colour}', { colour = 'red' })\n"
               "    json = d:render_json('{\"b\":\"${v}\",\"a\":\"is ${v}\",\"c\":\"${n}\"}', { n = 1.5 })\n"
               "    holds, not_yet = d:holds 'v > 4', d:holds 'v > 5'\n"
               "  end\n"
               "  _, unknown = pcall(d.render, d, '${nothing}')\n"
               "  _, condition = pcall(d.holds, d, 'v >')\n"
               "  _, attribute = pcall(d.value, d, 'w')\n"
               "  _, option = pcall(d.publish, d, nil, 'x', { qoss = 1 })\n"
               "  _, field = pcall(function() d.index = 5 end)\n"
               "  tags, name = d.tags, tostring(d)\n"
               "end }");
    struct ix_record record = spec_of("g", 1, MODEL(CONSTANT HANDLER("render")));
    record.spec.tags = "room:7,site:north";
    must_apply(&record);
    launch("g", 0, "0");
    run_until(500 * MS);
    assert_string_equal(test.told, "");
    assert_lua("text == 'g-0 0 5 red'");
    assert_lua("json == '{\"b\":5,\"a\":\"is 5\",\"c\":1.5}' or json");
    assert_lua("holds == true and not_yet == false");
    assert_lua(
        "unknown:find 'nothing' and condition:find 'character' and attribute:find 'no attribute \"w\"'");
    assert_lua("option:find 'qoss' and field:find 'device.state'");
    assert_lua("tags.room == '7' and tags.site == 'north' and name == 'g-0'");
}

/* ---- functions that travelled ---- */

static void each_visits_devices_in_order_and_counts_errors(void **state)
{
    (void)state;
    struct ix_error err;
    uint64_t visited, errors;
    add_group("g", 10, MODEL(CONSTANT));
    launch("g", 0, "0");
    run_until(100 * MS);
    struct ix_buf function =
        pack("function(d) seen = (seen or '') .. d.index if d.index == 5 then error('five') end end");
    assert_int_equal(ix_script_each(test.script, rig.engine, "g", function.data, function.len, 2, 5, &visited,
                                    &errors, &err),
                     0);
    assert_number(visited, 5);
    assert_number(errors, 1);
    assert_lua("seen == '23456'");
    assert_number(counter("g", IX_C_SCRIPT_ERRORS), 1);
    assert_non_null(strstr(test.log, "device 5 of group \"g\""));
    assert_number(in_status("g", IX_D_RUNNING), 10);
    assert_null(ix_device_script(ix_device_find(rig.engine, "g", 3))); /* plain devices stay plain */
    ix_buf_deinit(&function);
    assert_int_equal(ix_script_each(test.script, rig.engine, "g", "AAAA", 4, 0, 5, &visited, &errors, &err),
                     -EINVAL);
}

static void function_may_leave_timers_with_plain_devices(void **state)
{
    (void)state;
    struct ix_error err;
    uint64_t visited, errors;
    add_group("g", 3, MODEL(CONSTANT));
    launch("g", 0, "0");
    run_until(100 * MS);
    struct ix_buf function =
        pack("function(d) d.state.n = d.index d:after(1, function(x) late = (late or '') .. x.state.n end) "
             "d:after(60, function() late = 'never' end) end");
    assert_int_equal(ix_script_each(test.script, rig.engine, "g", function.data, function.len, 0, 3, &visited,
                                    &errors, &err),
                     0);
    ix_buf_deinit(&function);
    run_until(3 * S);
    assert_lua("late == '012'");
    stop("g", 4 * S, 0);
    run_until(100 * S);
    assert_lua("late == '012'");
    assert_number(ix_wheel_count(rig.loop.wheel), 0);
}

static void selector_chooses_eligible_devices(void **state)
{
    (void)state;
    struct ix_error err;
    struct ix_bitmap bits;
    add_group("g", 10, MODEL(CONSTANT));
    launch("g", 0, "0");
    run_until(100 * MS);
    struct ix_buf function = pack("function(d) return d.index % 3 == 0 and d.status == 'running' end");
    ix_bitmap_init(&bits, 10);
    assert_int_equal(
        ix_script_eligible(test.script, rig.engine, "g", function.data, function.len, &bits, &err), 0);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(ix_bitmap_get(&bits, i), i % 3 == 0);
    ix_buf_deinit(&function);
    function = pack("function(d) return d.nothing.x end");
    assert_int_equal(
        ix_script_eligible(test.script, rig.engine, "g", function.data, function.len, &bits, &err),
        IX_SCRIPT_ERROR);
    assert_non_null(strstr(err.text, "attempt to index"));
    ix_bitmap_deinit(&bits);
    ix_buf_deinit(&function);
}

static void device_call_returns_json(void **state)
{
    (void)state;
    struct ix_error err;
    struct ix_buf out;
    add_group("g", 2, MODEL(CONSTANT));
    launch("g", 0, "0");
    run_until(100 * MS);
    struct ix_device *d = ix_device_find(rig.engine, "g", 1);
    struct ix_buf function = pack("function(d) return { id = d.id, value = d:value 'v' } end");
    ix_buf_init(&out, 1000);
    assert_int_equal(ix_script_device_call(test.script, d, function.data, function.len, &out, &err), 0);
    assert_string_equal(ix_buf_cstr(&out), "{\"id\":\"g-1\",\"value\":5}");
    ix_buf_deinit(&function);
    function = pack("function(d) return print end");
    assert_true(ix_script_device_call(test.script, d, function.data, function.len, &out, &err) < 0);
    assert_non_null(strstr(err.text, "JSON"));
    ix_buf_deinit(&function);
    ix_buf_deinit(&out);
}

static void metrics_of_scripts_go_to_the_segment(void **state)
{
    (void)state;
    write_file("behaviors/counts.lua", "local core = require 'iotix.core'\n"
                                       "return { on_telemetry = function(d)\n"
                                       "  assert(core.metric('counter', 'seen', 'room:7', 2))\n"
                                       "  assert(core.metric('trend', 'took', nil, 1.5))\n"
                                       "  ok, message = core.metric('gauge', 'seen', 'room:7', 2)\n"
                                       "end }");
    add_group("g", 2, MODEL(CONSTANT HANDLER("counts")));
    launch("g", 0, "0");
    run_until(1500 * MS);
    const struct ix_custom_metric *seen = ix_segment_custom(rig.segment, IX_CUSTOM_COUNTER, "seen", "room:7");
    assert_non_null(seen);
    assert_true(seen->value == 8 && seen->count == 4);
    const struct ix_custom_metric *took = ix_segment_custom(rig.segment, IX_CUSTOM_TREND, "took", "");
    assert_number(took->trend.max, 1500000);
    assert_lua("ok == nil and message:find 'gauge'");
    assert_number(test.tellings, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(behaviour_sees_the_life_of_its_device),
        TEST(timers_keep_their_rhythm_and_end_with_the_device),
        TEST(behaviour_publishes_sets_and_disconnects),
        TEST(error_in_a_behaviour_ends_its_device_after_the_call),
        TEST(endless_recursion_through_hooks_is_an_error),
        TEST(unknown_event_of_a_behaviour_is_refused),
        TEST(json_behaviour_acts_when_its_trigger_fires),
        TEST(device_renders_texts_and_conditions),
        TEST(each_visits_devices_in_order_and_counts_errors),
        TEST(function_may_leave_timers_with_plain_devices),
        TEST(selector_chooses_eligible_devices),
        TEST(device_call_returns_json),
        TEST(metrics_of_scripts_go_to_the_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

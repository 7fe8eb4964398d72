/* Packed functions, JSON, small functions, modules and files, strategies, scenarios. */
#include "script_fixture.h"

#include "base/text.h"
#include "script/strategy.h"

/* ---- packed functions ---- */

static void packed_function_keeps_data_and_place(void **state)
{
    struct fixture *f = *state;
    run_well(
        f, PREFIX
        "local n, s, t, none, floor = 1.5, 'te\\0xt', { 1, 2, { deep = true } }, nil, math.floor\n"
        "local function sum(x) return x + n + #s + #t + (none and 1 or 0) + floor(2.7), t[3].deep, core end\n"
        "local packed = core.pack(sum)\n"
        "assert(packed == core.pack(sum))\n"
        "local copy = assert(core.unpack(packed))\n"
        "local value, deep, module = copy(10)\n"
        "assert(value == 10 + 1.5 + 5 + 3 + 2 and deep == true and module == core)\n"
        "t[3].deep = 'changed'\n"
        "assert(select(2, copy(1)) == true)\n"
        "local bad = assert(core.unpack(core.pack(function() local x = {} return x.a.b end)))\n"
        "local ok, text = pcall(bad)\n"
        "assert(text:find('test.lua:11:', 1, true), text)\n"
        "assert(core.unpack('AAAA') == nil and core.unpack(packed:sub(1, 40)) == nil)\n"
        "assert(core.unpack((packed:gsub('A', 'B', 1))) == nil)\n");
}

static void upvalues_that_cannot_travel_are_named(void **state)
{
    struct fixture *f = *state;
    run_well(
        f, PREFIX
        "local function text(f) return select(2, pcall(core.pack, f)) end\n"
        "local helper = function() end\n"
        "local message = text(function() return helper() end)\n"
        "assert(message:find('upvalue \"helper\" of the function at ', 1, true), message)\n"
        "assert(message:find('test.lua:4 is a function: only plain data can travel', 1, true), message)\n"
        "local deep = { list = { 1, { file = io.stdout } } }\n"
        "message = text(function() return deep end)\n"
        "assert(message:find('upvalue \"deep.list[2].file\"', 1, true), message)\n"
        "local object = setmetatable({}, {})\n"
        "assert(text(function() return object end):find 'metatable')\n"
        "local loop = {} loop.self = loop\n"
        "assert(text(function() return loop end):find 'contains itself')\n"
        "assert(text(math.floor):find 'wrap it')\n");
}

/* ---- JSON ---- */

static void json_is_sorted_exact_and_round(void **state)
{
    struct fixture *f = *state;
    run_well(f, PREFIX "assert(core.encode { b = 1, a = { 1, 2.5, 'x\"' }, c = core.array() } ==\n"
                       "  '{\"a\":[1,2.5,\"x\\\\\"\"],\"b\":1,\"c\":[]}')\n"
                       "assert(core.encode(1700000000123456) == '1700000000123456')\n"
                       "assert(core.encode(core.decode '{\"e\":[],\"o\":{},\"n\":null}') == "
                       "'{\"e\":[],\"n\":null,\"o\":{}}')\n"
                       "assert(core.decode 'null' == require('cjson').null)\n"
                       "local v, message = core.decode '{\"a\":1,\\n}'\n"
                       "assert(v == nil and message:find 'line 2', message)\n"
                       "local function text(v) return select(2, pcall(core.encode, v)) end\n"
                       "assert(text { a = { 0 / 0 } }:find('a[1]: a number that is not finite', 1, true), "
                       "text { a = { 0 / 0 } })\n"
                       "assert(text { f = print }:find 'f: a function')\n"
                       "assert(text { 1, x = 2 }:find 'both')\n"
                       "assert(text { [1] = 1, [3] = 1, [7] = 1, [100] = 1 }:find 'holes')\n"
                       "local loop = {} loop.x = loop\n"
                       "assert(text(loop):find 'nested')\n");
}

/* ---- small functions ---- */

static void units_and_suggestions(void **state)
{
    struct fixture *f = *state;
    run_well(
        f, PREFIX
        "assert(core.duration '1m30s' == 90 and core.duration(2.5) == 2.5 and core.duration('250', 0.001) == "
        "0.25)\n"
        "assert(core.duration '3' == 3 and core.duration(-1) == nil and core.duration 'x' == nil)\n"
        "assert(core.count '5k' == 5000 and core.count(3) == 3 and core.count(1.5) == nil)\n"
        "assert(core.suggest('tmeperature', { 'temperature', 'x' }) == '; did you mean \"temperature\"?')\n"
        "assert(core.role == 'controller' and core.seed == '7' and core.wall() == 1700000000000)\n"
        "assert(core.metric('counter', 'done', 'a:b,c:d', 2))\n");
    assert_string_equal(f->operation, "metric.add");
    assert_string_equal(json_string_value(json_object_get(json_object_get(f->arguments, "tags"), "c")), "d");
    assert_true(json_number_value(json_object_get(f->arguments, "value")) == 2);
}

static void random_numbers_come_from_the_seed(void **state)
{
    struct fixture *f = *state;
    const char *text = PREFIX "local t = {}\n"
                              "for i = 1, 1000 do t[i] = math.random(6) assert(t[i] >= 1 and t[i] <= 6) end\n"
                              "local u = math.random() assert(u >= 0 and u < 1)\n"
                              "assert(math.random(5, 5) == 5 and not pcall(math.random, 0))\n"
                              "assert(select(2, pcall(math.randomseed, 1)):find '--seed')\n"
                              "error(table.concat(t), 0)\n";
    char first[1024];
    run(f, text);
    snprintf(first, sizeof first, "%.1000s", f->message);
    ix_script_free(f->script);
    f->script = NULL;
    run(f, text);
    assert_memory_equal(first, f->message, 1000);
    ix_script_free(f->script);
    f->script = NULL;
    f->config.seed = 8;
    run(f, text);
    assert_memory_not_equal(first, f->message, 1000);
}

static void modules_and_files_are_found_beside_the_script(void **state)
{
    struct fixture *f = *state;
    write_file(f, "helper.lua", "return { answer = 42 }");
    write_file(f, "sub/init.lua", "return 'init'");
    write_file(f, "broken.lua", "local x = = 1");
    write_file(f, "data.csv", "1,2,3");
    write_file(f, "reader.lua", "return require('iotix.core').read_file 'data.csv'");
    write_file(f, "generators/here.lua", "return function() return 'made' end");
    run_well(f, PREFIX "assert(require('helper').answer == 42 and require 'sub' == 'init')\n"
                       "local ok, text = pcall(require, 'broken')\n"
                       "assert(not ok and text:find('broken.lua:1:', 1, true), text)\n"
                       "ok, text = pcall(require, 'nowhere')\n"
                       "assert(not ok and text:find \"no file '/tmp/\" , text)\n"
                       "assert(not pcall(require, '../helper'))\n"
                       "assert(core.read_file 'data.csv' == '1,2,3')\n"
                       "ok, text = core.read_file '../../etc/passwd'\n"
                       "assert(ok == nil and text)\n"
                       "assert(core.handler('generators', 'here')() == 'made')\n"
                       "ok, text = core.handler('generators', 'gone')\n"
                       "assert(ok == nil and text:find('generators/gone.lua', 1, true), text)\n"
                       "ok, text = core.handler('generators', '../x')\n"
                       "assert(ok == nil and text:find 'plain name', text)\n"
                       "ok, text = core.handler('generators', 'broken')\n"
                       "assert(ok == nil and text:find('broken.lua:1:', 1, true), text)\n"
                       "ok, text = core.handler('generators', 'reader')\n"
                       "assert(ok == nil and text:find 'top level', text)\n");
}

static void workers_reach_nothing_of_the_system(void **state)
{
    struct fixture *f = *state;
    f->config.role = IX_ROLE_WORKER;
    f->config.host = NULL;
    run_well(f, PREFIX
             "assert(io == nil and os.execute == nil and os.remove == nil and dofile == nil)\n"
             "assert(package.loadlib == nil and jit == nil and debug.sethook == nil)\n"
             "assert(not pcall(require, 'ffi') and not pcall(require, 'jit') and not pcall(require, 'io'))\n"
             "assert(load(string.dump(function() end)) == nil)\n"
             "assert(load('return 1')() == 1 and loadstring('return 2')() == 2)\n"
             "assert(not pcall(os.exit))\n"
             "local r, text = core.call('group.create', '{}')\n"
             "assert(r == nil and text:find 'run')\n");
}

/* ---- strategies ---- */

static struct ix_schedule open_schedule(struct fixture *f, const char *name, const char *settings,
                                        uint64_t count)
{
    struct ix_schedule schedule;
    struct ix_error err;
    struct ix_strategy_spec spec = {.name = (char *)name, .settings = (char *)settings};
    if (ix_schedule_open(f->script, &spec, count, 99, &schedule, &err) < 0)
        fail_msg("%s", err.text);
    return schedule;
}

static void built_in_strategies_follow_their_formulas(void **state)
{
    struct fixture *f = *state;
    static double seconds[100000];
    struct ix_error err;
    f->config.role = IX_ROLE_WORKER;
    open_script(f);
    struct ix_schedule linear = open_schedule(f, "linear", "{\"delayMs\":250}", 10000001);
    assert_int_equal(linear.at(linear.context, 3, 100, 100000, seconds, &err), 0);
    for (uint64_t i = 0; i < 100000; i++)
        assert_true(seconds[i] == (double)(3 + i * 100) * 250 / 1000);
    struct ix_schedule batch = open_schedule(f, "batch", "{\"delayMs\":500,\"batchSize\":100}", 10000001);
    uint64_t places[] = {10000000, 99, 100, 0};
    assert_int_equal(batch.at_places(batch.context, places, 4, seconds, &err), 0);
    assert_true(seconds[0] == 50000.0 && seconds[1] == 0 && seconds[2] == 0.5 && seconds[3] == 0);
    linear.close(linear.context);
    batch.close(batch.context);
}

static void random_strategy_depends_on_place_and_key_only(void **state)
{
    struct fixture *f = *state;
    struct ix_error err;
    double forward[100], again[100];
    struct ix_strategy_spec spec = {
        .name = "random", .settings = "{\"durationMs\":10000}", .is_dropout = true};
    struct ix_schedule schedule;
    uint64_t backward[100];
    open_script(f);
    for (uint64_t i = 0; i < 100; i++)
        backward[i] = 99 - i;
    assert_int_equal(ix_schedule_open(f->script, &spec, 100, 5, &schedule, &err), 0);
    assert_int_equal(schedule.at(schedule.context, 0, 1, 100, forward, &err), 0);
    assert_int_equal(schedule.at_places(schedule.context, backward, 100, again, &err), 0);
    schedule.close(schedule.context);
    for (int i = 0; i < 100; i++) {
        assert_true(forward[i] >= 0 && forward[i] < 10);
        assert_true(forward[i] == again[99 - i]);
    }
    assert_int_equal(ix_schedule_open(f->script, &spec, 100, 6, &schedule, &err), 0);
    assert_int_equal(schedule.at(schedule.context, 0, 1, 100, again, &err), 0);
    schedule.close(schedule.context);
    assert_memory_not_equal(forward, again, sizeof again);
}

static void strategy_faults_name_file_line_and_place(void **state)
{
    struct fixture *f = *state;
    struct ix_error err;
    struct ix_schedule schedule;
    double seconds[8];
    write_file(
        f, "strategies/launch/odd.lua",
        "return { settings = {}, new = function()\n"
        "  return function(k)\n"
        "    if k == 5 then return 0 / 0 elseif k == 6 then return -1 elseif k == 7 then return 'x' end\n"
        "    return k\n"
        "  end\n"
        "end }\n");
    setenv("IOTIX_LUA_PATH", f->folder, 1);
    open_script(f);
    schedule = open_schedule(f, "odd", NULL, 10);
    assert_int_equal(schedule.at(schedule.context, 0, 1, 5, seconds, &err), 0);
    for (uint64_t place = 5; place <= 7; place++) {
        char part[64];
        assert_int_equal(schedule.at(schedule.context, place, 1, 1, seconds, &err), IX_SCRIPT_ERROR);
        snprintf(part, sizeof part, "device %d of the schedule", (int)place);
        assert_non_null(strstr(err.text, part));
        assert_non_null(strstr(err.text, "strategies/launch/odd.lua:2"));
    }
    schedule.close(schedule.context);
    struct ix_strategy_spec spec = {.name = "linaer"};
    assert_int_equal(ix_schedule_open(f->script, &spec, 10, 0, &schedule, &err), -EINVAL);
    assert_non_null(strstr(err.text, "did you mean \"linear\"?"));
    spec = (struct ix_strategy_spec){.name = "linear", .settings = "{\"delayms\":5}"};
    assert_int_equal(ix_schedule_open(f->script, &spec, 10, 0, &schedule, &err), -EINVAL);
    assert_non_null(strstr(err.text, "delayMs"));
    unsetenv("IOTIX_LUA_PATH");
}

/* A function of the scenario, packed by it, runs in another state as a schedule. */
static void strategy_function_travels(void **state)
{
    struct fixture *f = *state;
    struct ix_error err;
    struct ix_schedule schedule;
    double seconds[4];
    char packed[4096];
    run(f, PREFIX "local step = 0.5\nerror(core.pack(function(k) return step * k * k end), 0)");
    int64_t len = ix_text_base64_decode(f->message, strcspn(f->message, "\n"), packed, sizeof packed);
    assert_true(len > 0);
    ix_script_free(f->script);
    f->config.role = IX_ROLE_WORKER;
    open_script(f);
    struct ix_strategy_spec spec = {
        .name = "test.lua:3", .function = packed, .function_len = (size_t)len, .is_dropout = true};
    if (ix_schedule_open(f->script, &spec, 10, 0, &schedule, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(schedule.at(schedule.context, 0, 1, 4, seconds, &err), 0);
    assert_true(seconds[0] == 0 && seconds[1] == 0.5 && seconds[2] == 2 && seconds[3] == 4.5);
    schedule.close(schedule.context);
}

/* ---- scenarios ---- */

static int load(struct fixture *f, const char *text, struct ix_error *err)
{
    char path[256];
    if (!f->script)
        open_script(f);
    snprintf(path, sizeof path, "%s/scenario.lua", f->folder);
    return ix_script_load_scenario(f->script, path, text, strlen(text), err);
}

static void scenario_is_described_set_and_run(void **state)
{
    struct fixture *f = *state;
    struct ix_error err;
    ix_loop_set_virtual(&f->loop, 0);
    if (load(f,
             "local iotix = require 'iotix'\n"
             "return iotix.scenario { name = 'first', options = { devices = 10 },\n"
             "  thresholds = { ['mqtt.publish.latency'] = 'p(95)<500ms' },\n"
             "  setup = function(t) return t.options.devices end,\n"
             "  run = function(t, n) require('iotix.core').sleep(5) error('ran with ' .. n) end,\n"
             "  teardown = function() require('iotix.core').log('info', 'torn down') end }\n",
             &err) < 0)
        fail_msg("%s", err.text);
    json_t *about = ix_script_describe(f->script, &err);
    if (!about)
        fail_msg("%s", err.text);
    assert_string_equal(json_string_value(json_object_get(about, "name")), "first");
    assert_number(json_integer_value(json_object_get(json_object_get(about, "options"), "devices")), 10);
    json_decref(about);
    json_t *overrides = json_pack("{s:s}", "device", "5");
    assert_int_equal(ix_script_set_options(f->script, overrides, &err), IX_SCRIPT_CONFIGURATION);
    assert_non_null(strstr(err.text, "devices"));
    json_decref(overrides);
    overrides = json_pack("{s:s}", "devices", "5k");
    assert_int_equal(ix_script_set_options(f->script, overrides, &err), 0);
    json_decref(overrides);
    last_log[0] = '\0';
    assert_int_equal(ix_script_run(f->script, on_done, f, &err), 0);
    ix_loop_run_virtual(&f->loop, 100 * S);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "scenario.lua:5: ran with 5000");
    assert_non_null(strstr(last_log, "torn down"));
}

static void interrupted_scenario_still_tears_down(void **state)
{
    struct fixture *f = *state;
    struct ix_error err;
    ix_loop_set_virtual(&f->loop, 0);
    if (load(f,
             "local iotix = require 'iotix'\n"
             "return iotix.scenario { name = 'long', run = function(t) t:sleep '1h' end,\n"
             "  teardown = function(t) t:sleep '3s' require('iotix.core').log('info', 'torn down') end }",
             &err) < 0)
        fail_msg("%s", err.text);
    last_log[0] = '\0';
    assert_int_equal(ix_script_run(f->script, on_done, f, &err), 0);
    ix_loop_run_virtual(&f->loop, 10 * S);
    assert_int_equal(f->done, 0);
    ix_script_cancel(f->script, "interrupted");
    ix_loop_run_virtual(&f->loop, 12 * S);
    assert_int_equal(f->done, 0);
    ix_loop_run_virtual(&f->loop, 14 * S);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, -ECANCELED);
    assert_non_null(strstr(last_log, "torn down"));
}

static void top_level_of_a_scenario_only_defines(void **state)
{
    struct fixture *f = *state;
    struct ix_error err;
    static const char *const texts[][2] = {
        {"io.open('x')", "io.open is not available at the top level"},
        {"io.stdout:write('x')", "io is not available"},
        {"os.remove('x')", "os.remove is not available"},
        {"require('iotix.core').sleep(1)", "top level can't wait"},
        {"require('iotix.core').call('group.create')", "top level"},
        {"require('iotix.core').read_file('x')", "top level"},
        {"return 5", "return iotix.scenario"},
        {"return {}", "return iotix.scenario"},
        {"local x = = 1", "scenario.lua:1:"},
        {"os.exit(0)", "os.exit would leave devices behind"},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(texts); i++) {
        assert_int_equal(load(f, texts[i][0], &err), IX_SCRIPT_ERROR);
        if (!strstr(err.text, texts[i][1]))
            fail_msg("%s: %s", texts[i][0], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(packed_function_keeps_data_and_place),
        TEST(upvalues_that_cannot_travel_are_named),
        TEST(json_is_sorted_exact_and_round),
        TEST(units_and_suggestions),
        TEST(random_numbers_come_from_the_seed),
        TEST(modules_and_files_are_found_beside_the_script),
        TEST(workers_reach_nothing_of_the_system),
        TEST(built_in_strategies_follow_their_formulas),
        TEST(random_strategy_depends_on_place_and_key_only),
        TEST(strategy_faults_name_file_line_and_place),
        TEST(strategy_function_travels),
        TEST(scenario_is_described_set_and_run),
        TEST(interrupted_scenario_still_tears_down),
        TEST(top_level_of_a_scenario_only_defines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

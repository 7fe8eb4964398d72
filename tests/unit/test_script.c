/* The Lua state: tasks, the core module, packed functions, strategies, errors and limits. Lua texts are
 * written to a folder of their own and run in a loop with a virtual or real clock. */
#include "check.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "script/function.h"
#include "script/strategy.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define S 1000000000ull

struct fixture {
    char folder[64];
    struct ix_loop loop;
    struct ix_script_config config;
    struct ix_script *script;
    int done; /* calls of done */
    int code;
    char message[8192];
    /* fake host */
    char operation[64];
    json_t *arguments;
    uint64_t ticket;
    bool later;
};

static int host_call(void *context, const char *operation, const json_t *arguments, uint64_t ticket,
                     json_t **result, struct ix_error *err)
{
    struct fixture *f = context;
    snprintf(f->operation, sizeof f->operation, "%s", operation);
    json_decref(f->arguments);
    f->arguments = json_deep_copy(arguments);
    if (strcmp(operation, "refuse") == 0)
        return ix_fail(err, -ENOENT, "no such thing");
    if (strcmp(operation, "misconfigured") == 0)
        return ix_fail(err, IX_HOST_CONFIGURATION, "the model is wrong");
    if (strcmp(operation, "later") == 0 || strcmp(operation, "subscribe.open") == 0) {
        f->ticket = ticket;
        return IX_HOST_LATER;
    }
    *result = json_pack("{s:s}", "operation", operation);
    return 0;
}

static const struct ix_host host = {.call = host_call};
static struct ix_host host_of_test;

static void on_done(void *context, int code, const char *message)
{
    struct fixture *f = context;
    f->done++;
    f->code = code;
    snprintf(f->message, sizeof f->message, "%s", message);
    ix_loop_stop(&f->loop);
}

static void quiet(void *context, enum ix_log_level level, const char *line)
{
    (void)level;
    snprintf(context, 8192, "%s", line);
}

static char last_log[8192];

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/iotix-script-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(ix_loop_init(&f->loop, NULL), 0);
    host_of_test = host;
    host_of_test.context = f;
    f->config = (struct ix_script_config){
        .role = IX_ROLE_CONTROLLER, .loop = &f->loop, .seed = 7, .host = &host_of_test};
    ix_log_set_sink(quiet, last_log);
    unsetenv("IOTIX_LUA_PATH");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    ix_script_free(f->script);
    ix_loop_deinit(&f->loop);
    json_decref(f->arguments);
    snprintf(command, sizeof command, "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
    ix_log_set_sink(NULL, NULL);
    free(f);
    return 0;
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    for (char *slash = path + strlen(f->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    assert_int_equal(ix_file_write(path, text, strlen(text), NULL), 0);
}

static void open_script(struct fixture *f)
{
    struct ix_error err;
    if (ix_script_new(&f->config, &f->script, &err) < 0)
        fail_msg("%s", err.text);
}

static void start(struct fixture *f, const char *text)
{
    struct ix_error err;
    char path[256];
    if (!f->script)
        open_script(f);
    write_file(f, "test.lua", text);
    snprintf(path, sizeof path, "%s/test.lua", f->folder);
    f->done = 0;
    if (ix_script_run_file(f->script, path, NULL, on_done, f, &err) < 0)
        fail_msg("%s", err.text);
}

/* Runs a text as a task to its end in virtual time. */
static void run(struct fixture *f, const char *text)
{
    if (!f->loop.clock.is_virtual)
        ix_loop_set_virtual(&f->loop, 1700000000000000000);
    start(f, text);
    ix_loop_run_virtual(&f->loop, f->loop.clock.virtual_ns + 1000 * S);
}

static void run_well(struct fixture *f, const char *text)
{
    run(f, text);
    if (f->code != 0)
        fail_msg("%s", f->message);
    assert_int_equal(f->done, 1);
}

static void assert_says(const struct fixture *f, const char *part)
{
    if (!strstr(f->message, part))
        fail_msg("\"%s\" is not in: %s", part, f->message);
}

#define PREFIX "local core = require 'iotix.core'\n"

/* ---- tasks ---- */

static void sleeping_tasks_wake_in_order(void **state)
{
    struct fixture *f = *state;
    run_well(f,
             PREFIX "local order = {}\n"
                    "local function after(s) return function() core.sleep(s) order[#order + 1] = s end end\n"
                    "local a, b, c = core.spawn(after(3)), core.spawn(after(1)), core.spawn(after(2))\n"
                    "core.join(a) core.join(b) core.join(c)\n"
                    "assert(table.concat(order, ' ') == '1 2 3', table.concat(order, ' '))\n"
                    "assert(core.now() >= 3 and core.now() < 3.01, core.now())\n");
}

static void sleep_in_real_time_returns(void **state)
{
    struct fixture *f = *state;
    start(f, PREFIX "core.sleep(0.01) core.sleep(0)");
    ix_loop_run(&f->loop);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, 0);
}

static void join_gives_outcome_of_task(void **state)
{
    struct fixture *f = *state;
    run_well(f, PREFIX "assert(core.join(core.spawn(function() end)) == true)\n"
                       "local bad = core.spawn(function() core.sleep(1) error('broken') end, 'bad')\n"
                       "local ok, text = core.join(bad, 0.5)\n"
                       "assert(ok == nil and text == 'timeout')\n"
                       "ok, text = core.join(bad)\n"
                       "assert(ok == nil and text:find('test.lua:3: broken', 1, true), text)\n"
                       "assert(text:find('stack traceback', 1, true), text)\n"
                       "assert(text:find('task \"bad\" was spawned here', 1, true), text)\n"
                       "local late = core.spawn(function() error('late') end)\n"
                       "core.sleep(1)\n"
                       "ok, text = core.join(late)\n"
                       "assert(ok == nil and text:find 'late')\n");
}

static void error_of_main_has_file_line_and_traceback(void **state)
{
    struct fixture *f = *state;
    run(f, PREFIX "local function inner()\n  core.sleep(1)\n  local x = nil\n  return x.y\nend\ninner()\n");
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "test.lua:5: attempt to index");
    assert_says(f, "in function 'inner'");
}

static void unjoined_error_is_the_result(void **state)
{
    struct fixture *f = *state;
    run(f, PREFIX "core.spawn(function() error('nobody looks') end, 'lost') core.sleep(1)");
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "nobody looks");
    assert_non_null(strstr(last_log, "task \"lost\" ended with an error"));
}

static void cancel_raises_once_in_the_wait(void **state)
{
    struct fixture *f = *state;
    run_well(f, PREFIX "local seen = {}\n"
                       "local id = core.spawn(function()\n"
                       "  local ok, text = pcall(core.sleep, 100)\n"
                       "  seen[1] = text\n"
                       "  core.sleep(1)\n" /* clean-up may wait */
                       "  seen[2] = core.now()\n"
                       "end)\n"
                       "core.sleep(2)\n"
                       "assert(core.cancel(id, 'enough'))\n"
                       "assert(core.join(id) == true)\n"
                       "assert(seen[1]:find 'enough', seen[1])\n"
                       "assert(seen[2] >= 3 and seen[2] < 3.1, seen[2])\n"
                       "assert(core.cancel(id) == false)\n"
                       "local started = false\n"
                       "local never = core.spawn(function() started = true end)\n"
                       "core.cancel(never, 'not wanted')\n"
                       "local ok, text = core.join(never)\n"
                       "assert(ok == nil and text == 'not wanted' and not started)\n");
}

static void cancelled_script_ends_with_its_reason(void **state)
{
    struct fixture *f = *state;
    ix_loop_set_virtual(&f->loop, 0);
    start(f, PREFIX "core.spawn(function() core.sleep(1e9) end) core.sleep(1e9)");
    ix_loop_run_virtual(&f->loop, 5 * S);
    assert_int_equal(f->done, 0);
    ix_script_cancel(f->script, "interrupted");
    ix_loop_run_virtual(&f->loop, 6 * S);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, -ECANCELED);
    assert_says(f, "interrupted");
}

static void waits_outside_of_tasks_are_errors(void **state)
{
    struct fixture *f = *state;
    run_well(f, PREFIX
             "local function text(...) return select(2, pcall(...)) end\n"
             "assert(text(coroutine.wrap(function() core.sleep(1) end)):find 'iotix.spawn')\n"
             "assert(text(string.gsub, 'a', 'a', function() core.sleep(1) end):find 'inside a call by C')\n"
             "assert(text(core.join, 1):find 'its own end')\n"
             "assert(text(core.join, 99):find 'not a task')\n"
             "assert(text(core.sleep, -1):find '0 or more')\n"
             "assert(text(core.sleep, 0/0):find '0 or more')\n");
    run(f, PREFIX "coroutine.yield()");
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "coroutine.yield()");
}

/* ---- operations of the host ---- */

static void operation_answers_at_once(void **state)
{
    struct fixture *f = *state;
    run_well(f, PREFIX "assert(core.call('do.it', '{\"a\":[1,2]}') == '{\"operation\":\"do.it\"}')\n"
                       "local r, text, kind = core.call('refuse', '{}')\n"
                       "assert(r == nil and text == 'no such thing' and kind == nil)\n"
                       "r, text, kind = core.call('misconfigured')\n"
                       "assert(r == nil and text == 'the model is wrong' and kind == 'configuration')\n"
                       "r, text = core.call('x', '{')\n"
                       "assert(r == nil and text)\n"
                       "core.call('do.it', '{\"a\":[1,2]}')\n");
    assert_string_equal(f->operation, "do.it");
    assert_int_equal(json_array_size(json_object_get(f->arguments, "a")), 2);
}

static void operation_answers_later_or_times_out(void **state)
{
    struct fixture *f = *state;
    ix_loop_set_virtual(&f->loop, 0);
    start(f, PREFIX "assert(core.call('later') == '{\"n\":1}')\n"
                    "local r, text = core.call('later')\n"
                    "assert(r == nil and text == 'it broke')\n"
                    "r, text = core.call('later', '{}', 5)\n"
                    "assert(r == nil and text == 'timeout')\n"
                    "core.sleep(1)\n");
    ix_loop_run_virtual(&f->loop, 1 * S);
    assert_string_equal(f->operation, "later");
    uint64_t first = f->ticket;
    ix_script_complete(f->script, first, 0, json_pack("{s:i}", "n", 1), NULL);
    ix_script_complete(f->script, first, 0, json_pack("{s:i}", "n", 2), NULL); /* ignored */
    ix_loop_run_virtual(&f->loop, 2 * S);
    assert_int_not_equal(f->ticket, first);
    ix_script_complete(f->script, f->ticket, -EIO, NULL, "it broke");
    ix_loop_run_virtual(&f->loop, 7500000000);
    ix_script_complete(f->script, f->ticket, 0, json_object(), NULL); /* too late: ignored */
    ix_loop_run_virtual(&f->loop, 20 * S);
    if (f->code || f->done != 1)
        fail_msg("%d %s", f->done, f->message);
}

static void subscription_delivers_up_to_its_limit(void **state)
{
    struct fixture *f = *state;
    struct ix_message m = {.topic = "a/b", .payload = "x\0y", .len = 3, .qos = 1, .retain = true};
    ix_loop_set_virtual(&f->loop, 0);
    start(f, PREFIX "assert(core.call('subscribe.open', '{\"topic\":\"#\",\"limit\":2}'))\n"
                    "local topic, payload, qos, retain, at, duplicate = core.pop(5)\n"
                    "assert(topic == 'a/b' and payload == 'x\\0y' and qos == 1 and retain == true)\n"
                    "assert(at == 2 and duplicate == false)\n"
                    "assert(core.pop(5, 1) == nil)\n"
                    "core.sleep(10)\n"
                    "assert(core.pending(5) == 2)\n"
                    "assert(core.pop(5) == 'a/b' and core.pop(5, 0) == 'a/b' and core.pop(5, 0) == nil)\n"
                    "local closer = core.spawn(function() core.call('subscribe.close', '{\"id\":5}') end)\n"
                    "assert(core.pop(5) == nil and core.pop(5) == nil)\n");
    assert_false(ix_script_message(f->script, 5, &m, 0));
    ix_loop_run_virtual(&f->loop, 1 * S);
    ix_script_complete(f->script, f->ticket, 0, json_pack("{s:i}", "id", 5), NULL);
    ix_loop_run_virtual(&f->loop, 2 * S);
    assert_true(ix_script_message(f->script, 5, &m, 2 * S));
    ix_loop_run_virtual(&f->loop, 8 * S);
    assert_true(ix_script_message(f->script, 5, &m, 8 * S));
    assert_true(ix_script_message(f->script, 5, &m, 8 * S));
    assert_false(ix_script_message(f->script, 5, &m, 8 * S));
    ix_loop_run_virtual(&f->loop, 30 * S);
    if (f->code || f->done != 1)
        fail_msg("%d %s", f->done, f->message);
    assert_false(ix_script_message(f->script, 5, &m, 0));
}

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
        assert_int_equal(schedule.at(schedule.context, place, 1, 1, seconds, &err), -EINVAL);
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

/* ---- limits ---- */

static void endless_loop_is_stopped_with_its_line(void **state)
{
    struct fixture *f = *state;
    start(f, "local function spin()\n  while true do\n  end\nend\nspin()\n");
    ix_loop_run(&f->loop);
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "ran for 1 s without returning");
    assert_says(f, "test.lua:2:");
    run_well(f, "local x = 0 for i = 1, 1e6 do x = x + i end"); /* the state goes on */
}

static void endless_loop_that_catches_errors_is_stopped(void **state)
{
    struct fixture *f = *state;
    start(f, "while true do pcall(function() while true do end end) end");
    ix_loop_run(&f->loop);
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "ran for 1 s without returning");
}

static void memory_limit_is_a_clean_error(void **state)
{
    struct fixture *f = *state;
    f->config.memory_limit = 16 << 20;
    run(f, "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end");
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "not enough memory: scripts of one process may hold 16 MiB");
    assert_true(ix_script_memory(f->script) < 20 << 20);
    run_well(f, PREFIX "collectgarbage() local ok, text = pcall(string.rep, 'x', 1e9)\n"
                       "assert(not ok and text:find 'memory') core.sleep(1)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(sleeping_tasks_wake_in_order),
        TEST(sleep_in_real_time_returns),
        TEST(join_gives_outcome_of_task),
        TEST(error_of_main_has_file_line_and_traceback),
        TEST(unjoined_error_is_the_result),
        TEST(cancel_raises_once_in_the_wait),
        TEST(cancelled_script_ends_with_its_reason),
        TEST(waits_outside_of_tasks_are_errors),
        TEST(operation_answers_at_once),
        TEST(operation_answers_later_or_times_out),
        TEST(subscription_delivers_up_to_its_limit),
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
        TEST(endless_loop_is_stopped_with_its_line),
        TEST(endless_loop_that_catches_errors_is_stopped),
        TEST(memory_limit_is_a_clean_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tasks, operations of the host, and the limits of scripts. */
#include "script_fixture.h"

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
             "assert(text(coroutine.wrap(function() core.sleep(1) end)):find 't:spawn')\n"
             "assert(text(string.gsub, 'a', 'a', function() core.sleep(1) end):find 'inside a call by C')\n"
             "assert(text(core.join, 1):find 'its own end')\n"
             "assert(text(core.join, 99):find 'not a task')\n"
             "assert(text(core.sleep, -1):find '0 or more')\n"
             "assert(text(core.sleep, 0/0):find '0 or more')\n");
    run(f, PREFIX "coroutine.yield()");
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "coroutine.yield()");
}

static void script_is_freed_while_tasks_wait(void **state)
{
    struct fixture *f = *state;
    ix_loop_set_virtual(&f->loop, 0);
    start(f, PREFIX "local sleeper = core.spawn(function() core.sleep(100) end)\n"
                    "core.spawn(function() core.join(sleeper) end)\n"
                    "core.spawn(function() core.call('later') end)\n"
                    "core.sleep(1)\n"
                    "core.spawn(function() end)\n"
                    "core.cancel(sleeper)\n"
                    "core.call('subscribe.open', '{}')\n"
                    "core.pop(3)\n");
    ix_loop_run_virtual(&f->loop, 2 * S);
    ix_script_complete(f->script, f->ticket, 0, json_pack("{s:i}", "id", 3), NULL);
    ix_loop_run_virtual(&f->loop, 3 * S);
    assert_int_equal(f->done, 0);
    ix_script_free(f->script);
    f->script = NULL;
    assert_int_equal(ix_wheel_count(f->loop.wheel), 0);
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

/* ---- limits ---- */

static void endless_loop_is_stopped_with_its_line(void **state)
{
    struct fixture *f = *state;
    start(f, "local function spin()\n  while true do\n  end\nend\nspin()\n");
    ix_loop_run(&f->loop);
    assert_int_equal(f->code, IX_SCRIPT_ERROR);
    assert_says(f, "ran for 1 s without returning");
    char *place = strstr(f->message, "test.lua:2: ran for 1 s");
    assert_non_null(place);
    assert_true(place < strchr(f->message, ':'));               /* it stands there once */
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
        TEST(sleeping_tasks_wake_in_order),
        TEST(sleep_in_real_time_returns),
        TEST(join_gives_outcome_of_task),
        TEST(error_of_main_has_file_line_and_traceback),
        TEST(unjoined_error_is_the_result),
        TEST(cancel_raises_once_in_the_wait),
        TEST(cancelled_script_ends_with_its_reason),
        TEST(waits_outside_of_tasks_are_errors),
        TEST(script_is_freed_while_tasks_wait),
        TEST(operation_answers_at_once),
        TEST(operation_answers_later_or_times_out),
        TEST(subscription_delivers_up_to_its_limit),
        TEST(endless_loop_is_stopped_with_its_line),
        TEST(endless_loop_that_catches_errors_is_stopped),
        TEST(memory_limit_is_a_clean_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

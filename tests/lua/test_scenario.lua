-- iotix.scenario: what it accepts, what it says about mistakes, options of the command line, and the order of a run.
local fake = require "tests.lua.fake_core"
local iotix = require "iotix"
local json = require "iotix.json"
local luaunit = require "luaunit"
local scenario = require "iotix.scenario"

local function load(text)
  return assert(loadstring(text, "@x.lua"))()
end

local function message_of(f, ...)
  local good, problem = pcall(f, ...)
  luaunit.assertFalse(good)
  return tostring(problem), problem
end

local function scenario_with(keys)
  return ('local iotix = require "iotix"\nreturn iotix.scenario { name = "x", %s,\n  run = function() end }'):format(keys)
end

local function described()
  return json.decode(scenario.describe())
end

TestDefine = { setUp = fake.reset }

function TestDefine:test_a_full_scenario()
  local given = {
    name = "full", description = "all keys", options = { devices = 10, how = "slow", dry = false },
    thresholds = { ["mqtt.publish.latency"] = "p(95)<500ms", x = { "avg<1", { threshold = "max<2", abortOnFail = true } } },
    limits = { ["lateness.degraded"] = "20ms", ["busy.degraded"] = 0.8 },
    tags = { team = "a" }, generators = { g = function() end }, behaviors = { b = {} },
    strategies = { launch = { s = function() end } },
    setup = function() end, run = function() end, teardown = function() end, onError = "run",
  }
  luaunit.assertIs(iotix.scenario(given), given)
  luaunit.assertIs(fake.scenario, given)
  local d = described()
  luaunit.assertEquals(d.name, "full")
  luaunit.assertEquals(d.options, { devices = 10, how = "slow", dry = false })
  luaunit.assertEquals(d.thresholds["mqtt.publish.latency"], { "p(95)<500ms" })
  luaunit.assertEquals(d.thresholds.x[2].threshold, "max<2")
  luaunit.assertEquals(d.thresholds.x[2].abortOnFail, true)
  luaunit.assertEquals(d.limits, { ["lateness.degraded"] = "20ms", ["busy.degraded"] = 0.8 })
  luaunit.assertEquals(d.onError, "run")
end

function TestDefine:test_defaults()
  local d = described(load(scenario_with "tags = {}"))
  luaunit.assertEquals({ d.options, d.thresholds, d.tags, d.onError }, { {}, {}, {}, "device" })
end

function TestDefine:test_mistakes_name_the_line_and_are_configuration_errors()
  for keys, wanted in pairs {
    ["thresolds = {}"] = 'x.lua:2: iotix.scenario: unknown option "thresolds"; did you mean "thresholds"?',
    ["thresholds = { a = 5 }"] = 'x.lua:2: iotix.scenario: thresholds["a"]',
    ["thresholds = { a = { { threshold = 'x', abort = true } } }"] = 'unknown option "abort"',
    ["options = { a = {} }"] = 'option "a"',
    ["options = { ['a b'] = 1 }"] = "a b",
    ["options = 5"] = '"options" must be a table, not 5',
    ["onError = 'stop'"] = '"onError" must be "device" or "run", not "stop"',
    ["setup = 5"] = '"setup" must be a function',
    ["generators = { x = 5 }"] = "generators.x must be a function, not a number",
    ["generators = { ['a/b'] = print }"] = "a/b",
    ["strategies = { lanch = {} }"] = 'did you mean "launch"',
    ["strategies = { launch = { s = 5 } }"] = "strategies.launch.s",
    ["tags = { a = {} }"] = "tags",
    ["limits = { '20ms' }"] = 'limits are written ["lateness.degraded"]',
    ["limits = { ['busy.for'] = true }"] = 'limits["busy.for"] must be a text',
    ["5"] = "without a name",
  } do
    local text, problem = message_of(load, scenario_with(keys))
    luaunit.assertStrContains(text, wanted)
    luaunit.assertStrContains(text, "x.lua:2")
    luaunit.assertTrue(problem.configuration)
  end
  luaunit.assertStrContains(message_of(load, 'return require("iotix").scenario { name = "x" }'), '"run" is missing')
  luaunit.assertStrContains(message_of(load, 'return require("iotix").scenario { run = print }'), '"name" is missing')
  luaunit.assertStrContains(message_of(load, 'return require("iotix").scenario "x"'), "wants a table")
end

TestOptions = { setUp = fake.reset }

local declared = [[return require("iotix").scenario { name = "x", run = function() end,
  options = { devices = 1000, rate = 0.5, hold = "10s", name = "a", fast = false } }]]

local function set(overrides)
  scenario.set_options(json.encode(overrides))
end

-- t.options after these overrides.
local function options_with(overrides)
  local seen
  local s = load(declared)
  s.run = function(t) seen = t.options end
  set(overrides)
  fake.run(scenario.main)
  return seen
end

function TestOptions:test_texts_take_the_type_of_the_default()
  local v = options_with { devices = "5k", rate = "0.25", hold = "2m", name = "17", fast = "true" }
  luaunit.assertEquals({ v.devices, v.rate, v.hold, v.name, v.fast }, { 5000, 0.25, "2m", "17", true })
  v = options_with { devices = 7, fast = true }
  luaunit.assertEquals({ v.devices, v.rate, v.fast }, { 7, 0.5, true })
end

function TestOptions:test_wrong_ones()
  load(declared)
  local text, problem = message_of(set, { device = "5" })
  luaunit.assertStrContains(text, 'no option "device"; did you mean "devices"?')
  luaunit.assertTrue(problem.configuration)
  luaunit.assertStrContains(message_of(set, { devices = "lots" }), '"devices" must be a number, not "lots"')
  luaunit.assertStrContains(message_of(set, { fast = "maybe" }), '"fast" must be true or false')
  luaunit.assertStrContains(message_of(set, { hold = "long" }), '"hold" must be a duration')
  luaunit.assertStrContains(message_of(function()
    load 'return require("iotix").scenario { name = "x", run = print }'
    set { a = "1" }
  end), "it declares none")
end

function TestOptions:test_unknown_and_assigned_ones_in_a_scenario()
  load [[local iotix = require "iotix"
    return iotix.scenario { name = "x", options = { devices = 1 }, run = function(t)
      return (t.options.device)
    end }]]
  luaunit.assertStrContains(message_of(fake.run, scenario.main), 'x.lua:3: t.options has no "device"; did you mean "devices"?')
  load [[return require("iotix").scenario { name = "x", options = { a = 1 }, run = function(t) t.options.b = 2 end }]]
  luaunit.assertStrContains(message_of(fake.run, scenario.main), "t.options.b")
end

TestRun = { setUp = fake.reset }

local function run(functions)
  local s = { name = "x", run = function() end }
  for key, value in pairs(functions) do
    s[key] = value
  end
  iotix.scenario(s)
  local good, problem
  fake.run(function()
    good, problem = pcall(scenario.main)
  end)
  return good, tostring(problem), problem
end

function TestRun:test_setup_run_teardown_share_what_setup_prepared()
  local order = {}
  luaunit.assertTrue(run {
    setup = function(t) order[1] = "setup" return { t = t } end,
    run = function(t, p) order[2] = p.t == t and "run" end,
    teardown = function(t, p) order[3] = p.t == t and "teardown" end,
  })
  luaunit.assertEquals(order, { "setup", "run", "teardown" })
end

function TestRun:test_an_error_keeps_its_traceback_and_teardown_runs()
  local torn = false
  local function deep() error "out of ideas" end
  local good, text = run { run = function() (deep)() end, teardown = function() torn = true end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(text, "test_scenario.lua")
  luaunit.assertStrContains(text, "out of ideas")
  luaunit.assertStrContains(text, "traceback")
  luaunit.assertStrContains(text, "deep")
  luaunit.assertNotStrContains(text, "lua/iotix/")
  luaunit.assertTrue(torn)
end

function TestRun:test_an_interrupted_wait_names_the_line_of_the_scenario_and_teardown_may_wait()
  local torn
  local good, text = run { run = function(t)
    local main = fake.core.task()
    fake.core.spawn(function()
      fake.core.sleep(1)
      fake.core.cancel(main, "interrupted")
    end)
    t:sleep "1h"
  end, teardown = function(t) t:sleep "1s" torn = t:now() end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(text, ": interrupted")
  luaunit.assertNotStrContains(text, "t.lua:1: ")
  luaunit.assertEquals(torn, 2)
end

function TestRun:test_a_tail_call_leaves_at_least_the_file()
  load [[return require("iotix").scenario { name = "x", run = function(t)
    return t:wait_until(function() end, "1s", "it")
  end }]]
  luaunit.assertEquals(message_of(fake.run, scenario.main), "x.lua: t:wait_until: waited 1 s for it")
end

function TestRun:test_errors_in_setup_and_teardown()
  local ran = false
  local good, text = run { setup = function() error "no backend" end, run = function() ran = true end }
  luaunit.assertFalse(good or ran)
  luaunit.assertStrContains(text, "no backend")
  good, text = run { teardown = function() error "not torn" end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(text, "not torn")
  good, text = run { run = function() error "first" end, teardown = function() error "second" end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(text, "first")
  luaunit.assertStrContains(table.concat(fake.logs), "second")
end

function TestRun:test_errors_that_are_no_texts()
  local _, text = run { run = function() error { code = 1 } end }
  luaunit.assertStrContains(text, 'the error is a table: {"code":1}')
  luaunit.assertStrContains(text, "test_scenario.lua")
  _, text = run { run = function() error() end }
  luaunit.assertStrContains(text, "nil")
end

function TestRun:test_fail_is_a_failed_check_and_no_script_error()
  local after = false
  local good, text, problem = run { run = function(t) t:fail "broker is down" after = true end }
  luaunit.assertFalse(good)
  luaunit.assertEquals({ text, problem.failed }, { "broker is down", true })
  luaunit.assertFalse(after)
  luaunit.assertEquals(fake.checks, { { name = "broker is down", passed = false } })
end

function TestRun:test_check_returns_its_condition()
  local results = {}
  run { run = function(t)
    results = { t:check("a", true), t:check("b", nil) or "none", t:check("c", 5, { part = "x" }) }
    t:check("d", nil, "waited in vain")
    t:check("e", true, "not told")
  end }
  luaunit.assertEquals(results, { true, "none", 5 })
  luaunit.assertEquals(fake.checks[2], { name = "b", passed = false })
  luaunit.assertEquals(fake.checks[3], { name = "c", passed = true, tags = { part = "x" } })
  luaunit.assertEquals(fake.checks[4], { name = "d", passed = false, reason = "waited in vain" })
  luaunit.assertEquals(fake.checks[5], { name = "e", passed = true })
  luaunit.assertEquals(fake.logs, { 'warn: check "d": waited in vain' })
end

function TestRun:test_an_error_in_a_spawned_task_ends_the_run()
  local reached = false
  local good, text = run { run = function(t)
    t:spawn(function() t:sleep "1s" error "spawned went wrong" end)
    t:sleep "10s"
    reached = true
  end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(text, "spawned went wrong")
  luaunit.assertFalse(reached)
end

function TestRun:test_a_joined_task_hands_over_result_and_error()
  local result, caught, waited
  luaunit.assertTrue(run { run = function(t)
    result = t:spawn(function() t:sleep "2s" return 7 end):join()
    local slow = t:spawn(function() t:sleep "100s" end)
    waited = { slow:join "1s" }
    slow:cancel()
    local bad = t:spawn(function() t:sleep "1s" error "no" end)
    caught = tostring(select(2, pcall(bad.join, bad)))
  end })
  luaunit.assertEquals(result, 7)
  luaunit.assertEquals(waited[2], "timeout")
  luaunit.assertStrContains(caught, "no")
end

function TestRun:test_parallel()
  local results, finished = nil, fake.core.now()
  luaunit.assertTrue(run { run = function(t)
    results = t:parallel {
      function() t:sleep "3s" return "a" end,
      function() t:sleep "1s" return "b" end,
    }
    finished = t:now()
  end })
  luaunit.assertEquals(results, { "a", "b" })
  luaunit.assertEquals(finished, 3)
  local good, text = run { run = function(t)
    t:parallel { function() t:sleep "50s" finished = "ran on" end, function() error "second failed" end }
  end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(text, "second failed")
  luaunit.assertEquals(finished, 3)
end

function TestRun:test_every_keeps_its_rhythm_and_ends_with_the_run()
  local at = {}
  luaunit.assertTrue(run { run = function(t)
    t:every("1s", function(k)
      at[#at + 1] = t:now()
      t:sleep(k == 2 and 1.5 or 0.2)
    end)
    t:sleep "5.5s"
  end })
  luaunit.assertEquals(at, { 1, 2, 4, 5 })
end

function TestRun:test_wait_until()
  local found
  luaunit.assertTrue(run { run = function(t)
    found = t:wait_until(function() return t:now() >= 3 and "there" end, "10s")
  end })
  luaunit.assertEquals(found, "there")
  local _, text = run { run = function(t)
    t:wait_until(function() return false end, "2s", "the backend")
  end }
  luaunit.assertStrContains(text, "waited 2 s for the backend")
  luaunit.assertStrContains(text, "test_scenario.lua")
end

function TestRun:test_events_metrics_logs()
  fake.host["event.add"] = function() return {} end
  fake.host["metric.get"] = function(a)
    return a.name == "messages.sent" and { kind = "counter", value = 20, count = 0 }
      or { kind = "trend", p95 = 3, p99 = json.null }
  end
  local p95
  luaunit.assertTrue(run { run = function(t)
    t:event("outage", { size = 3 })
    local latency = t:metric("mqtt.publish.latency", { group = "g" })
    p95 = latency.p99 == nil and latency.p95
    t:sleep "4s"
    local sent = t:metric "messages.sent"
    luaunit.assertEquals({ sent.count, sent.rate }, { 20, 5 })
    t:log("%d devices", 5)
    t:log "100%"
  end })
  luaunit.assertEquals(fake.last "event.add", { name = "outage", data = { size = 3 } })
  luaunit.assertEquals(fake.calls[2].arguments, { name = "mqtt.publish.latency", tags = { group = "g" } })
  luaunit.assertEquals(p95, 3)
  luaunit.assertEquals(fake.logs, { "info: 5 devices", "info: 100%" })
end

function TestRun:test_wrong_arguments_name_the_line_of_the_scenario()
  local line = debug.getinfo(1, "l").currentline + 1
  local good, text = run { run = function(t) t:log("%d devices", "many") end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(tostring(text), "test_scenario.lua:" .. line .. ': t:log: "%d devices": argument')
  good, text = run { run = function(t) t:random(3, 1) end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(tostring(text), 't:random: "n" must be a whole number of at least 3, not 1')
  good, text = run { run = function(t) t:sleep() end }
  luaunit.assertFalse(good)
  luaunit.assertStrContains(tostring(text), "not nothing")
end

TestMetrics = { setUp = fake.reset }

function TestMetrics:test_own_metrics()
  local orders = iotix.metric.counter "orders"
  local depth = iotix.metric.gauge "queue.depth"
  local good = iotix.metric.rate "orders_ok"
  orders:add()
  orders:add(3, { shop = "b", area = "a" })
  depth:add(-5)
  good:add(true)
  luaunit.assertEquals(fake.metrics, {
    { kind = "counter", name = "orders", tags = "", value = 1 },
    { kind = "counter", name = "orders", tags = "area:a,shop:b", value = 3 },
    { kind = "gauge", name = "queue.depth", tags = "", value = -5 },
    { kind = "rate", name = "orders_ok", tags = "", value = 1 },
  })
  local s = { name = "x", run = print }
  iotix.scenario(s)
  luaunit.assertEquals(described().metrics["queue.depth"], "gauge")
end

function TestMetrics:test_mistakes()
  local c = iotix.metric.counter "orders"
  luaunit.assertStrContains(message_of(iotix.metric.trend, "orders"), "is a counter already")
  luaunit.assertStrContains(message_of(iotix.metric.trend, "a b"), "a b")
  luaunit.assertStrContains(message_of(c.add, c, -1), "at least 0")
  luaunit.assertStrContains(message_of(c.add, c, 0 / 0), "number")
  local d = iotix.metric.trend "delay"
  luaunit.assertStrContains(message_of(d.add, d, -1), "at least 0")
  luaunit.assertStrContains(message_of(c.add, c, 1, { a = "x,y" }), "x,y")
end

os.exit(luaunit.LuaUnit.run())

-- Groups, devices, dropouts and subscriptions against a controller that the tests play themselves.
local fake = require "tests.lua.fake_core"
local iotix = require "iotix"
local luaunit = require "luaunit"
local scenario = require "iotix.scenario"

local counts

local function reset()
  fake.reset()
  counts = { created = 1000 }
  fake.host["group.create"] = function(a) return { group = a.group or "g1", count = a.count or 1, model = "m-v1",
    commands = { "reboot" } } end
  fake.host["group.launch"] = function() return { devices = 1000 } end
  fake.host["group.stop"] = function() return { devices = 1000 } end
  fake.host["group.set"] = function() return {} end
  fake.host["group.counts"] = function()
    return type(counts) == "function" and counts() or counts
  end
end

local function run(f)
  local s = { name = "x", run = f }
  iotix.scenario(s)
  fake.run(scenario.main)
end

-- The message of the error that f(t) ends with.
local function message_of(f)
  local good, problem = pcall(run, f)
  luaunit.assertFalse(good, "no error")
  return tostring(problem)
end

local function group(t, more)
  local wanted = { model = "m-v1", count = 1000, group = "env" }
  for key, value in pairs(more or {}) do
    wanted[key] = value
  end
  return t:group(wanted)
end

TestGroup = { setUp = reset }

function TestGroup:test_create()
  run(function(t)
    local fleet = t:group { model = "m-v1", count = "1k", group = "env", id = "e-{index}", tags = { site = "a" },
      connection = { qos = 2 } }
    luaunit.assertEquals(fleet.id, "env")
    luaunit.assertEquals(fleet:count(), 1000)
    luaunit.assertEquals(fleet:device(7).id, "e-7")
  end)
  luaunit.assertEquals(fake.last "group.create", { model = "m-v1", count = 1000, group = "env", id = "e-{index}",
    tags = { site = "a" }, connection = { qos = 2 } })
end

function TestGroup:test_device_is_a_group_of_one()
  run(function(t)
    local device = t:device { model = { id = "inline" }, group = "boiler" }
    luaunit.assertEquals({ device.id, device.index, device.group }, { "boiler-0", 0, "boiler" })
  end)
  luaunit.assertEquals(fake.last("group.create").model, { id = "inline" })
end

function TestGroup:test_wrong_options_name_the_line()
  local line = debug.getinfo(1, "l").currentline + 1
  local text = message_of(function(t) t:group { model = "m", cuont = 3 } end)
  luaunit.assertStrContains(text, "test_fleet.lua:" .. line)
  luaunit.assertStrContains(text, 't:group: unknown option "cuont"; did you mean "count"?')
  luaunit.assertStrContains(message_of(function(t) t:group { count = 3 } end), '"model" is missing')
  luaunit.assertStrContains(message_of(function(t) t:group { model = "m", count = 0 } end), "at least 1")
  luaunit.assertStrContains(message_of(function(t) t:group { model = "m", count = "many" } end), '"many"')
  luaunit.assertStrContains(message_of(function(t) t:device { model = "m", count = 3 } end), 'unknown option "count"')
end

function TestGroup:test_a_refused_model_is_a_configuration_error()
  fake.host["group.create"] = function() return nil, 'no model "m-v2"', "configuration" end
  local s = { name = "x", run = function(t) t:group { model = "m-v2" } end }
  iotix.scenario(s)
  local good, problem = pcall(fake.run, scenario.main)
  luaunit.assertFalse(good)
  luaunit.assertTrue(problem.configuration)
  luaunit.assertStrContains(tostring(problem), 't:group: no model "m-v2"')
  luaunit.assertStrContains(tostring(problem), "test_fleet.lua:")
end

TestStart = { setUp = reset }

function TestStart:test_strategies()
  run(function(t)
    local fleet = group(t)
    fleet:start()
    luaunit.assertEquals(fake.last "group.launch", { group = "env", strategy = "immediate", settings = {} })
    luaunit.assertEquals(fleet:start { strategy = "batch", batchSize = 100, delayMs = 500 }, 1000)
    luaunit.assertEquals(fake.last "group.launch",
      { group = "env", strategy = "batch", settings = { batchSize = 100, delayMs = 500 } })
  end)
end

function TestStart:test_a_function_travels_packed()
  run(function(t)
    local pace = 0.01
    group(t):start(function(k) return k * pace end)
  end)
  local arguments = fake.last "group.launch"
  luaunit.assertEquals(arguments["function"], "packed" .. #fake.packed)
  luaunit.assertStrMatches(arguments.strategy, ".*test_fleet.lua:%d+")
  luaunit.assertEquals(fake.packed[#fake.packed](100), 1)
  luaunit.assertStrContains(message_of(function(t)
    group(t):start(function(k) return t and k end)
  end), 'upvalue "t"')
end

function TestStart:test_mistakes()
  luaunit.assertStrContains(message_of(function(t) group(t):start { strategy = "linaer" } end), 'did you mean "linear"')
  luaunit.assertStrContains(message_of(function(t) group(t):start { strategy = "linear", delay = 3 } end), "delayMs")
  luaunit.assertStrContains(message_of(function(t) group(t):start { strategy = 5 } end), "strategy")
  luaunit.assertStrContains(message_of(function(t) group(t):start "linear" end),
    'fleet:start: wants a table such as { strategy = "linear", delayMs = 10 } or a function(k), not "linear"')
  luaunit.assertStrContains(message_of(function(t) group(t):start(function() return 0 / 0 end) end), "nan")
  luaunit.assertStrContains(message_of(function(t) group(t):start(function() return "1" end) end), "seconds, 0 or more")
  luaunit.assertStrContains(message_of(function(t) group(t):start(function(k) return k.x end) end), "test_fleet.lua")
end

function TestStart:test_unused_settings_are_mentioned()
  run(function(t) group(t):start { strategy = "linear", delayMs = 1, batchSize = 5 } end)
  luaunit.assertStrContains(table.concat(fake.logs), "does not use batchSize")
end

function TestStart:test_stop()
  local function after(seconds)
    return function()
      local left = fake.core.now() < seconds and 7 or 0
      return { starting = 0, running = left, stopping = 0, connected = left }
    end
  end
  counts = after(3)
  run(function(t)
    luaunit.assertEquals(group(t):stop { drain = "1s" }, 1000)
    luaunit.assertTrue(t:now() >= 3)
  end)
  luaunit.assertEquals(fake.last "group.stop", { group = "env", drainMs = 1000 })
  fake.reset()
  reset()
  counts = after(1000)
  luaunit.assertStrContains(message_of(function(t) group(t):stop() end),
    'group "env": waited 62 s for all devices to stop (7 running, 7 connected)')
end

TestWait = { setUp = reset }

function TestWait:test_reaches_its_target()
  counts = function() return { connected = math.floor(fake.core.now() * 100) } end
  run(function(t)
    local reached = group(t):wait { connected = "95%" }
    luaunit.assertTrue(reached.connected >= 950)
    luaunit.assertTrue(t:now() >= 9.5 and t:now() < 10)
  end)
end

function TestWait:test_all_targets_must_be_reached()
  counts = function() return { stopped = 400, dropped = fake.core.now() > 5 and 600 or 0 } end
  run(function(t)
    group(t):wait { stopped = 400, dropped = 600 }
    luaunit.assertTrue(t:now() > 5)
  end)
end

function TestWait:test_a_timeout_tells_what_happened()
  counts = { connected = 412, starting = 588, reasons = { { text = "127.0.0.1:1: Connection refused", count = 580 } } }
  local text = message_of(function(t) group(t):wait { connected = "100%", timeout = "300ms" } end)
  luaunit.assertStrContains(text, 'group "env": waited 300 ms for 1000 connected, reached 412 (588 starting; '
    .. "reasons: 580× 127.0.0.1:1: Connection refused)")
  luaunit.assertStrContains(text, "test_fleet.lua:")
end

function TestWait:test_default_timeout_counts_from_the_end_of_the_launch()
  run(function(t)
    local fleet = group(t)
    fleet:start { strategy = "linear", delayMs = 100 }
    local good, problem = pcall(fleet.wait, fleet, { connected = 1000 })
    luaunit.assertFalse(good)
    luaunit.assertStrContains(problem, "waited 2m 39s")
    luaunit.assertAlmostEquals(t:now(), 159.9, 0.001)
  end)
end

function TestWait:test_mistakes()
  luaunit.assertStrContains(message_of(function(t) group(t):wait {} end), 'e.g. { connected = "100%" }')
  luaunit.assertStrContains(message_of(function(t) group(t):wait { conected = 5 } end), 'did you mean "connected"')
  luaunit.assertStrContains(message_of(function(t) group(t):wait { connected = "all" } end), '"all"')
  luaunit.assertStrContains(message_of(function(t) group(t):wait { connected = "101%" } end), '"101%"')
  luaunit.assertStrContains(message_of(function(t) group(t):wait { connected = 1001 } end), "the group has 1000")
  luaunit.assertStrContains(message_of(function(t) group(t):wait { connected = 1, timeout = "soon" } end), '"soon"')
  luaunit.assertStrContains(message_of(function(t) group(t):count "conected" end), 'did you mean "connected"')
end

function TestWait:test_the_broker_goes_away_while_waiting()
  counts = function() return nil end
  fake.host["group.counts"] = function() return nil, "the worker is gone" end
  luaunit.assertStrContains(message_of(function(t) group(t):wait { connected = 1 } end), "fleet:wait: the worker is gone")
end

TestDropouts = { setUp = function()
  reset()
  fake.host["group.dropout"] = function() return { id = 9, eligible = 1000, chosen = 300 } end
end }

function TestDropouts:test_arguments()
  run(function(t)
    local fast = 5
    local outage = group(t):dropout { strategy = "random", percentage = 30, durationMs = 10000, reconnect = true,
      reconnectDelayMs = 5000, select = function(device) return device.index > fast end }
    luaunit.assertEquals({ outage.chosen, outage.eligible, outage.id, outage.estimatedMs }, { 300, 1000, 9, 10000 })
  end)
  local a = fake.last "group.dropout"
  a.select = a.select:match "packed"
  luaunit.assertEquals(a, { group = "env", strategy = "random", settings = { durationMs = 10000 }, percentage = 30,
    reconnect = true, reconnectDelayMs = 5000, mode = "abort", select = "packed" })
end

function TestDropouts:test_defaults()
  run(function(t) group(t):dropout() end)
  luaunit.assertEquals(fake.last "group.dropout", { group = "env", strategy = "linear", settings = {}, mode = "abort",
    reconnect = false, reconnectDelayMs = 0 })
end

function TestDropouts:test_wait()
  fake.host["dropout.status"] = function() return { done = fake.core.now() >= 10, dropped = 300, ended = 0, back = fake.core.now() >= 15 and 300 or 299 } end
  run(function(t)
    luaunit.assertEquals(group(t):dropout({ reconnect = true }):wait().back, 300)
    luaunit.assertTrue(t:now() >= 15 and t:now() < 15.5)
  end)
end

function TestDropouts:test_wait_gives_up_a_minute_after_the_expected_end()
  fake.host["dropout.status"] = function() return { done = true, dropped = 298, alreadyGone = 2, ended = 3, back = 17 } end
  run(function(t)
    local good, problem = pcall(function()
      group(t):dropout({ strategy = "random", durationMs = 10000, reconnect = true, reconnectDelayMs = 5000 }):wait()
    end)
    luaunit.assertFalse(good)
    luaunit.assertEquals(t:now(), 75)
    luaunit.assertStrContains(problem, "waited 75 s for 300 devices to drop and return; 298 dropped, 2 were gone already, 17 are back")
  end)
end

function TestDropouts:test_cancel_and_progress()
  fake.host["dropout.cancel"] = function() return {} end
  fake.host["dropout.status"] = function() return { dropped = 5 } end
  run(function(t)
    local outage = group(t):dropout { count = 10 }
    luaunit.assertEquals(outage:progress().dropped, 5)
    outage:cancel()
  end)
  luaunit.assertEquals(fake.last "dropout.cancel", { id = 9 })
end

function TestDropouts:test_mistakes()
  local function with(options)
    return message_of(function(t) group(t):dropout(options) end)
  end
  luaunit.assertStrContains(with { percentge = 3 }, 'did you mean "percentage"')
  luaunit.assertStrContains(with { percentage = 130 }, "between 0 and 100")
  luaunit.assertStrContains(with { strategy = "batch" }, '"batch"')
  luaunit.assertStrContains(with { mode = "kill" }, '"kill"')
  luaunit.assertStrContains(with { count = 1.5 }, "count")
end

TestDevices = { setUp = reset }

function TestDevices:test_sample_is_distinct_and_of_the_wanted_size()
  run(function(t)
    local fleet = group(t)
    for _, n in ipairs { 0, 1, 50, 1000, 5000 } do
      local seen, sample = {}, fleet:sample(n)
      luaunit.assertEquals(#sample, math.min(n, 1000))
      for _, device in ipairs(sample) do
        luaunit.assertNil(seen[device.index])
        luaunit.assertTrue(device.index >= 0 and device.index < 1000)
        seen[device.index] = true
      end
    end
  end)
end

function TestDevices:test_what_happens_in_the_worker()
  local published
  local there = {
    id = "env-7",
    publish = function(_, topic, payload, how) published = { topic, payload, how.qos } return true end,
    value = function(_, name) return name == "temperature" and 21.5 or nil end,
    values = function() return { temperature = 21.5 } end,
  }
  fake.host["device.do"] = function(a)
    luaunit.assertEquals({ a.group, a.index }, { "env", 7 })
    local result = fake.packed[tonumber(a["function"]:match "%d+")](there)
    return result == nil and require("iotix.json").null or result
  end
  fake.host["device.status"] = function(a) return { status = a.index == 7 and "running" or "created" } end
  run(function(t)
    local device = group(t):device(7)
    device:publish("a/b", { x = 1, a = "y" }, { qos = 2 })
    luaunit.assertEquals(published, { "a/b", '{"a":"y","x":1}', 2 })
    device:publish(nil, "text")
    luaunit.assertEquals(published, { nil, "text" })
    luaunit.assertEquals(device:value "temperature", 21.5)
    luaunit.assertNil(device:value "nothing")
    luaunit.assertEquals(device:values(), { temperature = 21.5 })
    luaunit.assertEquals(device:status(), "running")
    luaunit.assertEquals(device:run(function(d) return d.id .. "!" end), "env-7!")
    there.value = function() error('no attribute "vlaue"', 0) end
    luaunit.assertStrContains(select(2, pcall(device.value, device, "vlaue")), 'device:value: no attribute "vlaue"')
    luaunit.assertStrContains(select(2, pcall(device.publish, device, "a/#", "x")), "no topic to publish to")
    there.publish = function() return nil, "not connected" end
    luaunit.assertStrContains(select(2, pcall(device.publish, device, nil, "x")), "env-7: not connected")
  end)
end

function TestDevices:test_set_and_command()
  fake.host["device.command"] = function() return {} end
  run(function(t)
    local fleet = group(t)
    fleet:set("temperature", { min = 30, max = 40 })
    luaunit.assertEquals(fake.last "group.set", { group = "env", attribute = "temperature", changes = { min = 30, max = 40 } })
    fleet:device(3):set("temperature", 99)
    luaunit.assertEquals(fake.last "group.set", { group = "env", attribute = "temperature", changes = 99, index = 3 })
    fleet:set "temperature"
    luaunit.assertEquals(fake.last("group.set").changes, require("iotix.json").null)
    fleet:device(3):command("reboot", { delay = 5 })
    luaunit.assertEquals(fake.last "device.command",
      { group = "env", index = 3, name = "reboot", parameters = { delay = 5 } })
  end)
  luaunit.assertStrContains(message_of(function(t) group(t):device(1000) end), "between 0 and 999")
end

function TestDevices:test_unknown_commands()
  luaunit.assertStrContains(message_of(function(t) group(t):command "rebot" end),
    'fleet:command: model "m-v1" has no command "rebot"; did you mean "reboot"?')
  luaunit.assertStrContains(message_of(function(t) group(t):device(0):command "rebot" end), "device:command: model")
end

function TestDevices:test_each()
  fake.host["group.each"] = function() return { devices = 990, errors = 10 } end
  run(function(t)
    local devices, failed = group(t):each(function(d) d:publish(nil, "x") end, { first = 10 })
    luaunit.assertEquals({ devices, failed }, { 990, 10 })
  end)
  luaunit.assertEquals(fake.last("group.each").first, 10)
end

function TestDevices:test_unknown_names_and_calls_with_a_dot()
  luaunit.assertStrContains(message_of(function(t) group(t):strat() end), 'fleet has no "strat"; did you mean "start"?')
  luaunit.assertStrContains(message_of(function(t) t:slep "1s" end), 't has no "slep"; did you mean "sleep"?')
  luaunit.assertStrContains(message_of(function(t) return t:spawn(print).nmae end), 'did you mean "name"?')
  local line = debug.getinfo(1, "l").currentline + 1
  local text = message_of(function(t) t.sleep "1s" end)
  luaunit.assertStrContains(text, "test_fleet.lua:" .. line .. ": t.sleep(…) was called with a dot: write t:sleep(…)")
end

function TestDevices:test_wait_for_a_state_that_there_is_not()
  luaunit.assertStrContains(message_of(function(t) group(t):device(0):wait { state = "runing" } end), 'mean "running"')
end

TestMessages = { setUp = function()
  reset()
  fake.host["subscribe.open"] = function() return { id = 4 } end
  fake.host["subscribe.close"] = function() return {} end
  fake.host["subscribe.stats"] = function() return { received = 12, dropped = 2 } end
end }

local function arrive(...)
  fake.queues[4] = { ... }
end

function TestMessages:test_next_count_and_iterator()
  arrive({ topic = "a", payload = '{"x":1}', at = 1 }, { topic = "b", payload = "no json", at = 2, qos = 1 })
  run(function(t)
    local sub = t:subscribe("#", { qos = 0 })
    local first = sub:next()
    luaunit.assertEquals({ first.topic, first.json.x, first.at }, { "a", 1, 1 })
    local topics = {}
    for message in sub:messages "3s" do
      topics[#topics + 1] = message.topic
      luaunit.assertNil(message.json)
    end
    luaunit.assertEquals(topics, { "b" })
    luaunit.assertEquals(t:now(), 5)
    luaunit.assertEquals({ sub:count(), sub:dropped() }, { 12, 2 })
    sub:close()
    luaunit.assertStrContains(select(2, pcall(sub.next, sub)), "is closed")
  end)
  luaunit.assertEquals(fake.last "subscribe.open", { topic = "#", qos = 0, limit = 10000 })
end

function TestMessages:test_topic_filters()
  run(function(t)
    for _, good in ipairs { "#", "+", "a/+/b", "a/#", "/", "a//b", "$SYS/#" } do
      t:subscribe(good)
    end
  end)
  for _, wrong in ipairs { "", "a/#/b", "a#", "a/b+", "#/", "a\0b" } do
    luaunit.assertStrContains(message_of(function(t) t:subscribe(wrong) end), "is no topic filter")
  end
end

function TestMessages:test_expect_message_records_a_check()
  arrive({ topic = "a", payload = '{"type":"other"}', at = 1 }, { topic = "a", payload = '{"type":"alert","v":5}', at = 2 })
  local text
  run(function(t)
    local message = t:expect_message { topic = "alerts/#", match = { type = "alert" }, within = "5s" }
    luaunit.assertEquals(message.json.v, 5)
    local none
    none, text = t:expect_message { topic = "alerts/#", match = "x+y", within = "2s" }
    luaunit.assertNil(none)
    luaunit.assertStrContains(text, 'waited 2 s on "alerts/#" for a payload that matches "x+y"; no message came')
  end)
  luaunit.assertEquals(fake.checks, { { name = "message on alerts/#", passed = true },
    { name = "message on alerts/#", passed = false, reason = text } })
end

function TestMessages:test_expect_message_subscribes_before_it_acts()
  local order = {}
  fake.host["subscribe.open"] = function() order[1] = "subscribed" return { id = 4 } end
  run(function(t)
    t:expect_message { topic = "a", within = "1s", after = function()
      order[2] = "acted"
      arrive { topic = "a", payload = "", at = t:now() }
    end }
  end)
  luaunit.assertEquals(order, { "subscribed", "acted" })
  luaunit.assertTrue(fake.checks[1].passed)
end

function TestMessages:test_a_miss_tells_what_came_instead()
  arrive({ topic = "t/1", payload = "first", at = 0 }, { topic = "t/2", payload = "sec\nond", at = 1 })
  run(function(t)
    local _, text = t:subscribe("t/#"):expect { match = function(m) return m.payload == "third" end, within = "2s" }
    luaunit.assertStrContains(text, "2 came, the last one: t/2 sec.ond")
  end)
end

TestHttp = { setUp = reset }

function TestHttp:test_requests()
  fake.host["http.request"] = function() return { status = 201, headers = {}, body = '{"id":7}', latencyMs = 3 } end
  run(function(t)
    local answer = t:http { url = "http://h/x", json = { a = 1 }, headers = { ["X-Key"] = 5 }, timeout = "2s" }
    luaunit.assertEquals({ answer.status, answer.json.id }, { 201, 7 })
    luaunit.assertEquals(fake.last "http.request", { url = "http://h/x", method = "POST", body = '{"a":1}', timeoutMs = 2000,
      headers = { ["Content-Type"] = "application/json", ["X-Key"] = "5" } })
    t:http "http://h/y"
    luaunit.assertEquals(fake.last("http.request").method, "GET")
  end)
  luaunit.assertStrContains(message_of(function(t) t:http { url = "http://h", metod = "GET" } end), 'did you mean "method"')
  luaunit.assertStrContains(message_of(function(t) t:http { url = "http://h", method = "GTE" } end), '"GTE"')
  fake.host["http.request"] = function() return nil, "connection refused" end
  luaunit.assertStrContains(message_of(function(t) t:http "http://h" end), "t:http: connection refused")
end

os.exit(luaunit.LuaUnit.run())

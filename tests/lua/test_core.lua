-- The real core under the modules: tasks, texts, functions that travel.
math.randomseed = function() end -- luaunit seeds; with iotix that is an error
local core = require "iotix.core"
local json = require "iotix.json"
local luaunit = require "luaunit"
local options = require "iotix.options"
local task = require "iotix.task"

TestTasks = { setUp = task.begin, tearDown = task.cancel_all }

function TestTasks:test_spawned_tasks_run_while_the_caller_waits()
  local order = {}
  local other = task.spawn(function()
    order[#order + 1] = "other"
    core.sleep(0.01)
    order[#order + 1] = "other again"
    return "result"
  end)
  order[#order + 1] = "caller"
  luaunit.assertEquals(other:join "10s", "result")
  luaunit.assertEquals(order, { "caller", "other", "other again" })
  luaunit.assertEquals(other:join "10s", "result")
end

function TestTasks:test_join_gives_up_and_cancel_ends_a_wait()
  local slow = task.spawn(function()
    core.sleep(3600)
  end)
  luaunit.assertEquals({ slow:join(0.01) }, { nil, "timeout" })
  slow:cancel()
  luaunit.assertNil(slow:join "10s")
  luaunit.assertTrue(slow.done)
end

function TestTasks:test_join_raises_the_error_with_its_place()
  local bad = task.spawn(function()
    core.sleep(0.01)
    error "broken"
  end)
  local good, problem = pcall(bad.join, bad, "10s")
  luaunit.assertFalse(good)
  luaunit.assertStrContains(tostring(problem), "test_core.lua")
  luaunit.assertStrContains(tostring(problem), "broken")
  luaunit.assertStrContains(tostring(problem), "traceback")
end

function TestTasks:test_parallel_runs_all_at_once_and_the_first_error_wins()
  local met = 0
  local function meet()
    met = met + 1
    while met < 2 do
      core.sleep(0.001)
    end
    return met
  end
  luaunit.assertEquals(task.parallel { meet, meet }, { 2, 2 })
  local good, problem = pcall(task.parallel, {
    function() core.sleep(3600) end,
    function() error "second" end,
  })
  luaunit.assertFalse(good)
  luaunit.assertStrContains(tostring(problem), "second")
end

function TestTasks:test_every_counts_its_calls_and_ends_on_false()
  local calls = {}
  local task_of_calls = task.every(0.002, function(k)
    calls[#calls + 1] = k
    return #calls < 3
  end)
  task_of_calls:join "10s"
  luaunit.assertEquals(#calls, 3)
  luaunit.assertTrue(calls[1] >= 1 and calls[2] > calls[1] and calls[3] > calls[2])
end

function TestTasks:test_an_error_that_nobody_joins_interrupts_the_main_task()
  local bad = task.spawn(function()
    error "nobody looks"
  end, "careless")
  local good, problem = pcall(core.sleep, 3600)
  luaunit.assertFalse(good)
  luaunit.assertStrContains(tostring(problem), "careless failed")
  luaunit.assertStrContains(tostring(task.failure()), "nobody looks")
  luaunit.assertTrue(bad.done)
end

TestTexts = {}

function TestTexts:test_json_keeps_order_types_and_digits()
  luaunit.assertEquals(json.encode { b = 1, a = { true, json.null, "x\n" }, c = json.array(), d = {} },
    '{"a":[true,null,"x\\n"],"b":1,"c":[],"d":{}}')
  luaunit.assertEquals(json.encode { 0.1, 1700000000123456, 1e300 }, json.encode(json.decode(json.encode { 0.1, 1700000000123456, 1e300 })))
  luaunit.assertEquals(json.encode(json.decode '{"empty":[],"n":1700000000123456}'), '{"empty":[],"n":1700000000123456}')
end

function TestTexts:test_json_says_what_is_wrong()
  local text, message = json.encode { a = { b = print } }
  luaunit.assertNil(text)
  luaunit.assertStrContains(message, "b")
  local value
  value, message = json.decode '{"a":\n nope}'
  luaunit.assertNil(value)
  luaunit.assertStrContains(message, "2")
  luaunit.assertNil(json.encode(0 / 0))
  luaunit.assertNil(json.decode(nil))
end

function TestTexts:test_durations_and_counts()
  local specs = { d = { type = "duration", doc = "" }, n = { type = "count", doc = "" } }
  luaunit.assertEquals(options.parse({ d = "1m30s", n = "2.5k" }, specs), { d = 90, n = 2500 })
  luaunit.assertEquals(options.parse({ d = "250ms" }, specs), { d = 0.25 })
  for _, wrong in ipairs { "", "10", "s", "-1s", "1x", "nan" } do
    local _, message = options.parse({ d = wrong == "10" and "10 s s" or wrong }, specs)
    luaunit.assertStrContains(message, '"d" must be a duration')
  end
end

TestFunctions = {}

function TestFunctions:test_functions_travel_with_their_plain_upvalues()
  local factor, names = 3, { a = { 1, 2 } }
  local copy = assert(core.unpack(assert(core.pack(function(k)
    return k * factor + names.a[2]
  end))))
  luaunit.assertEquals(copy(10), 32)
end

function TestFunctions:test_what_cannot_travel_is_named()
  local object = setmetatable({}, {})
  local good, message = pcall(core.pack, function()
    return object
  end)
  luaunit.assertFalse(good)
  luaunit.assertStrContains(message, "object")
  luaunit.assertStrContains(message, "test_core.lua")
end

TestRandom = {}

function TestRandom:test_ranges()
  for _ = 1, 1000 do
    local u, n = core.random(), core.random(3, 5)
    luaunit.assertTrue(u >= 0 and u < 1 and n >= 3 and n <= 5 and n == math.floor(n))
  end
end

os.exit(luaunit.LuaUnit.run())

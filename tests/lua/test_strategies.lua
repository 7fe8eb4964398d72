-- The instants of launch and dropout strategies, against sums computed step by step.
local fake = require "tests.lua.fake_core"
local luaunit = require "luaunit"
local strategy = require "iotix.strategy"

local places = 1000
local far = 10000000

local function half()
  return 0.5
end

local function open(kind, name, settings, count, random)
  return assert(strategy.open(kind, name, settings, count or places, random or half))
end

-- at(k) for k below 1,000 and at 10,000,000 against sums of delay(k).
local function check_sums(at, delay)
  local sum = 0
  for k = 0, places - 1 do
    luaunit.assertAlmostEquals(at(k), sum, 1e-9 * math.max(1, sum))
    sum = sum + delay(k)
  end
  for k = places, far - 1 do
    sum = sum + delay(k)
  end
  luaunit.assertAlmostEquals(at(far), sum, 1e-6 * math.max(1, sum))
end

TestLaunch = {}

function TestLaunch:test_immediate()
  local at = open("launch", "immediate", {})
  luaunit.assertEquals({ at(0), at(999), at(far) }, { 0, 0, 0 })
end

function TestLaunch:test_linear()
  local at = open("launch", "linear", { delayMs = 10 })
  for k = 0, places - 1 do
    luaunit.assertEquals(at(k), k * 10 / 1000)
  end
  luaunit.assertEquals(at(4999), 49.99)
  luaunit.assertEquals(at(far), 100000)
end

function TestLaunch:test_batch()
  local at = open("launch", "batch", { batchSize = 100, delayMs = 1000 })
  for k = 0, places - 1 do
    luaunit.assertEquals(at(k), math.floor(k / 100))
  end
  luaunit.assertEquals(at(4999), 49)
  luaunit.assertEquals(at(far), 100000)
end

function TestLaunch:test_batch_of_a_hundred_is_the_default()
  local at = open("launch", "batch", { delayMs = 500 })
  luaunit.assertEquals({ at(99), at(100), at(200) }, { 0, 0.5, 1 })
end

function TestLaunch:test_exponential()
  local at = open("launch", "exponential", { delayMs = 1, exponentBase = 1.1, maxDelayMs = 5000 })
  luaunit.assertAlmostEquals(at(1), 0.001, 1e-12)
  luaunit.assertAlmostEquals(at(2), 0.0021, 1e-12)
  luaunit.assertAlmostEquals(at(3), 0.00331, 1e-12)
  check_sums(at, function(k)
    return k > 200 and 5 or math.min(0.001 * 1.1 ^ k, 5)
  end)
end

function TestLaunch:test_exponential_edges()
  for _, case in ipairs {
    { delayMs = 1000, exponentBase = 2, maxDelayMs = 8000 }, -- the cap is one of the delays
    { delayMs = 1000, exponentBase = 1, maxDelayMs = 5000 },
    { delayMs = 9000, exponentBase = 3, maxDelayMs = 5000 },
    { delayMs = 5000, exponentBase = 1e6, maxDelayMs = 5001 },
    { delayMs = 0, exponentBase = 2, maxDelayMs = 5000 },
    { delayMs = 10, exponentBase = 2, maxDelayMs = 0 },
  } do
    local at = open("launch", "exponential", case)
    check_sums(at, function(k)
      return math.min(case.delayMs * case.exponentBase ^ math.min(k, 40), case.maxDelayMs) / 1000
    end)
  end
end

function TestLaunch:test_exponential_defaults_are_those_of_the_reference()
  local at = open("launch", "exponential", { delayMs = 1000 })
  luaunit.assertAlmostEquals(at(3) - at(2), 1.5 ^ 2, 1e-9)
  luaunit.assertAlmostEquals(at(31) - at(30), 60, 1e-9)
end

function TestLaunch:test_stages()
  local stages = {
    { duration = "10s", target = 100 }, { duration = "1m", target = 100 }, { duration = 0, target = 600 },
    { duration = "20s", target = "100%" },
  }
  local at = open("launch", "stages", { stages = stages })
  luaunit.assertEquals({ at(0), at(50), at(99) }, { 0, 5, 9.9 })
  luaunit.assertEquals({ at(100), at(599) }, { 70, 70 })
  luaunit.assertEquals({ at(600), at(800), at(999) }, { 70, 80, 70 + 399 / 400 * 20 })
  local big = open("launch", "stages", { stages = { { duration = "1h", target = far } } }, far)
  luaunit.assertAlmostEquals(big(far - 1), 3600, 1e-3)
end

function TestLaunch:test_stages_that_make_no_sense()
  local function message(stages)
    local at, text = strategy.open("launch", "stages", { stages = stages }, 100, half)
    luaunit.assertNil(at)
    return text
  end
  luaunit.assertStrContains(message { { duration = "1s", target = 50 } }, "the group has 100 devices")
  luaunit.assertStrContains(message { { duration = "1s", target = 50 }, { duration = "1s", target = 40 } }, "stages[2]")
  luaunit.assertStrContains(message { { duration = "1s", targt = 50 } }, 'did you mean "target"')
  luaunit.assertStrContains(message { { duration = "1s", target = "most" } }, "most")
  luaunit.assertStrContains(message { { duration = "soon", target = 1 } }, "soon")
  luaunit.assertStrContains(message {}, "100 devices")
end

function TestLaunch:test_poisson_spreads_the_places_over_count_divided_by_rate()
  local seen
  local at = open("launch", "poisson", { rate = 50 }, places, function(k)
    seen = k
    return k / places
  end)
  luaunit.assertEquals({ at(0), at(500), at(999) }, { 0, 10, 19.98 })
  luaunit.assertEquals(seen, 999)
  luaunit.assertEquals(strategy.duration("launch", "poisson", { rate = 50 }, places), 20)
end

TestDropout = {}

function TestDropout:test_immediate()
  luaunit.assertEquals(open("dropout", "immediate", {})(far), 0)
end

function TestDropout:test_linear_waits_a_second_unless_told()
  luaunit.assertEquals(open("dropout", "linear", {})(7), 7)
  luaunit.assertEquals(open("dropout", "linear", { delayMs = 500 })(far), 5000000)
end

function TestDropout:test_exponential_accelerates()
  local at = open("dropout", "exponential", { delayMs = 1000, exponentBase = 2 })
  luaunit.assertAlmostEquals(at(1), 1, 1e-12)
  luaunit.assertAlmostEquals(at(2), 1.5, 1e-12)
  luaunit.assertAlmostEquals(at(3), 1.75, 1e-12)
  for _, case in ipairs {
    { delayMs = 1000, exponentBase = 2 }, { delayMs = 100, exponentBase = 1.5 }, { delayMs = 1024, exponentBase = 2 },
    { delayMs = 1, exponentBase = 2 }, { delayMs = 0, exponentBase = 1.5 }, { delayMs = 50, exponentBase = 1 },
  } do
    at = open("dropout", "exponential", case)
    check_sums(at, function(k)
      return math.max(case.delayMs / case.exponentBase ^ math.min(k, 100), 1) / 1000
    end)
  end
end

function TestDropout:test_random_is_uniform_over_its_duration()
  local at = open("dropout", "random", { durationMs = 10000 }, places, function(k)
    return k / places
  end)
  luaunit.assertEquals({ at(0), at(250), at(999) }, { 0, 2.5, 9.99 })
  luaunit.assertEquals(strategy.duration("dropout", "random", {}, places), 60)
end

TestAll = {}

function TestAll:test_pure_and_finite()
  for kind, names in pairs(strategy.built_in) do
    for _, name in ipairs(names) do
      local settings = name == "stages" and { stages = { { duration = 5, target = far + 1 } } }
        or name == "poisson" and { rate = 1000 } or { delayMs = 10 }
      local at = open(kind, name, settings, far + 1)
      for _, k in ipairs { far, 0, 17, far, 1, 17 } do
        local first = at(k)
        luaunit.assertTrue(first >= 0 and first < math.huge, name)
        luaunit.assertEquals(at(k), first, name)
      end
    end
  end
end

function TestAll:test_every_setting_is_described()
  for kind, names in pairs(strategy.built_in) do
    for _, name in ipairs(names) do
      for key, spec in pairs(assert(strategy.find(kind, name)).settings) do
        luaunit.assertTrue(spec.doc and #spec.doc > 0, kind .. "/" .. name .. "." .. key)
      end
    end
  end
end

function TestAll:test_settings_as_json_text_and_the_default_strategies()
  luaunit.assertEquals(open("launch", "linear", '{"delayMs": 20}')(3), 0.06)
  luaunit.assertEquals(open("launch", "linear", "")(3), 0)
  luaunit.assertEquals(strategy.defaults, { launch = "immediate", dropout = "linear" })
end

function TestAll:test_fields_of_other_strategies_are_accepted()
  local all = { delayMs = 100, batchSize = 10, maxDelayMs = 5000, exponentBase = 2 }
  for _, name in ipairs { "immediate", "linear", "batch", "exponential" } do
    luaunit.assertEquals(open("launch", name, all)(0), 0)
  end
end

function TestAll:test_wrong_names_and_settings()
  local function message(...)
    local at, text = strategy.open(...)
    luaunit.assertNil(at)
    return text
  end
  luaunit.assertStrContains(message("launch", "linaer", {}, 10, half), 'did you mean "linear"')
  luaunit.assertStrContains(message("dropout", "batch", {}, 10, half), '"batch"')
  luaunit.assertStrContains(message("launch", "../linear", {}, 10, half), "../linear")
  luaunit.assertStrContains(message("launch", "linear", { delay = 1 }, 10, half), "delayMs")
  luaunit.assertStrContains(message("launch", "linear", { delayMs = -1 }, 10, half), "-1")
  luaunit.assertStrContains(message("launch", "linear", { delayMs = "10" }, 10, half), "delayMs")
  luaunit.assertStrContains(message("launch", "batch", { batchSize = 0 }, 10, half), "batchSize")
  luaunit.assertStrContains(message("launch", "batch", { batchSize = 1.5 }, 10, half), "batchSize")
  luaunit.assertStrContains(message("launch", "exponential", { exponentBase = 0.5 }, 10, half), "exponentBase")
  luaunit.assertStrContains(message("launch", "poisson", {}, 10, half), "rate")
  luaunit.assertStrContains(message("launch", "linear", "[1", 10, half), "settings")
end

function TestAll:test_a_broken_file_is_not_an_unknown_name()
  local find = fake.core.handler
  fake.core.handler = function() return nil, "waves.lua:3: unexpected symbol", false end
  local at, text = strategy.open("launch", "waves", {}, 10, half)
  fake.core.handler = find
  luaunit.assertNil(at)
  luaunit.assertEquals(text, 'launch strategy "waves": waves.lua:3: unexpected symbol')
end

function TestAll:test_functions_and_files_of_users()
  local function half_a_second_apart(k)
    return k / 2
  end
  luaunit.assertIs(open("launch", half_a_second_apart), half_a_second_apart)
  fake.handlers["strategies/launch/wave"] = {
    settings = { period = { type = "duration", default = "2s", doc = "one wave" } },
    new = function(settings)
      return function(k)
        return k * settings.period
      end
    end,
  }
  luaunit.assertEquals(open("launch", "wave", {})(3), 6)
  luaunit.assertEquals(open("launch", "wave", { period = "100ms" })(10), 1)
  fake.handlers["strategies/launch/broken"] = { new = 5 }
  local _, text = strategy.open("launch", "broken", {}, 10, half)
  luaunit.assertStrContains(text, '"broken"')
end

os.exit(luaunit.LuaUnit.run())

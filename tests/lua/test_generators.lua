-- The shipped generators: shape and continuity of the ECG, bounds and repeatability of the others.
require "tests.lua.fake_core"
local core = require "iotix.core"
local luaunit = require "luaunit"

local function load(name)
  return assert(core.handler("generators", name))
end

-- A device whose draws depend on its number only.
local function device(number)
  local state = number * 7919 + 17
  return {
    id = "d-" .. number,
    random = function(_, low, high)
      state = (state * 16807) % 2147483647
      local u = state / 2147483647
      if high then
        return low + math.floor(u * (high - low + 1))
      end
      return u
    end,
  }
end

local function samples_of(text, width)
  width = width or 2
  local list = {}
  for at = 1, #text, width do
    local value = 0
    for i = width - 1, 0, -1 do
      value = value * 256 + text:byte(at + i)
    end
    list[#list + 1] = value >= 2 ^ (8 * width - 1) and value - 2 ^ (8 * width) or value
  end
  return list
end

-- Many transmissions as one list.
local function record(config, number, ticks, width)
  local draw, all = load "ecg_generator"(config, device(number)), {}
  for tick = 0, ticks - 1 do
    for _, value in ipairs(samples_of(draw(tick, 0), width)) do
      all[#all + 1] = value
    end
  end
  return all
end

-- Places of the local maxima above half of full scale, at least 200 ms apart.
local function peaks(list, rate, full)
  local found = {}
  for i = 2, #list - 1 do
    if list[i] > full / 2 and list[i] >= list[i - 1] and list[i] > list[i + 1] then
      if not found[1] or i - found[#found] > rate / 5 then
        found[#found + 1] = i
      end
    end
  end
  return found
end

TestEcg = {}

function TestEcg:test_sizes()
  local ecg = load "ecg_generator"
  luaunit.assertEquals(#ecg({ samples = 200, sampleSize = 16, samplingRate = 500, noiseLevel = 0.05 }, device(1))(0, 0), 400)
  luaunit.assertEquals(#ecg({}, device(1))(0, 0), 400)
  luaunit.assertEquals(#ecg({ sampleSize = 8 }, device(1))(3, 0), 200)
  luaunit.assertEquals(#ecg({ sampleSize = 32, samples = 50 }, device(1))(3, 0), 200)
end

function TestEcg:test_r_peaks_come_at_the_heart_rate()
  for _, rate in ipairs { 50, 72, 120 } do
    local list = record({ heartRate = rate, rateVariation = 0, noiseLevel = 0 }, 3, 150) -- one minute
    local found = peaks(list, 500, 32767)
    luaunit.assertAlmostEquals(#found, rate, 1)
    for i = 2, #found do
      luaunit.assertAlmostEquals(found[i] - found[i - 1], 500 * 60 / rate, 1.01)
    end
  end
end

function TestEcg:test_noise_does_not_hide_the_beats()
  luaunit.assertAlmostEquals(#peaks(record({ rateVariation = 0 }, 3, 150), 500, 32767), 72, 1)
end

function TestEcg:test_amplitude_and_resolution()
  for width, full in pairs { [1] = 127, [2] = 32767, [4] = 2147483647 } do
    local list = record({ sampleSize = width * 8, noiseLevel = 0, amplitude = 0.5 }, 5, 20, width)
    luaunit.assertAlmostEquals(math.max(unpack(list)), full * 0.5, full * 0.02)
    luaunit.assertTrue(math.min(unpack(list)) < -0.05 * full)
  end
  local loud = record({ noiseLevel = 1, amplitude = 1, sampleSize = 8 }, 5, 20, 1)
  luaunit.assertTrue(math.max(unpack(loud)) <= 127 and math.min(unpack(loud)) >= -127)
end

function TestEcg:test_blocks_join_without_a_seam()
  local list = record({ noiseLevel = 0, rateVariation = 0 }, 2, 20)
  local steepest = 0
  for i = 2, 200 do
    steepest = math.max(steepest, math.abs(list[i] - list[i - 1]))
  end
  for _, i in ipairs(peaks(list, 500, 32767)) do
    steepest = math.max(steepest, math.abs(list[i] - list[i - 1]), math.abs(list[i] - list[i - 4]))
  end
  for seam = 201, #list, 200 do
    luaunit.assertTrue(math.abs(list[seam] - list[seam - 1]) <= steepest)
  end
end

function TestEcg:test_a_block_depends_on_device_and_tick_only()
  local ecg = load "ecg_generator"
  local one, again, other = ecg({}, device(1)), ecg({}, device(1)), ecg({}, device(2))
  luaunit.assertTrue(one(5, 0) == again(5, 99))
  again(900, 0)
  luaunit.assertTrue(one(6, 0) == again(6, 0))
  luaunit.assertTrue(one(5, 0) ~= other(5, 0))
  luaunit.assertTrue(one(5, 0) ~= one(6, 0))
end

function TestEcg:test_noise_level()
  local clean = record({ noiseLevel = 0, rateVariation = 0 }, 4, 100)
  local noisy = record({ noiseLevel = 0.05, rateVariation = 0 }, 4, 100)
  local sum = 0
  for i = 1, #clean do
    sum = sum + (noisy[i] - clean[i]) ^ 2
  end
  luaunit.assertAlmostEquals(math.sqrt(sum / #clean) / (0.8 * 32767), 0.05, 0.002)
end

function TestEcg:test_mistakes()
  local ecg = load "ecg_generator"
  luaunit.assertErrorMsgContains('did you mean "samples"', ecg, { sampels = 3 }, device(1))
  luaunit.assertErrorMsgContains("8, 16 or 32", ecg, { sampleSize = 12 }, device(1))
  luaunit.assertErrorMsgContains("8, 16 or 32", ecg, { sampleSize = 24 }, device(1))
  luaunit.assertErrorMsgContains("noiseLevel", ecg, { noiseLevel = -1 }, device(1))
end

TestOthers = {}

function TestOthers:test_random_walk_stays_within_its_bounds_and_repeats()
  local walk = load "random_walk"
  local config = { min = 10, max = 12, start = 11, step = 0.5 }
  local a, b = walk(config, device(1)), walk(config, device(1))
  local path, seen = {}, {}
  for tick = 0, 2000 do
    path[tick] = a(tick, 0)
    luaunit.assertTrue(path[tick] >= 10 and path[tick] <= 12)
    luaunit.assertTrue(tick == 0 or math.abs(path[tick] - path[tick - 1]) <= 0.5)
    seen[path[tick]] = true
  end
  luaunit.assertEquals(path[0], 11)
  luaunit.assertEquals(b(1500, 0), path[1500])
  luaunit.assertEquals(b(3, 0), path[3])
  luaunit.assertTrue(next(seen, next(seen)) ~= nil)
  luaunit.assertNotEquals(walk(config, device(2))(1500, 0), path[1500])
  luaunit.assertErrorMsgContains('"min"', walk, { min = 5, max = 5 }, device(1))
end

function TestOthers:test_daily_cycle()
  local cycle = load "daily_cycle"({ mean = 20, amplitude = 5, day = "24h", peak = 0.5 }, device(1))
  luaunit.assertAlmostEquals(cycle(0, 86400 * 3 + 43200), 25, 1e-6)
  luaunit.assertAlmostEquals(cycle(0, 86400 * 3), 15, 1e-6)
  luaunit.assertAlmostEquals(cycle(0, 21600), 20, 1e-6)
  local noisy = load "daily_cycle"({ mean = 0, amplitude = 0, noise = 2 }, device(1))
  luaunit.assertEquals(noisy(7, 0), noisy(7, 0))
  luaunit.assertNotEquals(noisy(7, 0), noisy(8, 0))
  luaunit.assertErrorMsgContains('did you mean "mean"', load "daily_cycle", { meen = 2 }, device(1))
end

os.exit(luaunit.LuaUnit.run())

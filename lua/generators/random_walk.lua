-- A value that wanders: each tick adds a random step, and the bounds reflect. Steps depend on (device, tick) only, so
-- the path is the same however often it is asked for; a restarted worker walks it again up to the tick that is due.
local noise = require "iotix.noise"
local options = require "iotix.options"

local settings = {
  min = { type = "number", default = 0, doc = "lower bound" },
  max = { type = "number", default = 100, doc = "upper bound" },
  start = { type = "number", doc = "first value; default: the middle" },
  step = { type = "number", default = 1, min = 0, doc = "longest step of one tick" },
}

return function(config, device)
  local c, message = options.parse(config, settings)
  if not c then
    error("random_walk: " .. message, 0)
  elseif c.min >= c.max then
    error(("random_walk: \"min\" (%s) must be below \"max\" (%s)"):format(c.min, c.max), 0)
  end
  local low, high, longest = c.min, c.max, math.min(c.step, c.max - c.min)
  local first = math.max(low, math.min(high, c.start or (low + high) / 2))
  local seed = noise.seed(device)
  local value, state, done = first, seed, 0

  return function(tick)
    if tick < done then
      value, state, done = first, seed, 0
    end
    while done < tick do
      state = noise.step(state)
      value = value + state / 2147483648 * longest
      value = value > high and 2 * high - value or value < low and 2 * low - value or value
      done = done + 1
    end
    return value
  end
end

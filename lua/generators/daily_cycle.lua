-- A value with the rhythm of a day: mean + amplitude × cos(2π × (time of day − peak) ÷ day), plus noise. `day` may
-- be short, to see days pass in minutes.
local noise = require "iotix.noise"
local options = require "iotix.options"

local settings = {
  mean = { type = "number", default = 20, doc = "middle of the cycle" },
  amplitude = { type = "number", default = 5, doc = "how far it swings to either side" },
  day = { type = "duration", default = "24h", min = 0.001, doc = "length of a cycle" },
  peak = { type = "number", default = 14 / 24, min = 0, max = 1, doc = "when it is highest: share of the day (UTC)" },
  noise = { type = "number", default = 0, min = 0, doc = "added at random, at most this much to either side" },
}

return function(config, device)
  local c, message = options.parse(config, settings)
  if not c then
    error("daily_cycle: " .. message, 0)
  end
  local mean, amplitude, day, peak, level = c.mean, c.amplitude, c.day, c.peak, c.noise
  local seed = noise.seed(device)

  return function(tick, now)
    local value = mean + amplitude * math.cos(2 * math.pi * (now % day / day - peak))
    return value + level * noise.uniform(seed, tick)
  end
end

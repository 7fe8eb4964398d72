-- Values by a function of your own: tide gauges with the moon's rhythm, written down in this file.
-- Change it:  -e gauges=500   -e cycle=10s   (length of a tide; in nature 12.4 h)
-- A generator that several scenarios share is a file generators/NAME.lua, which returns the same function.
local iotix = require "iotix"

-- Called once for each device; what it returns is called for each value. The same seed gives the same values.
local function tide(config, device)
  local phase = device:random() * 2 * math.pi
  local range = config.range * (0.8 + 0.4 * device:random())
  return function(tick)
    return range * math.sin(2 * math.pi * tick * config.step / config.cycle + phase)
  end
end

return iotix.scenario {
  name = "custom-generator",
  options = { gauges = 50, cycle = 5 },
  generators = { tide = tide },
  run = function(t)
    local fleet = t:group {
      count = t.options.gauges,
      group = "gauges",
      model = {
        id = "tide-gauge-v1", name = "Tide gauge", type = "sensor", protocol = "mqtt",
        connection = { topicPattern = "sea/${deviceId}/level", qos = 1 },
        telemetry = { {
          name = "level", type = "number", unit = "m", precision = 2, intervalMs = 250,
          generator = { type = "custom", handler = "tide",
            config = { range = 3, cycle = t.options.cycle, step = 0.25 } },
        } },
      },
    }
    local levels = t:subscribe "sea/gauges-0/level"
    fleet:start()
    fleet:wait { connected = "100%" }

    local low, high = math.huge, -math.huge
    t:sleep(t.options.cycle + 0.5)
    for message in levels:messages(0) do
      low, high = math.min(low, message.json.level), math.max(high, message.json.level)
    end
    t:log("a tide of %.2f m", high - low)
    t:check("ebb and flow", low < -1 and high > 1)
    fleet:stop()
  end,
}

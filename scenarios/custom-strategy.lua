-- Devices that start and drop as you say: morning traffic as a bell curve, then a failure that runs along a line.
-- Change it:  -e devices=10k   -e minutes=0.5   and the two functions.
-- A strategy that several scenarios share is a file strategies/launch/NAME.lua.
local iotix = require "iotix"

-- Starts are dense in the middle of the window: the inverse of the logistic curve, which is close to a bell's.
local bell = {
  settings = {
    minutes = { type = "number", default = 1, min = 0.01, doc = "length of the window" },
  },
  new = function(settings, count)
    local middle, width = settings.minutes * 30, settings.minutes * 60 / 12
    return function(k)
      local share = (k + 0.5) / count
      return math.max(0, middle + width * math.log(share / (1 - share)))
    end
  end,
}

return iotix.scenario {
  name = "custom-strategy",
  options = { devices = 500, minutes = 0.1 },
  strategies = { launch = { bell = bell } },
  run = function(t)
    local fleet = t:group { model = "temperature-sensor-v1", count = t.options.devices, group = "homes" }
    fleet:start { strategy = "bell", minutes = t.options.minutes }
    fleet:wait { connected = "100%", timeout = "2m" }

    -- A function may stand in for a strategy. It travels to the workers: what it uses from outside must be plain data.
    local speed = 100 -- devices per second
    local outage = fleet:dropout {
      strategy = function(k) return k / speed end,
      select = function(device) return device.index < 200 end,
      reconnect = true, reconnectDelayMs = 500,
    }
    t:check("the first 200 are hit", outage.chosen == math.min(200, fleet:count()))
    outage:wait()
    fleet:wait { connected = "100%" }
    fleet:stop()
  end,
}

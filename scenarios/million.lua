-- A million devices, each with one small message a minute: as many brokers as it takes, devices spread over them.
-- Change it:  -e devices=200k   -e interval=30   (seconds)   -e connects=5000   (starts a second)   -e hold=5m
-- It needs    --broker HOST:PORT,HOST:PORT,…  one broker for every 18,000 devices where a process may open 20,000 files.
local iotix = require "iotix"

return iotix.scenario {
  name = "million",
  description = "a large fleet that says little",
  options = { devices = 1000000, interval = 60, connects = 15000, hold = "1m", patience = 300 },
  thresholds = {
    ["connect.success"] = "rate>99%",
    ["messages.lost"] = "count==0",
  },
  run = function(t)
    local devices = t.options.devices
    local fleet = t:group {
      model = {
        id = "meter",
        name = "Meter",
        type = "sensor",
        protocol = "mqtt",
        connection = { topicPattern = "m/${deviceId}", qos = 0, keepAlive = 1800 },
        telemetry = {
          {
            name = "v",
            type = "integer",
            intervalMs = t.options.interval * 1000,
            phase = "random", -- nobody is in step with anybody
            generator = { type = "random", min = 0, max = 999 },
          },
        },
      },
      count = devices,
      group = "meters",
      id = "m{index}",
    }
    local began = t:now()
    fleet:start { strategy = "linear", delayMs = 1000 / t.options.connects }
    fleet:wait { connected = "100%", timeout = t.options.patience + devices / t.options.connects }
    t:event("all connected", { seconds = t:now() - began })
    t:log("%d devices connected after %.1f s", devices, t:now() - began)
    t:sleep(t.options.hold)
    t:check("everybody is still connected", fleet:count "connected" == devices)
  end,
}

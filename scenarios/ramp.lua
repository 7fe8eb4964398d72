-- Load in stages, as in a capacity test: a slow start, a plateau, a jump, a second plateau.
-- Change it:  -e devices=50k   -e ramp=2m   -e plateau=5m   and the stages below.
-- It fails as soon as publishing is slow for 10 s in a row: the printed time tells at how many devices.
local iotix = require "iotix"

return iotix.scenario {
  name = "ramp",
  options = { devices = 2000, ramp = "10s", plateau = "5s" },
  thresholds = {
    ["mqtt.publish.latency"] = { threshold = "p(95)<1s over 10s", abortOnFail = true, delayAbort = "5s" },
    ["connect.time"] = "p(99)<2s",
  },
  run = function(t)
    local fleet = t:group { model = "temperature-sensor-v1", count = t.options.devices, group = "ramp" }

    fleet:start {
      strategy = "stages",
      stages = {
        { duration = t.options.ramp, target = "50%" },    -- up to half of them, evenly
        { duration = t.options.plateau, target = "50%" }, -- hold
        { duration = "2s", target = "90%" },              -- a jump
        { duration = t.options.ramp, target = "100%" },   -- and the rest
      },
    }
    t:every("5s", function()
      t:log("%d connected, p95 %.1f ms", fleet:count "connected", t:metric("mqtt.publish.latency").p95 or 0)
    end)
    fleet:wait { connected = "100%" }
    t:sleep(t.options.plateau)
    t:check("nobody gave up", fleet:count "error" == 0)
    fleet:stop()
  end,
}

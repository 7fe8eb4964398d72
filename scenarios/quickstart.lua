-- A first fleet: 1,000 environmental sensors connect, publish for a while, and stop.
-- Change it:  -e devices=10k   -e hold=1m   -e pace=5   (milliseconds between two starts)
-- Look at it: mosquitto_sub -h HOST -p PORT -t 'devices/+/telemetry' -v   (the run prints the broker's address)
local iotix = require "iotix"

return iotix.scenario {
  name = "quickstart",
  description = "1,000 environmental sensors on one broker",
  options = { devices = 1000, hold = "6s", pace = 2 },
  thresholds = {
    ["mqtt.publish.latency"] = "p(95)<500ms",
    ["connect.success"] = "rate>99%",
    ["messages.lost"] = "count==0",
  },
  run = function(t)
    local fleet = t:group {
      model = "environmental-sensor-v1",
      count = t.options.devices,
      group = "sensors",
      id = "sensor-{index}",
    }
    local observer = t:subscribe "devices/+/telemetry"

    fleet:start { strategy = "linear", delayMs = t.options.pace }
    fleet:wait { connected = "100%" }
    t:sleep(t.options.hold)

    t:check("everybody is still connected", fleet:count "connected" == fleet:count())
    local message = observer:expect { match = { temperature = function(v) return v >= 15 and v <= 35 end } }
    t:check("temperatures arrive, and make sense", message)
    t:check("a message for every device", observer:count() >= fleet:count())

    fleet:stop()
  end,
}

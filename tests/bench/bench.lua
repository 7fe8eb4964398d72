-- What tests/bench measures: devices that publish about 200 bytes of JSON with QoS 0, `rate` messages a second in all.
-- With rate=0 they connect, stay for `duration`, and go.
local iotix = require "iotix"

return iotix.scenario {
  name = "bench",
  options = { devices = 2000, rate = 5000, duration = "20s" },
  run = function(t)
    local devices, rate = t.options.devices, t.options.rate
    if devices == 0 then
      t:sleep(t.options.duration)
      return
    end
    local fleet = t:group {
      model = {
        id = "bench-sensor",
        name = "Bench sensor",
        type = "sensor",
        protocol = "mqtt",
        connection = { topicPattern = "devices/${deviceId}/telemetry", qos = 0 },
        telemetry = {
          {
            name = "temperature",
            type = "number",
            unit = ("x"):rep(105), -- makes the payload 200 bytes long
            intervalMs = rate > 0 and devices * 1000 / rate or 86400000,
            phase = "random",
            precision = 3,
            generator = { type = "random", min = 10, max = 99 },
          },
        },
      },
      count = devices,
      group = "bench",
      id = "bench-{index}",
    }
    fleet:start { strategy = "linear", delayMs = 0.2 }
    fleet:wait { connected = "100%", timeout = "120s" }
    t:sleep(t.options.duration)
    t:check("all stayed connected", fleet:count "connected" == fleet:count())
    fleet:stop()
  end,
}

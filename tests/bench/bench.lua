-- What tests/bench measures: devices that publish 200 bytes of JSON, `rate` messages a second in all; with rate=0 they
-- only stay connected. Lines "mark NAME SENT" on stdout tell bench.py when to look at the processes.
local iotix = require "iotix"

local function mark(t, name)
  io.stdout:write(("mark %s %d\n"):format(name, t:metric("messages.sent").value))
  io.stdout:flush()
end

return iotix.scenario {
  name = "bench",
  options = { devices = 2000, rate = 20000, qos = 0, delay = 0.2, settle = "1s", duration = "2s", drops = 0,
    observe = false },
  run = function(t)
    local devices, rate = t.options.devices, t.options.rate
    local fleet = t:group {
      model = {
        id = "bench-sensor",
        name = "Bench sensor",
        type = "sensor",
        protocol = "mqtt",
        connection = { topicPattern = "devices/${deviceId}/telemetry", qos = t.options.qos },
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
    if t.options.observe then
      t:observe { topics = "devices/#", qos = 0 }
    end
    fleet:start { strategy = "linear", delayMs = t.options.delay }
    fleet:wait { connected = "100%", timeout = "120s" }
    mark(t, "connected")
    t:sleep(t.options.settle)
    mark(t, "begin")
    t:sleep(t.options.duration)
    mark(t, "end")
    t:check("all stayed connected", fleet:count "connected" == fleet:count())
    if t.options.drops > 0 then -- how late drops are
      fleet:dropout { strategy = "linear", delayMs = 0.2, percentage = 50 }:wait "60s"
    end
    fleet:stop()
  end,
}

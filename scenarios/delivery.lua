-- Every message accounted for: what QoS 0 and QoS 1 deliver while devices lose power; restart your broker meanwhile, too.
-- Change it:  -e devices=5k   -e hold=1m   -e outages=5   -e late=500ms
-- It passes if everything that the broker acknowledged has arrived, once and in order; what else got lost, it shows.
local iotix = require "iotix"

return iotix.scenario {
  name = "delivery",
  options = { devices = 200, hold = "2s", outages = 2, late = "2s" },
  thresholds = {
    ["delivery.latency"] = "p(95)<500ms",
    ["delivery.reordered"] = "count==0",
    ["delivery.corrupt"] = "count==0",
    ["delivery.unknown"] = "count==0",
  },
  run = function(t)
    local ledger = t:observe { topics = "delivery/#", qos = 1, lateAfter = t.options.late }
    local fleets = {}
    for qos = 0, 1 do
      fleets[qos] = t:group {
        model = "environmental-sensor-v1", count = t.options.devices, group = "qos" .. qos,
        connection = { qos = qos, topicPattern = "delivery/qos" .. qos .. "/${deviceId}" },
      }
      fleets[qos]:start { strategy = "linear", delayMs = 500 / t.options.devices }
    end
    for qos = 0, 1 do
      fleets[qos]:wait { connected = "100%" }
    end

    for outage = 1, t.options.outages do
      t:sleep(t.options.hold)
      t:event("power cut " .. outage)
      for qos = 0, 1 do
        fleets[qos]:dropout { strategy = "random", percentage = 30, durationMs = 1000, reconnect = true, reconnectDelayMs = 500 }
      end
      t:sleep(t.options.hold)
    end
    for qos = 0, 1 do
      fleets[qos]:wait { connected = "100%", timeout = "1m" }
      fleets[qos]:stop()
    end

    ledger:wait "5s" -- or less: what a power cut swallowed does not come
    for qos = 0, 1 do
      local tags = { group = "qos" .. qos }
      local counts = ledger:counts(tags)
      t:log("QoS %d: %d sent, %d delivered, %d of them more than once", qos, counts.sent, counts.delivered, counts.duplicated)
    end
    local acknowledged = t:metric("messages.acked", { group = "qos1" }).value
    t:check("what was acknowledged has arrived", ledger:counts({ group = "qos1" }).delivered >= acknowledged)
    t:check("nothing came twice", ledger:counts().duplicated == 0)
  end,
}

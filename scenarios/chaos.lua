-- Three failures in a row: a network partition, a cascade that accelerates, and random losses in the field.
-- Change it:  -e devices=5k   -e scale=1   (scale stretches all times; 1 is life-size: minutes)
-- It passes if every device comes back each time, and the backend stays fast meanwhile.
local iotix = require "iotix"

return iotix.scenario {
  name = "chaos",
  options = { devices = 500, scale = 0.05 },
  thresholds = {
    ["mqtt.publish.latency"] = "p(95)<500ms",
    ["connection.outage"] = "p(99)<3m",
    ["connect.success"] = "rate>95%",
  },
  run = function(t)
    local fleet = t:group { model = "environmental-sensor-v1", count = t.options.devices, group = "field" }
    fleet:start { strategy = "batch", batchSize = 100, delayMs = 200 }
    fleet:wait { connected = "100%" }

    local function survive(what, dropout)
      t:event(what)
      local outage = fleet:dropout(dropout)
      local report = outage:wait "10m"
      fleet:wait { connected = "100%", timeout = "2m" }
      t:log("%s: %d of %d dropped, back after at most %.0f ms", what, report.dropped, outage.eligible,
        report.backMs.p100)
      t:check(what .. ": everybody is back", report.back == outage.chosen)
    end

    local scale = t.options.scale
    survive("network partition", {
      strategy = "immediate", percentage = 30, reconnect = true, reconnectDelayMs = 120000 * scale,
    })
    survive("cascading failure", {
      strategy = "exponential", percentage = 50, delayMs = 1000 * scale, exponentBase = 2,
      reconnect = true, reconnectDelayMs = 30000 * scale,
    })
    survive("random field failures", {
      strategy = "random", percentage = 20, durationMs = 300000 * scale,
      reconnect = true, reconnectDelayMs = 60000 * scale,
    })

    fleet:stop()
  end,
}

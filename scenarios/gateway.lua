-- Industrial gateways under load: when a CPU is busy above 90 %, the model's alert must arrive.
-- Change it:  -e gateways=50   -e busy=97
-- The alert is part of the model (industrial-gateway-v1); the scenario only makes the CPU busy.
local iotix = require "iotix"

return iotix.scenario {
  name = "gateway",
  options = { gateways = 10, busy = 95 },
  thresholds = { ["mqtt.publish.latency"] = "p(95)<1s" },
  run = function(t)
    local plant = t:group {
      model = "industrial-gateway-v1",
      count = t.options.gateways,
      group = "plant",
      id = "gw-{index}",
      tags = { site = "north" },
    }
    local alerts = t:subscribe "gateways/+/alerts"
    plant:start()
    plant:wait { connected = "100%" }
    t:check("no alert while all is well", not alerts:next "2s")

    local hot = plant:device(0)
    hot:set("cpuUsage", t.options.busy)
    -- Gateways report every 10 s: the alert comes with the next report.
    local alert = alerts:expect { match = { type = "highCpu", value = t.options.busy }, within = "15s" }
    t:check("the busy gateway raised the alert", alert and alert.topic == "gateways/gw-0/alerts")
    t:check("its last value is the busy one", hot:value "cpuUsage" == t.options.busy)
    plant:stop()
  end,
}

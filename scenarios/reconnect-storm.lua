-- What a restart of the broker does to it: all devices lose their connection at once and come back at once.
-- Change it:  -e devices=20k   -e storms=10   -e delay=0   (milliseconds until they come back; 0 is the worst case)
-- The trend reconnect_time is measured by the scenario itself and judged like any other metric.
local iotix = require "iotix"

local reconnect_time = iotix.metric.trend "reconnect_time"

return iotix.scenario {
  name = "reconnect-storm",
  options = { devices = 1000, storms = 3, delay = 0, calm = "1s" },
  thresholds = {
    ["reconnect_time"] = "max<30s",
    ["connect.refused"] = "count==0",
  },
  run = function(t)
    local fleet = t:group { model = "temperature-sensor-v1", count = t.options.devices, group = "storm" }
    fleet:start { strategy = "linear", delayMs = 1 }
    fleet:wait { connected = "100%" }

    for storm = 1, t.options.storms do
      local began = t:now()
      fleet:dropout { strategy = "immediate", reconnect = true, reconnectDelayMs = t.options.delay }:wait()
      fleet:wait { connected = "100%", timeout = "1m" }
      local took = t:now() - began
      reconnect_time:add(took * 1000)
      t:log("storm %d: everybody was back after %.2f s", storm, took)
      t:sleep(t.options.calm)
    end

    t:check("as many as before", fleet:count "connected" == fleet:count())
    fleet:stop()
  end,
}

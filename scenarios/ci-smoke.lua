-- A gate for pipelines: some seconds that tell whether a broker takes a small fleet, and loses nothing and nobody.
-- Change it:  -e devices=200   -e hold=20s   --broker mqtt://staging:1883
-- The exit code is the verdict: 0 passed, 99 failed, 111 this machine was too slow to tell.
local iotix = require "iotix"

return iotix.scenario {
  name = "ci-smoke",
  options = { devices = 100, hold = "5s" },
  tags = { suite = "smoke" },
  thresholds = {
    ["connect.success"] = "rate>99%",
    ["mqtt.publish.latency"] = { "p(95)<500ms", "max<5s" },
    ["messages.lost"] = "count==0",
    checks = "rate==100%",
  },
  setup = function(t)
    return { marker = "smoke/" .. t.seed }
  end,
  run = function(t, prepared)
    local fleet = t:group { model = "temperature-sensor-v1", count = t.options.devices, group = "smoke" }
    fleet:start { strategy = "linear", delayMs = 5 }
    fleet:wait { connected = "100%", timeout = "30s" }

    t:expect_message {
      topic = prepared.marker,
      match = { hello = "world" },
      within = "5s",
      after = function() fleet:device(0):publish(prepared.marker, { hello = "world" }) end,
    }
    t:sleep(t.options.hold)

    fleet:dropout { strategy = "immediate", percentage = 20, reconnect = true, reconnectDelayMs = 500 }:wait "30s"
    fleet:wait { connected = "100%", timeout = "30s" }
    t:check("nobody is in error", fleet:count "error" == 0)
  end,
  teardown = function(t)
    t:log "smoke test ended"
  end,
}

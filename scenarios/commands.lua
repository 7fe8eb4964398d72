-- Commands: gateways are told to reboot and to update, as a backend would, and answer.
-- Change it:  -e gateways=100   and the model below, which says which commands there are and how they are answered.
-- Commands also come from outside: mosquitto_pub -t gateways/gw-3/commands/reboot -m '{}'
local iotix = require "iotix"

local model = {
  id = "remote-gateway-v1", name = "Gateway with commands", type = "gateway", protocol = "mqtt",
  connection = { topicPattern = "gateways/${deviceId}/data", qos = 1 },
  telemetry = {
    { name = "load", type = "number", intervalMs = 1000, generator = { type = "random", min = 0, max = 1 } },
  },
  commands = {
    { name = "reboot", topic = "gateways/${deviceId}/commands/reboot", -- built in: goes away, comes back after delayMs
      parameters = { { name = "delayMs", type = "integer" } },
      response = { topic = "gateways/${deviceId}/answers" } },
    { name = "setInterval", topic = "gateways/${deviceId}/commands/interval",
      parameters = { { name = "seconds", type = "integer", required = true } },
      response = { topic = "gateways/${deviceId}/answers" } },
  },
}

return iotix.scenario {
  name = "commands",
  options = { gateways = 20 },
  thresholds = { ["commands.invalid"] = "count==1" },
  run = function(t)
    local fleet = t:group { model = model, count = t.options.gateways, group = "gateways", id = "gw-{index}" }
    fleet:start()
    fleet:wait { connected = "100%" }

    local answers = t:subscribe "gateways/+/answers"
    for _, gateway in ipairs(fleet:sample(5)) do
      gateway:command("reboot", { delayMs = 500 })
      local answer = answers:expect { match = { status = "ok" } }
      t:check("reboot was answered", answer)
    end

    t:wait_until(function()
      return t:metric("connection.reconnected").count >= 5
    end, "30s", "five gateways to come back")
    fleet:wait { connected = "100%" }

    local gateway = fleet:device(0)
    local taken = pcall(gateway.command, gateway, "setInterval", { seconds = "often" })
    t:check("wrong parameters are refused", not taken)
    gateway:command("setInterval", { seconds = 5 })
    t:check("right ones are answered", answers:expect { match = { status = "ok" } })

    fleet:stop()
  end,
}

-- A battery: every published value costs some charge. The level is an attribute of the model; when it is empty, the device
-- falls silent until somebody charges it.
local options = require "iotix.options"

local settings = {
  attribute = { type = "string", default = "battery", doc = "the attribute that shows the level, in percent" },
  costPercent = { type = "number", default = 0.01, min = 0, doc = "charge that a published value costs" },
  startPercent = { type = "number", default = 100, min = 0, max = 100, doc = "level at the start" },
  spreadPercent = { type = "number", default = 0, min = 0, max = 100, doc = "devices start at most this much lower" },
  chargeMs = { type = "number", default = 60000, min = 0, doc = "how long charging takes" },
}

return function(config)
  local c = assert(options.parse(config, settings))

  local function show(device, level)
    device.state.level = level
    device:set(c.attribute, math.floor(level * 100 + 0.5) / 100)
  end

  return {
    on_start = function(device)
      show(device, math.max(0, c.startPercent - device:random() * c.spreadPercent))
    end,

    on_telemetry = function(device, name)
      if name == c.attribute or device.state.charging then
        return
      end
      show(device, math.max(0, device.state.level - c.costPercent))
      if device.state.level == 0 then
        device.state.charging = true
        device:event "battery empty"
        device:disconnect { mode = "abort", reconnectDelayMs = c.chargeMs }
      end
    end,

    on_connect = function(device)
      if device.state.charging then
        device.state.charging = nil
        show(device, 100)
      end
    end,
  }
end

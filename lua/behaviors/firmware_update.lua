-- A device that updates itself: told to by a command, it answers, goes away, comes back after a while, and reports how it
-- went. A share of the updates fails.
local options = require "iotix.options"

local settings = {
  command = { type = "string", default = "updateFirmware", doc = "the model's command that starts an update" },
  durationMs = { type = "number", default = 5000, min = 0, doc = "how long the device is away" },
  failureRate = { type = "number", default = 0, min = 0, max = 1, doc = "share of the updates that fail" },
  topic = { type = "string", default = "devices/${deviceId}/firmware", doc = "where the device reports" },
}

local grace = 0.2 -- seconds for the answer to leave before the connection goes

return function(config)
  local c = assert(options.parse(config, settings))

  return {
    on_command = function(device, name, parameters)
      if name ~= c.command then
        return nil -- not ours
      elseif device.state.update then
        return false, "an update is running"
      end
      device.state.update = { url = parameters.firmwareUrl, ok = device:random() >= c.failureRate }
      device:after(grace, function()
        device:disconnect { mode = "close", reconnectDelayMs = c.durationMs }
      end)
      return true
    end,

    on_connect = function(device)
      local update = device.state.update
      if update then
        device.state.update = nil
        device:event("firmware update", update)
        device:publish(c.topic, { deviceId = device.id, url = update.url, status = update.ok and "done" or "failed" })
      end
    end,
  }
end

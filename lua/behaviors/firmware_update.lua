-- A device that updates itself: on the command it goes silent, comes back after `durationMs` with the new version, and
-- reports how it went. A share of `failureRate` of the updates fails.
return function(config)
  local duration, failure_rate = (config.durationMs or 5000) / 1000, config.failureRate or 0

  return {
    command = function(device, name, parameters)
      if name ~= (config.command or "updateFirmware") then
        return
      end
      local failed = device:random() < failure_rate
      device:event("firmware update", { url = parameters.firmwareUrl, failed = failed })
      device:disconnect { mode = "close", reconnectDelayMs = duration * 1000 }
      device:after(duration + 1, function()
        device:publish(nil, { event = "firmware", ok = not failed, url = parameters.firmwareUrl })
      end)
    end,
  }
end

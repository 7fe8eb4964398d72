-- What tests/bench measures of group orders: how long starting, counting and dropping out `devices` created devices keep
-- the scenario waiting, in ms. The start gives every device an instant that never comes: they stay created.
local iotix = require "iotix"

local function timed(t, name, order)
  local before = t:now()
  local value = order()
  io.stdout:write(("%s %.3f\n"):format(name, (t:now() - before) * 1000))
  io.stdout:flush()
  return value
end

return iotix.scenario {
  name = "group",
  options = { devices = 1000000 },
  run = function(t)
    local devices = t.options.devices
    local fleet
    timed(t, "create", function()
      fleet = t:group { model = "environmental-sensor-v1", count = devices, id = "sensor-{index}" }
    end)
    timed(t, "start", function()
      fleet:start(function(k) return 1e6 + k end)
    end)
    timed(t, "count", function() return fleet:count "created" end)
    timed(t, "dropout", function() return fleet:dropout { strategy = "immediate", percentage = 30 } end)
    t:sleep "4s"
    t:check("all are created", fleet:count "created" == devices)
    timed(t, "start again", function()
      fleet:start(function(k) return 1e6 + k end)
    end)
    timed(t, "count again", function() return fleet:count "created" end)
    timed(t, "dropout again", function() return fleet:dropout { strategy = "immediate", percentage = 30 } end)
    timed(t, "stop", function() fleet:stop() end)
  end,
}

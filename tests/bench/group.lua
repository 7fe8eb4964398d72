-- What tests/bench measures of group orders: how long starting, counting, dropping out and stopping `devices` created
-- devices keep the scenario waiting, in ms: "took NAME MS" on stdout. The start gives every device an instant that never
-- comes: they stay created. "again" is with all workers there.
local iotix = require "iotix"

local function timed(t, name, order)
  local before = t:now()
  local value = order()
  io.stdout:write(("took %s %.3f\n"):format(name, (t:now() - before) * 1000))
  io.stdout:flush()
  return value
end

local function never(k)
  return 1e6 + k
end

return iotix.scenario {
  name = "group",
  options = { devices = 1000000 },
  run = function(t)
    local devices = t.options.devices
    local fleet = t:group { model = "environmental-sensor-v1", count = devices, id = "sensor-{index}", group = "bench" }
    for _, suffix in ipairs { "", "-again" } do
      timed(t, "start" .. suffix, function() fleet:start(never) end)
      timed(t, "count" .. suffix, function() return fleet:count "created" end)
      timed(t, "dropout" .. suffix, function()
        return fleet:dropout { strategy = "immediate", percentage = 30 }
      end)
      fleet:each(function() end) -- answers when all workers are there
    end
    t:check("all are created", fleet:count "created" == devices)
    timed(t, "stop", function() fleet:stop() end)
  end,
}

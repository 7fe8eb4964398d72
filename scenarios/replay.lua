-- Recorded data: devices publish the rows of a CSV file, one after the other, digits unchanged.
-- Change it:  -e devices=100   -e rows=20   and the model's dataFile (replay-sensor-v1) for recordings of your own.
-- Files are looked for beside the model, then in IOTIX_DATA_PATH.
local iotix = require "iotix"

return iotix.scenario {
  name = "replay",
  options = { devices = 10, rows = 4 },
  run = function(t)
    local fleet = t:group { model = "replay-sensor-v1", count = t.options.devices, group = "replay" }
    local observer = t:subscribe "devices/replay-0/telemetry"
    fleet:start()
    fleet:wait { connected = "100%" }

    local seen = {}
    for row = 1, t.options.rows do
      local message = observer:next "5s"
      if not t:check("row " .. row .. " came", message) then
        return
      end
      seen[row] = message.json.measurement
    end
    t:log("the first rows: %s", table.concat(seen, ", "))

    -- Every device reads the same file from its start.
    local values = fleet:device(t.options.devices - 1):values()
    t:check("all devices replay", type(values.measurement) == "number")
    fleet:stop()
  end,
}

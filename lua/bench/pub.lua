-- iotix bench pub: clients that publish, each one message every so often.
local bench = require "iotix.bench"
local iotix = require "iotix"

local function model_of(o)
  local connection = bench.connection(o, o.model == "")
  connection.topicPattern = o.topic ~= "" and bench.template(o, o.topic) or nil
  connection.retain = o.retain or nil
  if o.model ~= "" then
    return o.model, connection
  end
  local generator = { type = "stamp", size = o.size }
  if o.file ~= "" then
    generator = { type = "constant", dataFile = o.file }
  elseif o.message ~= "" then
    generator = { type = "constant", value = o.message }
  end
  return bench.model(o, "bench-pub", { {
    name = "payload", type = "binary", intervalMs = o.every, generator = generator,
    total = o.limit > 0 and o.limit or nil,
  } }, connection)
end

return iotix.scenario {
  name = "bench pub",
  description = "clients that publish",
  options = bench.options { every = 1000, size = 256, message = "", file = "", model = "", retain = false },
  run = function(t)
    local limit = t.options.limit
    local model, connection = model_of(t.options)
    local fleet = bench.connect(t, { model = model, connection = connection, count = t.options.count })
    bench.hold(t, fleet, limit > 0 and function(counts)
      return counts.scheduled >= limit
    end)
    fleet:stop { drain = "10s" }
    if limit > 0 and t.options.duration == 0 then
      t:check(("all %.0f messages were sent"):format(limit), fleet:counts().sent == limit)
    end
  end,
}

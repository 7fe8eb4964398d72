-- iotix bench conn: clients that connect and stay.
local bench = require "iotix.bench"
local iotix = require "iotix"

return iotix.scenario {
  name = "bench conn",
  description = "clients that connect and stay",
  options = bench.options(),
  run = function(t)
    local fleet = bench.connect(t, { model = bench.model(t.options, "bench-conn"), count = t.options.count })
    bench.hold(t, fleet)
    t:check("all clients are still connected", fleet:count "connected" == fleet:count())
    fleet:stop()
  end,
}

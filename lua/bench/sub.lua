-- iotix bench sub: clients that subscribe and count.
local bench = require "iotix.bench"
local iotix = require "iotix"

return iotix.scenario {
  name = "bench sub",
  description = "clients that subscribe",
  options = bench.options(),
  run = function(t)
    local o = t.options
    local connection = bench.connection(o, true)
    local topics = iotix.json.array {}
    for topic in o.topic:gmatch "[^\n]+" do
      topics[#topics + 1] = { topic = bench.template(o, topic), qos = connection.qos }
    end
    connection.subscribe = topics
    local fleet = bench.connect(t, { model = bench.model(o, "bench-sub", nil, connection), count = o.count })

    local wanted = fleet:count "connected" * #topics
    local deadline = t:now() + 10
    while fleet:counts().subscribed + t:metric("subscribe.refused").count < wanted and t:now() < deadline do
      t:sleep(0.02)
    end
    t:check("all subscriptions were accepted", fleet:counts().subscribed >= wanted)
    t:log("subscribed: %d clients to %s", fleet:count "connected", (o.topic:gsub("\n", ", ")))

    bench.hold(t, fleet, o.limit > 0 and function(counts)
      return counts.received >= o.limit
    end)
    fleet:stop()
    if o.limit > 0 and o.duration == 0 then
      t:check(("%.0f messages were received"):format(o.limit), fleet:counts().received >= o.limit)
    end
  end,
}

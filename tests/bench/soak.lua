-- Much traffic and many reconnects, for soak.py: "mark NAME SENT RECONNECTED" when it is warm, and in the end.

local iotix = require "iotix"

return iotix.scenario {
  name = "soak",
  options = { devices = 1000, messages = 1e7, reconnects = 10000 },
  run = function(t)
    local fleet = t:group { model = "soak-v1.json", count = t.options.devices, group = "fleet" }
    local half = t.options.devices / 2
    local function outage()
      fleet:dropout { strategy = "random", percentage = 50, durationMs = 500, reconnect = true, reconnectDelayMs = 100 }:wait "60s"
    end
    local function mark(name)
      io.stdout:write(("mark %s %d %d\n"):format(name, fleet:counts().sent, t:metric "connection.reconnected".count))
      io.stdout:flush()
    end
    fleet:start { strategy = "linear", delayMs = 1 }
    fleet:wait { connected = "100%", timeout = "60s" }
    -- The first of everything takes memory; a run remembers its last 256 dropouts.
    for _ = 1, 260 do
      fleet:dropout { strategy = "immediate", count = 2, reconnect = true, reconnectDelayMs = 1 }:wait "60s"
    end
    outage()
    fleet:wait { connected = "100%", timeout = "60s" }
    t:sleep "5s"
    mark "warm"
    t:sleep "1s"
    local begun = fleet:counts().sent
    local rounds = math.ceil(t.options.reconnects / half)
    for round = 1, rounds do
      outage()
      t:wait_until(function() return fleet:counts().sent >= begun + t.options.messages * round / rounds end, "10m", "the messages")
    end
    fleet:wait { connected = "100%", timeout = "60s" }
    t:sleep "2s"
    mark "end"
    t:sleep "2s" -- and now the processes are looked at
  end,
}

-- The delivery ledger: observers that account for every message that devices publish (t:observe).
local class = require "iotix.class"
local host = require "iotix.host"
local json = require "iotix.json"
local options = require "iotix.options"

local Ledger = {}

local observe = { class = Ledger }

observe.options = {
  topics = { type = "string|list", default = "#", doc = "topic filters that do not overlap" },
  qos = { type = "integer", default = 1, min = 0, max = 2,
    doc = "quality of service of the observers' subscriptions; by 1 nothing is lost when an observer's connection breaks, "
      .. "and what the broker repeats of messages by QoS 2 is no duplicate; by 2 such a break can make the run invalid" },
  share = { type = "integer", default = 1, min = 1, max = 64,
    doc = "observer processes; more than one share the subscription (`$share/…`), and the order is not judged" },
  lateAfter = { type = "duration", doc = "a message is late if it arrives so long after it was due; default: none is" },
  settle = { type = "duration", default = "2s",
    doc = "in the end, what has not arrived so long after the last arrival is lost" },
  carry = { type = "string", default = "auto", values = { "auto", "field", "property" },
    doc = "where the sequence travels: in a field of JSON payloads, or in an MQTT 5 user property `seq`; auto: in the "
      .. "field where the payload is a JSON object, else in the property" },
  field = { type = "string", default = "seq", doc = "name of that field" },
  username = { type = "string", doc = "user name at the broker" },
  password = { type = "string", doc = "password at the broker" },
}

local function ms(seconds)
  return seconds and math.floor(seconds * 1000 + 0.5)
end

function observe.open(given)
  local wanted = options.check("t:observe", given, observe.options)
  local topics = json.array {}
  for i, topic in ipairs(type(wanted.topics) == "string" and { wanted.topics } or wanted.topics) do
    topics[i] = options.argument("t:observe", "topics", topic, { type = "string" })
  end
  host.call("t:observe", "observe.open", {
    topics = topics,
    qos = wanted.qos,
    observers = wanted.share,
    lateAfterMs = ms(wanted.lateAfter),
    settleMs = ms(wanted.settle),
    carry = wanted.carry,
    field = wanted.field,
    username = wanted.username,
    password = wanted.password,
  })
  return setmetatable({}, Ledger)
end

observe.figures = { "sent", "unwatched", "delivered", "missing", "inFlight", "duplicated", "reordered", "late", "stale",
  "corrupt", "unknown", "foreign", "retained" }

function Ledger:counts(tags)
  local counts = {}
  for _, name in ipairs(observe.figures) do
    local state = host.call("ledger:counts", "metric.get", { name = "delivery." .. name, tags = tags })
    counts[name] = state.value
  end
  return counts
end

function Ledger:wait(timeout)
  local limit = options.argument("ledger:wait", "timeout", timeout == nil and "30s" or timeout, { type = "duration" })
  local goal = self:counts().sent
  local counts
  local reached = host.poll(limit, function()
    counts = self:counts()
    return counts.delivered >= goal
  end)
  if reached then
    return counts
  end
  return nil, ("waited %s: %.0f of %.0f messages arrived"):format(host.seconds(limit), counts.delivered, goal)
end

class(Ledger, "ledger", {})

return observe

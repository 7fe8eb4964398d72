-- Messages that others publish, seen by an observer of our own: t:subscribe, t:expect_message.
local class = require "iotix.class"
local core = require "iotix.core"
local errors = require "iotix.errors"
local host = require "iotix.host"
local json = require "iotix.json"
local match = require "iotix.match"
local options = require "iotix.options"

local Subscription = {}

local subscription = { class = Subscription }

-- A message: topic, payload, qos, retain, at, duplicate, and json: the decoded payload, nil if it is none.
local Message = {}

function Message.__index(message, key)
  if key == "json" then
    local value = json.decode(message.payload)
    rawset(message, "json", value)
    return value
  end
end

subscription.open_options = {
  qos = { type = "integer", default = 2, min = 0, max = 2, doc = "quality of service" },
  limit = { type = "count", default = 10000, min = 1,
    doc = "messages kept until they are read; more are dropped and counted" },
  username = { type = "string", doc = "user name at the broker" },
  password = { type = "string", doc = "password at the broker" },
}

-- MQTT 3.1.1, section 4.7.1: + stands for a whole level, # for all levels from here to the end.
local function is_filter(topic)
  for level, rest in (topic .. "/"):gmatch "([^/]*)/()" do
    if level:find "[+#]" and #level > 1 or level == "#" and rest < #topic + 2 then
      return false
    end
  end
  return topic ~= "" and not topic:find "%z"
end

local function open(what, topic, settings)
  options.argument(what, "topic", topic, { type = "string" })
  if not is_filter(topic) then
    errors.raise("%s: %q is no topic filter: + stands for a whole level, # for the rest and ends it", what, topic)
  end
  local answer = host.call(what, "subscribe.open", {
    topic = topic,
    qos = settings.qos,
    limit = settings.limit,
    username = settings.username,
    password = settings.password,
  })
  return setmetatable({ id = answer.id, topic = topic, closed = false }, Subscription)
end

function subscription.open(topic, given)
  return open("t:subscribe", topic, options.check("t:subscribe", given, subscription.open_options))
end

-- The next message, or nil after `limit` seconds.
local function pop(self, limit)
  local topic, payload, qos, retain, at, duplicate = core.pop(self.id, limit)
  if topic == nil then
    return nil
  end
  return setmetatable({
    topic = topic,
    payload = payload,
    qos = qos,
    retain = retain,
    at = at,
    duplicate = duplicate,
  }, Message)
end

local function check_open(self, what)
  if self.closed then
    errors.raise("%s: the subscription to %q is closed", what, self.topic)
  end
end

local function limit_of(what, timeout, default)
  return options.argument(what, "timeout", timeout == nil and default or timeout, { type = "duration" })
end

function Subscription:next(timeout)
  check_open(self, "subscription:next")
  return pop(self, limit_of("subscription:next", timeout, "60s"))
end

function Subscription:messages(timeout)
  check_open(self, "subscription:messages")
  local quiet = limit_of("subscription:messages", timeout, "5s")
  return function()
    return pop(self, quiet)
  end
end

local function stats(self, what)
  check_open(self, what)
  return host.call(what, "subscribe.stats", { id = self.id })
end

function Subscription:count()
  return stats(self, "subscription:count").received
end

function Subscription:dropped()
  return stats(self, "subscription:dropped").dropped
end

function Subscription:pending()
  check_open(self, "subscription:pending")
  return core.pending(self.id)
end

function Subscription:close()
  if not self.closed then
    host.call("subscription:close", "subscribe.close", { id = self.id })
    self.closed = true
  end
end

local matcher_spec = { type = "function|table|string",
  doc = "function(message), a table that the JSON payload must contain, or a Lua pattern for it; default: any" }
local within_spec = { type = "duration", default = "10s", doc = "how long to wait" }

subscription.expect_options = { match = matcher_spec, within = within_spec }

local function shorten(text)
  text = text:gsub("[^\32-\126\128-\255]", ".")
  return #text > 120 and text:sub(1, 117) .. "…" or text
end

-- The first message that matches · nil, text that says what came instead.
local function await(self, what, matcher, within)
  local accepts, wrong = match.compile(matcher)
  if not accepts then
    errors.raise("%s: \"match\": %s", what, wrong)
  end
  local deadline = core.now() + within
  local seen, last = 0, nil
  while true do
    local message = pop(self, math.max(0, deadline - core.now()))
    if not message then
      break
    end
    seen, last = seen + 1, message
    if accepts(message) then
      return message
    end
  end
  return nil, ("waited %s on %q for %s; %s"):format(host.seconds(within), self.topic, match.describe(matcher), seen == 0
    and "no message came" or ("%d came, the last one: %s %s"):format(seen, last.topic, shorten(last.payload)))
end

function Subscription:expect(given)
  check_open(self, "subscription:expect")
  local wanted = options.check("subscription:expect", given, subscription.expect_options)
  return await(self, "subscription:expect", wanted.match, wanted.within)
end

subscription.message_options = {
  topic = { type = "string", required = true, doc = "topic filter" },
  match = matcher_spec,
  within = within_spec,
  qos = subscription.open_options.qos,
  after = { type = "function", doc = "called once the subscription stands: what makes the message come" },
}

-- t:expect_message: the message, or nil and a text.
function subscription.expect_message(given)
  local wanted = options.check("t:expect_message", given, subscription.message_options)
  local self = open("t:expect_message", wanted.topic, { qos = wanted.qos, limit = 10000 })
  if wanted.after then
    wanted.after()
  end
  local message, problem = await(self, "t:expect_message", wanted.match, wanted.within)
  self:close()
  return message, problem
end

class(Subscription, "subscription", { "topic" })

return subscription

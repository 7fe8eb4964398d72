-- Metrics: those that iotix measures, and a scenario's own (iotix.metric.counter and its kin).
local core = require "iotix.core"
local errors = require "iotix.errors"
local host = require "iotix.host"
local json = require "iotix.json"
local options = require "iotix.options"

local metric = {}

metric.kinds = { "counter", "gauge", "rate", "trend" }

-- name → kind of all that were declared; thresholds may refer to them.
metric.declared = {}

local function tag_text(what, tags)
  if tags == nil then
    return ""
  end
  options.argument(what, "tags", tags, { type = "table" })
  local parts = {}
  for _, key in ipairs(options.sorted_keys(tags)) do
    local value = tostring(tags[key])
    if type(key) ~= "string" or not key:match "^[%w_.-]+$" or value:find "[,:%c]" then
      errors.raise("%s: tags are names with values that hold no comma or colon, not %q = %q", what, tostring(key),
        value)
    end
    parts[#parts + 1] = key .. ":" .. value
  end
  return table.concat(parts, ",")
end

local Metric = {}
Metric.__index = Metric

function Metric:add(value, tags)
  local what = "metric:add"
  if value == nil and self.kind == "counter" then
    value = 1
  elseif type(value) == "boolean" and self.kind == "rate" then
    value = value and 1 or 0
  end
  local from_0 = self.kind == "counter" or self.kind == "trend"
  options.argument(what, "value", value, { type = "number", min = from_0 and 0 or nil })
  if value - value ~= 0 then
    errors.raise("%s: %q: the value must be finite", what, self.name)
  end
  local good, message = core.metric(self.kind, self.name, tag_text(what, tags), value)
  if good == nil and message then
    errors.raise("%s: %q: %s", what, self.name, message)
  end
end

-- Functions that travel to workers take a metric along by its kind and name.
function Metric.__travel(self)
  return "iotix.metric", self.kind, self.name
end

for _, kind in ipairs(metric.kinds) do
  metric[kind] = function(name)
    local what = "iotix.metric." .. kind
    options.argument(what, "name", name, { type = "string" })
    if not name:match "^%a[%w_.]*$" or #name > 64 then
      errors.raise('%s: %q is no name of a metric: a letter, then letters, digits, "_" and ".", at most 64', what, name)
    end
    local before = metric.declared[name]
    if before and before ~= kind then
      errors.raise("%s: %q is a %s already", what, name, before)
    end
    metric.declared[name] = kind
    return setmetatable({ kind = kind, name = name }, Metric)
  end
end

-- t:metric: a metric's state now.
function metric.get(name, tags)
  options.argument("t:metric", "name", name, { type = "string" })
  if tags ~= nil then
    options.argument("t:metric", "tags", tags, { type = "table" })
  end
  local state = host.call("t:metric", "metric.get", { name = name, tags = tags })
  for key, value in pairs(state) do
    if value == json.null then -- no samples yet
      state[key] = nil
    end
  end
  if state.kind == "counter" then
    state.count, state.rate = state.value, state.value / math.max(core.now(), 0.001)
  end
  return state
end

return metric

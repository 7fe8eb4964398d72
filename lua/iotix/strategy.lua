-- Strategies: when the k-th of n devices starts or drops. A strategy file returns
--   { doc = "one line", settings = {…described as in iotix/options.lua…}, new = function(settings, count, random) return at end }
-- with a pure function at(k) in seconds for k = 0 … count − 1, and, unless the last place is the latest one,
-- duration = function(settings, count). A plain function(k) will do as well.
local core = require "iotix.core"
local errors = require "iotix.errors"
local handler = require "iotix.handler"
local json = require "iotix.json"
local options = require "iotix.options"

local strategy = {}

strategy.defaults = { launch = "immediate", dropout = "linear" }
strategy.built_in = {
  launch = { "immediate", "linear", "batch", "exponential", "stages", "poisson" },
  dropout = { "immediate", "linear", "exponential", "random" },
}

-- Every built-in strategy takes the common fields, so that one configuration serves all of them; those without
-- meaning for a strategy are ignored.
local common = {
  launch = {
    delayMs = { type = "number", min = 0 },
    batchSize = { type = "integer", min = 1 },
    maxDelayMs = { type = "number", min = 0 },
    exponentBase = { type = "number", min = 1 },
  },
  dropout = {
    delayMs = { type = "number", min = 0 },
    durationMs = { type = "number", min = 0 },
    exponentBase = { type = "number", min = 1 },
  },
}

-- True for settings that every built-in strategy of this kind takes.
function strategy.is_common(kind, name)
  return common[kind][name] ~= nil
end

-- A function(k) is its own schedule.
local function plain(at)
  return { settings = {}, new = function()
    return at
  end, origin = errors.origin(at) }
end

-- The strategy's table · nil, message.
function strategy.find(kind, name)
  if type(name) == "function" then
    return plain(name)
  end
  local found, message, missing = handler.find("strategies/" .. kind, name)
  if found == nil and not missing then
    return nil, ("%s strategy %q: %s"):format(kind, name, message)
  elseif found == nil then
    local names = handler.declared_names("strategies/" .. kind)
    for _, word in ipairs(strategy.built_in[kind]) do
      names[#names + 1] = word
    end
    return nil, ("unknown %s strategy %q%s%s"):format(kind, tostring(name), core.suggest(tostring(name), names),
      message and " (" .. message .. ")" or "")
  end
  if type(found) == "function" then
    return plain(found)
  end
  if type(found) ~= "table" or type(found.new) ~= "function" then
    return nil, ("%s strategy %q must be { settings = …, new = function(settings, count, random) … end }"):format(kind,
      name)
  end
  return {
    settings = found.settings or {},
    new = found.new,
    duration = found.duration,
    doc = found.doc,
    origin = errors.origin(found.new),
  }
end

-- The strategy's settings with defaults · nil, message. The third result lists common fields that it ignores.
function strategy.settings(kind, name, found, given)
  local known, ignored = {}, {}
  for key, spec in pairs(found.settings) do
    known[key] = spec
  end
  if type(name) == "string" then
    for key, spec in pairs(common[kind]) do
      if not known[key] then
        known[key] = spec
        if given[key] ~= nil then
          ignored[#ignored + 1] = key
        end
      end
    end
    table.sort(ignored)
  end
  local settings, message = options.parse(given, known)
  if not settings then
    return nil, ("%s strategy%s: %s"):format(kind, type(name) == "string" and (" %q"):format(name) or "", message)
  end
  return settings, nil, ignored
end

local function prepare(kind, name, given)
  if type(given) == "string" and given ~= "" then
    local message
    given, message = json.decode(given)
    if type(given) ~= "table" then
      return nil, nil, "settings of a strategy: " .. (message or "they must be an object")
    end
  end
  local found, message = strategy.find(kind, name)
  if not found then
    return nil, nil, message
  end
  local settings
  settings, message = strategy.settings(kind, name, found, type(given) == "table" and given or {})
  return settings and found, settings, message
end

local function protect(found, f, ...)
  local good, result, message = pcall(f, ...)
  if not good then
    return nil, tostring(result)
  elseif result == nil then
    return nil, message and found.origin .. ": " .. message or found.origin .. ": the strategy returned nothing"
  end
  return result
end

-- A schedule for `count` places, at(k) · nil, message. random(k): uniform in [0, 1), pure in k.
function strategy.open(kind, name, given, count, random)
  local found, settings, message = prepare(kind, name, given)
  if not found then
    return nil, message
  end
  local at
  at, message = protect(found, found.new, settings, count, random)
  if not at then
    return nil, message
  elseif type(at) ~= "function" then
    return nil, ("%s: new must return a function at(k), not a %s"):format(found.origin, type(at))
  end
  return at
end

-- Seconds from the first to the last place, or an upper bound; for the defaults of waits.
function strategy.duration(kind, name, given, count)
  local found, settings, message = prepare(kind, name, given)
  if not found then
    return nil, message
  elseif count == 0 then
    return 0
  elseif found.duration then
    return protect(found, found.duration, settings, count)
  end
  local at
  at, message = strategy.open(kind, name, given, count, function()
    return 0.5
  end)
  if not at then
    return nil, message
  end
  return protect(found, at, count - 1)
end

-- What can be chosen from: the built-in strategies and the files of these names that are strategies, in order.
function strategy.describe(kind, files)
  local list, seen = core.array {}, {}
  local function add(name)
    local found = not seen[name] and strategy.find(kind, name)
    seen[name] = true
    if not found then
      return
    end
    local settings = core.array {}
    for key, spec in pairs(found.settings) do
      settings[#settings + 1] = {
        name = key,
        type = spec.type,
        default = spec.default,
        min = spec.min,
        max = spec.max,
        required = spec.required,
        description = spec.doc,
      }
    end
    table.sort(settings, function(a, b)
      return a.name < b.name
    end)
    list[#list + 1] = { name = name, description = found.doc or "", settings = settings }
  end
  for _, name in ipairs(strategy.built_in[kind]) do
    add(name)
  end
  for _, name in ipairs(files) do
    add(name)
  end
  return list
end

return strategy

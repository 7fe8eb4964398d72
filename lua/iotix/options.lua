-- Options of every call, checked against one description: unknown names are errors with a suggestion.
--
-- A description maps names to { type, default, min, max, values, required, doc }. Types: number, integer,
-- boolean, string, table, list, function, any, duration ("10s" or seconds), count (5000 or "5k"), or several of
-- them joined with "|". Durations come out as seconds, counts as numbers.
local core = require "iotix.core"
local errors = require "iotix.errors"

local options = {}

local function shown(value)
  if type(value) == "string" then
    return ("%q"):format(value)
  elseif type(value) == "number" or type(value) == "boolean" then
    return tostring(value)
  end
  return value == nil and "nothing" or "a " .. type(value)
end
options.shown = shown

local function is_integer(value)
  return type(value) == "number" and value == math.floor(value) and value - value == 0
end

-- Each takes a value and returns what it means, or nil if it is not of that type.
local readers = {
  number = function(value)
    return type(value) == "number" and value == value and value or nil
  end,
  integer = function(value)
    return is_integer(value) and value or nil
  end,
  list = function(value)
    return type(value) == "table" and (#value > 0 or next(value) == nil) and value or nil
  end,
  any = function(value)
    return value
  end,
  duration = function(value)
    if type(value) == "number" then
      return value == value and value >= 0 and value < math.huge and value or nil
    end
    return type(value) == "string" and core.duration(value) or nil
  end,
  count = function(value)
    if type(value) == "string" then
      return core.count(value)
    end
    return is_integer(value) and value >= 0 and value or nil
  end,
}

local texts = {
  number = "a number",
  integer = "a whole number",
  boolean = "true or false",
  string = "a text",
  table = "a table",
  list = "a list",
  ["function"] = "a function",
  any = "a value",
  duration = 'a duration such as "10s" (or seconds)',
  count = 'a number such as 5000 or "5k"',
}

local function expected(spec)
  if spec.values then
    local quoted = {}
    for i, word in ipairs(spec.values) do
      quoted[i] = ("%q"):format(word)
    end
    return table.concat(quoted, ", ", 1, #quoted - 1) .. " or " .. quoted[#quoted]
  end
  local kinds = {}
  for kind in spec.type:gmatch "[^|]+" do
    kinds[#kinds + 1] = texts[kind]
  end
  return table.concat(kinds, " or ")
end

local function range(spec)
  if spec.min and spec.max then
    return (" between %s and %s"):format(spec.min, spec.max)
  elseif spec.min then
    return (" of at least %s"):format(spec.min)
  elseif spec.max then
    return (" of at most %s"):format(spec.max)
  end
  return ""
end

-- One value: what it means · nil, message.
function options.read(spec, name, value)
  local result
  for kind in spec.type:gmatch "[^|]+" do
    local reader = readers[kind]
    if reader then
      result = reader(value)
    elseif type(value) == kind then
      result = value
    end
    if result ~= nil then
      break
    end
  end
  local good = result ~= nil
  if good and spec.values then
    good = false
    for _, word in ipairs(spec.values) do
      good = good or word == result
    end
    if not good and type(result) == "string" then
      return nil, ("%q must be %s, not %q%s"):format(name, expected(spec), result, core.suggest(result, spec.values))
    end
  end
  if good and type(result) == "number" then
    good = not (spec.min and result < spec.min or spec.max and result > spec.max)
  end
  if not good then
    return nil, ("%q must be %s%s, not %s"):format(name, expected(spec), range(spec), shown(value))
  end
  return result
end

local function sorted_keys(set)
  local keys = {}
  for key in pairs(set) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return keys
end
options.sorted_keys = sorted_keys

-- The values with defaults filled in · nil, message. `given` nil counts as empty.
function options.parse(given, specs)
  if given ~= nil and type(given) ~= "table" then
    return nil, ("wants a table of options, not %s"):format(shown(given))
  end
  given = given or {}
  local names = sorted_keys(specs)
  for _, key in ipairs(sorted_keys(given)) do
    if type(key) ~= "string" then
      return nil, ("unexpected value %s without a name"):format(shown(given[key]))
    elseif not specs[key] then
      if #names == 0 then
        return nil, ("has no option %q: it takes none"):format(key)
      end
      return nil, ("unknown option %q%s"):format(key, core.suggest(key, names))
    end
  end
  local result = {}
  for _, name in ipairs(names) do
    local spec = specs[name]
    if given[name] ~= nil then
      local value, message = options.read(spec, name, given[name])
      if value == nil then
        return nil, message
      end
      result[name] = value
    elseif spec.required then
      return nil, ("option %q is missing: %s"):format(name, spec.doc or expected(spec))
    else
      result[name] = spec.default
      if spec.default ~= nil then
        result[name] = options.read(spec, name, spec.default)
      end
    end
  end
  return result
end

-- As parse, but a mistake is an error at the scenario's line. `what` is the call, e.g. "t:group".
function options.check(what, given, specs)
  local result, message = options.parse(given, specs)
  if not result then
    errors.raise("%s: %s", what, message)
  end
  return result
end

-- One plain argument.
function options.argument(what, name, value, spec)
  local result, message = options.read(spec, name, value)
  if result == nil then
    errors.raise("%s: %s", what, message)
  end
  return result
end

return options

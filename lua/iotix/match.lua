-- Matchers for messages: a function(message), a Lua pattern for the payload, or a table that the JSON payload must
-- contain ({ status = "ok", level = function(v) return v > 3 end }; names that are not listed do not matter).
local errors = require "iotix.errors"
local json = require "iotix.json"

local match = {}

local function contains(value, wanted)
  if type(wanted) == "function" then
    return value ~= nil and wanted(value) and true or false
  elseif type(wanted) ~= "table" then
    return value == wanted
  elseif type(value) ~= "table" then
    return false
  end
  for key, part in pairs(wanted) do
    if not contains(value[key], part) then
      return false
    end
  end
  return true
end
match.contains = contains

-- What `matcher` asks for, as a text for messages.
function match.describe(matcher)
  if matcher == nil then
    return "any message"
  elseif type(matcher) == "string" then
    return ("a payload that matches %q"):format(matcher)
  elseif type(matcher) == "table" then
    local text = json.encode(matcher)
    return text and "a payload with " .. text or "a payload with the wanted fields"
  end
  return "a message that the function accepts"
end

-- Whether the pattern is found · nil, message.
local function find(text, pattern)
  local good, result = pcall(string.find, text, pattern)
  if not good then
    return nil, ("%q is no Lua pattern: %s"):format(pattern, result)
  end
  return result ~= nil
end

-- function(message) → boolean for any kind of matcher, nil accepts everything · nil, message.
function match.compile(matcher)
  if matcher == nil then
    return function()
      return true
    end
  elseif type(matcher) == "function" then
    return function(message)
      return matcher(message) and true or false
    end
  elseif type(matcher) == "string" then
    local _, problem = find("", matcher) -- some mistakes show at once
    if problem then
      return nil, problem
    end
    return function(message)
      local found, wrong = find(message.payload, matcher)
      if wrong then
        errors.raise("match: %s", wrong)
      end
      return found
    end
  end
  return function(message)
    local value = json.decode(message.payload)
    return type(value) == "table" and contains(value, matcher)
  end
end

return match

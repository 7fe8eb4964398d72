-- What scenarios hold (t, groups, devices, …) are objects of classes whose mistakes explain themselves: an unknown name
-- is an error with a suggestion, and so is a method that was called with a dot.
local core = require "iotix.core"
local errors = require "iotix.errors"

local function method(class, name, key, f)
  return function(self, ...)
    if getmetatable(self) ~= class then
      errors.raise("%s.%s(…) was called with a dot: write %s:%s(…)", name, key, name, key)
    end
    return f(self, ...)
  end
end

-- Finishes a class whose functions are all written (those with a leading underscore are not for scenarios): `name` is
-- what the documentation calls its objects, `fields` lists what they may have beside their functions.
return function(class, name, fields)
  local functions, known, names = {}, {}, {}
  for key, f in pairs(class) do
    if not key:find "^__" then
      functions[key] = method(class, name, key, f)
      names[#names + 1] = not key:find "^_" and key or nil
    end
  end
  for _, field in ipairs(fields) do
    known[field] = true
    names[#names + 1] = field
  end
  table.sort(names)
  for key, f in pairs(functions) do
    class[key] = f
  end
  class.__index = function(_, key)
    local f = functions[key]
    if f == nil and not known[key] then
      errors.raise("%s has no %q%s", name, tostring(key), core.suggest(tostring(key), names))
    end
    return f
  end
end

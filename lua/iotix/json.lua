-- JSON. Objects come out with their keys sorted and numbers with all their digits, so that payloads never depend on
-- table order.
local core = require "iotix.core"

local json = { null = require("cjson").null }

-- Marks a table as a JSON array, which matters for empty ones: {} alone is an object.
function json.array(list)
  return core.array(list or {})
end

-- JSON text · nil, message.
function json.encode(value)
  local good, result = pcall(core.encode, value)
  if good then
    return result
  end
  return nil, tostring(result)
end

-- A value (null is json.null) · nil, message.
function json.decode(text)
  if type(text) ~= "string" then
    return nil, "JSON must be a text, not a " .. type(text)
  end
  return core.decode(text)
end

return json

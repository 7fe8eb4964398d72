-- Operations of the controller, with tables instead of JSON.
local core = require "iotix.core"
local errors = require "iotix.errors"
local json = require "iotix.json"

local host = {}

-- The result · nil, message, kind.
function host.try(operation, arguments, timeout)
  local text, message = json.encode(arguments)
  if not text then
    return nil, message
  end
  local kind
  text, message, kind = core.call(operation, text, timeout)
  if not text then
    return nil, message, kind
  end
  return json.decode(text)
end

-- The result; a failure is an error at the scenario's line. `what` is the call, e.g. "t:group".
function host.call(what, operation, arguments, timeout)
  local result, message, kind = host.try(operation, arguments, timeout)
  if result ~= nil then
    return result
  elseif kind == "configuration" then
    errors.raise_configuration(what .. ": " .. message)
  elseif message == "timeout" then
    errors.raise("%s: no answer after %g s", what, timeout or 0)
  end
  errors.raise("%s: %s", what, message)
end

-- A function for workers, packed; upvalues that cannot travel are an error at the scenario's line.
function host.pack(what, f)
  local good, text = pcall(core.pack, f)
  if not good then
    errors.raise("%s: %s", what, tostring(text))
  end
  return text
end

-- Seconds as people write them.
function host.seconds(s)
  if s < 1 then
    return ("%g ms"):format(math.floor(s * 1000 + 0.5))
  elseif s < 120 then
    return ("%g s"):format(math.floor(s * 10 + 0.5) / 10)
  end
  return ("%dm %02ds"):format(math.floor(s / 60), math.floor(s % 60))
end

-- Asks `probe` until it returns something or `timeout` seconds are over: its result, or nil. Pauses grow from 5 ms, so
-- that short waits are exact and long ones cost nothing.
function host.poll(timeout, probe)
  local deadline = core.now() + timeout
  local pause = 0.005
  while true do
    local result = probe()
    if result then
      return result
    end
    local left = deadline - core.now()
    if left <= 0 then
      return nil
    end
    core.sleep(math.min(pause, left))
    pause = math.min(pause * 1.5, 0.25)
  end
end

return host

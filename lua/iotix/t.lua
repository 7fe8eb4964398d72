-- The object that a scenario's functions get: everything they can do and ask.
local class = require "iotix.class"
local core = require "iotix.core"
local data = require "iotix.data"
local device = require "iotix.device"
local errors = require "iotix.errors"
local fleet = require "iotix.fleet"
local host = require "iotix.host"
local http = require "iotix.http"
local metric = require "iotix.metric"
local observe = require "iotix.observe"
local options = require "iotix.options"
local subscription = require "iotix.subscription"
local task = require "iotix.task"

local T = {}

local t = { class = T }

-- `values` are the scenario's options.
function t.new(values)
  return setmetatable({ options = values, seed = core.seed }, T)
end

function T:group(given)
  return fleet.create("t:group", given, fleet.group_options)
end

function T:device(given)
  return device.new(fleet.create("t:device", given, fleet.device_options), 0)
end

function T:sleep(duration)
  core.sleep(options.argument("t:sleep", "duration", duration, { type = "duration" }))
end

function T:now()
  return core.now()
end

function T:wall()
  return core.wall()
end

local function record(what, name, passed, tags, reason)
  reason = not passed and reason or nil
  if reason then
    core.log("warn", ("check %q: %s"):format(name, reason))
  end
  host.call(what, "check.add", { name = name, passed = passed and true or false, tags = tags, reason = reason })
end

function T:check(name, condition, tags)
  options.argument("t:check", "name", name, { type = "string" })
  local reason
  if type(tags) == "string" then -- the message behind a nil, as in t:check("it came", sub:expect { … })
    reason, tags = tags, nil
  elseif tags ~= nil then
    options.argument("t:check", "tags", tags, { type = "table" })
  end
  record("t:check", name, condition, tags, reason)
  return condition
end

function T:fail(message)
  options.argument("t:fail", "message", message, { type = "string" })
  record("t:fail", message, false)
  errors.raise_failed(message)
end

-- Without arguments the text stands as it is: "100%" is no format.
local function line(what, format, ...)
  if select("#", ...) == 0 then
    return tostring(format)
  end
  local good, text = pcall(string.format, tostring(format), ...)
  if not good then
    errors.raise("%s: %q: %s", what, tostring(format), (text:gsub("bad argument #(%d+) to '[^']*'", function(n)
      return "argument " .. n
    end)))
  end
  return text
end

function T:log(format, ...)
  core.log("info", line("t:log", format, ...))
end

function T:warn(format, ...)
  core.log("warn", line("t:warn", format, ...))
end

function T:event(name, content)
  options.argument("t:event", "name", name, { type = "string" })
  host.call("t:event", "event.add", { name = name, data = content })
end

function T:metric(name, tags)
  return metric.get(name, tags)
end

function T:http(given)
  return http.request(given)
end

function T:data(path, given)
  return data.load(path, given)
end

function T:random(m, n)
  if m == nil then
    return core.random()
  end
  options.argument("t:random", "m", m, { type = "integer", min = n == nil and 1 or nil })
  if n == nil then
    return core.random(m)
  end
  options.argument("t:random", "n", n, { type = "integer", min = m })
  return core.random(m, n)
end

function T:subscribe(topic, given)
  return subscription.open(topic, given)
end

function T:observe(given)
  return observe.open(given)
end

function T:expect_message(given)
  local message, problem = subscription.expect_message(given)
  record("t:expect_message", "message on " .. given.topic, message, nil, problem)
  return message, problem
end

function T:spawn(f, name)
  options.argument("t:spawn", "function", f, { type = "function" })
  return task.spawn(f, name)
end

function T:parallel(functions)
  options.argument("t:parallel", "functions", functions, { type = "list" })
  for i, f in ipairs(functions) do
    options.argument("t:parallel", "function " .. i, f, { type = "function" })
  end
  return task.parallel(functions)
end

function T:every(interval, f)
  local seconds = options.argument("t:every", "interval", interval, { type = "duration", min = 0.001 })
  options.argument("t:every", "function", f, { type = "function" })
  return task.every(seconds, f)
end

function T:wait_until(f, timeout, what)
  options.argument("t:wait_until", "function", f, { type = "function" })
  local limit = options.argument("t:wait_until", "timeout", timeout == nil and "60s" or timeout, { type = "duration" })
  local result = host.poll(limit, f)
  if not result then
    errors.raise("t:wait_until: waited %s for %s", host.seconds(limit), what or "the function to return true")
  end
  return result
end

class(T, "t", { "options", "seed" })

return t

-- A group of devices: t:group returns one.
local class = require "iotix.class"
local core = require "iotix.core"
local device = require "iotix.device"
local dropout = require "iotix.dropout"
local errors = require "iotix.errors"
local host = require "iotix.host"
local json = require "iotix.json"
local options = require "iotix.options"
local strategy = require "iotix.strategy"

local Fleet = {}

function Fleet:__tostring()
  return self.id
end

local fleet = { class = Fleet }

fleet.states = { "created", "starting", "running", "stopping", "stopped", "dropped", "error", "connected" }

fleet.group_options = {
  model = { type = "string|table", required = true, doc = "a model's id, a file's path, or a model as a table" },
  count = { type = "count", default = 1, min = 1, doc = "how many devices" },
  id = { type = "string", doc = 'pattern of device ids with {index} in it; default "{groupId}-{index}"' },
  group = { type = "string", doc = "the group's id; default: chosen" },
  connection = { type = "table", doc = "laid over the model's connection" },
  tags = { type = "table", doc = "tags of the group's metrics" },
}

fleet.device_options = {}
for name, spec in pairs(fleet.group_options) do
  fleet.device_options[name] = name ~= "count" and spec or nil
end

-- t:group and, with the other description, t:device.
function fleet.create(what, given, specs)
  local wanted = options.check(what, given, specs)
  local answer = host.call(what, "group.create", wanted)
  return setmetatable({
    id = answer.group,
    size = answer.count,
    model = answer.model,
    commands = answer.commands or {},
    pattern = wanted.id or "{groupId}-{index}",
    launch_ends = 0,
  }, Fleet)
end

function Fleet:device_id(index)
  options.argument("fleet:device_id", "index", index, { type = "integer", min = 0, max = self.size - 1 })
  local group = self.id:gsub("%%", "%%%%")
  return (self.pattern:gsub("%$?{groupId}", group):gsub("%$?{index}", ("%.0f"):format(index)))
end

local function call(self, name, operation, arguments, timeout)
  arguments.group = self.id
  return host.call("fleet:" .. name, operation, arguments, timeout)
end

-- Splits { strategy = …, settings … } into operation arguments; the settings are checked here, so that the error
-- names the scenario's line.
local function strategy_arguments(what, kind, given, own, count)
  local arguments, settings = {}, {}
  for key, value in pairs(given) do
    if own[key] then
      arguments[key] = value
    elseif key ~= "strategy" then
      settings[key] = value
    end
  end
  local name = given.strategy
  if name == nil then
    name = strategy.defaults[kind]
  end
  if type(name) ~= "string" and type(name) ~= "function" then
    errors.raise("%s: \"strategy\" must be a name or a function(k) that returns seconds, not %s", what, type(name))
  end
  local found, message = strategy.find(kind, name)
  if not found then
    errors.raise("%s: %s", what, message)
  end
  for key in pairs(settings) do
    if not found.settings[key] and type(key) == "string" then
      local near = {}
      for option in pairs(own) do
        near[#near + 1] = option
      end
      table.sort(near)
      local hint = core.suggest(key, near)
      if hint:find "did you mean" and not strategy.is_common(kind, key) then
        errors.raise("%s: unknown option %q%s", what, key, hint)
      end
    end
  end
  local checked, problem, ignored = strategy.settings(kind, name, found, settings)
  if not checked then
    errors.raise("%s: %s", what, problem)
  end
  if #ignored > 0 then
    core.log("warn", ("%s: strategy %q does not use %s"):format(what, tostring(name), table.concat(ignored, ", ")))
  end
  local duration
  duration, message = strategy.duration(kind, name, settings, count)
  if not duration then
    errors.raise("%s: %s", what, message)
  elseif type(duration) ~= "number" or not (duration >= 0 and duration < math.huge) then
    errors.raise("%s: %s: device %d is put at %s: a strategy gives seconds, 0 or more", what, found.origin, count - 1,
      tostring(duration))
  end
  arguments.settings = settings
  if type(name) == "function" then
    arguments.strategy = "function at " .. found.origin:match "[^/]*$"
    arguments["function"] = host.pack(what, name)
  else
    arguments.strategy = name
  end
  return arguments, duration
end

-- What start and dropout take: { strategy = …, … }, or only a function.
local function strategy_table(what, given)
  if type(given) == "function" then
    return { strategy = given }
  elseif given ~= nil and type(given) ~= "table" then
    errors.raise('%s: wants a table such as { strategy = "linear", delayMs = 10 } or a function(k), not %s', what,
      options.shown(given))
  end
  return given or {}
end

function Fleet:start(given)
  given = strategy_table("fleet:start", given)
  local arguments, duration = strategy_arguments("fleet:start", "launch", given, {}, self.size)
  local answer = call(self, "start", "group.launch", arguments)
  self.launch_ends = core.now() + duration
  return answer.devices
end

-- What to do about the reasons of runtime/protocol/mqtt_reason.c that have one common cause.
local credentials = "give the group's connection a `username` and `password` that the broker accepts"
local address = "see that the broker runs and can be reached from here, or name another one with --broker"
local ways_out = {
  ["connection refused"] = address,
  ["connection timed out"] = address,
  ["no route to host"] = address,
  ["network unreachable"] = address,
  ["not authorised"] = credentials,
  ["bad user name or password"] = credentials,
  ["too many open files"] = "raise the limit of open files (ulimit -Hn); iotix plan says what the run needs",
  ["out of memory"] = "use fewer devices, or a host with more memory; iotix plan says what the run needs",
}

-- " (588 starting; reasons: 580× connection refused)" for errors of waits, and a way out.
local function situation(counts, skip)
  local parts = {}
  for _, state in ipairs(fleet.states) do
    if not skip[state] and (counts[state] or 0) > 0 then
      parts[#parts + 1] = ("%d %s"):format(counts[state], state)
    end
  end
  local reasons, way_out = {}, ""
  for _, entry in ipairs(counts.reasons or {}) do
    reasons[#reasons + 1] = ("%d× %s"):format(entry.count, entry.text)
    if way_out == "" and ways_out[entry.text] then
      way_out = "; " .. ways_out[entry.text]
    end
  end
  local text = table.concat(parts, ", ")
  if #reasons > 0 then
    text = text .. (text == "" and "" or "; ") .. "reasons: " .. table.concat(reasons, "; ")
  end
  return (text == "" and "" or " (" .. text .. ")") .. way_out
end

fleet.stop_options = {
  drain = { type = "duration", default = "2s", doc = "how long unacknowledged messages are waited for" },
  timeout = { type = "duration", doc = 'an error after this time; default: "60s" after the drain' },
}

local going = { "starting", "running", "stopping", "connected" }

function Fleet:stop(given)
  local wanted = options.check("fleet:stop", given, fleet.stop_options)
  local limit = wanted.timeout or wanted.drain + 60
  local answer = call(self, "stop", "group.stop", { drainMs = wanted.drain * 1000 })
  local counts
  local stopped = host.poll(limit, function()
    counts = call(self, "stop", "group.counts", {})
    for _, state in ipairs(going) do
      if counts[state] > 0 then
        return nil
      end
    end
    return true
  end)
  if not stopped then
    errors.raise("group %q: waited %s for all devices to stop%s", self.id, host.seconds(limit), situation(counts, {}))
  end
  return answer.devices
end

function Fleet:counts()
  return call(self, "counts", "group.counts", {})
end

function Fleet:count(state)
  if state == nil then
    return self.size
  end
  options.argument("fleet:count", "state", state, { type = "string", values = fleet.states })
  return self:counts()[state]
end

local function target(self, state, wanted)
  if type(wanted) == "number" then
    if wanted < 0 or wanted ~= math.floor(wanted) then
      errors.raise("fleet:wait: %q must be a number of devices, not %s", state, tostring(wanted))
    elseif wanted > self.size then
      errors.raise("fleet:wait: %q asks for %d devices, but the group has %d", state, wanted, self.size)
    end
    return wanted
  end
  local percent = tonumber(wanted:match "^(%d+%.?%d*)%s*%%$")
  if not percent or percent > 100 then
    errors.raise("fleet:wait: %q must be a number of devices or a text such as \"95%%\", not %q", state, wanted)
  end
  return math.ceil(self.size * percent / 100 - 1e-9)
end

fleet.wait_options = {
  timeout = { type = "duration", doc = 'an error after this time; default: "60s" after the launch ends' },
}
for _, state in ipairs(fleet.states) do
  fleet.wait_options[state] = { type = "number|string",
    doc = "how many devices must be " .. state .. ': a number, or "95%"' }
end

function Fleet:wait(given)
  local wanted = options.check("fleet:wait", given, fleet.wait_options)
  local targets, asked, skip = {}, {}, {}
  for _, state in ipairs(fleet.states) do
    if wanted[state] ~= nil then
      targets[#targets + 1] = { state = state, number = target(self, state, wanted[state]) }
      asked[#asked + 1] = ("%d %s"):format(targets[#targets].number, state)
      skip[state] = true
    end
  end
  if #targets == 0 then
    errors.raise('fleet:wait: say what for, e.g. { connected = "100%" }')
  end
  local limit = wanted.timeout or 60 + math.max(0, self.launch_ends - core.now())
  local counts
  local reached = host.poll(limit, function()
    counts = call(self, "wait", "group.counts", {})
    for _, entry in ipairs(targets) do
      if (counts[entry.state] or 0) < entry.number then
        return nil
      end
    end
    return counts
  end)
  if not reached then
    counts = call(self, "wait", "group.counts", { reasons = true })
    local got = {}
    for i, entry in ipairs(targets) do
      local number = counts[entry.state] or 0
      got[i] = #targets == 1 and tostring(number) or ("%d %s"):format(number, entry.state)
    end
    errors.raise("group %q: waited %s for %s, reached %s%s", self.id, host.seconds(limit), table.concat(asked, " and "),
      table.concat(got, " and "), situation(counts, skip))
  end
  return reached
end

fleet.dropout_options = {
  count = { type = "count", doc = "how many of the running devices; wins over percentage" },
  percentage = { type = "number", min = 0, max = 100, doc = "share of the running devices; neither: all" },
  mode = { type = "string", default = "abort", values = { "abort", "close", "silent" },
    doc = "abort: reset the connection, so that the will is published; close: politely; silent: stop talking" },
  reconnect = { type = "boolean", default = false, doc = "whether dropped devices come back" },
  reconnectDelayMs = { type = "number", default = 0, min = 0, doc = "when, from each device's own drop" },
  select = { type = "function",
    doc = "function(device) that says whether a device may be chosen; runs in the workers" },
}

function Fleet:dropout(given)
  given = strategy_table("fleet:dropout", given)
  local own, mine = {}, {}
  for key in pairs(fleet.dropout_options) do
    own[key] = true
    mine[key] = given[key]
  end
  local wanted = options.check("fleet:dropout", mine, fleet.dropout_options)
  local arguments = strategy_arguments("fleet:dropout", "dropout", given, own, wanted.count or self.size)
  for key, value in pairs(wanted) do
    arguments[key] = value
  end
  arguments.select = wanted.select and host.pack("fleet:dropout", wanted.select)
  local answer = call(self, "dropout", "group.dropout", arguments)
  if answer.eligible == 0 then
    core.log("warn", ("fleet:dropout: no device of group %q can be chosen: %s"):format(self.id,
      wanted.select and "none that is running is accepted by `select`" or "none is running"))
  end
  answer.estimatedMs = 1000 * (strategy.duration("dropout", given.strategy or strategy.defaults.dropout,
    arguments.settings, answer.chosen) or 0)
  return dropout.new(self, answer, wanted.reconnect, wanted.reconnectDelayMs)
end

function Fleet:_set_one(what, attribute, changes, index)
  options.argument(what, "attribute", attribute, { type = "string" })
  if changes == nil then
    changes = json.null
  end
  host.call(what, "group.set", { group = self.id, attribute = attribute, changes = changes, index = index })
end

function Fleet:set(attribute, changes)
  self:_set_one("fleet:set", attribute, changes)
  return self
end

fleet.each_options = {
  first = { type = "integer", default = 0, min = 0, doc = "index of the first device" },
  count = { type = "count", doc = "how many; default: all from there" },
}

function Fleet:each(f, given)
  options.argument("fleet:each", "function", f, { type = "function" })
  local wanted = options.check("fleet:each", given, fleet.each_options)
  if wanted.first >= self.size then
    errors.raise("fleet:each: \"first\" must be between 0 and %d, not %d", self.size - 1, wanted.first)
  end
  wanted["function"] = host.pack("fleet:each", f)
  local answer = call(self, "each", "group.each", wanted)
  return answer.devices, answer.errors
end

function Fleet:device(index)
  options.argument("fleet:device", "index", index, { type = "integer", min = 0, max = self.size - 1 })
  return device.new(self, index)
end

-- Floyd's algorithm (J. Bentley, R. Floyd, CACM 30 (1987)): n distinct indices with n draws.
function Fleet:sample(n)
  options.argument("fleet:sample", "n", n, { type = "integer", min = 0 })
  n = math.min(n, self.size)
  local chosen, indices = {}, {}
  for last = self.size - n, self.size - 1 do
    local index = core.random(0, last)
    if chosen[index] then
      index = last
    end
    chosen[index] = true
    indices[#indices + 1] = index
  end
  table.sort(indices)
  for i, index in ipairs(indices) do
    indices[i] = device.new(self, index)
  end
  return indices
end

-- The name of a command that the model has, and its parameters as a table.
function Fleet:_check_command(what, name, parameters)
  options.argument(what, "name", name, { type = "string" })
  options.argument(what, "parameters", parameters == nil and {} or parameters, { type = "table" })
  for _, known in ipairs(self.commands) do
    if known == name then
      return
    end
  end
  errors.raise("%s: model %q has no command %q%s", what, self.model, name, core.suggest(name, self.commands))
end

function Fleet:command(name, parameters)
  self:_check_command("fleet:command", name, parameters)
  local text, problem = json.encode(parameters or {})
  if not text then
    errors.raise("fleet:command: parameters: %s", problem)
  end
  local f = host.pack("fleet:command", function(d)
    return d:command(name, text) == true
  end)
  local answer = call(self, "command", "group.each", { ["function"] = f })
  return answer.devices, answer.errors
end

class(Fleet, "fleet", { "id", "size", "model" })

return fleet

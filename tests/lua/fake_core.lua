-- A stand-in for the module iotix.core: tasks over virtual time, and a controller made of Lua functions. Must be loaded
-- before any other module of iotix. Tests set `fake.host[operation] = function(arguments) return result, message end`.
local real = require "iotix.core"

math.randomseed = function() end -- luaunit seeds; with iotix that is an error

for name in pairs(package.loaded) do
  if name:match "^iotix" then
    package.loaded[name] = nil
  end
end

local fake = { host = {}, calls = {}, logs = {}, checks = {}, metrics = {}, handlers = {}, files = {}, queues = {} }

local core = { role = "controller", version = "0.0.0", seed = "42" }
for _, name in ipairs { "encode", "decode", "array", "duration", "count", "suggest" } do
  core[name] = real[name]
end
package.loaded["iotix.core"] = core
fake.core = core

local clock, last_id = 0, 0
local tasks, current = {}, nil

function fake.reset()
  clock, last_id, tasks, current = 0, 0, {}, nil
  fake.calls, fake.logs, fake.checks, fake.metrics, fake.queues = {}, {}, {}, {}, {}
  fake.handlers, fake.files = {}, {}
  fake.host = {
    ["check.add"] = function(arguments)
      fake.checks[#fake.checks + 1] = arguments
      return {}
    end,
  }
end

local function resume(task)
  local before = current
  current = task
  local good, message = coroutine.resume(task.thread)
  current = before
  if coroutine.status(task.thread) == "dead" then
    task.done, task.problem = true, not good and message or nil
  end
end

-- Waits until ready() or the instant `until_time`.
local function wait(ready, until_time)
  local task = assert(current, "only a task can wait")
  task.ready, task.wake = ready, until_time or math.huge
  coroutine.yield()
  task.ready = nil
  if task.cancelled then
    local reason = task.cancelled
    task.cancelled = nil
    error("lua/iotix/t.lua:1: " .. reason, 0) -- as C does: at the caller's line
  end
end

local function runnable(task)
  return not task.done and (not task.ready or task.cancelled or task.ready() or task.wake <= clock)
end

-- Runs f as a task until it ends; time jumps when everybody waits. Raises its error.
function fake.run(f)
  local id = core.spawn(f, "main")
  local main = tasks[id]
  while not main.done do
    local any = false
    for i = 1, last_id do
      if tasks[i] and runnable(tasks[i]) then
        any = true
        resume(tasks[i])
      end
    end
    if not any then
      local earliest = math.huge
      for i = 1, last_id do
        if tasks[i] and not tasks[i].done then
          earliest = math.min(earliest, tasks[i].wake)
        end
      end
      assert(earliest < math.huge, "every task waits for ever")
      clock = math.max(clock, earliest)
    end
  end
  if main.problem then
    error(main.problem, 0)
  end
end

function core.now()
  return clock
end

function core.wall()
  return 1700000000000 + clock * 1000
end

function core.sleep(seconds)
  wait(function() return false end, clock + seconds)
end

function core.spawn(f, name)
  last_id = last_id + 1
  tasks[last_id] = { thread = coroutine.create(f), name = name, done = false, wake = 0 }
  return last_id
end

function core.task()
  for id, task in pairs(tasks) do
    if task == current then
      return id, task.name
    end
  end
end

function core.cancel(id, reason)
  local task = tasks[id]
  if task.done then
    return false
  end
  task.cancelled = reason or "cancelled"
  return true
end

function core.join(id, timeout)
  local task = tasks[id]
  if not task.done then
    wait(function() return task.done end, timeout and clock + timeout)
  end
  if not task.done then
    return nil, "timeout"
  elseif task.problem then
    return nil, tostring(task.problem)
  end
  return true
end

function core.call(operation, text)
  local arguments = assert(core.decode(text))
  fake.calls[#fake.calls + 1] = { operation = operation, arguments = arguments, at = clock }
  local answer = fake.host[operation]
  if not answer then
    return nil, "unknown operation " .. operation
  end
  local result, message, kind = answer(arguments)
  if result == nil then
    return nil, message, kind
  end
  return core.encode(result)
end

-- The arguments of the last call of an operation.
function fake.last(operation)
  for i = #fake.calls, 1, -1 do
    if fake.calls[i].operation == operation then
      return fake.calls[i].arguments
    end
  end
end

function core.pop(id, timeout)
  local queue = fake.queues[id] or {}
  fake.queues[id] = queue
  local function ready()
    return queue[1] and (queue[1].at or 0) <= clock
  end
  if not ready() and timeout ~= 0 then
    local until_time = timeout and clock + timeout or math.huge
    wait(ready, math.min(until_time, queue[1] and math.max(clock, queue[1].at) or math.huge))
  end
  if ready() then
    local m = table.remove(queue, 1)
    return m.topic, m.payload, m.qos or 0, m.retain or false, m.at or clock, false
  end
end

function core.pending(id)
  return #(fake.queues[id] or {})
end

-- Keeps the function; the test looks at it with fake.packed.
fake.packed = {}
function core.pack(f)
  for i = 1, 60 do
    local name, value = debug.getupvalue(f, i)
    if not name then
      break
    elseif type(value) == "userdata" or type(value) == "thread" or type(value) == "function"
      or type(value) == "table" and getmetatable(value) then
      error(("upvalue %q of the function is a %s, which cannot travel"):format(name, type(value)), 0)
    end
  end
  fake.packed[#fake.packed + 1] = f
  return "packed" .. #fake.packed
end

function core.log(level, text)
  fake.logs[#fake.logs + 1] = level .. ": " .. text
end

function core.random(...)
  return math.random(...)
end

function core.metric(kind, name, tags, value)
  fake.metrics[#fake.metrics + 1] = { kind = kind, name = name, tags = tags, value = value }
  return true
end

function core.read_file(path)
  if fake.files[path] then
    return fake.files[path]
  end
  return nil, path .. ": No such file or directory"
end

function core.scenario(table)
  fake.scenario = table
  return table
end

-- Handlers from the source tree, or what a test puts into fake.handlers.
function core.handler(kind, name)
  local own = fake.handlers[kind .. "/" .. name]
  if own then
    return own
  end
  local chunk, message = loadfile("lua/" .. kind .. "/" .. name .. ".lua")
  if not chunk then
    return nil, message, message:find "^cannot open" ~= nil
  end
  return chunk()
end

fake.reset()
return fake

-- Tasks beside `run`: t:spawn, t:parallel, t:every. An error in one of them ends the scenario, unless someone joins it.
local class = require "iotix.class"
local core = require "iotix.core"
local errors = require "iotix.errors"
local options = require "iotix.options"

local Task = {}

local task = { class = Task }

-- The tasks that are running, and the first error that nobody was waiting for.
local running = {}
local main, failure

-- The calling task is the scenario's main one; forgets what an earlier scenario left.
function task.begin()
  running, failure = {}, nil
  main = core.task()
end

-- The error of a background task that nobody joined, or nil.
function task.failure()
  return failure
end

local function unclaimed(self, problem)
  if not failure then
    failure = problem
    if main then
      core.cancel(main, self.name .. " failed")
    end
  end
end

local function body(self, f)
  local good, result = xpcall(f, errors.handler)
  running[self] = nil
  self.done = true
  if good then
    self.result = result
  elseif not self.cancelled then
    self.problem = result
    if self.joiners == 0 then
      unclaimed(self, result)
    end
  end
end

function task.spawn(f, name)
  local self = setmetatable({ name = name or "task", done = false, cancelled = false, joiners = 0 }, Task)
  running[self] = true
  self.id = core.spawn(function()
    body(self, f)
  end, self.name)
  return self
end

-- What the function returned · nil, "timeout". Raises its error.
function Task:join(timeout)
  local limit = options.argument("task:join", "timeout", timeout == nil and "60s" or timeout, { type = "duration" })
  if not self.done then
    self.joiners = self.joiners + 1
    local good, message = core.join(self.id, limit)
    self.joiners = self.joiners - 1
    if not good and message == "timeout" and not self.done then
      return nil, "timeout"
    end
  end
  if self.problem then
    error(self.problem, 0)
  end
  return self.result
end

function Task:cancel()
  if not self.done then
    self.cancelled = true
    running[self] = nil
    core.cancel(self.id, "cancelled")
  end
end

-- Cancels what is still running.
function task.cancel_all()
  for self in pairs(running) do
    self:cancel()
  end
end

-- Runs all functions at once: their first results as a list. The first error cancels the others and is raised here.
function task.parallel(functions)
  local tasks, results, problem = {}, {}, nil
  for i, f in ipairs(functions) do
    tasks[i] = task.spawn(function()
      local good, result = xpcall(f, errors.handler)
      if good then
        results[i] = result
        return
      end
      problem = problem or result
      for j, other in ipairs(tasks) do
        if j ~= i then
          other:cancel()
        end
      end
    end, "parallel " .. i)
  end
  for _, one in ipairs(tasks) do
    if not one.done then
      core.join(one.id)
    end
  end
  if problem then
    error(problem, 0)
  end
  return results
end

-- Calls f(k) at start + k × interval, k = 1, 2, …; what f overruns is skipped, the rhythm stays.
function task.every(interval, f)
  return task.spawn(function()
    local start, k = core.now(), 1
    while true do
      core.sleep(math.max(0, start + k * interval - core.now()))
      if f(k) == false then
        return
      end
      k = math.max(k + 1, math.ceil((core.now() - start) / interval))
    end
  end, "every")
end

class(Task, "task", { "name", "result", "problem" })

return task

-- Errors that name the scenario's line, not ours.
local errors = {}

-- Workers have no debug library: there, C names the place.
local getinfo = debug.getinfo or function() end
local here = getinfo(1, "S")
local own_folder = here and here.source:match "^(.*)errors%.lua$"

local Error = {}
Error.__index = Error

function Error:__tostring()
  if self.configuration or self.failed or not self.traceback then
    return self.message
  end
  return self.traceback == "" and self.message or self.message .. "\n" .. self.traceback
end

function Error.__concat(a, b)
  return tostring(a) .. tostring(b)
end

local function source_of(info)
  return info.source:match "^[@=](.*)" or info.short_src
end

-- The first frame that is not of this folder: "scenario.lua:12", or nil (its frame is gone after a tail call).
function errors.caller()
  local level = 2
  while true do
    local info = getinfo(level, "Sl")
    if not info then
      return nil
    end
    if info.what ~= "C" and info.currentline > 0 and info.source:sub(1, #own_folder) ~= own_folder then
      return source_of(info) .. ":" .. info.currentline
    end
    level = level + 1
  end
end

-- Where the function that called this function's caller stands now, whoever wrote it; nil if nobody knows.
function errors.position()
  local info = getinfo(3, "Sl")
  if info and info.currentline > 0 then
    return source_of(info) .. ":" .. info.currentline
  end
end

-- Where a function was written: "scenario.lua:12".
function errors.origin(f)
  local info = getinfo(f, "S")
  return info and source_of(info) .. ":" .. info.linedefined or "a function"
end

-- The scenario's file, for errors whose line nobody knows.
errors.file = nil

local function placed(message, where)
  where = where or errors.caller() or errors.file or ""
  return where ~= "" and where .. ": " .. message or message
end

function errors.raise(format, ...)
  error(placed(select("#", ...) > 0 and format:format(...) or format), 0)
end

-- For mistakes in what was configured: models, addresses, options of the scenario. The run's exit code says so.
function errors.raise_configuration(message, where)
  error(setmetatable({ message = placed(message, where), configuration = true }, Error), 0)
end

-- Ends the scenario after a failed check; no script error.
function errors.raise_failed(message)
  error(setmetatable({ message = message, failed = true }, Error), 0)
end

function errors.is_failed(value)
  return getmetatable(value) == Error and value.failed == true
end

local function describe(value)
  if type(value) == "string" then
    return value
  end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then
    return tostring(value)
  end
  if type(value) == "table" then
    local text = require("iotix.json").encode(value)
    return "the error is a table" .. (text and ": " .. text or "")
  end
  return "the error is a " .. type(value) .. " value: " .. tostring(value)
end

-- The stack without our own frames, which tell a scenario's author nothing.
local function traceback_of(complete)
  local lines = {}
  for line in debug.traceback("", 3):gmatch "[^\n]+" do
    local own = own_folder and line:find(own_folder:sub(2), 1, true) == 2
    if complete or not own and not line:find "^\t%[C%]: in function '[ex]" and not line:find "^\tiotix:" then
      lines[#lines + 1] = line
    end
  end
  return #lines > 1 and table.concat(lines, "\n") or ""
end

-- What xpcall returned, with the scenario's file where the stack was too full for the handler.
function errors.placed(problem)
  if type(problem) ~= "string" or not problem:find "overflow" then
    return problem
  end
  local message = placed(problem .. ": a function that calls itself without end?")
  return setmetatable({ message = message, traceback = "" }, Error)
end

-- A handler for xpcall: keeps the traceback of where the error was raised.
function errors.handler(value)
  if getmetatable(value) == Error then
    value.traceback = value.traceback or traceback_of(false)
    return value
  end
  local message = describe(value)
  local own_line = own_folder and message:sub(1, #own_folder - 1) == own_folder:sub(2)
  local raised = getinfo(2, "f")
  local elsewhere = own_line and message:match "^[^:]*:%d+: (.-:%d+: .*)"
  if elsewhere then -- by C, which saw both
    message, own_line = elsewhere, false
  elseif own_line and raised and raised.func == error then -- by C at our line: an interrupted wait
    message = placed((message:gsub("^[^:]*:%d+: ", "")))
    own_line = false
  elseif type(value) ~= "string" then
    message = placed(message)
  end
  return setmetatable({ message = message, traceback = traceback_of(own_line) }, Error)
end

return errors

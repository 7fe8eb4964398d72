-- Scenarios: iotix.scenario { … } checks the table; C then asks for its description, sets options, and runs it.
local core = require "iotix.core"
local errors = require "iotix.errors"
local handler = require "iotix.handler"
local json = require "iotix.json"
local metric = require "iotix.metric"
local options = require "iotix.options"

local scenario = {}

scenario.keys = {
  name = { type = "string", required = true, doc = "name of the run" },
  description = { type = "string", doc = "one sentence for reports" },
  options = { type = "table", default = {}, doc = "names and defaults of what -e name=value may change" },
  thresholds = { type = "table", default = {},
    doc = 'metric = "p(95)<500ms", a list of such texts, or { threshold, abortOnFail }' },
  limits = { type = "table", default = {},
    doc = 'limits of the judgement on this host, as of `--limit`: ["lateness.degraded"] = "20ms", or "off"' },
  tags = { type = "table", default = {}, doc = "tags of the run" },
  generators = { type = "table", doc = "name = function(config, device) that returns function(tick, now)" },
  behaviors = { type = "table", doc = "name = behaviour" },
  strategies = { type = "table", doc = "{ launch = { name = … }, dropout = { name = … } }" },
  protocols = { type = "table", doc = "name = protocol" },
  setup = { type = "function", doc = "setup(t), before run; its result goes to run and teardown" },
  run = { type = "function", required = true, doc = "run(t, prepared): the scenario" },
  teardown = { type = "function", doc = "teardown(t, prepared), after run, also when that failed or was interrupted" },
  onError = { type = "string", default = "device", values = { "device", "run" },
    doc = "what an error in a device's script ends" },
}

local threshold_keys = {
  threshold = { type = "string", required = true, doc = "an expression such as \"p(95)<500ms\"" },
  abortOnFail = { type = "boolean", default = false, doc = "end the run as soon as it fails" },
  delayAbort = { type = "duration", doc = "but not before this time" },
  over = { type = "duration", doc = "must hold in every window of this length" },
}

local current -- the scenario's table
local values -- its options, as the command line set them

-- Where `iotix.scenario` was read, for errors: the frame itself is gone after `return iotix.scenario { … }`.
local where

function scenario.remember_place(place)
  where = place
  errors.file = place and place:match "^(.*):%d+$"
end

local function wrong(format, ...)
  errors.raise_configuration("iotix.scenario: " .. format:format(...), where)
end

local function thresholds_of(given)
  local result = {}
  for _, name in ipairs(options.sorted_keys(given)) do
    local value = given[name]
    if type(name) ~= "string" then
      wrong("thresholds are written [\"metric\"] = \"p(95)<500ms\"")
    end
    local list = (type(value) == "string" or type(value) == "table" and value.threshold) and { value } or value
    if type(list) ~= "table" or #list == 0 then
      wrong("thresholds[%q] must be a text such as \"p(95)<500ms\" or a list of them", name)
    end
    result[name] = core.array {}
    for i, entry in ipairs(list) do
      if type(entry) == "table" then
        local parsed, message = options.parse(entry, threshold_keys)
        if not parsed then
          wrong("thresholds[%q]: %s", name, message)
        end
      elseif type(entry) ~= "string" then
        wrong("thresholds[%q] must be a text such as \"p(95)<500ms\" or a list of them", name)
      end
      result[name][i] = entry
    end
  end
  return result
end

-- Their names and units are checked by who judges.
local function check_limits(given)
  for _, name in ipairs(options.sorted_keys(given)) do
    local kind = type(given[name])
    if type(name) ~= "string" then
      wrong("limits are written [\"lateness.degraded\"] = \"20ms\"")
    elseif kind ~= "string" and kind ~= "number" then
      wrong("limits[%q] must be a text such as \"20ms\", \"90%%\" or \"off\", or a number, not a %s", name, kind)
    end
  end
end

local option_kinds = { number = true, string = true, boolean = true }

local function check_options(given)
  for _, name in ipairs(options.sorted_keys(given)) do
    if type(name) ~= "string" or not name:match "^%a[%w_]*$" then
      wrong("options are written name = default, with a name of letters, digits and \"_\", not %q", tostring(name))
    elseif not option_kinds[type(given[name])] then
      wrong("the default of option %q must be a number, a text, true or false, not a %s", name, type(given[name]))
    end
  end
end

local function check_tags(given)
  for _, name in ipairs(options.sorted_keys(given)) do
    if type(name) ~= "string" or not option_kinds[type(given[name])] then
      wrong("tags are written name = \"value\"")
    end
  end
end

local function check_handlers(kind, given, types)
  for _, name in ipairs(options.sorted_keys(given or {})) do
    if type(name) ~= "string" or not name:match "^[%w_-]+$" then
      wrong("%s: %q is no handler's name: letters, digits, \"_\" and \"-\" make one", kind, tostring(name))
    elseif not types:find(type(given[name]), 1, true) then
      wrong("%s.%s must be a %s, not a %s", kind, name, types:gsub("|", " or a "), type(given[name]))
    end
  end
end

-- iotix.scenario: checks the table and declares it.
function scenario.define(given)
  if type(given) ~= "table" then
    wrong("wants a table: iotix.scenario { name = …, run = function(t) … end }")
  end
  local parsed, message = options.parse(given, scenario.keys)
  if not parsed then
    wrong("%s", message)
  end
  check_options(parsed.options)
  check_tags(parsed.tags)
  check_limits(parsed.limits)
  parsed.thresholds = thresholds_of(parsed.thresholds)
  check_handlers("generators", parsed.generators, "function")
  check_handlers("behaviors", parsed.behaviors, "function|table")
  check_handlers("protocols", parsed.protocols, "function|table")
  for _, kind in ipairs(options.sorted_keys(parsed.strategies or {})) do
    if kind ~= "launch" and kind ~= "dropout" then
      wrong("strategies: unknown kind %q%s", tostring(kind), core.suggest(tostring(kind), { "launch", "dropout" }))
    end
    check_handlers("strategies." .. kind, parsed.strategies[kind], "function|table")
  end
  for key, value in pairs(parsed) do
    given[key] = value
  end
  handler.declare(given)
  current, values = given, nil
  core.scenario(given)
  return given
end

-- JSON text: what the controller needs to know before it runs.
function scenario.describe()
  local chosen = {}
  for name, default in pairs(current.options) do
    chosen[name] = default
    if values then
      chosen[name] = values[name]
    end
  end
  local text, message = json.encode {
    name = current.name,
    description = current.description,
    options = chosen,
    thresholds = current.thresholds,
    limits = current.limits,
    tags = current.tags,
    metrics = metric.declared,
    onError = current.onError,
  }
  if not text then
    wrong("%s", message)
  end
  return text
end

local function convert(name, default, given)
  if type(default) == type(given) and type(default) ~= "string" then
    return given
  elseif type(default) == "number" then
    local value = type(given) == "string" and (tonumber(given) or core.count(given))
    if value and value == value then
      return value
    end
    return nil, ("option %q must be a number, not %q"):format(name, tostring(given))
  elseif type(default) == "boolean" then
    if given == "true" or given == "false" then
      return given == "true"
    end
    return nil, ("option %q must be true or false, not %q"):format(name, tostring(given))
  end
  local text = tostring(given)
  local is_duration = default:match "^%d" and default:match "%a$" and core.duration(default)
  if is_duration and not core.duration(text) then
    return nil, ("option %q must be a duration such as %q, not %q"):format(name, default, text)
  end
  return text
end

-- Values for t.options: the defaults with those of a JSON object { name: text or value } laid over them.
function scenario.set_options(text)
  local overrides = text and text ~= "" and assert(json.decode(text)) or {}
  local result = {}
  for name, default in pairs(current.options) do
    result[name] = default
  end
  local known = options.sorted_keys(current.options)
  for _, name in ipairs(options.sorted_keys(overrides)) do
    if current.options[name] == nil then
      errors.raise_configuration(("scenario %q has no option %q%s"):format(current.name, tostring(name),
        #known > 0 and core.suggest(tostring(name), known) or ": it declares none"), "")
    end
    local value, message = convert(name, current.options[name], overrides[name])
    if value == nil then
      errors.raise_configuration(("scenario %q: %s"):format(current.name, message), "")
    end
    result[name] = value
  end
  values = setmetatable(result, {
    __index = function(_, name)
      errors.raise("t.options has no %q%s", tostring(name), core.suggest(tostring(name), known))
    end,
    __newindex = function(_, name)
      errors.raise("t.options.%s: options are set on the command line (-e) and cannot be changed", tostring(name))
    end,
  })
end

-- Runs setup and run, then teardown, whatever happened. Raises what went wrong first.
function scenario.main()
  -- Here, since workers never come here: three quarters of the modules are for the scenario's hand.
  local t, task = require "iotix.t", require "iotix.task"
  if not values then
    scenario.set_options()
  end
  for _, name in ipairs(options.sorted_keys(metric.declared)) do
    local good, message = core.metric(metric.declared[name], name, "") -- known, and 0, before the first sample
    if good == nil then
      errors.raise_configuration(("metric %q: %s"):format(name, message))
    end
  end
  local it, prepared = t.new(values), nil
  task.begin()
  local good, problem = xpcall(function()
    if current.setup then
      prepared = current.setup(it)
    end
    current.run(it, prepared)
  end, errors.handler)
  task.cancel_all()
  if task.failure() then
    good, problem = false, task.failure()
  end
  if current.teardown then
    local torn, other = xpcall(current.teardown, errors.handler, it, prepared)
    if not torn and good then
      good, problem = false, other
    elseif not torn then
      core.log("error", "teardown: " .. tostring(other))
    end
  end
  if not good then
    error(errors.placed(problem), 0)
  end
end

return scenario

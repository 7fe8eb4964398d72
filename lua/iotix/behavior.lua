-- Behaviours written in JSON. C decides when a trigger fires; this is what then happens. State machines run here: C
-- tells them of starts, values and stops.
local json = require "iotix.json"

local behavior = {}

-- A template as a function(device, parameters) → text, and whether it is JSON.
local function payload_of(template)
  if type(template) == "string" then
    return function(device, parameters)
      return device:render(template, parameters)
    end
  end
  local text = assert(json.encode(template))
  return function(device, parameters)
    return device:render_json(text, parameters)
  end
end

-- Everything but type and attribute belongs to the generator; a value alone makes it constant.
local function changes_of(action)
  local changes, others = {}, false
  for key, value in pairs(action) do
    if key ~= "type" and key ~= "attribute" then
      changes[key] = value
      others = others or key ~= "value"
    end
  end
  if not others and changes.value ~= nil then
    return changes.value
  end
  return changes
end

-- For each type of action: its compiled form, function(device, parameters).
local compilers = {
  publish = function(action)
    local payload = payload_of(action.payload == nil and "" or action.payload)
    local how = { qos = action.qos, retain = action.retain }
    return function(device, parameters)
      device:publish(device:render(action.topic, parameters), payload(device, parameters), how)
    end
  end,
  set = function(action)
    local changes = changes_of(action)
    return function(device)
      device:set(action.attribute, changes)
    end
  end,
  disconnect = function(action)
    local how = { mode = action.mode, reconnectDelayMs = action.reconnectDelayMs }
    return function(device)
      device:disconnect(how)
    end
  end,
  event = function(action)
    local data = action.data ~= nil and action.data ~= json.null and assert(json.encode(action.data))
    return function(device, parameters)
      device:event(action.name, data and json.decode(device:render_json(data, parameters)) or nil)
    end
  end,
  log = function(action)
    return function(device, parameters)
      device:log(action.level or "info", device:render(action.message, parameters))
    end
  end,
}

local function compile(actions)
  local list = {}
  for i, action in ipairs(actions or {}) do
    local compiler = compilers[action.type]
    if not compiler then
      error(("unknown action %q"):format(tostring(action.type)), 0)
    end
    list[i] = compiler(action)
  end
  return function(device, parameters)
    for i = 1, #list do
      list[i](device, parameters)
    end
  end
end

local function new_actions(spec)
  local all = compile(spec.actions or { spec.action })
  return {
    fire = function(_, device, parameters)
      all(device, parameters)
    end,
  }
end

-- States by name: { after = {ms, to}, when = {{condition, to}…}, telemetry = {attribute = changes}, enter = {…} }.
local function new_machine(spec, text)
  local machine = { places = {} }
  local states, conditional = {}, false
  for name, state in pairs(spec.states) do
    conditional = conditional or state.when ~= nil
    states[name] = { enter = compile(state.enter), telemetry = state.telemetry or {}, when = state.when or {},
      after = state.after }
  end
  -- The order of an object's names is lost in a table: the first one is read from the text.
  local initial = spec.initial or text:match '"states"%s*:%s*{%s*"([^"]*)"'

  local function enter(device, name)
    local before = machine.places[device.id]
    local place = { state = name }
    machine.places[device.id] = place
    local state = states[name]
    for attribute in pairs(before and states[before.state].telemetry or {}) do
      if state.telemetry[attribute] == nil then
        device:set(attribute, nil)
      end
    end
    for attribute, changes in pairs(state.telemetry) do
      device:set(attribute, changes)
    end
    if state.after then
      device:after(state.after.ms / 1000, function()
        if machine.places[device.id] == place then
          enter(device, state.after.to)
        end
      end)
    end
    state.enter(device)
  end

  function machine.start(_, device)
    machine.places[device.id] = nil
    enter(device, initial)
  end

  local function telemetry(_, device)
    local place = machine.places[device.id]
    for _, when in ipairs(place and states[place.state].when or {}) do
      if device:holds(when.condition) then
        return enter(device, when.to)
      end
    end
  end
  machine.telemetry = conditional and telemetry or nil -- else values need not come here at all

  function machine.stop(_, device)
    machine.places[device.id] = nil
  end

  -- The state that a device is in; nil while it is stopped.
  function machine.state(_, device)
    return machine.places[device.id] and machine.places[device.id].state
  end

  return machine
end

-- An object for a model's behaviour, as validated JSON text.
function behavior.new(text)
  local spec = assert(json.decode(text))
  if spec.states then
    return new_machine(spec, text)
  end
  return new_actions(spec)
end

return behavior

-- Handlers by name: what the scenario declares itself, then files (core.handler knows the places).
local core = require "iotix.core"

local handler = {}

local declared = {}

handler.kinds = { "strategies/launch", "strategies/dropout", "generators", "behaviors", "protocols" }

-- iotix.scenario declares those of its table; a later scenario replaces them.
function handler.declare(scenario)
  local strategies = scenario.strategies or {}
  declared = {
    ["strategies/launch"] = strategies.launch,
    ["strategies/dropout"] = strategies.dropout,
    generators = scenario.generators,
    behaviors = scenario.behaviors,
    protocols = scenario.protocols,
  }
end

-- The value · nil, message, true if there is none of that name (else it is there and broken).
function handler.find(kind, name)
  if type(name) ~= "string" or not name:match "^[%w_-]+$" then
    return nil, ("%q is no handler's name: letters, digits, \"_\" and \"-\" make one"):format(tostring(name)), true
  end
  local own = declared[kind] and declared[kind][name]
  if own ~= nil then
    return own
  end
  return core.handler(kind, name)
end

-- Names that the scenario declares, for suggestions.
function handler.declared_names(kind)
  local names = {}
  for name in pairs(declared[kind] or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

return handler

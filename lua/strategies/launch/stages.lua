-- Ramps of the number of started devices, one after the other:
--   stages = { { duration = "30s", target = 1000 }, { duration = "1m", target = 1000 },
--              { duration = 0, target = "100%" } }
-- starts 1,000 within 30 s, waits a minute, then starts all others at once.
--
-- Within a stage from N₀ devices at t₀ to N₁ at t₁ the number grows linearly: device k, N₀ ≤ k < N₁, starts at
--   at(k) = t₀ + (k − N₀) ÷ (N₁ − N₀) × (t₁ − t₀).
local options = require "iotix.options"

local stage = {
  duration = { type = "duration", required = true, doc = "how long the stage takes" },
  target = { type = "integer|string", required = true,
    doc = 'how many devices are started at its end: a number, or "50%" of all' },
}

local function number_of(target, count)
  if type(target) == "number" then
    return target >= 0 and target
  end
  local percent = tonumber(target:match "^(%d+%.?%d*)%%$")
  return percent and percent <= 100 and math.floor(count * percent / 100)
end

local function parse(settings, count)
  local stages, time, number = {}, 0, 0
  for i, given in ipairs(settings.stages) do
    local parsed, message = options.parse(given, stage)
    if not parsed then
      return nil, ("stages[%d]: %s"):format(i, message)
    end
    local target = number_of(parsed.target, count)
    if not target then
      return nil, ("stages[%d]: \"target\" must be a number of devices or a text such as \"50%%\", not %q"):format(i,
        tostring(parsed.target))
    elseif target < number then
      return nil, ("stages[%d]: target %d is below the %d before it; stages only start devices"):format(i, target,
        number)
    end
    stages[i] = { from = number, to = target, at = time, duration = parsed.duration }
    number, time = target, time + parsed.duration
  end
  if number < count then
    return nil, ("the last target is %d, but the group has %d devices: the rest would never start"):format(number,
      count)
  end
  return stages
end

return {
  doc = "rates that change from stage to stage",
  settings = {
    stages = { type = "list", required = true, doc = "list of { duration, target }" },
  },
  new = function(settings, count)
    local stages, message = parse(settings, count)
    if not stages then
      return nil, message
    end
    return function(k)
      for i = 1, #stages do
        local s = stages[i]
        if k < s.to then
          return s.at + (k - s.from) / (s.to - s.from) * s.duration
        end
      end
    end
  end,
}

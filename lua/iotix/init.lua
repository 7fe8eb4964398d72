-- require "iotix": what scenarios, generators and behaviours start from. lua/README.md describes all of it.
local core = require "iotix.core"
local errors = require "iotix.errors"
local metric = require "iotix.metric"
local scenario = require "iotix.scenario"

local iotix = {
  version = core.version,
  json = require "iotix.json",
  options = require "iotix.options",
  metric = { counter = metric.counter, gauge = metric.gauge, rate = metric.rate, trend = metric.trend },
}

-- Reading iotix.scenario notes the place: `return iotix.scenario { … }` is a tail call, so that an error raised inside
-- could not name its line.
return setmetatable(iotix, {
  __index = function(_, key)
    if key == "scenario" then
      scenario.remember_place(errors.position())
      return scenario.define
    end
  end,
})

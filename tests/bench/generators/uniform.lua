-- What the native generator "random" does, in Lua: the yardstick for the cost of a custom generator.
return function(config)
  local min, range = config.min, config.max - config.min
  return function()
    return min + range * math.random()
  end
end

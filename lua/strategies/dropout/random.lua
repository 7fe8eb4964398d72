-- Independent failures within a time: at(k) = u(k) × durationMs, u(k) uniform in [0, 1), a pure function of k.
return {
  doc = "independent failures within a time",
  settings = {
    durationMs = { type = "number", default = 60000, min = 0, doc = "milliseconds within which the dropouts happen" },
  },
  new = function(settings, _, random)
    local window = settings.durationMs / 1000
    return function(k)
      return random(k) * window
    end
  end,
  duration = function(settings)
    return settings.durationMs / 1000
  end,
}

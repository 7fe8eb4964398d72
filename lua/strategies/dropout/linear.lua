-- A fixed delay between dropouts: at(k) = k × delayMs.
return {
  doc = "a fixed delay between dropouts",
  settings = {
    delayMs = { type = "number", default = 1000, min = 0, doc = "milliseconds between two dropouts" },
  },
  new = function(settings)
    local delay = settings.delayMs
    return function(k)
      return k * delay / 1000
    end
  end,
}

-- A fixed delay between devices: at(k) = k × delayMs. The time that connecting takes is not added.
return {
  doc = "a fixed delay between devices",
  settings = {
    delayMs = { type = "number", default = 0, min = 0, doc = "milliseconds between two devices" },
  },
  new = function(settings)
    local delay = settings.delayMs
    return function(k)
      return k * delay / 1000
    end
  end,
}

-- Batches with a delay between them: at(k) = ⌊k ÷ batchSize⌋ × delayMs.
local floor = math.floor

return {
  doc = "batches with a delay between them",
  settings = {
    batchSize = { type = "integer", default = 100, min = 1, doc = "devices that start together" },
    delayMs = { type = "number", default = 0, min = 0, doc = "milliseconds between the starts of two batches" },
  },
  new = function(settings)
    local size, delay = settings.batchSize, settings.delayMs
    return function(k)
      return floor(k / size) * delay / 1000
    end
  end,
}

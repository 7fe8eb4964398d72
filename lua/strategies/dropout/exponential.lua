-- A cascade that accelerates: between dropouts k and k + 1 pass dₖ = max(delayMs ÷ base^k, 1 ms).
--
-- In closed form, with c = the number of delays above 1 ms:
--   at(k) = delayMs × (1 − base^−k) ÷ (1 − 1 ÷ base)     for k ≤ c (a geometric sum)
--   at(k) = at(c) + (k − c) × 1 ms                       beyond
local shortest = 0.001

return {
  doc = "a cascade that accelerates",
  settings = {
    delayMs = { type = "number", default = 1000, min = 0, doc = "milliseconds between the first two dropouts" },
    exponentBase = { type = "number", default = 1.5, min = 1, doc = "what each delay is divided by for the next" },
  },
  new = function(settings)
    local delay, base = settings.delayMs / 1000, settings.exponentBase
    if base == 1 or delay <= shortest then
      local step = math.max(delay, shortest)
      return function(k)
        return k * step
      end
    end
    local c = math.max(0, math.ceil(math.log(delay / shortest) / math.log(base)))
    while c > 0 and delay / base ^ (c - 1) <= shortest do -- the logarithm may be off by one
      c = c - 1
    end
    while delay / base ^ c > shortest do
      c = c + 1
    end
    local scale = delay / (1 - 1 / base)
    local knee = scale * (1 - base ^ -c)
    return function(k)
      if k <= c then
        return scale * (1 - base ^ -k)
      end
      return knee + (k - c) * shortest
    end
  end,
}

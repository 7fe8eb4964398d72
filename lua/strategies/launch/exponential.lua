-- A delay that grows: between devices k and k + 1 pass dₖ = min(delayMs × base^k, maxDelayMs); device 0 starts at 0.
--
-- In closed form, with c = the number of delays below maxDelayMs:
--   at(k) = delayMs × (base^k − 1) ÷ (base − 1)     for k ≤ c (a geometric sum)
--   at(k) = at(c) + (k − c) × maxDelayMs            beyond
-- base^k is only computed up to c, so nothing overflows at any k.
return {
  doc = "a delay that grows from device to device",
  settings = {
    delayMs = { type = "number", default = 0, min = 0, doc = "milliseconds between the first two devices" },
    exponentBase = { type = "number", default = 1.5, min = 1, doc = "what each delay is multiplied by for the next" },
    maxDelayMs = { type = "number", default = 60000, min = 0, doc = "no delay is longer, in milliseconds" },
  },
  new = function(settings)
    local delay, base, cap = settings.delayMs / 1000, settings.exponentBase, settings.maxDelayMs / 1000
    if base == 1 or delay == 0 or delay >= cap then
      local step = math.min(delay, cap)
      return function(k)
        return k * step
      end
    end
    local c = math.max(0, math.ceil(math.log(cap / delay) / math.log(base)))
    while c > 0 and delay * base ^ (c - 1) >= cap do -- the logarithm may be off by one
      c = c - 1
    end
    while delay * base ^ c < cap do
      c = c + 1
    end
    local scale = delay / (base - 1)
    local knee = scale * (base ^ c - 1)
    return function(k)
      if k <= c then
        return scale * (base ^ k - 1)
      end
      return knee + (k - c) * cap
    end
  end,
}

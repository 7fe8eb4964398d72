-- Independent arrivals at a mean rate, as from users who know nothing of each other.
--
-- Given that n arrivals of a Poisson process fell into a time T, their instants are distributed as n independent
-- uniform draws from [0, T] (S. Ross, Introduction to Probability Models, section 5.3.5; J. Kingman, Poisson Processes,
-- section 2.4). So, with T = count ÷ rate:
--   at(k) = u(k) × count ÷ rate,   u(k) uniform in [0, 1), a pure function of k.
-- Devices therefore start in no order of their index, and the last one starts before T.
return {
  doc = "independent arrivals at a mean rate",
  settings = {
    rate = { type = "number", required = true, min = 1e-6, doc = "mean number of devices per second" },
  },
  new = function(settings, count, random)
    local window = count / settings.rate
    return function(k)
      return random(k) * window
    end
  end,
  duration = function(settings, count)
    return count / settings.rate
  end,
}

-- Noise for generators: a pure function of (seed, n), fast when compiled. For looks, not for statistics.
local bit = require "bit"

local noise = {}

-- One step of xorshift32 (G. Marsaglia, Journal of Statistical Software 8(14), 2003), as a signed 32-bit number.
local function step(x)
  x = bit.bxor(x, bit.lshift(x, 13))
  x = bit.bxor(x, bit.rshift(x, 17))
  return bit.bxor(x, bit.lshift(x, 5))
end
noise.step = step

-- A state to step from that differs for each seed and n; never 0.
function noise.state(seed, n)
  local x = bit.bxor(seed, bit.tobit(n % 65536 * 40503), bit.tobit(math.floor(n / 65536) * 69069))
  for _ = 1, 4 do
    x = step(bit.bxor(x, 0x5bd1e995))
  end
  return x ~= 0 and x or 1
end

-- Uniform in [-1, 1).
function noise.uniform(seed, n)
  return step(noise.state(seed, n)) / 2147483648
end

-- A device's own seed; draws once.
function noise.seed(device)
  return device:random(1, 2147483647)
end

return noise

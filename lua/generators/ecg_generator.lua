-- An electrocardiogram as signed little-endian PCM, one block of samples per transmission.
--
-- The waves P, Q, R, S and T of a beat are Gaussians over the phase of the beat, R = 1 (after the model of McSharry,
-- Clifford, Tarassenko and Smith, IEEE Transactions on Biomedical Engineering 50 (2003), its waves as a sum):
--   e(φ) = Σ aᵢ × exp(−(φ − φᵢ)² ÷ 2bᵢ²)
-- Sample n of a device (n = tick × samples + i) is at time n ÷ samplingRate, so blocks join without a seam. Devices
-- differ in phase and, by a few percent, in rate; noise depends on (device, tick) only.
local bit = require "bit"
local noise = require "iotix.noise"
local options = require "iotix.options"

local char = string.char
local chunk = 1000 -- bytes that become text at once

local settings = {
  samples = { type = "integer", default = 200, min = 1, max = 100000, doc = "samples per transmission" },
  sampleSize = { type = "integer", default = 16, min = 8, max = 32, doc = "bits per sample: 8, 16 or 32" },
  samplingRate = { type = "number", default = 500, min = 1, doc = "samples per second" },
  noiseLevel = { type = "number", default = 0.05, min = 0, max = 1, doc = "standard deviation, as a share of R" },
  heartRate = { type = "number", default = 72, min = 1, max = 400, doc = "beats per minute" },
  rateVariation = { type = "number", default = 0.05, min = 0, max = 0.5, doc = "how far a device's rate may be off" },
  amplitude = { type = "number", default = 0.8, min = 0, max = 1, doc = "height of R, as a share of full scale" },
}

-- Place in the beat (R in the middle), width and height of each wave.
local waves = {
  { 0.500 - 0.190, 0.0250, 0.12 }, -- P
  { 0.500 - 0.040, 0.0100, -0.12 }, -- Q
  { 0.500, 0.0110, 1.00 }, -- R
  { 0.500 + 0.035, 0.0100, -0.22 }, -- S
  { 0.500 + 0.300, 0.0500, 0.28 }, -- T
}

local points = 2048
local beat = {}
for i = 0, points do
  local sum = 0
  for _, wave in ipairs(waves) do
    local x = (i / points - wave[1]) / wave[2]
    sum = sum + wave[3] * math.exp(-0.5 * x * x)
  end
  beat[i] = sum
end

return function(config, device)
  local c, message = options.parse(config, settings)
  if not c then
    error("ecg_generator: " .. message, 0)
  elseif c.sampleSize % 8 ~= 0 or c.sampleSize == 24 then
    error(("ecg_generator: \"sampleSize\" must be 8, 16 or 32, not %d"):format(c.sampleSize), 0)
  end
  local samples, width = c.samples, c.sampleSize / 8
  local phase = device:random()
  local beats = c.heartRate / 60 * (1 + (2 * device:random() - 1) * c.rateVariation) / c.samplingRate
  local seed = noise.seed(device)
  local full = 2 ^ (c.sampleSize - 1) - 1
  local scale = c.amplitude * full
  local level = c.noiseLevel / 2147483648 -- the sum of three uniform draws from [-1, 1) has a standard deviation of 1
  local bytes, parts = {}, {}

  return function(tick)
    local state = noise.state(seed, tick)
    local start = phase + tick * samples * beats
    local at = 1
    for i = 0, samples - 1 do
      local place = start + i * beats
      place = (place - math.floor(place)) * points
      local below = math.floor(place)
      local value = beat[below] + (beat[below + 1] - beat[below]) * (place - below)
      if level > 0 then
        local first = noise.step(state)
        local second = noise.step(first)
        state = noise.step(second)
        value = value + level * (first + second + state)
      end
      local pcm = math.floor(value * scale + 0.5)
      pcm = pcm > full and full or pcm < -full and -full or pcm
      for _ = 1, width do
        bytes[at] = bit.band(pcm, 255)
        pcm = bit.arshift(pcm, 8)
        at = at + 1
      end
    end
    local n = 0
    for from = 1, samples * width, chunk do
      n = n + 1
      parts[n] = char(unpack(bytes, from, math.min(from + chunk - 1, samples * width)))
    end
    return table.concat(parts, "", 1, n)
  end
end

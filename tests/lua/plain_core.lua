-- The few pure functions of iotix.core, for running these tests with plain luajit.
local core = {}
local Array = {}

function core.array(t)
  return setmetatable(t or {}, Array)
end

local function quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

function core.encode(v)
  if type(v) == "table" then
    local parts = {}
    if getmetatable(v) == Array or #v > 0 then
      for i, e in ipairs(v) do parts[i] = core.encode(e) end
      return "[" .. table.concat(parts, ",") .. "]"
    end
    local keys = {}
    for k in pairs(v) do keys[#keys + 1] = k end
    table.sort(keys)
    for i, k in ipairs(keys) do parts[i] = quote(k) .. ":" .. core.encode(v[k]) end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif type(v) == "string" then
    return quote(v)
  elseif type(v) == "number" then
    return v == math.floor(v) and ("%.0f"):format(v) or ("%.17g"):format(v)
  elseif type(v) == "boolean" then
    return tostring(v)
  elseif v == require("cjson").null then
    return "null"
  end
  error("a " .. type(v) .. " has no JSON")
end

core.decode = require("cjson.safe").decode

function core.duration(v, bare)
  if type(v) == "number" then return v end
  local n, unit = v:match "^(%d+%.?%d*)(%a*)$"
  local units = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400, [""] = bare or 1 }
  if not n or not units[unit] then return nil, "no duration" end
  return tonumber(n) * units[unit]
end

function core.count(v)
  if type(v) == "number" then return v end
  local n, unit = v:match "^(%d+%.?%d*)([kMG]?)$"
  if not n then return nil, "no count" end
  return tonumber(n) * (({ k = 1e3, M = 1e6, G = 1e9 })[unit] or 1)
end

local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local up = row[j]
      row[j] = math.min(up + 1, row[j - 1] + 1, diagonal + (a:byte(i) == b:byte(j) and 0 or 1))
      diagonal = up
    end
  end
  return row[#b]
end

function core.suggest(word, list)
  local best, least
  for _, known in ipairs(list) do
    local d = distance(word, known)
    if d <= math.max(2, #word / 3) and (not least or d < least) then best, least = known, d end
  end
  return best and ('; did you mean "%s"?'):format(best) or "; known: " .. table.concat(list, ", ")
end

return core

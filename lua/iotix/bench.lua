-- What the scenarios of `iotix bench` share. Their options come from the command line (runtime/cli/cmd_bench.c); an
-- empty text, or -1, is an option that was not given.
local bench = {}

-- Of all three; `more` are those of one.
function bench.options(more)
  local all = {
    count = 200, interval = 10, rate = 0, start = 0, prefix = "", topic = "", qos = -1, version = "", keepalive = -1,
    clean = true, expiry = 0, tls = false, insecure = false, ca = "", cert = "", key = "", username = "",
    password = false, duration = 0, limit = 0, inflight = 0,
  }
  for name, default in pairs(more or {}) do
    all[name] = default
  end
  return all
end

-- Text of the command line as a template: %i is the client's number, %c its id, %u its user name, %% a percent sign.
function bench.template(o, text)
  local number = ("${index+%.0f}"):format(o.start)
  local function fill(plain, words)
    return (plain:gsub("%${", "$${"):gsub("%%(.)", words))
  end
  local id = fill(o.prefix, { ["%"] = "%" }) .. number
  local user = fill(o.username, { i = number, c = id, ["%"] = "%" })
  return fill(text, { i = number, c = id, u = user, ["%"] = "%" })
end

local function given(text)
  return text ~= "" and text or nil
end

-- The connection of a model: what was given, and for models of our own what the rest is.
function bench.connection(o, own)
  local connection = {
    clientIdPattern = bench.template(o, "%c"),
    qos = o.qos >= 0 and o.qos or own and 0 or nil,
    protocolVersion = given(o.version),
    keepAlive = o.keepalive >= 0 and o.keepalive or nil,
    sessionExpirySec = o.expiry > 0 and o.expiry or nil,
    username = given(bench.template(o, o.username)),
    passwordRef = o.password and "env:IOTIX_BENCH_PASSWORD" or nil,
    maxInflight = o.inflight > 0 and o.inflight or nil,
  }
  if not o.clean then
    connection.cleanSession = false
  end
  if o.tls then
    connection.tls = { insecure = o.insecure, ca = given(o.ca), cert = given(o.cert), key = given(o.key) }
  end
  return connection
end

-- A model of our own.
function bench.model(o, id, telemetry, connection)
  return {
    id = id, name = "iotix " .. id:gsub("%-", " "), type = "custom", protocol = "mqtt",
    telemetry = telemetry,
    connection = connection or bench.connection(o, true),
  }
end

local PATIENCE = 12 -- seconds from the last connect until those without an answer are given up

-- Starts the clients and waits until all are connected, or will not be.
function bench.connect(t, group)
  local o = t.options
  local delay = o.rate > 0 and 1000 / o.rate or o.interval
  local fleet = t:group(group)
  fleet:start { strategy = "linear", delayMs = delay }
  local deadline = t:now() + o.count * delay / 1000 + PATIENCE
  local counts = fleet:counts()
  while counts.connected + counts.error < o.count and t:now() < deadline do
    t:sleep(0.05)
    counts = fleet:counts()
  end
  t:check("all clients are connected", counts.connected == o.count)
  if counts.connected == 0 then
    t:fail(("none of %d clients was accepted"):format(o.count))
  end
  return fleet
end

-- Until `done(counts)` is true, the time is over, or somebody presses Ctrl-C.
function bench.hold(t, fleet, done)
  local ends = t.options.duration > 0 and t:now() + t.options.duration or math.huge
  local pause = done and 0.05 or 0.5
  while t:now() < ends and not (done and done(fleet:counts())) do
    t:sleep(math.min(pause, math.max(0, ends - t:now())))
  end
end

return bench

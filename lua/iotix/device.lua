-- One device, as scenarios hold it. What must happen inside the device's worker travels there as a small function.
local class = require "iotix.class"
local errors = require "iotix.errors"
local host = require "iotix.host"
local json = require "iotix.json"
local options = require "iotix.options"

local Device = {}

function Device:__tostring()
  return self.id
end

local device = { class = Device }

-- `fleet` is the device's group.
function device.new(fleet, index)
  return setmetatable({ fleet = fleet, group = fleet.id, index = index, id = fleet:device_id(index) }, Device)
end

local function call(self, name, operation, arguments)
  arguments.group, arguments.index = self.group, self.index
  return host.call("device:" .. name, operation, arguments)
end

-- The result of f(device) in the worker.
local function there(self, name, f)
  return call(self, name, "device.do", { ["function"] = host.pack("device:" .. name, f) })
end

local function plain(value)
  if value == json.null then
    return nil
  end
  return value
end

function Device:start()
  call(self, "start", "device.start", {})
  return self
end

function Device:stop()
  call(self, "stop", "device.stop", {})
  return self
end

-- Runs f(device) in the device's worker; its result comes back as JSON does.
function Device:run(f)
  options.argument("device:run", "function", f, { type = "function" })
  return plain(there(self, "run", f))
end

local TOPIC_MAX = 65535 -- MQTT 3.1.1, section 1.5.3
local PAYLOAD_MAX = 700000 -- it travels to the worker inside a function of at most 1 MiB, in base64

device.publish_options = {
  qos = { type = "integer", min = 0, max = 2, doc = "quality of service; default: the connection's" },
  retain = { type = "boolean", default = false, doc = "whether the broker keeps the message" },
}

function Device:publish(topic, payload, given)
  if topic ~= nil then
    options.argument("device:publish", "topic", topic, { type = "string" })
    if topic == "" or topic:find "[+#%z]" then
      errors.raise("device:publish: %q is no topic to publish to: it must not be empty or hold + or #", topic)
    elseif #topic > TOPIC_MAX then
      errors.raise("device:publish: a topic has at most %d bytes, not %d", TOPIC_MAX, #topic)
    end
  end
  local how = options.check("device:publish", given, device.publish_options)
  if type(payload) == "table" then
    local text, message = json.encode(payload)
    if not text then
      errors.raise("device:publish: payload: %s", message)
    end
    payload = text
  elseif type(payload) == "number" or type(payload) == "boolean" then
    payload = tostring(payload)
  end
  options.argument("device:publish", "payload", payload, { type = "string|table" })
  if #payload > PAYLOAD_MAX then
    errors.raise("device:publish: a payload from a scenario has at most %d bytes, not %d", PAYLOAD_MAX, #payload)
  end
  local answer = there(self, "publish", function(d)
    local good, message = d:publish(topic, payload, how)
    return { good = good and true or false, message = message }
  end)
  if not answer.good then
    errors.raise("device:publish: %s: %s", self.id, answer.message or "not sent")
  end
end

function Device:value(name)
  options.argument("device:value", "name", name, { type = "string" })
  local answer = there(self, "value", function(d)
    local good, value = pcall(d.value, d, name)
    return { good = good, value = value }
  end)
  if not answer.good then
    errors.raise("device:value: %s", answer.value)
  end
  return plain(answer.value)
end

function Device:values()
  return plain(there(self, "values", function(d)
    return d:values()
  end)) or {}
end

function Device:set(attribute, changes)
  self.fleet:_set_one("device:set", attribute, changes, self.index)
  return self
end

function Device:command(name, parameters)
  self.fleet:_check_command("device:command", name, parameters)
  call(self, "command", "device.command", { name = name, parameters = parameters })
end

function Device:status()
  return call(self, "status", "device.status", {}).status
end

device.disconnect_options = {
  mode = { type = "string", default = "abort", values = { "abort", "close", "silent" },
    doc = "abort: reset the connection, so that the will is published; close: politely; silent: stop talking" },
  reconnectDelayMs = { type = "number", min = 0, doc = "when to come back; default: by the model's reconnect policy" },
}

function Device:disconnect(given)
  local how = options.check("device:disconnect", given, device.disconnect_options)
  there(self, "disconnect", function(d)
    d:disconnect(how)
  end)
  return self
end

device.wait_options = {
  state = { type = "string", required = true,
    values = { "created", "starting", "running", "stopping", "stopped", "dropped", "error" },
    doc = "the state to wait for" },
  timeout = { type = "duration", default = "60s", doc = "an error after this time" },
}

function Device:wait(given)
  local wanted = options.check("device:wait", given, device.wait_options)
  local last
  if not host.poll(wanted.timeout, function()
    last = self:status()
    return last == wanted.state
  end) then
    errors.raise("device %q: waited %s for state %q, it is %q", self.id, host.seconds(wanted.timeout), wanted.state,
      last)
  end
  return self
end

class(Device, "device", { "id", "index", "group", "fleet" })

return device

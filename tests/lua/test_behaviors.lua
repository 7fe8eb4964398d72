-- What JSON behaviours do once they fire, on a device that notes what it is told.
require "tests.lua.fake_core"
local behavior = require "iotix.behavior"
local core = require "iotix.core"
local luaunit = require "luaunit"

-- A device with some values; renders ${name} as the worker's does.
local function new_device(values)
  local device = { id = "d-1", values = values or {}, did = {}, timers = {}, true_conditions = {} }
  local function note(...)
    device.did[#device.did + 1] = { ... }
  end
  local function lookup(name, parameters)
    if name == "deviceId" then
      return device.id
    end
    return parameters and parameters[name] or device.values[name]
  end
  function device:render(text, parameters)
    return (text:gsub("%${([%w.]+)}", function(name) return tostring(lookup(name, parameters)) end))
  end
  function device:render_json(text, parameters)
    return (text:gsub('"%${([%w.]+)}"', function(name) return core.encode(lookup(name, parameters)) end)
      :gsub("%${([%w.]+)}", function(name) return tostring(lookup(name, parameters)) end))
  end
  function device:publish(topic, payload, how) note("publish", topic, payload, how.qos, how.retain) end
  function device:set(attribute, changes) note("set", attribute, changes) end
  function device:disconnect(how) note("disconnect", how.mode, how.reconnectDelayMs) end
  function device:event(name, data) note("event", name, data) end
  function device:after(seconds, f) device.timers[#device.timers + 1] = { seconds, f } end
  function device:holds(condition) return device.true_conditions[condition] or false end
  return device
end

local function fire(action, values, parameters)
  local device = new_device(values)
  behavior.new(core.encode { name = "b", trigger = {}, action = action }):fire(device, parameters)
  return device.did
end

TestActions = {}

function TestActions:test_publish_keeps_the_types_of_values()
  luaunit.assertEquals(fire({ type = "publish", topic = "devices/${deviceId}/alerts",
    payload = { type = "arrhythmia", heartRate = "${heartRate}", text = "rate ${heartRate}" }, qos = 2, retain = true },
    { heartRate = 130 }),
    { { "publish", "devices/d-1/alerts", '{"heartRate":130,"text":"rate 130","type":"arrhythmia"}', 2, true } })
end

function TestActions:test_publish_of_text()
  luaunit.assertEquals(fire({ type = "publish", topic = "a", payload = "now ${x}" }, { x = 3 }), { { "publish", "a", "now 3" } })
  luaunit.assertEquals(fire { type = "publish", topic = "a" }, { { "publish", "a", "" } })
end

function TestActions:test_parameters_of_a_command()
  luaunit.assertEquals(fire({ type = "publish", topic = "a", payload = { to = "${level}" } }, {}, { level = 7 }),
    { { "publish", "a", '{"to":7}' } })
end

function TestActions:test_set()
  luaunit.assertEquals(fire { type = "set", attribute = "x", value = 5 }, { { "set", "x", 5 } })
  luaunit.assertEquals(fire { type = "set", attribute = "x", min = 1, max = 2 }, { { "set", "x", { min = 1, max = 2 } } })
end

function TestActions:test_disconnect_and_event()
  luaunit.assertEquals(fire { type = "disconnect", mode = "silent", reconnectDelayMs = 500 }, { { "disconnect", "silent", 500 } })
  luaunit.assertEquals(fire({ type = "event", name = "hot", data = { x = "${x}" } }, { x = 9 }), { { "event", "hot", { x = 9 } } })
  luaunit.assertEquals(fire { type = "event", name = "hot" }, { { "event", "hot" } })
end

function TestActions:test_several_in_their_order()
  local device = new_device()
  behavior.new(core.encode { name = "b", trigger = {}, actions = {
    { type = "set", attribute = "a", value = 1 }, { type = "event", name = "e" }, { type = "set", attribute = "b", value = 2 },
  } }):fire(device)
  luaunit.assertEquals(device.did, { { "set", "a", 1 }, { "event", "e" }, { "set", "b", 2 } })
end

-- The functions of a shipped behaviour, and a device for them.
local function shipped(name, config, draw)
  local device = new_device()
  device.state, device.status = {}, "running"
  function device:random() return draw or 0.5 end
  function device:publish(topic, payload) self.did[#self.did + 1] = { "publish", topic, payload } end
  return require("iotix.handler").find("behaviors", name)(config), device
end

TestShipped = {}

function TestShipped:test_firmware_update()
  local functions, device = shipped("firmware_update", { durationMs = 800, topic = "fw" })
  luaunit.assertNil(functions.on_command(device, "reboot", {}))
  luaunit.assertTrue(functions.on_command(device, "updateFirmware", { firmwareUrl = "http://x/2" }))
  luaunit.assertEquals({ functions.on_command(device, "updateFirmware", {}) }, { false, "an update is running" })
  luaunit.assertEquals(device.did, {})
  device.timers[1][2](device)
  luaunit.assertEquals(device.did, { { "disconnect", "close", 800 } })
  functions.on_connect(device)
  luaunit.assertEquals(device.did[3], { "publish", "fw", { deviceId = "d-1", url = "http://x/2", status = "done" } })
  functions.on_connect(device)
  luaunit.assertEquals(#device.did, 3)
end

function TestShipped:test_firmware_updates_that_fail()
  local functions, device = shipped("firmware_update", { failureRate = 0.6 }, 0.5)
  functions.on_command(device, "updateFirmware", {})
  functions.on_connect(device)
  luaunit.assertEquals(device.did[2][3].status, "failed")
  luaunit.assertErrorMsgContains('did you mean "failureRate"', shipped, "firmware_update", { failurRate = 1 })
end

function TestShipped:test_battery()
  local functions, device = shipped("battery", { costPercent = 40 })
  functions.on_start(device)
  functions.on_telemetry(device, "temperature")
  functions.on_telemetry(device, "battery")
  functions.on_telemetry(device, "temperature")
  luaunit.assertEquals(device.did, { { "set", "battery", 100 }, { "set", "battery", 60 }, { "set", "battery", 20 } })
  functions.on_telemetry(device, "temperature")
  luaunit.assertEquals(device.did[5], { "event", "battery empty" })
  luaunit.assertEquals(device.did[6], { "disconnect", "abort", 60000 })
  functions.on_telemetry(device, "temperature")
  luaunit.assertEquals(#device.did, 6)
  functions.on_connect(device)
  luaunit.assertEquals(device.did[7], { "set", "battery", 100 })
end

TestStates = {}

local machine_text = [[{"name":"oven","states":{
  "cold":{"when":[{"condition":"power > 0","to":"heating"}],"telemetry":{"temperature":{"max":20}}},
  "heating":{"after":{"ms":5000,"to":"hot"},"telemetry":{"temperature":{"min":20},"fan":{"value":1}},
             "enter":[{"type":"event","name":"heats"}]},
  "hot":{"when":[{"condition":"power < 1","to":"cold"},{"condition":"always","to":"heating"}]}}}]]

function TestStates:test_the_first_state_is_the_initial_one()
  local device, machine = new_device(), behavior.new(machine_text)
  machine:start(device)
  luaunit.assertEquals(machine:state(device), "cold")
  luaunit.assertEquals(device.did, { { "set", "temperature", { max = 20 } } })
  local named = behavior.new '{"name":"x","initial":"b","states":{"a":{},"b":{}}}'
  named:start(device)
  luaunit.assertEquals(named:state(device), "b")
end

function TestStates:test_conditions_and_times_change_the_state()
  local device, machine = new_device(), behavior.new(machine_text)
  machine:start(device)
  machine:telemetry(device, "power", 0)
  luaunit.assertEquals(machine:state(device), "cold")
  device.true_conditions["power > 0"] = true
  machine:telemetry(device, "power", 1)
  luaunit.assertEquals(machine:state(device), "heating")
  luaunit.assertEquals(device.timers[1][1], 5)
  device.timers[1][2]()
  luaunit.assertEquals(machine:state(device), "hot")
end

function TestStates:test_entering_sets_and_leaving_resets()
  local device, machine = new_device(), behavior.new(machine_text)
  machine:start(device)
  device.did, device.true_conditions["power > 0"] = {}, true
  machine:telemetry(device, "power", 1)
  local sets = {}
  for _, entry in ipairs(device.did) do
    if entry[1] == "set" then
      sets[entry[2]] = entry[3]
    end
  end
  luaunit.assertEquals(sets, { temperature = { min = 20 }, fan = { value = 1 } })
  luaunit.assertEquals(device.did[#device.did], { "event", "heats" })
  device.did = {}
  device.timers[1][2]()
  luaunit.assertEquals(#device.did, 2) -- both attributes go back to the model's own generators
  luaunit.assertNil(device.did[1][3])
  luaunit.assertNil(device.did[2][3])
end

function TestStates:test_the_first_condition_that_holds_wins_and_stale_timers_do_nothing()
  local device, machine = new_device(), behavior.new(machine_text)
  device.true_conditions["power > 0"] = true
  machine:start(device)
  machine:telemetry(device, "power", 1)
  device.timers[1][2]()
  device.true_conditions["always"] = true
  machine:telemetry(device, "power", 1)
  luaunit.assertEquals(machine:state(device), "heating")
  device.timers[1][2]()
  luaunit.assertEquals(machine:state(device), "heating")
  machine:stop(device)
  device.timers[2][2]()
  luaunit.assertNil(machine:state(device))
end

function TestStates:test_machines_without_conditions_are_not_told_of_values()
  luaunit.assertNil(behavior.new('{"name":"x","states":{"a":{"after":{"ms":1,"to":"a"}}}}').telemetry)
end

function TestStates:test_devices_have_states_of_their_own()
  local a, b, machine = new_device(), new_device(), behavior.new(machine_text)
  b.id = "d-2"
  a.true_conditions["power > 0"] = true
  machine:start(a)
  machine:start(b)
  machine:telemetry(a, "power", 1)
  machine:telemetry(b, "power", 0)
  luaunit.assertEquals({ machine:state(a), machine:state(b) }, { "heating", "cold" })
end

os.exit(luaunit.LuaUnit.run())

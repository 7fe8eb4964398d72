"""Behaviours: what devices do on conditions, times, connections and commands. What should happen is computed from the
values that an independent client saw."""

import collections
import json
import pathlib
import re
import statistics

import pytest

from helpers import device_of, milliseconds, series
from scenes import attribute, counter, model, scenario

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"


def shipped(name, **intervals):
    """A shipped model with other intervals, so that a test need not wait."""
    content = json.loads((MODELS / f"{name}.json").read_text(encoding="utf-8"))
    for one in content["telemetry"]:
        one["intervalMs"] = intervals.get(one["name"], one["intervalMs"])
    return content


def bodies(messages, end):
    """{device: [bodies in the order of arrival]} of the messages on topics that end so; numbers keep their type."""
    found = collections.defaultdict(list)
    for message in messages:
        if message.topic.endswith(end):
            found[message.topic.split("/")[1]].append(json.loads(message.payload))
    return found


def published(messages, name):
    """{device: [values in the order of their instants]}"""
    return {device: [value for _, value in samples] for (device, _), samples in series(messages, name).items()}


def rising(values, holds):
    return [value for before, value in zip([None, *values], values)
            if holds(value) and not (before is not None and holds(before))]


def walk(fleet, attribute_, values):
    """Lua: sets an attribute of all devices to one value after the other, each until the last device reported it."""
    return f"""for _, value in ipairs {{ {", ".join(map(str, values))} }} do
    {fleet}:set("{attribute_}", value)
    for index = 0, {fleet}:count() - 1 do
      t:wait_until(function() return {fleet}:device(index):value "{attribute_}" == value end, "20s", "a value")
    end
  end"""


def test_arrhythmia_is_reported_exactly_when_it_begins(broker, observe, iotix, write):
    write("ecg.json", shipped("ecg-monitor-v1", heartRate=100, leadStatus=100000))
    steps = [80, 120, 121, 150, 60, 50, 49, 30, 130, 119]
    file = write("x.lua", scenario(3, walk("fleet", "heartRate", steps), model="ecg.json"))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    rates, alerts = published([m for m in messages if b"heartRate\"" in m.payload and m.topic.endswith("/ecg")],
                              "heartRate"), bodies(messages, "/alerts")
    assert set(rates) == set(alerts) == {"dev-0", "dev-1", "dev-2"}
    for device, values in rates.items():
        assert set(steps) <= set(values)
        expected = rising(values, lambda v: v > 120 or v < 50)
        # 30 follows 49, 130 follows 30: the condition never ceased to be true in between.
        assert expected == [121, 49]
        assert alerts[device] == [{"type": "arrhythmia", "heartRate": rate} for rate in expected]
        assert all(type(alert["heartRate"]) is int for alert in alerts[device])


def test_a_busy_gateway_is_reported_exactly_when_it_becomes_busy(broker, observe, iotix, write):
    write("gateway.json", shipped("industrial-gateway-v1", cpuUsage=100, memoryUsage=100000, connectedDevices=100000))
    steps = [50.5, 90, 90.25, 99, 20, 91, 90.0]
    file = write("x.lua", scenario(3, walk("fleet", "cpuUsage", steps), model="gateway.json"))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    assert {m.topic for m in messages} == {
        f"gateways/dev-{i}/{end}" for i in range(3) for end in ("data", "alerts")}
    alerts = bodies(messages, "/alerts")
    for device, values in published([m for m in messages if m.topic.endswith("/data")], "cpuUsage").items():
        expected = rising(values, lambda v: v > 90)
        assert expected == [90.25, 91]
        assert alerts[device] == [{"type": "highCpu", "value": value} for value in expected]
    assert all(m.qos == 2 for m in messages)


def behavior(name, trigger, *actions, **more):
    if len(actions) == 1:
        return dict(name=name, trigger=trigger, action=actions[0], **more)
    return dict(name=name, trigger=trigger, actions=list(actions), **more)


def tell(end, payload, **more):
    return dict(type="publish", topic="devices/${deviceId}/" + end, payload=payload, **more)


# 0 1 2 … 9 0 1 … each 50 ms
WAVE = attribute("wave", {"type": "sequence", "min": 0, "max": 9, "step": 1, "wrap": True}, 50, "integer")
VALUE = {"v": "${wave}", "at": "${timestamp}", "device": "${deviceId}", "text": "wave is ${wave}"}


def test_triggers(broker, observe, iotix, write):
    write("probe.json", model(
        WAVE,
        attribute("mode", {"type": "constant", "value": "auto"}, 100, "string"),
        attribute("never", {"type": "constant", "value": 1}, 1000000, phase="random"),
        behaviors=[
            behavior("edge", {"type": "condition", "condition": "wave >= 3 && wave < 7"}, tell("edge", VALUE)),
            behavior("level", {"type": "condition", "condition": "wave > 6", "mode": "level"}, tell("level", VALUE)),
            behavior("cooldown", {"type": "condition", "condition": "wave * 2 >= 0", "mode": "level",
                                  "cooldownMs": 280}, tell("cooldown", VALUE)),
            behavior("text", {"type": "condition", "condition": "mode == 'auto' && !(wave % 5 > 0)"}, tell("text", VALUE)),
            behavior("unknown", {"type": "condition", "condition": "never == 1 || never != 1"}, tell("unknown", VALUE)),
            behavior("interval", {"type": "interval", "intervalMs": 150}, tell("interval", VALUE)),
            behavior("connect", {"type": "connect"}, tell("connect", {"at": "${timestamp}"}, qos=0)),
        ]))
    file = write("x.lua", scenario(3, """t:sleep "1s"
  fleet:device(0):disconnect { mode = "abort", reconnectDelayMs = 200 }
  t:sleep "1500ms" """))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    waves = published([m for m in messages if m.topic.endswith("/telemetry")], "wave")
    told = {end: bodies(messages, "/" + end) for end in
            ("edge", "level", "cooldown", "text", "interval", "connect", "unknown")}
    for device, values in waves.items():
        assert len(values) >= 30 and set(values) == set(range(10))
        edges = [b["v"] for b in told["edge"][device]]
        levels = [b["v"] for b in told["level"][device]]
        if device != "dev-0":  # the other two saw every value
            assert edges == rising(values, lambda v: 3 <= v < 7) and set(edges) == {3}
            assert levels == [v for v in values if v > 6]
            texts = [b["v"] for b in told["text"][device]]
            assert set(texts) == {0, 5} and abs(len(texts) - len([v for v in values if v in (0, 5)])) <= 1
        for body in told["level"][device]:
            assert body["device"] == device and body["text"] == f"wave is {body['v']}" and type(body["v"]) is int
        cooled = [(milliseconds(b["at"]), b["v"]) for b in told["cooldown"][device]]
        # A value every 50 ms: every sixth one at most, also where a busy host was late with one of them.
        assert len(cooled) >= 5 and all(b[0] - a[0] >= 279 or (b[1] - a[1]) % 10 >= 6 for a, b in zip(cooled, cooled[1:])), cooled
        stamps = [milliseconds(b["at"]) for b in told["interval"][device]]
        assert len(stamps) >= 8 and 120 < statistics.median(b - a for a, b in zip(stamps, stamps[1:])) < 180, stamps
        assert len(told["connect"][device]) == (2 if device == "dev-0" else 1)
    assert not told["unknown"], "a condition is false until each of its attributes has a value"


def test_actions(broker, observe, iotix, write):
    write("probe.json", model(
        WAVE,
        attribute("level", {"type": "random", "min": 10, "max": 20}, 50),
        connection={"will": {"topic": "devices/${deviceId}/gone", "payload": "gone"}},
        behaviors=[
            behavior("heat", {"type": "condition", "condition": "wave == 5"},
                     {"type": "set", "attribute": "level", "min": 40, "max": 50},
                     {"type": "event", "name": "heated", "data": {"wave": "${wave}", "by": "${deviceId}"}},
                     {"type": "log", "level": "warn", "message": "${deviceId} heats at ${wave}"},
                     tell("heated", "at ${wave}", retain=True)),
            behavior("fix", {"type": "condition", "condition": "wave == 9 && level > 30"},
                     {"type": "set", "attribute": "level", "value": 77.5}),
            behavior("leave", {"type": "condition", "condition": "level == 77.5"},
                     {"type": "disconnect", "mode": "abort", "reconnectDelayMs": 100}),
        ]))
    file = write("x.lua", scenario(2, 't:sleep "1800ms"'))
    observer = observe(broker)
    run = iotix("run", file, "--broker", broker.address, "--out", "json=r.json").expect(0)
    messages = observer.settle().messages
    for device in ("dev-0", "dev-1"):
        own = [m for m in messages if device_of(m) == device]
        levels = [json.loads(m.payload)["level"] for m in own if b'"level"' in m.payload]
        first = next(i for i, v in enumerate(levels) if v > 20)
        fixed = levels.index(77.5)
        assert first > 0 and all(10 <= v <= 20 for v in levels[:first])
        assert all(40 <= v <= 50 for v in levels[first:fixed]) and fixed - first >= 3
        assert [m.payload for m in own if m.topic.endswith("/heated")][0] == b"at 5"
        assert [m.topic for m in own].count(f"devices/{device}/gone") >= 1, "abort lets the will be published"
        assert len(broker.connects()[device]) >= 2
        assert re.search(rf"warn.*{device} heats at 5", run.err), run.describe()
    late = observe(broker, "devices/+/heated")
    assert {m.payload for m in late.wait_for(2, 10)} == {b"at 5"} and all(m.retain for m in late.messages)
    events = [e for e in json.loads(pathlib.Path(file.parent, "r.json").read_text())["events"] if e["name"] == "heated"]
    assert {(e["data"]["device"], e["data"]["data"]["by"], e["data"]["data"]["wave"]) for e in events} == {
        (f"dev-{i}", f"dev-{i}", 5) for i in (0, 1)}


def test_a_state_machine(broker, observe, iotix, write):
    write("probe.json", model(
        attribute("load", {"type": "constant", "value": 0}, 50),
        behaviors=[{
            "name": "duty", "initial": "idle", "states": {
                "busy": {"telemetry": {"load": {"type": "sequence", "start": 90, "step": 1, "min": 90, "max": 200}},
                         "when": [{"condition": "load > 1000", "to": "broken"}, {"condition": "load >= 1 && load < 500",
                                                                               "to": "cooling"}],
                         "enter": [tell("state", {"state": "busy", "load": "${load}"})]},
                "idle": {"after": {"ms": 400, "to": "busy"}, "telemetry": {"load": {"value": 3}},
                         "enter": [tell("state", {"state": "idle", "load": "${load}"})]},
                "cooling": {"after": {"ms": 200, "to": "idle"},
                            "enter": [tell("state", {"state": "cooling", "load": "${load}"}),
                                      {"type": "event", "name": "cooling"}]},
                "broken": {},
            }}]))
    file = write("x.lua", scenario(2, 't:sleep "2s"'))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    for device, entered in bodies(messages, "/state").items():
        names = [body["state"] for body in entered]
        # The message of entering the first state has no connection yet, so it may be missing.
        names = names[1:] if names[0] == "idle" else names
        assert len(names) >= 6 and names == (["busy", "cooling", "idle"] * 9)[:len(names)], f"{device}: {names}"
        loads = published([m for m in messages if device_of(m) == device and m.topic.endswith("/telemetry")], "load")
        assert loads[device][0] == 3 and 0 in loads[device], "states set the values and give them back"


HOOKS = """return function(config)
  local function trace(device, what, more)
    device.state.count = (device.state.count or 0) + 1
    device:publish("devices/" .. device.id .. "/trace",
      { what = what, n = device.state.count, greeting = config.greeting, more = more })
  end
  return {
    on_start = function(device)
      device.state.started = (device.state.started or 0) + 1
      device.state.connects = 0
      device:after(0.3, "alarm")
    end,
    on_connect = function(device)
      device.state.connects = device.state.connects + 1
      trace(device, "connect", { started = device.state.started, connects = device.state.connects,
        status = device.status, id = device.id, index = device.index, group = device.group, model = device.model })
    end,
    on_telemetry = function(device, name, value)
      if value % 10 == 5 then
        trace(device, "telemetry", { name = name, value = value, last = device:value(name) })
      end
    end,
    on_timer = function(device, name)
      trace(device, "timer", { name = name })
    end,
    on_command = function(device, name, parameters)
      if name == "greet" then
        trace(device, "command", { name = name, whom = parameters.whom })
        return true
      elseif name == "fail" then
        return false, "I would rather not"
      end
    end,
    on_stop = function(device)
      trace(device, "stop")
    end,
  }
end
"""


def test_a_behaviour_in_lua_has_every_hook_and_a_state_of_its_own(broker, observe, iotix, write):
    write("behaviors/hooks.lua", HOOKS)
    answers = {"response": {"topic": "devices/${deviceId}/answers"}}
    write("probe.json", model(
        counter(50),
        commands=[
            {"name": name, "topic": f"devices/${{deviceId}}/{name}", **answers,
             "parameters": [{"name": "whom"}]} for name in ("greet", "fail", "other")],
        behaviors=[{"name": "hooks", "handler": "hooks", "config": {"greeting": "hello"}}]))
    file = write("x.lua", scenario(3, """t:sleep "500ms"
  fleet:device(1):disconnect { mode = "close", reconnectDelayMs = 100 }
  local good, refused = fleet:command("greet", { whom = "world" })
  t:log("greeted=%d refused=%d", good, refused)
  fleet:wait { connected = 3, timeout = "20s" }
  local ok, message = pcall(function() fleet:device(0):command "fail" end)
  t:check("refusals come back", not ok and tostring(message):find "I would rather not")
  fleet:device(0):command "other"
  t:sleep "600ms" """))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    traces = bodies(messages, "/trace")
    assert set(traces) == {"dev-0", "dev-1", "dev-2"}
    for device, found in traces.items():
        assert [t["n"] for t in found] == list(range(1, len(found) + 1)), f"{device}: the state is its own: {found}"
        assert {t["greeting"] for t in found} == {"hello"}
        by = collections.defaultdict(list)
        for one in found:
            by[one["what"]].append(one.get("more"))
        index = int(device[-1])
        connects = 2 if index == 1 else 1
        assert [m["connects"] for m in by["connect"]] == list(range(1, connects + 1))
        assert by["connect"][0] == {"started": 1, "connects": 1, "status": "running", "id": device, "index": index,
                                    "group": "fleet", "model": "probe-v1"}
        assert found[0]["what"] == "connect" and found[-1]["what"] == "stop" and len(by["stop"]) == 1
        assert by["timer"] == [{"name": "alarm"}]
        values = [m["value"] for m in by["telemetry"]]
        assert values[:2] == [5, 15] and all(m["last"] == m["value"] for m in by["telemetry"])
        if index != 1:
            assert by["command"] == [{"name": "greet", "whom": "world"}]
    answers = bodies(messages, "/answers")
    assert answers["dev-0"] == [
        {"command": "greet", "status": "ok"},
        {"command": "fail", "status": "error", "error": "I would rather not"},
        {"command": "other", "status": "ok"}]


def test_a_behaviour_of_the_scenario_itself(broker, observe, iotix, write):
    write("probe.json", model(counter(50), behaviors=[
        {"name": "echo", "handler": "echo", "config": {"every": 4}}]))
    file = write("x.lua", scenario(2, 't:sleep "600ms"', keys="""behaviors = { echo = function(config)
  return { on_telemetry = function(device, name, value)
    if value % config.every == 0 then device:publish("devices/" .. device.id .. "/echo", tostring(value)) end
  end }
end },"""))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    values = published([m for m in messages if m.topic.endswith("/telemetry")], "counter")
    for device in ("dev-0", "dev-1"):
        echoes = [int(m.payload) for m in messages if m.topic == f"devices/{device}/echo"]
        assert echoes == [v for v in values[device] if v % 4 == 0] and len(echoes) >= 3


def test_shipped_firmware_update(broker, observe, iotix, write):
    write("probe.json", model(
        counter(100),
        commands=[{"name": "updateFirmware", "topic": "devices/${deviceId}/update",
                   "parameters": [{"name": "firmwareUrl", "required": True}],
                   "response": {"topic": "devices/${deviceId}/answers"}}],
        behaviors=[{"name": "update", "handler": "firmware_update", "config": {"durationMs": 3000}}]))
    file = write("x.lua", scenario(2, """fleet:command("updateFirmware", { firmwareUrl = "http://images/7" })
  fleet:wait { connected = 0, timeout = "10s" }
  t:wait_until(function() return fleet:count "connected" == 0 end, "10s", "both to go")
  fleet:wait { connected = 2, timeout = "10s" }
  t:sleep "200ms" """))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    for device in ("dev-0", "dev-1"):
        assert bodies(messages, "/answers")[device] == [{"command": "updateFirmware", "status": "ok"}]
        assert bodies(messages, "/firmware")[device] == [
            {"deviceId": device, "url": "http://images/7", "status": "done"}]
        assert len(broker.connects()[device]) == 2


def test_shipped_battery(broker, observe, iotix, write):
    write("probe.json", model(
        counter(50), attribute("battery", {"type": "constant", "value": 100}, 50),
        behaviors=[{"name": "battery", "handler": "battery", "config": {"costPercent": 10, "chargeMs": 300}}]))
    file = write("x.lua", scenario(2, 't:sleep "1700ms"'))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address, "--out", "json=r.json").expect(0)
    levels = published(observer.settle().messages, "battery")
    for device, values in levels.items():
        lowest = values.index(10)
        assert values[:lowest] == sorted(values[:lowest], reverse=True) and set(values) <= set(range(0, 101, 10))
        assert max(values[lowest:]) >= 90, "charged again; a value of the counter may have cost something since"
        assert len(broker.connects()[device]) >= 2
    events = json.loads(pathlib.Path(file.parent, "r.json").read_text())["events"]
    assert len([e for e in events if e["name"] == "battery empty"]) >= 2


# condition: (position of the mistake, counted from 1; what the message says)
BAD_CONDITIONS = {
    "counter >": (10, None),
    "counter >> 3": (10, None),
    "(counter > 3": (13, "parenthesis"),
    "countr > 3": (1, r"did you mean.*counter"),
    "counter > 'abc": (11, None),
    "counter && ": (None, None),
    "": (None, None),
}


@pytest.mark.parametrize("condition", BAD_CONDITIONS)
def test_a_mistake_in_a_condition_is_named_with_its_position(condition, iotix, write):
    position, text = BAD_CONDITIONS[condition]
    write("bad.json", model(counter(), behaviors=[
        behavior("fine", {"type": "connect"}, tell("x", "y")),
        behavior("wrong", {"type": "condition", "condition": condition}, tell("x", "y"))]))
    checked = iotix("model", "check", "bad.json").expect(104, r"behaviors\[1\]\.trigger\.condition")
    line = next(line for line in checked.err.splitlines() + checked.out.splitlines() if "trigger.condition" in line)
    if position:
        assert re.search(rf"\b{position}\b", line), checked.describe()
    if text:
        assert re.search(text, line), checked.describe()


def test_unknown_names_in_behaviours_are_errors(iotix, write):
    cases = [
        (behavior("a", {"type": "command", "command": "rebot"}, tell("x", "y")), r"rebot.*did you mean.*reboot"),
        (behavior("a", {"type": "connect"}, tell("x", {"v": "${countr}"})), r"countr.*did you mean.*counter"),
        (behavior("a", {"type": "connect"}, {"type": "set", "attribute": "countr", "value": 1}),
         r"countr.*did you mean.*counter"),
        (behavior("a", {"type": "conect"}, tell("x", "y")), r"did you mean.*connect"),
        (behavior("a", {"type": "connect"}, {"type": "publsh", "topic": "x"}), r"did you mean.*publish"),
        ({"name": "a", "handler": "nowhere"}, None),
        ({"name": "a", "initial": "up", "states": {"on": {}}}, r"up"),
        ({"name": "a", "states": {"on": {"after": {"ms": 5, "to": "offf"}}, "off": {}}}, r"offf.*did you mean.*off"),
    ]
    for number, (one, text) in enumerate(cases):
        write("bad.json", model(counter(), behaviors=[one], commands=[{"name": "reboot", "topic": "d/${deviceId}"}]))
        checked = iotix("model", "check", "bad.json")
        if text:
            checked.expect(104, text)
        assert number == 5 or checked.code == 104, checked.describe()

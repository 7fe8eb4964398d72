"""Commands from outside: what devices do with good and bad ones, what they answer, and how they are counted."""

import json
import time

import pytest

from helpers import device_of, series, wait_until
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario


def command(name, *parameters, response=True, **more):
    if response is True:
        response = {"topic": "devices/${deviceId}/answers"}
    return dict(name=name, topic=f"devices/${{deviceId}}/commands/{name}", parameters=list(parameters),
                **({"response": response} if response else {}), **more)


def parameter(name, kind, required=False):
    return {"name": name, "type": kind, "required": required}


@pytest.fixture
def fleet(broker, observe, iotix, write):
    """fleet(model, body, devices) starts a fleet that runs until fleet.stop(), and an observer."""

    class Fleet:
        def start(self, content, devices=2, body=UNTIL_STOPPED, keys=""):
            write("probe.json", content)
            self.observer = observe(broker)
            self.run = iotix.start("run", write("x.lua", scenario(devices, body, keys=keys)), "--broker", broker.address)
            self.observer.wait_for_devices(devices, 30)
            return self

        def send(self, name, payload, device="dev-0"):
            """Sends a command and returns the answer that comes next."""
            topic = f"devices/{device}/answers"
            before = len([m for m in self.observer.messages if m.topic == topic])
            text = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
            self.observer.publish(f"devices/{device}/commands/{name}", text)
            return json.loads(self.observer.wait_for(before + 1, 10, lambda m: m.topic == topic)[-1].payload)

        def stop(self, *texts, code=0):
            write("stop", "")
            return self.run.expect(code, *texts)

    return Fleet()


def test_commands_are_checked_answered_and_counted(fleet):
    fleet.start(model(counter(100), commands=[
        command("move", parameter("x", "number", True), parameter("y", "integer"), parameter("fast", "boolean"),
                parameter("note", "string"), parameter("raw", "binary")),
        command("ping"),
        command("quiet", response=None),
    ]), keys='thresholds = { ["commands.invalid"] = "count==8", ["commands.received"] = "count==15", '
             '["commands.answered"] = "count==14" },')
    good = {"command": "move", "status": "ok"}
    assert fleet.send("move", {"x": 1}) == good
    assert fleet.send("move", {"x": -1.5, "y": 7, "fast": True, "note": "ü", "raw": "AAEC"}) == good
    assert fleet.send("move", {"x": 1, "more": {"a": 1}, "correlationId": "c-17"}) == dict(good, correlationId="c-17")
    assert fleet.send("ping", "") == {"command": "ping", "status": "ok"}
    assert fleet.send("ping", {"correlationId": 4}, "dev-1") == {"command": "ping", "status": "ok", "correlationId": 4}

    bad = [
        ("move", {}, ["x", "missing"]),
        ("move", {"x": "1"}, ["x", "number"]),
        ("move", {"x": 1, "y": 1.5}, ["y", "integer"]),
        ("move", {"x": 1, "fast": "yes"}, ["fast", "boolean"]),
        ("move", {"x": 1, "raw": "no base64!"}, ["raw", "base64"]),
        ("move", "{nothing", ["JSON"]),
        ("move", [1], ["JSON object"]),
        ("ping", b"\xff\xfe\x00", ["JSON"]),
    ]
    for name, payload, words in bad:
        answer = fleet.send(name, payload)
        assert set(answer) == {"command", "status", "error"}, answer
        assert answer["command"] == name and answer["status"] == "error", answer
        assert all(word in answer["error"] for word in words), answer

    fleet.observer.publish("devices/dev-0/commands/quiet", "{}")
    fleet.observer.publish("devices/dev-0/commands/unheard", "{}")
    assert fleet.send("ping", {}) == {"command": "ping", "status": "ok"}
    time.sleep(0.2)
    fleet.stop(r"commands +15 +14 answered, 8 not understood")


def test_a_response_is_a_template(fleet):
    template = {
        "of": "${deviceId}", "what": "${command}", "status": "${status}", "why": "${error}", "id": "${correlationId}",
        "limit": "${limit}", "list": "${list}", "text": "limit ${limit} at ${temperature}", "now": "${temperature}",
        "at": "${timestamp}", "site": "${metadata.site}", "nested": [{"limit": "${limit}"}, 1, True, None],
    }
    fleet.start(model(
        counter(100), attribute("temperature", {"type": "constant", "value": 21.5}, 100), metadata={"site": "north"},
        commands=[command("setLimit", parameter("limit", "number", True), parameter("list", "string"),
                          response={"topic": "devices/${deviceId}/answers", "template": template})]))
    answer = fleet.send("setLimit", {"limit": 30, "correlationId": {"a": [1]}})
    stamp = answer.pop("at")
    assert stamp.endswith("Z")
    assert answer == {
        "of": "dev-0", "what": "setLimit", "status": "ok", "why": None, "id": {"a": [1]}, "limit": 30, "list": None,
        "text": "limit 30 at 21.5", "now": 21.5, "site": "north", "nested": [{"limit": 30}, 1, True, None]}
    answer = fleet.send("setLimit", {"list": "x"})
    assert answer["status"] == "error" and "limit" in answer["why"] and answer["limit"] is None
    fleet.stop()


def test_reboot_goes_away_and_comes_back(fleet, broker):
    fleet.start(model(counter(100), commands=[command("reboot")]))
    assert fleet.send("reboot", {"delayMs": 400}) == {"command": "reboot", "status": "ok"}
    wait_until(lambda: len(broker.connects()["dev-0"]) == 2, 10, "the device to come back")
    back = time.monotonic()
    fleet.observer.wait_for(3, 10, lambda m: m.time > back and device_of(m) == "dev-0")
    answer = fleet.send("reboot", {"delayMs": "soon"})
    assert answer["status"] == "error" and "delayMs" in answer["error"], answer
    time.sleep(0.3)
    fleet.stop()
    assert [len(broker.connects()[d]) for d in ("dev-0", "dev-1")] == [2, 1]
    samples = series(fleet.observer.messages, "counter")["dev-0", "counter"]
    base = samples[0][0]
    assert all(stamp - base == 100 * value for stamp, value in samples), "ticks went on while it was away"
    gaps = [b[1] - a[1] for a, b in zip(samples, samples[1:])]
    assert max(gaps) >= 4, f"it must have been away for 400 ms: {gaps}"


def test_set_changes_an_attribute(fleet):
    fleet.start(model(
        attribute("level", {"type": "constant", "value": 1}, 100),
        attribute("noise", {"type": "random", "min": 0, "max": 1}, 100), commands=[command("set")]))
    assert fleet.send("set", {"attribute": "level", "value": 42.5})["status"] == "ok"
    assert fleet.send("set", {"attribute": "noise", "value": {"min": 100, "max": 101}})["status"] == "ok"
    changed = time.monotonic()
    for body in ({"value": 3}, {"attribute": "level"}, {"attribute": "lvel", "value": 3},
                 {"attribute": "noise", "value": {"mni": 3}}):
        answer = fleet.send("set", body)
        assert answer["status"] == "error" and answer["error"], answer
    fleet.observer.wait_for(8, 10, lambda m: m.time > changed + 0.2 and device_of(m) == "dev-0")
    fleet.stop()
    late = [m for m in fleet.observer.messages if m.time > changed + 0.2]
    found = series([m for m in late if m.topic.endswith("/telemetry")], "level", "noise")
    assert {v for _, v in found["dev-0", "level"]} == {42.5} and {v for _, v in found["dev-1", "level"]} == {1}
    assert all(100 <= v <= 101 for _, v in found["dev-0", "noise"])


def test_an_actuator_publishes_its_new_state_at_once(fleet):
    content = dict(model(
        attribute("valve", {"type": "constant", "value": "closed"}, 100000, "string"), counter(100),
        commands=[command("set")]), type="actuator")
    fleet.start(content)

    def states():
        return [json.loads(m.payload)["valve"] for m in fleet.observer.messages
                if m.topic == "devices/dev-0/telemetry" and b'"valve"' in m.payload]

    wait_until(lambda: states() == ["closed"], 10, "the first state")
    assert fleet.send("set", {"attribute": "valve", "value": "open"})["status"] == "ok"
    wait_until(lambda: states() == ["closed", "open"], 10, states)
    assert fleet.send("set", {"attribute": "valve", "value": 7})["status"] == "error"
    fleet.stop()
    assert states() == ["closed", "open"]


def test_parameters_named_like_attributes_set_them(fleet):
    content = dict(model(
        attribute("position", {"type": "constant", "value": 0}, 100000),
        attribute("moving", {"type": "constant", "value": False}, 100000, "boolean"), counter(100),
        commands=[command("move", parameter("position", "number", True), parameter("moving", "boolean")), command("set"),
                  command("ping")]), type="actuator")
    fleet.start(content)

    def states(name):
        return [json.loads(m.payload)[name] for m in fleet.observer.messages
                if m.topic == "devices/dev-0/telemetry" and f'"{name}"'.encode() in m.payload]

    wait_until(lambda: states("position") == [0], 10, "the first state")
    assert fleet.send("move", {"position": 40, "moving": True})["status"] == "ok"
    wait_until(lambda: (states("position"), states("moving")) == ([0, 40], [False, True]), 10, states)
    assert fleet.send("set", {"position": 5.5})["status"] == "ok"
    assert fleet.send("ping", {})["status"] == "ok"
    assert fleet.send("set", {"positon": 5.5})["status"] == "error"
    fleet.stop()
    assert (states("position"), states("moving")) == ([0, 40, 5.5], [False, True])


def test_commands_of_the_scenario(broker, observe, iotix, write):
    write("probe.json", model(counter(100), commands=[
        command("move", parameter("x", "number", True)), command("reboot")]))
    write("x.lua", scenario(4, """local answers = t:subscribe "devices/+/answers"
  local devices, refused = fleet:command("move", { x = 5 })
  t:check("all", devices == 4 and refused == 0)
  for _ = 1, 4 do t:check("answered", answers:expect { match = { command = "move", status = "ok" } }) end
  local function refuses(name, parameters, text)
    local ok, message = pcall(function() fleet:device(1):command(name, parameters) end)
    t:check("refused", not ok and tostring(message):find(text, 1, true) and tostring(message):find("x.lua", 1, true))
    if ok or not tostring(message):find(text, 1, true) then t:log("%s", tostring(message)) end
  end
  refuses("move", { x = "far" }, "number")
  refuses("move", nil, "missing")
  refuses("mvoe", { x = 1 }, 'did you mean "move"')
  fleet:device(2):stop()
  fleet:device(2):wait { state = "stopped" }
  local ok, message = pcall(function() fleet:device(2):command("move", { x = 1 }) end)
  t:check("nobody hears it", not ok and tostring(message):find "not connected")
  local n, r = fleet:command("move", { x = "far" })
  t:check("counted", n == 4 and r == 4)
  n, r = fleet:command("move", { x = 1 })
  t:check("one is stopped", n == 4 and r == 1)
  fleet:device(3):command("reboot", { delayMs = 200 })
  fleet:device(3):wait { state = "running" }"""))
    iotix("run", "x.lua", "--broker", broker.address).expect(0)

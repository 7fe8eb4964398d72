"""Mistakes in Lua, wherever it runs: in the scenario, and in the workers in generators, behaviours, strategies and
functions that travel. Each is named with device, file and line; the rest of the fleet goes on."""

import json
import re
import time

import pytest

from helpers import series
from scenes import attribute, counter, model, scenario

SCRIPT_ERROR = 107


@pytest.fixture
def run(iotix, write, broker, observe):
    """run(…) runs a scenario of 4 devices to its end and keeps the observer's messages in run.messages."""

    class Runner:
        messages = ()

        def __call__(self, content, body='t:sleep "800ms"', code=0, texts=(), arguments=(), **options):
            observer = observe(broker)
            write("probe.json", content)
            file = write("x.lua", scenario(options.pop("devices", 4), body, **options))
            ended = iotix("run", file.name, "--broker", broker.address, "--out", "json=r.json", *arguments)
            assert ended.code in (code if isinstance(code, tuple) else (code,)), ended.describe()
            ended.expect(ended.code, *texts)
            self.messages = observer.settle().messages
            self.report = json.loads((file.parent / "r.json").read_text(encoding="utf-8"))
            return ended

        def counts(self, name="counter"):
            """{device: how many values of an attribute came}"""
            return {device: len(samples) for (device, _), samples in series(self.messages, name).items()}

    return Runner()


GENERATOR = """local function deeper(tick, device)
  if tick == 3 and device.index == 1 then
    local x
    return x.y
  end
  return tick
end
return function(config, device)
  return function(tick)
    return (deeper(tick, device))
  end
end
"""

BEHAVIOR = """return {
  on_telemetry = function(device, name, value)
    if value == 3 and device.index == 1 then
      error("enough of " .. name)
    end
  end,
}
"""


def generator():
    return model(attribute("counter", {"type": "custom", "handler": "broken"}, 100))


def behavior():
    return model(counter(100), behaviors=[{"name": "b", "handler": "broken"}])


CHECKS = """t:sleep "800ms"
  t:check("one is in error", fleet:count "error" == 1 and fleet:count "connected" == 3)
  t:check("its state", fleet:device(1):status() == "error" and fleet:device(0):status() == "running")
  t:check("counted", t:metric "script.errors".count == 1)"""


def test_an_error_in_a_generator_stops_its_device(run, write):
    write("generators/broken.lua", GENERATOR)
    ended = run(generator(), CHECKS, texts=[
        r'device "?dev-1"?', r"broken\.lua:4: attempt to index", r"(?s)traceback.*broken\.lua:10"])
    assert len(re.findall(r"traceback", ended.err)) == 1, "once is enough"
    assert len(re.findall(r"error: ", ended.err)) == 1, "the group need not say again what its device said"
    counts = run.counts()
    assert counts["dev-1"] == 3 and min(counts[f"dev-{i}"] for i in (0, 2, 3)) >= 7
    assert run.report["totals"]["counters"]["script.errors"] == 1


def test_an_error_in_a_behaviour_stops_its_device(run, write):
    write("behaviors/broken.lua", BEHAVIOR)
    run(behavior(), CHECKS, texts=[r'device "?dev-1"?', r"broken\.lua:4: enough of counter", "traceback"])
    counts = run.counts()
    assert counts["dev-1"] == 4 and min(counts[f"dev-{i}"] for i in (0, 2, 3)) >= 7


@pytest.mark.parametrize("kind", ["generator", "behavior"])
def test_the_policy_may_be_to_end_the_run(kind, run, write):
    write("generators/broken.lua", GENERATOR)
    write("behaviors/broken.lua", BEHAVIOR)
    began = time.monotonic()
    run(generator() if kind == "generator" else behavior(), 't:sleep "60s"', code=SCRIPT_ERROR,
        keys='onError = "run", teardown = function(t) t:log "cleaned up" end,',
        texts=[r"broken\.lua:4: ", r"dev-1", r"cleaned up"])
    assert time.monotonic() - began < 40
    assert run.report["verdict"]["exitCode"] == SCRIPT_ERROR


@pytest.mark.parametrize("code, text", [
    ("return function(config, device) error 'not today' end", r"broken\.lua:1: not today"),
    ("return function(config, device) return 5 end", r"broken.*function"),
    ("return 7", r"broken.*function"),
    ("local x = = 2", r"broken\.lua:1:"),
], ids=["raises", "returns a number", "is a number", "syntax"])
def test_a_generator_that_cannot_be_made(code, text, iotix, write, broker):
    write("generators/broken.lua", code)
    write("probe.json", generator())
    write("x.lua", scenario(1).replace('timeout = "30s"', 'timeout = "500ms"'))
    ended = iotix("run", "x.lua", "--broker", broker.address)
    assert ended.code in (104, SCRIPT_ERROR), ended.describe()
    assert re.search(text, ended.out + ended.err), ended.describe()


def test_errors_of_travelling_functions_come_back(run):
    ended = run(model(counter(100)), """local devices, errors = fleet:each(function(device)
    if device.index == 2 then
      local nothing
      return nothing.field
    end
  end)
  t:check("each goes on", devices == 4 and errors == 1 and fleet:count "connected" == 4)
  local ok, message = pcall(function() return fleet:device(1):run(function(d) error("here " .. d.id) end) end)
  t:check("run raises", not ok and tostring(message):find "here dev%-1" and tostring(message):find "x.lua:")
  t:check("counted", t:metric "script.errors".count == 2)""")
    assert re.search(r"device 2 of group|dev-2", ended.err) and re.search(r"x\.lua:10: attempt to index", ended.err)


def test_an_error_in_a_strategy_is_an_error_of_the_call(run, write):
    write("strategies/launch/late.lua", """return { new = function(settings, count)
  return function(k)
    if k == 2 then error("no place for " .. k) end
    return k / 100
  end
end }
""")
    run(model(counter(100)), "", start='strategy = "late"', code=SCRIPT_ERROR,
        texts=[r"late\.lua:3: no place for 2", r"x\.lua:5"])


def test_an_error_in_a_selector_leaves_the_fleet_alone(run):
    run(model(counter(100)), """local ok, message = pcall(function()
    fleet:dropout { strategy = "immediate", select = function(d) return d:value("cuonter") > 3 end }
  end)
  t:check("refused", not ok and tostring(message):find "cuonter" and tostring(message):find "x.lua:8")
  t:check("nobody dropped", fleet:count "connected" == 4)""")


# ---- endless loops


def test_an_endless_loop_in_run_ends_with_its_line(run):
    run(model(counter(100)), "local x = 0\n  while true do\n    x = x + 1\n  end", code=SCRIPT_ERROR,
        keys='teardown = function(t) t:log "cleaned up" end,',
        texts=[r"x\.lua:(8|9): ran for 1 s without returning", r"cleaned up"])
    assert len(run.messages) >= 4 * 2, "devices go on meanwhile"


LOOPS = {
    "generator": (generator, "generators", """return function(config, device)
  return function(tick)
    local sum, stuck = 0, tick >= 3 and device.index == 1
    while stuck do
      sum = sum + 1
    end
    return tick
  end
end
"""),
    "behaviour": (behavior, "behaviors", """return {
  on_telemetry = function(device, name, value)
    local sum = 0
    while value == 3 and device.index == 1 do
      sum = sum + 1
    end
  end,
}
"""),
}


# A worker that stood still for a second was late for all of its devices: that may make the figures invalid.
FINISHED = (0, 111)


@pytest.mark.parametrize("kind", LOOPS)
def test_an_endless_loop_in_a_worker_is_named_and_the_fleet_goes_on(kind, run, write):
    """A compiled loop (the generator's) takes no interrupt: its worker is killed as hung and started again without the
    compiler; the second time the loop is found."""
    content, folder, code = LOOPS[kind]
    write(f"{folder}/broken.lua", code)
    ended = run(content(), """t:wait_until(function() return fleet:count "error" == 1 end, "80s", "the loop to be found")
  fleet:wait { connected = 3, timeout = "20s" }
  t:check("the right one", fleet:device(1):status() == "error")
  local before = fleet:counts().sent
  t:wait_until(function() return fleet:counts().sent >= before + 9 end, "20s", "the others to go on")""",
                code=FINISHED, arguments=["--workers", 2],
                texts=[r"dev-1", r"broken\.lua:[3456]: ran for 1 s without returning"])
    assert "✗" not in ended.out
    if kind == "generator":
        assert re.search(r"workers +2, 1 restart", ended.out), ended.describe()


@pytest.mark.parametrize("what", ["launch", "each"])
def test_an_endless_loop_in_a_function_that_travels(what, run):
    """Loops that are not compiled (this one makes closures) are found at once."""
    body = {
        "launch": "fleet:stop() fleet:start(function(k)\n    while k == 2 do local _ = function() return k end end\n    return 0\n  end)",
        "each": "fleet:each(function(d)\n    while d.index == 2 do end\n    return 0\n  end)",
    }[what]
    ended = run(model(counter(100)), f"""local ok, message = pcall(function()
  {body}
  end)
  t:log("ended: %s", tostring(message))
  t:check("the fleet is as it was", fleet:count "connected" == {4 if what == "each" else 0})
  t:check("and can be used", fleet:start() == {0 if what == "each" else 4})
  fleet:wait {{ connected = 4, timeout = "30s" }}""", code=FINISHED, arguments=["--workers", 1])
    assert re.search(r"x\.lua:9: ran for 1 s without returning", ended.err) and "✗" not in ended.out, ended.describe()

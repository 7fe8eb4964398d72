"""Launch strategies: when devices appear, seen by somebody else. A device's first telemetry carries the instant of its
connection, which may come late but never before the instant that its strategy gives."""

import re
import statistics

import pytest

from doubles import FakeBroker
from helpers import device_of, read_off, series
from scenes import counter, model

WAVE = """return {
  settings = {
    period = { type = "duration", required = true, doc = "length of a wave" },
    perWave = { type = "integer", default = 5, min = 1, doc = "devices in a wave" },
  },
  new = function(settings, count, random)
    return function(k) return math.floor(k / settings.perWave) * settings.period end
  end,
}
"""


def exponential(k, delay, base, limit):
    return sum(min(delay * base ** j, limit) for j in range(k))


# name: (argument of fleet:start, devices, instant of device k in milliseconds)
CASES = {
    "immediate": ("", 20, lambda k: 0),
    "linear": ('{ strategy = "linear", delayMs = 40 }', 30, lambda k: 40 * k),
    "batch": ('{ strategy = "batch", batchSize = 8, delayMs = 300 }', 30, lambda k: k // 8 * 300),
    "exponential": ('{ strategy = "exponential", delayMs = 20, exponentBase = 1.5, maxDelayMs = 100 }', 15,
                    lambda k: exponential(k, 20, 1.5, 100)),
    "stages": ('{ strategy = "stages", stages = { { duration = "500ms", target = 5 }, { duration = 0.3, target = 5 }, '
               '{ duration = "400ms", target = "75%" }, { duration = 0, target = "100%" } } }', 20,
               lambda k: k * 100 if k < 5 else 800 + (k - 5) * 40 if k < 15 else 1200),
    "file": ('{ strategy = "wave", period = "250ms" }', 20, lambda k: k // 5 * 250),
    "function": ("function(k) return 1.2 - k * step end", 12, lambda k: 1200 - k * 100),
    "inline": ('{ strategy = function(k) return math.sqrt(k) / 4 end }', 20, lambda k: k ** 0.5 * 250),
}


def launches(cases):
    groups = "\n".join(f"""
  fleets["{name}"] = t:group {{ model = "probe.json", count = {count}, group = "{name}", id = "{name}-{{index}}" }}"""
                       for name, (_, count, _) in cases.items())
    starts = "\n".join(f"""
  t:log("{name} begins at %d", t:wall())
  fleets["{name}"]:start({start})""" for name, (start, _, _) in cases.items())
    return f"""local iotix = require "iotix"
local step = 0.1
return iotix.scenario {{ name = "launches", run = function(t)
  local fleets = {{}} {groups} {starts}
  for _, fleet in pairs(fleets) do fleet:wait {{ connected = "100%", timeout = "30s" }} end
  t:sleep "300ms"
end }}
"""


def begins(run, name):
    return int(re.search(rf"\b{name} begins at (\d+)", run.err).group(1))


def first_instants(messages, name):
    """{index: milliseconds since 1970} of the devices of a group."""
    return {int(device.rsplit("-", 1)[1]): samples[0][0]
            for (device, _), samples in series(messages, "counter").items() if device.startswith(name + "-")}


def late(run, messages, name, count, at):
    """How many milliseconds after its instant each device of a group appeared."""
    begin, found = begins(run, name), first_instants(messages, name)
    assert sorted(found) == list(range(count)), name
    result = [found[k] - begin - at(k) for k in range(count)]
    # Both instants are whole milliseconds.
    assert min(result) > -1.01, f"{name}: too early by {-min(result)} ms: {result}"
    return result


RULER = 25  # milliseconds between two devices of a linear start beside


@pytest.mark.parametrize("workers", [1, 3])
def test_devices_appear_at_the_instants_of_their_strategy(workers, broker, observe, iotix, write):
    """Never too early by the clock, nor late beside a linear start: on a busy host both are late alike."""
    write("probe.json", model(counter(2000)))
    write("strategies/launch/wave.lua", WAVE)
    ruler = {"ruler": (f'{{ strategy = "linear", delayMs = {RULER} }}', 120, lambda k: RULER * k)}
    file = write("x.lua", launches({**ruler, **CASES}))
    observer = observe(broker)
    run = iotix("run", file, "--broker", broker.address, "--workers", workers).expect(0)
    messages = observer.settle().messages
    paced = late(run, messages, "ruler", 120, lambda k: RULER * k)
    assert min(paced[60:]) < 1000, f"the ruler itself: {paced}"
    for name, (_, count, at) in CASES.items():
        late(run, messages, name, count, at)
        connects = [c for c in broker.connects() if c.startswith((name + "-", "ruler-"))]
        offset = begins(run, name) - begins(run, "ruler")
        delays = [found - offset - due
                  for found, due in zip(read_off(connects, RULER)[name], sorted(map(at, range(count))))]
        assert statistics.median(delays) < 300 and max(delays) < 1000, f"{name}: late beside the ruler: {delays}"


POISSON_RULER = 75  # milliseconds


def test_poisson_arrivals_are_spread_at_random_and_repeat_with_the_seed(start_broker, iotix, write):
    write("probe.json", model(counter(5000)))
    file = write("x.lua", launches({"ruler": (f'{{ strategy = "linear", delayMs = {POISSON_RULER} }}', 134, None),
                                    "poisson": ('{ strategy = "poisson", rate = 12 }', 90, None)}))
    found = []
    for seed in (1, 1, 2):
        broker = start_broker()
        found.append((broker, iotix.start("run", file, "--broker", broker.address, "--seed", seed, "--workers", 1)))
    instants = []
    for broker, run in found:
        run.expect(0)
        connects = list(broker.connects())
        assert len(connects) == 134 + 90
        order = [int(name.rsplit("-", 1)[1]) for name in connects if name.startswith("poisson-")]
        at = [instant for _, instant in sorted(zip(order, read_off(connects, POISSON_RULER)["poisson"]))]
        assert max(at) < 7500 + 1500, "90 devices at 12 a second take 7.5 s, the ruler 10 s"
        thirds = [sum(i * 2500 <= d < (i + 1) * 2500 for d in at) for i in range(3)]
        assert min(thirds) >= 15, f"not uniform: {thirds}"
        assert at != sorted(at), "in the order of the index"
        instants.append(at)
    one, same, other = instants
    assert statistics.median(abs(a - b) for a, b in zip(one, same)) < 500
    assert statistics.median(abs(a - b) for a, b in zip(one, other)) > 750


def test_a_linear_start_does_not_add_the_time_of_connecting(iotix, write):
    """Each connection takes 100 ms here. Added up, 500 devices would need 50 s."""
    server = FakeBroker(answer=lambda attempt: (0.1, 0))
    try:
        write("probe.json", model(counter(60000), connection={"qos": 0}))
        start = '{ strategy = "linear", delayMs = 2 }'
        file = write("x.lua", launches({"linear": (start, 500, None)}))
        iotix("run", file, "--broker", server.address).expect(0)
        attempts = server.attempts
    finally:
        server.close()
    assert sorted(a.client for a in attempts) == sorted(f"linear-{i}" for i in range(500))
    took = attempts[-1].time - attempts[0].time
    assert 0.9 < took < 40, f"500 devices, one every 2 ms, came within {took} s"


def test_starting_again_launches_only_those_that_do_not_run(broker, observe, iotix, write):
    observer = observe(broker)
    write("probe.json", model(counter(60000)))
    file = write("x.lua", """local iotix = require "iotix"
return iotix.scenario { name = "again", run = function(t)
  local fleet = t:group { model = "probe.json", count = 20, id = "dev-{index}" }
  t:check("all", fleet:start() == 20)
  fleet:wait { connected = 20 }
  t:check("none is left", fleet:start() == 0)
  for index = 0, 4 do fleet:device(index):stop() end
  fleet:wait { stopped = 5, connected = 15 }
  local before = t:wall()
  t:check("five", fleet:start { strategy = "linear", delayMs = 100 } == 5)
  t:log("again begins at %d", before)
  fleet:wait { connected = "100%" }
  t:sleep "200ms"
end }
""")
    run = iotix("run", file, "--broker", broker.address).expect(0)
    connects = broker.connects()
    assert [len(connects[f"dev-{i}"]) for i in range(20)] == [2] * 5 + [1] * 15
    again = begins(run, "again")
    stamps = [s[-1][0] - again for (d, _), s in sorted(series(observer.settle().messages, "counter").items())
              if d in {f"dev-{i}" for i in range(5)}]
    assert all(stamps[k] >= 100 * k - 1 for k in range(5)), f"the strategy counts the launched devices: {stamps}"


@pytest.mark.parametrize("function, texts", {
    "negative": ("function(k) return 1 - k end", [r"x\.lua:\d+", r"-1|negative"]),
    "nan": ("function(k) return 0 / 0 end", [r"x\.lua:\d+", r"(?i)nan"]),
    "infinite": ("function(k) return math.huge end", [r"x\.lua:\d+", r"(?i)inf"]),
    "nothing": ("function(k) end", [r"x\.lua:\d+", r"nothing"]),
    "upvalue": ("function(k) return fleets and k end", [r"x\.lua:\d+", r"fleets"]),
    "raises": ("function(k) error('no instant for ' .. k) end", [r"x\.lua:\d+", r"no instant for \d"]),
}.values(), ids=["negative", "nan", "infinite", "nothing", "upvalue", "raises"])
def test_a_function_that_gives_no_instants_is_an_error(function, texts, broker, iotix, write):
    write("probe.json", model())
    file = write("x.lua", launches({"bad": (function, 5, None)}))
    iotix("run", file, "--broker", broker.address).expect(107, *texts)

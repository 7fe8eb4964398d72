"""Dropouts: who falls out, when, how, and who comes back. Wills and the broker's log tell what really happened: a
device whose connection is aborted has its will published, one that takes its leave has not."""

import json
import re
import time

from helpers import device_of, milliseconds, read_off, sockets, wait_until
from scenes import UNTIL_STOPPED, counter, model

WILL = {"topic": "devices/${deviceId}/gone", "payload": "gone", "qos": 1}
BACK = {"name": "back", "trigger": {"type": "connect"},
        "action": {"type": "publish", "topic": "devices/${deviceId}/back", "payload": {"at": "${timestamp}"}}}


def fragile(interval=60000, behaviors=(), **connection):
    return model(counter(interval), behaviors=list(behaviors), connection={"will": WILL, **connection})


def scene(devices, body, before=""):
    return f"""local iotix = require "iotix"
{before}
return iotix.scenario {{ name = "dropouts", run = function(t)
  local fleet = t:group {{ model = "probe.json", count = {devices}, group = "fleet", id = "dev-{{index}}" }}
  fleet:start()
  fleet:wait {{ connected = "100%", timeout = "30s" }}
  {body}
end }}
"""


def gone(observer):
    """Device ids by the wills that came, in their order."""
    return [device_of(m) for m in observer.messages if m.topic.endswith("/gone")]


def polite(broker):
    return set(re.findall(r"Received DISCONNECT from (\S+)", broker.log))


def begins(run, name):
    """Milliseconds since 1970, as the scenario logged them."""
    return int(re.search(rf"\b{name} begins at (\d+)", run.err).group(1))


def wall(message):
    """When the observer got a message: milliseconds since 1970."""
    return (message.time - time.monotonic() + time.time()) * 1000


def test_half_of_a_thousand_is_five_hundred_and_the_seed_says_which(start_broker, observe, iotix, write):
    write("probe.json", fragile())
    file = write("x.lua", scene(1000, """
  local outage = fleet:dropout { strategy = "linear", delayMs = 0, percentage = 50 }
  t:check("eligible", outage.eligible == 1000)
  t:check("chosen", outage.chosen == 500)
  local report = outage:wait "30s"
  t:check("dropped", report.dropped == 500 and report.alreadyGone == 0 and report.back == 0)
  t:check("the others are connected", fleet:count "connected" == 500 and fleet:count "dropped" == 500)
  fleet:stop()"""))
    found = []
    for seed, workers in ((7, 1), (7, 3), (8, 2)):
        broker = start_broker()
        observer = observe(broker, "devices/+/gone")
        iotix("run", file, "--broker", broker.address, "--seed", seed, "--workers", workers).expect(0)
        ids = gone(observer.settle())
        assert len(ids) == len(set(ids)) == 500
        assert polite(broker) == {f"dev-{i}" for i in range(1000)} - set(ids)
        found.append(set(ids))
    assert found[0] == found[1], "the same seed must choose the same devices, whatever the number of workers"
    assert 200 < len(found[0] & found[2]) < 300, "another seed must choose others"


def test_two_dropouts_at_a_time_never_choose_a_device_twice(broker, observe, iotix, write):
    write("probe.json", fragile())
    file = write("x.lua", scene(200, """
  local one = fleet:dropout { strategy = "linear", delayMs = 10, percentage = 50, reconnect = true, reconnectDelayMs = 2000 }
  local two = fleet:dropout { strategy = "linear", delayMs = 10, percentage = 50, reconnect = true, reconnectDelayMs = 2000 }
  local three = fleet:dropout { strategy = "immediate", count = 1000, reconnect = true, reconnectDelayMs = 2000 }
  t:check("each takes of those that are left", one.chosen == 100 and two.eligible == 100 and two.chosen == 50
    and three.eligible == 50 and three.chosen == 50)
  local none = fleet:dropout { strategy = "immediate" }
  t:check("nobody is left", none.eligible == 0 and none.chosen == 0)
  none:wait "5s"
  t:parallel { function() one:wait "30s" end, function() two:wait "30s" end, function() three:wait "30s" end }
  fleet:wait { connected = 200, timeout = "30s" }
  local again = fleet:dropout { strategy = "immediate", count = 200, reconnect = true }
  t:check("afterwards all are free again", again.chosen == 200)
  again:wait "30s"
  fleet:stop()"""))
    observer = observe(broker, "devices/+/gone")
    iotix("run", file, "--broker", broker.address).expect(0)
    ids = gone(observer.settle())
    everybody = sorted(f"dev-{i}" for i in range(200))
    assert sorted(ids[:200]) == everybody and sorted(ids[200:]) == everybody


def test_a_polite_dropout_publishes_no_will(broker, observe, iotix, write):
    write("probe.json", fragile())
    file = write("x.lua", scene(40, """
  fleet:dropout { strategy = "immediate", count = 15, mode = "close" }:wait "10s"
  t:check("fifteen are gone", fleet:count "connected" == 25 and fleet:count "dropped" == 15)
  local rest = fleet:dropout { strategy = "immediate", percentage = 50, mode = "abort" }
  t:check("floored", rest.eligible == 25 and rest.chosen == 12)
  rest:wait "10s"
"""))
    observer = observe(broker, "devices/+/gone")
    iotix("run", file, "--broker", broker.address).expect(0)
    ids = gone(observer.settle())
    assert len(set(ids)) == len(ids) == 12
    assert len(polite(broker)) == 40 - 12 and not polite(broker) & set(ids)


STRATEGIES = {
    "linear": ('strategy = "linear", delayMs = 60', 20, lambda k: 60 * k),
    "exponential": ('strategy = "exponential", delayMs = 400, exponentBase = 2', 20,
                    lambda k: sum(max(400 / 2 ** j, 1) for j in range(k))),
    "function": ("strategy = function(k) return (20 - k) / 20 end", 20, lambda k: 50 * (k + 1)),
    "file": ('strategy = "pairwise", gap = "150ms"', 20, lambda k: k // 2 * 150),
    "random": ('strategy = "random", durationMs = 1000', 60, None),
    "entry": ('strategy = "late"', 5, lambda k: 500),
}


RULER = 20  # milliseconds between two of a linear dropout beside
RULED = f'strategy = "linear", delayMs = {RULER}'


def in_time(found, ruler_began, began, due):
    """What was read off the ruler is what was due; and the ruler is no rubber band."""
    late = [at - (began - ruler_began) - d for at, d in zip(found, due)]
    assert max(late) < 300, f"late beside the ruler: {late}"


def keeps_pace(drops):
    """Late is what a busy host does to some, not to all."""
    late = [d - RULER * k for k, d in enumerate(drops)]
    assert min(late) > -5 and min(late[len(late) // 2:]) < 1000, f"the ruler: {late}"


def test_dropouts_happen_at_the_instants_of_their_strategy(broker, observe, iotix, write):
    """A drop is seen as a will. Wills don't tell the rank of a device, so sorted instants are compared. Never too early by
    the clock, nor late beside a linear dropout."""
    write("probe.json", fragile())
    write("strategies/dropout/pairwise.lua", """return {
  settings = { gap = { type = "duration", required = true, doc = "between pairs" } },
  new = function(settings) return function(k) return math.floor(k / 2) * settings.gap end end,
}
""")
    strategies = {"ruler": (RULED, 150, lambda k: RULER * k), **STRATEGIES}
    groups = "\n".join(f"""
  fleets["{name}"] = t:group {{ model = "probe.json", count = {count}, group = "{name}", id = "{name}-{{index}}" }}
  fleets["{name}"]:start()""" for name, (_, count, _) in strategies.items())
    drops = "\n".join(f"""
  t:log("{name} begins at %d", t:wall())
  outages["{name}"] = fleets["{name}"]:dropout {{ {settings} }}""" for name, (settings, _, _) in strategies.items())
    file = write("x.lua", f"""local iotix = require "iotix"
return iotix.scenario {{
  name = "drops",
  strategies = {{ dropout = {{ late = {{ new = function() return function() return 0.5 end end }} }} }},
  run = function(t)
  local fleets, outages = {{}}, {{}} {groups}
  for _, fleet in pairs(fleets) do fleet:wait {{ connected = "100%", timeout = "30s" }} end
  {drops}
  t:check("estimated", math.abs(outages.linear.estimatedMs - 19 * 60) < 1)
  for _, outage in pairs(outages) do outage:wait "30s" end
  for _, fleet in pairs(fleets) do fleet:stop() end
end }}
""")
    observer = observe(broker, "devices/+/gone")
    run = iotix("run", file, "--broker", broker.address, "--workers", 1).expect(0)
    messages = observer.settle().messages
    ruled = read_off((device_of(m) for m in messages), RULER)
    for name, (_, count, at) in strategies.items():
        began = begins(run, name)
        drops = sorted(wall(m) - began for m in messages if device_of(m).startswith(name + "-"))
        assert len(drops) == count, name
        if name == "ruler":
            keeps_pace(drops)
        elif at is None:
            assert drops[0] > -5 and ruled[name][-1] < 1300
            quarters = [sum(250 * i <= d < 250 * (i + 1) for d in ruled[name]) for i in range(4)]
            assert min(quarters[:3]) >= 3, f"not spread over the time: {quarters}"
        else:
            late = [d - at(k) for k, d in enumerate(drops)]
            assert min(late) > -5, f"{name}: too early: {late}"  # the clocks are read in two processes
            in_time(ruled[name], begins(run, "ruler"), began, [at(k) for k in range(count)])


def test_each_device_comes_back_its_delay_after_its_own_drop(broker, observe, iotix, write):
    write("probe.json", fragile(behaviors=[BACK]))
    file = write("x.lua", scene(20, f"""
  local ruler = t:group {{ model = "probe.json", count = 150, group = "ruler", id = "ruler-{{index}}" }}
  ruler:start()
  ruler:wait {{ connected = "100%" }}
  t:log("ruler begins at %d", t:wall())
  local ruled = ruler:dropout {{ {RULED} }}""" + """
  t:log("outage begins at %d", t:wall())
  local outage = fleet:dropout { strategy = "linear", delayMs = 60, reconnect = true, reconnectDelayMs = 700 }
  local report = outage:wait "30s"
  t:check("all are back", report.dropped == 20 and report.back == 20 and report.done)
  t:check("after their delay", report.backMs.p50 >= 700)
  t:check("connected", fleet:count "connected" == 20)
  ruled:wait "30s"
  fleet:stop()"""))
    observer = observe(broker)
    run = iotix("run", file, "--broker", broker.address, "--workers", 1).expect(0, r"back again +20\b")
    messages = observer.settle().messages
    wills = [m for m in messages if m.topic.endswith("/gone")]
    assert sorted(d for d in map(device_of, wills) if d.startswith("dev-")) == sorted(f"dev-{i}" for i in range(20))
    rulers = [m for m in wills if device_of(m).startswith("ruler-")]
    keeps_pace([wall(m) - begins(run, "ruler") for m in rulers])
    again = [m for m in messages if m.topic.startswith("devices/dev-") and m.topic.endswith("/back")][20:]
    began, due = begins(run, "outage"), [60 * k + 700 for k in range(20)]
    backs = sorted(milliseconds(json.loads(m.payload)["at"]) - began for m in again)
    assert len(backs) == 20 and min(back - d for back, d in zip(backs, due)) > -1.01, backs
    ruled = read_off([device_of(m) for m in messages if m in again or m in rulers], RULER)
    in_time(ruled["dev"], begins(run, "ruler"), began, due)


def test_a_cancelled_dropout_lets_the_others_be(broker, observe, iotix, write):
    write("probe.json", fragile())
    file = write("x.lua", scene(30, """
  local outage = fleet:dropout { strategy = "linear", delayMs = 100, reconnect = true, reconnectDelayMs = 300 }
  t:wait_until(function() return outage:progress().dropped >= 3 end, "20s", "three drops")
  t:check("it goes on", not outage:progress().done)
  outage:cancel()
  local report = outage:wait "20s"
  t:check("those that fell came back", report.done and report.back == report.dropped)
  t:check("the others stayed", report.dropped >= 3 and report.dropped < 30
    and report.dropped + report.cancelled == 30)
  t:check("all are connected", fleet:count "connected" == 30)
  t:log("dropped=%d", report.dropped)
  t:sleep "300ms"
  t:check("nothing more happens", outage:progress().dropped == report.dropped)
  fleet:stop()"""))
    observer = observe(broker, "devices/+/gone")
    run = iotix("run", file, "--broker", broker.address).expect(0)
    ids = gone(observer.settle())
    assert len(ids) == len(set(ids)) == int(re.search(r"dropped=(\d+)", run.err).group(1))


def test_a_wait_that_is_too_short_says_how_far_it_got(broker, iotix, write):
    write("probe.json", fragile())
    file = write("x.lua", scene(10, """
  local outage = fleet:dropout { strategy = "linear", delayMs = 60000 }
  t:wait_until(function() return outage:progress().dropped == 1 end, "20s", "the first")
  outage:wait "300ms" """))
    iotix("run", file, "--broker", broker.address).expect(107, r"x\.lua:\d+", r"waited 300 ms for 10 devices to drop; 1 dropped")


def test_a_selector_says_who_may_be_chosen(broker, observe, iotix, write):
    write("probe.json", fragile(200))
    file = write("x.lua", scene(60, """
  local from, even = 10, true
  t:sleep "300ms"
  local outage = fleet:dropout {
    strategy = "immediate", percentage = 50,
    select = function(device) return device.index >= from and device.index % 2 == 0 == even end,
  }
  t:check("those", outage.eligible == 25 and outage.chosen == 12)
  outage:wait "10s"
  local valued = fleet:dropout { strategy = "immediate", select = function(device)
    return device.status == "running" and device:value "counter" ~= nil and device.id == "dev-" .. device.index
      and device.group == "fleet" and device.index < 10 end }
  t:check("values and names can be asked for", valued.chosen == 10)
  valued:wait "10s"
  fleet:stop()""", before=""))
    observer = observe(broker, "devices/+/gone")
    iotix("run", file, "--broker", broker.address).expect(0)
    ids = [int(name[4:]) for name in gone(observer.settle())]
    assert len(ids) == len(set(ids)) == 22
    assert all(i % 2 == 0 and i >= 10 for i in ids[:12]) and sorted(ids[12:]) == list(range(10))


def test_a_silent_device_keeps_its_socket(broker, observe, iotix, write, tmp_path):
    write("probe.json", fragile(100))
    file = write("x.lua", scene(8, f"""
  local outage = fleet:dropout {{ strategy = "immediate", count = 4, mode = "silent", reconnect = true,
    reconnectDelayMs = 4000 }}
  t:wait_until(function() return fleet:count "dropped" == 4 end, "20s", "four to count as dropped")
  io.open("silent", "w"):close()
  outage:wait "20s"
  fleet:wait {{ connected = 8, timeout = "20s" }}
  io.open("back", "w"):close()
  {UNTIL_STOPPED}
  fleet:stop()"""))
    observer = observe(broker)
    run = iotix.start("run", file, "--broker", broker.address, "--workers", 1)
    wait_until((tmp_path / "silent").exists, 20, run.describe)
    first = time.monotonic()
    (worker,) = run.workers(1)
    assert sockets(worker) >= 8, "the sockets must stay open"
    assert not re.search(r"Client dev-\d+ (disconnected|closed|has exceeded)|DISCONNECT from dev", broker.log), broker.log
    assert gone(observer) == []
    wait_until(lambda: time.monotonic() > first + 3.0, 20, "the time in which four talk")
    talking = {device_of(m) for m in observer.messages if m.time > first + 1.0 and m.time < first + 3.0}
    assert len(talking) == 4, f"half of them must be silent: {talking}"
    wait_until((tmp_path / "back").exists, 30, run.describe)
    observer.wait_for_devices(8, 20, since=time.monotonic())
    write("stop", "")
    run.expect(0)
    assert sorted(len(c) for name, c in broker.connects().items() if name.startswith("dev-")) == [1] * 4 + [2] * 4


def test_a_device_that_is_gone_already_is_counted_so(broker, observe, iotix, write):
    write("probe.json", fragile())
    file = write("x.lua", scene(10, """
  local outage = fleet:dropout { strategy = "linear", delayMs = 150, reconnect = false }
  fleet:device(3):stop()
  fleet:device(4):disconnect { mode = "close" }
  local report = outage:wait "20s"
  t:check("every device is accounted for", report.done and report.dropped + report.alreadyGone == 10)
  t:log("gone=%d", report.alreadyGone)
  fleet:stop()"""))
    observer = observe(broker, "devices/+/gone")
    run = iotix("run", file, "--broker", broker.address, "--seed", 1).expect(0)
    already = int(re.search(r"gone=(\d+)", run.err).group(1))
    assert len(gone(observer.settle())) == 10 - already


def test_bad_dropouts_are_errors(broker, iotix, write):
    write("probe.json", fragile())
    cases = {
        '{ percentge = 5 }': r"did you mean.*percentage",
        '{ percentage = 101 }': r"percentage.*100",
        '{ strategy = "sudden" }': r"sudden",
        '{ mode = "abrupt" }': r"abort.*close.*silent",
        '{ strategy = function(k) return -1 end }': r"x\.lua:\d+.*(-1|negative)",
        '{ select = function(d) return d.idx > 3 end }': r"device \d.*x\.lua:\d+: attempt to compare",
    }
    calls = "".join(f"""
  attempt(function() fleet:dropout {case} end)""" for case in cases)
    run = iotix("run", write("x.lua", scene(5, """local function attempt(f)
    local ok, message = pcall(f)
    t:check("refused", not ok)
    t:log("%s", tostring(message))
  end""" + calls)), "--broker", broker.address).expect(0)
    for case, text in cases.items():
        assert re.search(text, run.err), f"{case}: {text}: {run.describe()}"
    assert "DROPOUTS" not in run.out, "what was refused is no dropout"

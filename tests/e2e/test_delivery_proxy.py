"""What the protocol makes of lost, doubled, delayed, reordered and corrupted PUBLISH packets, and that the delivery
ledger says exactly that: a proxy between iotix and mosquitto meddles with chosen packets, on both legs."""

import collections
import json
import pathlib
import subprocess
import sys

import pytest

from helpers import die_with_parent
from scenes import attribute

PROXY = pathlib.Path(__file__).with_name("mqtt_proxy.py")
MESSAGES = 3  # of each device: 0, 1 and 2
KINDS = {"drop": 1, "duplicate": 1, "delay": 2, "reorder": 0, "corrupt": 1}  # and which message is hit
LEGS = ("up", "down")
FIGURES = ("lost", "duplicated", "reordered", "late", "inFlight", "inDoubt", "stale")

# (kind, QoS) → what the ledger must say of the one message that is hit; the same on both legs.
#   drop       Nobody sends it again while the connection lasts, whatever the QoS: no acknowledgement is missed by then.
#   duplicate  QoS 0 and 1 deliver it twice. By QoS 2 the receiver knows the packet by its id: once.
#   reorder    The two messages keep the order in which the packets arrived.
#   corrupt    What arrives is not what was sent: it is counted as corrupt, and as lost.
TABLE = {
    ("drop", 0): {"lost": 1}, ("drop", 1): {"lost": 1}, ("drop", 2): {"lost": 1},
    ("duplicate", 0): {"duplicated": 1}, ("duplicate", 1): {"duplicated": 1}, ("duplicate", 2): {},
    ("delay", 0): {"late": 1}, ("delay", 1): {"late": 1}, ("delay", 2): {"late": 1},
    ("reorder", 0): {"reordered": 1}, ("reorder", 1): {"reordered": 1}, ("reorder", 2): {"reordered": 1},
    ("corrupt", 0): {"lost": 1}, ("corrupt", 1): {"lost": 1}, ("corrupt", 2): {"lost": 1},
}

SCENARIO = """local iotix = require "iotix"
return iotix.scenario { name = "meddled", options = { each = 10, settle = 4, ramp = 100 }, run = function(t)
  t:observe { topics = "led/#", qos = 2, lateAfter = "%(late)ss", settle = t.options.settle }
  local fleets = {}
  for qos = 0, 2 do
    fleets[qos] = t:group { model = "probe.json", count = t.options.each, group = "q" .. qos, id = "q" .. qos .. "-{index}",
      -- However busy this host is, nobody connects twice (a proxy that has to catch up would pass the first attempt on
      -- later, and end the second), and every message is sent.
      connection = { qos = qos, topicPattern = "led/q" .. qos .. "/${index}", connectTimeoutMs = 100000,
        lateAfterMs = 100000 } }
  end
  for qos = 0, 2 do
    fleets[qos]:start { strategy = "linear", delayMs = t.options.ramp / t.options.each }
  end
  for qos = 0, 2 do
    local goal = %(messages)d * t.options.each
    t:wait_until(function() return fleets[qos]:counts().sent >= goal end, "110s", "all messages to be sent")
  end
  t:sleep(%(delay)d + 1) -- a connection that ends takes what was held back with it
end }
"""


def plan_for(each, hits):
    """{(qos, leg, kind): [indexes]}, `hits` devices each, spread over the group's devices; the rest is left alone."""
    chosen, place = {}, 0
    stride = max(1, each // (hits * len(KINDS) * len(LEGS)))
    for leg in LEGS:
        for kind in KINDS:
            chosen[leg, kind] = [(place + k) * stride for k in range(hits)]
            place += hits
    assert place * stride <= each
    return {(qos, leg, kind): indexes for qos in (0, 1, 2) for (leg, kind), indexes in chosen.items()}


@pytest.fixture
def proxy(broker, write):
    """proxy(chosen, delay, processes) starts one; returns its port and a function that ends it and says what it did."""
    running = []

    def start(chosen, delay, processes):
        rules = {f"led/q{qos}/{index}": [leg, kind, KINDS[kind]]
                 for (qos, leg, kind), indexes in chosen.items() for index in indexes}
        plan = write("plan.json", {"delay": delay, "rules": rules})
        process = subprocess.Popen(
            [sys.executable, str(PROXY), str(broker.port), str(processes), str(plan)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
        )
        running.append(process)
        port = int(process.stdout.readline())

        def finish():
            text, _ = process.communicate(timeout=20)
            done = collections.Counter()
            for line in text.splitlines():
                done.update(json.loads(line))
            return done, {f"{leg} {kind} {topic}": 1 for topic, (leg, kind, _) in rules.items()}

        return port, finish

    yield start
    for process in running:
        process.kill()
        process.wait()


def meddle(iotix, write, proxy, each, hits, interval, delay, processes, *options):
    """Runs it; → what is chosen, and the result's delivery part."""
    write("probe.json", {
        "id": "probe", "name": "Probe", "type": "sensor", "protocol": "mqtt",
        "telemetry": [attribute("value", {"type": "sequence", "start": 10, "step": 1, "max": 99}, interval, "integer",
                                total=MESSAGES * each)],
    })
    scenario = write("meddled.lua", SCENARIO % {"late": delay * 0.9, "messages": MESSAGES, "delay": delay})
    chosen = plan_for(each, hits)
    port, finish = proxy(chosen, delay, processes)
    run = iotix("run", scenario, "--broker", f"127.0.0.1:{port}", "--out", "json=result.json", "-e", f"each={each}",
                "-e", "settle=5", *options, timeout=150)
    done, wanted = finish()
    assert done == wanted, run.describe()
    result = json.loads((pathlib.Path(iotix.folder) / "result.json").read_text(encoding="utf-8"))
    return chosen, result


def expected_of(chosen, qos, per_device=False):
    """Sums of the table over all that was done to a QoS; or {index: figures} of its devices."""
    sums, devices = collections.Counter(), {}
    for (of, _leg, kind), indexes in chosen.items():
        if of == qos:
            for index in indexes:
                sums.update(TABLE[kind, qos])
                if TABLE[kind, qos]:
                    devices[index] = TABLE[kind, qos]
    return devices if per_device else sums


def check_parts(chosen, delivery, each):
    parts = {part["qos"]: part for part in delivery["parts"]}
    assert sorted(parts) == [0, 1, 2]
    for qos, part in parts.items():
        wanted = expected_of(chosen, qos)
        assert part["group"] == f"q{qos}"
        assert part["sent"] == MESSAGES * each
        assert part["delivered"] == MESSAGES * each - wanted["lost"]
        assert {name: part[name] for name in FIGURES} == {name: wanted[name] for name in FIGURES}, f"QoS {qos}"
    corrupt = sum(len(indexes) for (_, _, kind), indexes in chosen.items() if kind == "corrupt")
    total = delivery["total"]
    assert total["corrupt"] == corrupt
    assert total["unknown"] == total["foreign"] == total["retained"] == total["unwatched"] == 0
    assert total["sent"] == total["delivered"] + total["lost"] + total["inFlight"]


def test_ten_devices_of_each_qos(iotix, write, proxy):
    chosen, result = meddle(iotix, write, proxy, 10, 1, 400, 3, 1)
    delivery = result["delivery"]
    check_parts(chosen, delivery, 10)
    found = {(d["group"], d["index"]): {n: d[n] for n in FIGURES if d[n]} for d in delivery["devices"]["worst"]}
    wanted = {(f"q{qos}", index): figures
              for qos in (0, 1, 2) for index, figures in expected_of(chosen, qos, True).items()}
    assert found == wanted
    assert delivery["devices"]["affected"] == len(wanted)
    assert {d["id"] for d in delivery["devices"]["worst"]} == {f"{group}-{index}" for group, index in wanted}


def test_ten_thousand_devices(iotix, write, proxy):
    """The same at size: every figure is the table's, times the devices that were hit."""
    each = 3334
    chosen, result = meddle(iotix, write, proxy, each, 20, 6000, 20, 3, "-e", "ramp=10000", "--connect-window", 200)
    check_parts(chosen, result["delivery"], each)
    counters = result["totals"]["counters"]
    assert counters["messages.scheduled"] == counters["messages.sent"] == 3 * MESSAGES * each
    hit = sum(len(i) for (qos, _, kind), i in chosen.items() if TABLE[kind, qos])
    assert result["delivery"]["devices"]["affected"] == hit

"""The delivery ledger through restarts, outages, retained messages and foreign ones, beside an independent client."""

import collections
import json
import os
import pathlib
import signal
import socket
import struct
import time

import pytest

from doubles import Proxy
from helpers import wait_until, workers
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario

OBSERVE = 't:observe { topics = "devices/#", qos = 1 }'
LINE = ("neverSent", "sent", "delivered", "lost", "inFlight", "inDoubt", "duplicated", "reordered", "late", "stale")


@pytest.fixture
def run(iotix, write):
    """run(lua, broker, *options) → the finished run and its result; checks what must hold of every result."""
    write("probe.json", model(counter(50), attribute("b", {"type": "random"}, 70)))

    def finish(one, code=None, timeout=90):
        one.wait(timeout)
        if code is not None:
            one.expect(code)
        assert one.code in (0, 111), one.describe()  # a busy host may make a run invalid: its account must be right
        result = json.loads((pathlib.Path(iotix.folder) / "result.json").read_text(encoding="utf-8"))
        check_equations(result)
        return result

    def start(lua, broker, *options):
        return iotix.start("run", write("run.lua", lua), "--broker", broker.address, "--out", "json=result.json", *options)

    def both(lua, broker, *options, code=None):
        one = start(lua, broker, *options)
        return finish(one, code)

    both.start, both.finish = start, finish
    return both


def check_equations(result):
    delivery, counters = result["delivery"], result["totals"]["counters"]
    total = delivery["total"]
    for line in [total, *delivery["parts"], *delivery["devices"]["worst"]]:
        assert line["sent"] == line["delivered"] + line["lost"] + line["inFlight"], line
    for name in LINE:
        assert sum(part[name] for part in delivery["parts"]) == total[name], name
    never = sum(value for name, value in counters.items() if name.startswith("messages.neverSent."))
    killed = result["run"]["workerRestarts"]
    assert 0 <= counters["messages.scheduled"] - never - counters["messages.sent"] <= killed
    assert abs(counters["messages.sent"] - total["sent"] - total["unwatched"]) <= killed
    assert total["inDoubt"] <= killed
    for name in ("sent", "delivered", "lost", "duplicated"):
        assert counters[f"delivery.{name}"] == total[name]


def marks(messages):
    """How often each mark was seen by an independent client."""
    return collections.Counter(json.loads(m.payload)["seq"] for m in messages)


def test_devices_that_drop_out_stop_and_start_again(run, broker, observe):
    seen = observe(broker, "devices/#")
    body = """fleet:dropout { strategy = "immediate", percentage = 50, reconnect = true, reconnectDelayMs = 300 }:wait()
  t:sleep "300ms"
  fleet:stop()
  fleet:start { strategy = "immediate" }
  fleet:wait { connected = "100%" }
  t:sleep "500ms" """
    result = run(scenario(20, body, before=OBSERVE), broker)
    found = marks(seen.settle().messages)
    total = result["delivery"]["total"]
    assert total["delivered"] == len(found) > 100
    assert total["duplicated"] == sum(found.values()) - len(found)
    assert total["unknown"] == total["foreign"] == total["corrupt"] == total["stale"] == 0
    assert total["neverSent"] == sum(
        value for name, value in result["totals"]["counters"].items() if name.startswith("messages.neverSent."))


def test_killed_workers_leave_one_message_in_doubt_at_most(run, broker, observe, iotix, tmp_path):
    seen = observe(broker, "devices/#")
    one = run.start(scenario(200, UNTIL_STOPPED, before=OBSERVE, start='strategy = "immediate"'), broker, "--workers", "2")
    for _ in range(3):
        count = len(seen.messages)
        wait_until(lambda: len(seen.messages) > count + 1500, 30, "messages")
        devices = [pid for pid in workers(one.pid) if is_a(pid, "iotix-worker")]
        os.kill(devices[0], signal.SIGKILL)
    count = len(seen.messages)
    wait_until(lambda: len(seen.messages) > count + 2000, 30, "messages of the successor")
    (tmp_path / "stop").touch()
    result = run.finish(one, 111)  # what died with them is the generator's own fault
    found = marks(seen.settle().messages)
    assert result["run"]["workerRestarts"] == 3
    assert result["delivery"]["total"]["delivered"] == len(found)
    assert result["delivery"]["total"]["unknown"] == 0


def is_a(pid, title):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode())


def test_a_killed_observer_keeps_its_account(run, broker, observe, tmp_path):
    """What came while it was away with QoS 1 was kept by the broker: nothing is lost, and nothing counted twice that did
    not come twice."""
    seen = observe(broker, "devices/#")
    one = run.start(scenario(50, UNTIL_STOPPED, before=OBSERVE), broker)
    for _ in range(2):
        count = len(seen.messages)
        wait_until(lambda: len(seen.messages) > count + 500, 30, "messages")
        os.kill(next(pid for pid in workers(one.pid) if is_a(pid, "iotix-observer")), signal.SIGKILL)
    count = len(seen.messages)
    wait_until(lambda: len(seen.messages) > count + 2000, 30, "messages after it")
    (tmp_path / "stop").touch()
    result = run.finish(one)
    total, observers = result["delivery"]["total"], result["delivery"]["observers"]
    found = marks(seen.settle().messages)
    assert observers["restarts"] == 2
    assert total["sent"] == len(found)
    assert total["lost"] <= 2, "at most what it was about to note when it died"
    assert total["inFlight"] == total["stale"] == total["unknown"] == 0


def test_a_stopped_observer_is_not_a_slow_broker(run, broker, observe, tmp_path):
    seen = observe(broker, "devices/#")
    before = OBSERVE.replace("qos = 1", 'lateAfter = "1s"')
    one = run.start(scenario(20, UNTIL_STOPPED, before=before), broker)
    seen.wait_for_devices(20, 20)
    observer = next(pid for pid in workers(one.pid) if is_a(pid, "iotix-observer"))
    os.kill(observer, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(observer, signal.SIGCONT)
    count = len(seen.messages)
    wait_until(lambda: len(seen.messages) > count + 300, 30, "messages after it")
    (tmp_path / "stop").touch()
    result = run.finish(one, 111)
    total = result["delivery"]["total"]
    assert total["late"] > 0 and total["lost"] == 0 and total["delivered"] == total["sent"]
    assert any("an observer was held up" in reason for reason in result["verdict"]["reasons"])


class Cutter(Proxy):
    """cut() resets the observer's connection after 300 ms in which what it confirms did not reach the broker."""

    def __init__(self, port):
        self._seen, self._observer, self._deaf = set(), None, False
        super().__init__(port)

    def _forward(self, one):
        if one not in self._seen:
            self._seen.add(one)
            if b"iotix-observer" in one.recv(4096, socket.MSG_PEEK):
                self._observer = one
        if self._deaf and one is self._observer:
            one.recv(65536)
        else:
            super()._forward(one)

    def cut(self):
        wait_until(lambda: self._observer in self._peers, 60, "the observer to be connected")
        self._deaf = True
        time.sleep(0.3)
        with self._lock:
            for end in (self._observer, self._peers[self._observer]):
                self._selector.unregister(end)
                del self._peers[end]
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()
            self._deaf = False


@pytest.mark.parametrize("qos", [1, 2])
def test_an_observers_connection_that_breaks(qos, run, broker, observe, tmp_path):
    """What was under way to it is not the broker's loss, and what the broker repeats of QoS 2 is no duplicate."""
    seen = observe(broker, "devices/#")
    proxy = Cutter(broker.port)
    (tmp_path / "probe.json").write_text(json.dumps(model(counter(100), connection={"qos": 2})), encoding="utf-8")
    text = scenario(50, UNTIL_STOPPED, before=OBSERVE.replace("qos = 1", f"qos = {qos}"))
    one = run.start(text, proxy)
    for _ in range(2):
        count = len(seen.messages)
        wait_until(lambda: len(seen.messages) > count + 1000, 30, "messages")
        proxy.cut()
    count = len(seen.messages)
    wait_until(lambda: len(seen.messages) > count + 2000, 30, "messages after it")
    (tmp_path / "stop").touch()
    result = run.finish(one)
    proxy.close()
    total = result["delivery"]["total"]
    assert total["sent"] == len(marks(seen.settle().messages))
    assert total["inFlight"] == total["stale"] == total["unknown"] == 0
    if qos == 1:
        assert total["lost"] == total["duplicated"] == 0
    else:
        assert total["lost"] == 0 or result["verdict"]["validity"] == "invalid"


def test_a_broker_that_restarts(run, broker, observe, tmp_path):
    """By QoS 1 what was not acknowledged is lost to the publisher as well; the ledger sees what really arrived."""
    seen = observe(broker, "devices/#")
    one = run.start(scenario(20, UNTIL_STOPPED, before=OBSERVE), broker)
    seen.wait_for_devices(20, 20)
    broker.kill()
    broker.start()
    count = len(seen.messages)
    wait_until(lambda: len(seen.messages) > count + 1000, 30, "messages after the restart")
    (tmp_path / "stop").touch()
    result = run.finish(one)
    assert result["delivery"]["observers"]["awaySeconds"] > 0
    assert result["delivery"]["total"]["delivered"] > 100
    assert result["delivery"]["total"]["unknown"] == 0


def test_what_is_not_of_this_run_is_no_delivery(run, broker, observe, write, tmp_path):
    """Leftovers of an earlier run, messages of others, and copies of messages that came already."""
    write("probe.json", model(counter(50), connection={"retain": True}))
    seen = observe(broker, "devices/#")
    run(scenario(5, 't:sleep "300ms"', before=OBSERVE), broker)
    old = seen.settle().messages
    one = run.start(scenario(5, UNTIL_STOPPED, before=OBSERVE), broker)
    count = len(old)
    wait_until(lambda: len(seen.messages) > count + 50, 30, "messages of the second run")
    new = seen.messages[count + 10]
    seen.publish(old[0].topic, old[0].payload)                      # unknown
    seen.publish("devices/x", b"hello")                             # foreign
    seen.publish(new.topic, new.payload)                            # duplicated
    seen.publish(new.topic, new.payload.replace(b'"counter":', b'"Counter":'))  # corrupt
    seen.wait_for(1, 10, lambda m: b"Counter" in m.payload)
    (tmp_path / "stop").touch()
    result = run.finish(one)
    total = result["delivery"]["total"]
    assert total["retained"] == 5
    assert (total["unknown"], total["foreign"], total["duplicated"], total["corrupt"]) == (1, 1, 1, 1)
    assert total["lost"] == total["reordered"] == 0
    assert total["delivered"] == total["sent"]


BINARY = attribute("raw", {"type": "constant", "value": "AAECAw=="}, 50, "binary")


def test_binary_payloads_carry_it_beside_them_by_mqtt_5(run, broker, observe, write):
    write("probe.json", model(BINARY, counter(50), connection={"protocolVersion": "5"}))
    seen = observe(broker, "devices/#")
    result = run(scenario(5, 't:sleep "500ms"', before=OBSERVE), broker)
    assert {m.payload for m in seen.settle().messages if not m.payload.startswith(b"{")} == {b"\0\1\2\3"}
    total = result["delivery"]["total"]
    assert total["delivered"] == total["sent"] == len(seen.messages)
    assert total["unwatched"] == total["foreign"] == 0


def test_by_mqtt_3_1_1_they_are_not_watched(run, broker, observe, write):
    write("probe.json", model(BINARY, counter(50)))
    seen = observe(broker, "devices/#")
    result = run(scenario(5, 't:sleep "500ms"', before=OBSERVE), broker)
    raw = sum(not m.payload.startswith(b"{") for m in seen.settle().messages)
    total = result["delivery"]["total"]
    assert total["unwatched"] == total["foreign"] == raw > 0
    assert total["delivered"] == total["sent"] == len(seen.messages) - raw


def test_several_observers_share_the_work(run, broker):
    lua = scenario(50, 't:sleep "1s"', before='t:observe { topics = { "devices/#", "other/+" }, share = 3 }')
    result = run(lua, broker)
    total, observers = result["delivery"]["total"], result["delivery"]["observers"]
    assert observers["count"] == 3 and observers["orderJudged"] is False
    assert total["delivered"] == total["sent"] > 100
    assert total["duplicated"] == total["lost"] == total["unknown"] == 0


def test_scripts_publishes_are_accounted_for_too(run, broker, observe):
    seen = observe(broker, "devices/#")
    body = """fleet:each(function(device)
    device:publish("devices/extra/" .. device.index, { hello = true }, { qos = 2 })
    device:publish("devices/extra/" .. device.index, { hello = true }, { qos = 0 })
    device:publish("devices/extra/" .. device.index, "no object")
  end)
  t:sleep "200ms" """
    result = run(scenario(10, body, before=OBSERVE), broker)
    seen.settle()
    parts = {part["qos"]: part for part in result["delivery"]["parts"]}
    assert parts[0]["delivered"] == parts[2]["delivered"] == 10
    assert result["delivery"]["total"]["unwatched"] == result["delivery"]["total"]["foreign"] == 10


def test_runs_that_nobody_observes_carry_nothing(iotix, write, broker, observe):
    write("probe.json", model(counter(50)))
    seen = observe(broker, "devices/#")
    iotix("run", write("run.lua", scenario(2, 't:sleep "200ms"')), "--broker", broker.address, "--out", "json=result.json").expect(0)
    assert all(set(json.loads(m.payload)) == {"deviceId", "timestamp", "counter"} for m in seen.settle().messages)
    result = json.loads((pathlib.Path(iotix.folder) / "result.json").read_text(encoding="utf-8"))
    assert result["delivery"] is None
    assert not any(name.startswith("delivery.") for name in result["totals"]["counters"])


def test_the_command_line_observes_any_scenario(run, broker):
    result = run(scenario(5, 't:sleep "300ms"'), broker, "--observe", "devices/#", "--late-after", "10s")
    assert result["delivery"]["total"]["delivered"] == result["delivery"]["total"]["sent"] > 0
    assert result["delivery"]["observers"]["lateAfterMs"] == 10000


@pytest.mark.parametrize("given, code, text", [
    ('t:observe { topics = "a#" }', 107, "is no topic filter"),
    ('t:observe { topics = { "a/#", "a/+/c" } }', 107, "overlap"),
    ('t:observe() t:observe()', 107, "observed already"),
    ('t:observe { topcs = "#" }', 107, 'did you mean "topics"'),
    ('t:observe { field = "counter" }', 104, 'choose another name by `field`'),
    ('t:metric "delivery.lost"', 107, "nothing observes this run"),
])
def test_mistakes(iotix, write, broker, given, code, text):
    write("probe.json", model(counter(50)))
    iotix("run", write("run.lua", scenario(2, before=given)), "--broker", broker.address).expect(code, text)


def test_thresholds_judge_what_arrived(run, broker, write):
    keys = 'thresholds = { ["delivery.lost"] = "count==0", ["delivery.success"] = "rate==1", ' \
           '["delivery.latency"] = "p(99)<60s", ["delivery.delivered{group:fleet}"] = "count>10" },'
    result = run(scenario(5, 't:sleep "300ms"', before=OBSERVE, keys=keys), broker)
    assert all(t["passed"] for t in result["thresholds"])

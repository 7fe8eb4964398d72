"""Whose loss it is: messages that went with a connection, that the broker dropped for a slow observer, or that a broker
still has that answers nothing; and a worker that hardly gets a CPU."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

from helpers import children, die_with_parent, wait_until
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario
from test_delivery import check_equations, is_a
from test_delivery_proxy import PROXY

OBSERVE = 't:observe { topics = "devices/#", settle = "300ms" }'


def start(iotix, write, broker, qos, devices, interval, *options, telemetry=()):
    write("probe.json", model(counter(interval), *telemetry, connection={"qos": qos}))
    lua = scenario(devices, UNTIL_STOPPED, before=OBSERVE)
    return iotix.start("run", write("run.lua", lua), "--broker", broker.address, "--out", "json=result.json", *options)


def finish(run, iotix, *codes):
    run.wait(90)
    assert run.code in codes, run.describe()
    result = json.loads((pathlib.Path(iotix.folder) / "result.json").read_text(encoding="utf-8"))
    check_equations(result)
    return result, result["delivery"]["total"], result["delivery"]["observers"]


def process(run, title):
    return next(pid for pid in children(run.pid) if is_a(pid, title))


def progress(run):
    """Lines of progress so far: one a second."""
    return (run.out + run.err).count(" connected")


def reasons(result):
    return "\n".join(result["verdict"]["reasons"])


def test_what_the_broker_drops_for_a_slow_observer_is_not_its_loss(iotix, write, start_broker, observe):
    """Mosquitto's queue for the observer overflows: its own count of that equals what is missing, and the run is invalid."""
    broker = start_broker(settings=["max_inflight_messages 20", "max_queued_messages 50"])
    long = attribute("long", {"type": "constant", "value": "x" * 8000}, 20, "string")
    run = start(iotix, write, broker, 1, 20, 50, telemetry=[long])
    run.wait_for("20 of 20 connected")
    observer = process(run, "iotix-observer")
    figures = observe(broker, "$SYS/broker/publish/messages/dropped")
    os.kill(observer, signal.SIGSTOP)
    figures.wait_for(1, 30, lambda m: int(m.payload) > 100)
    os.kill(observer, signal.SIGCONT)
    write("stop", "")
    result, total, observers = finish(run, iotix, 111)
    assert total["lost"] > 100
    assert 0 <= observers["brokerDropped"] - total["lost"] < 50, "figures of its own went the same way"
    assert total["lostWithConnection"] == 0
    assert result["totals"]["counters"]["messages.lost"] == 0
    assert result["verdict"]["figures"]["overrun"] == total["lost"]
    assert "the broker says that it dropped" in reasons(result), reasons(result)


def test_a_broker_that_stands_still_has_lost_nothing(iotix, write, broker):
    """Nobody knows what becomes of the messages that it still has; that they arrived behind nothing is no proof."""
    run = start(iotix, write, broker, 0, 20, 50)
    run.wait_for("20 of 20 connected")
    broker.pause()
    lines = progress(run)
    wait_until(lambda: progress(run) > lines + 2, 30, "a second of messages to a broker that reads nothing")
    write("stop", "")
    _, total, observers = finish(run, iotix, 0, 111)
    assert total["inFlight"] > 20 and total["lost"] == 0, total
    assert observers["settled"] is False and observers["silentBroker"] == broker.address
    assert observers["silentSeconds"] > 2
    run.expect(run.code, rf"in flight: broker {broker.address} had not answered for")


def test_messages_that_went_with_their_connections_are_told_apart(iotix, write, broker, observe):
    """The broker dies with what it had not handed on; the devices' connections broke with it."""
    seen = observe(broker, "devices/#")
    run = start(iotix, write, broker, 0, 50, 20)
    run.wait_for("50 of 50 connected")
    for _ in range(2):
        broker.pause()
        time.sleep(0.3)
        broker.kill()
        broker.start()
        begun = time.monotonic()
        seen.wait_for_devices(50, 30, since=begun)
    write("stop", "")
    result, total, _ = finish(run, iotix, 0, 111)
    assert total["lostWithConnection"] > 0, total
    # A device that was back before the observer lost messages that nobody could see: that is not called the broker's.
    assert total["lost"] == total["lostWithConnection"] or result["verdict"]["validity"] == "invalid", total
    assert result["totals"]["counters"]["delivery.lost.connection"] == total["lostWithConnection"]


def test_what_was_lost_before_the_broker_died_is_lost(iotix, write, broker, observe):
    """Later messages of the same streams had arrived: nobody may hope for the earlier ones because the observer is away now."""
    write("plan.json", {"delay": 1, "rules": {f"devices/dev-{i}/telemetry": ["down", "drop", 3] for i in range(10)}})
    proxy = subprocess.Popen([sys.executable, str(PROXY), str(broker.port), "1", str(pathlib.Path(iotix.folder) / "plan.json")],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        write("probe.json", model(counter(50)))
        lua = scenario(20, UNTIL_STOPPED, before=OBSERVE, keys='thresholds = { ["delivery.lost"] = "count<=10" },')
        run = iotix.start("run", write("run.lua", lua), "--broker", f"127.0.0.1:{int(proxy.stdout.readline())}",
                          "--out", "json=result.json")
        run.wait_for("20 of 20 connected")
        seen = observe(broker, "devices/#")
        wait_until(lambda: len(seen.messages) > 1000, 60, "messages after those that are dropped")
        broker.kill()
        write("stop", "")
        result, total, observers = finish(run, iotix, 0, 99, 111)
        done = sum(json.loads(proxy.communicate(timeout=20)[0]).values())
    finally:
        proxy.kill()
    assert done == 10 and observers["settled"] is False
    assert total["lost"] == 10 and total["lostWithConnection"] == 0, total
    (threshold,) = result["thresholds"]
    assert threshold["passed"] == (total["inFlight"] == 0), "what may be lost as well is no pass"


class Starved:
    """Lets a process run for 10 ms of each 250 ms."""

    def __init__(self, pid):
        self._pid, self._end = pid, threading.Event()
        self._thread = threading.Thread(target=self._starve)
        self._thread.start()

    def _starve(self):
        while not self._end.wait(0.01):
            os.kill(self._pid, signal.SIGSTOP)
            self._end.wait(0.24)
            os.kill(self._pid, signal.SIGCONT)

    def feed(self):
        self._end.set()
        self._thread.join()


def test_a_starved_worker_is_left_alone_and_its_delays_are_our_own_fault(iotix, write, broker, observe):
    seen = observe(broker, "devices/#")
    run = start(iotix, write, broker, 1, 40, 50, "--workers", "2")
    run.wait_for("40 of 40 connected")
    worker = process(run, "iotix-worker")
    starved = Starved(worker)
    count = len(seen.messages)
    wait_until(lambda: len(seen.messages) > count + 2500, 60, "messages of a starved worker")
    starved.feed()
    write("stop", "")
    result, total, _ = finish(run, iotix, 0, 111)
    assert result["run"]["workerRestarts"] == 0
    assert total["lost"] == total["inFlight"] == total["inDoubt"] == 0 and total["delivered"] == total["sent"]
    assert result["verdict"]["validity"] in ("degraded", "invalid"), result["verdict"]
    assert "p99 lateness" in reasons(result) and "this host could not keep the schedule" in reasons(result), reasons(result)

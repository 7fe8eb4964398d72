"""iotix itself is stopped, or loses a worker, and goes on: what came due meanwhile is skipped or caught up with, as the model
says, never in a burst; it is our own fault, and the verdict says so."""

import bisect
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from helpers import ledger, milliseconds, preloaded, series, wait_until, workers
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario

INTERVAL = 100
STOPPED = 6.0  # seconds


def report(folder):
    return json.loads((folder / "r.json").read_text(encoding="utf-8"))


def start(iotix, write, broker, connection, devices=10):
    write("probe.json", model(counter(INTERVAL), connection=connection))
    file = write("x.lua", scenario(devices, UNTIL_STOPPED))
    return iotix.start("run", file, "--broker", broker.address, "--workers", 2, "--interval", "200ms", "--out",
                       "json=r.json")


def stop_for(pids, seconds):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


def densest(messages, seconds):
    """The largest number of messages that arrived within so many seconds, per device."""
    times = {}
    for message in messages:
        times.setdefault(message.topic, []).append(message.time)
    return max(bisect.bisect(all_, at + seconds) - k for all_ in map(sorted, times.values()) for k, at in enumerate(all_))


@pytest.mark.parametrize("who", ["a worker", "everything"])
def test_skipped(who, broker, observe, iotix, write, tmp_path):
    observer = observe(broker, "devices/+/telemetry")
    run = start(iotix, write, broker, {"qos": 0, "onLate": "skip", "lateAfterMs": 1000})
    observer.wait_for_devices(10, 30)
    pids = run.workers(2)
    stop_for(pids[:1] if who == "a worker" else [run.pid, *pids], STOPPED)
    observer.wait_for_devices(10, 30, since=time.monotonic() + 0.5)
    assert workers(run.pid) == pids, "one that is stopped is left alone"
    write("stop", "")
    run.expect(111, r"never sent through the generator's\s+own\s+fault", r"late: iotix itself was away")
    books = ledger(report(tmp_path))
    messages = observer.settle().messages
    assert books["sent"] == len(messages) and books["inDoubt"] == books["lost"] == 0
    never = books["neverSent"]
    assert never["late"] == sum(never.values()) == report(tmp_path)["verdict"]["ownFault"], never
    stood = [gap for gap in gaps(messages) if gap >= (STOPPED - 1.5) * 1000 / INTERVAL]
    assert len(stood) == (10 if who == "everything" else len(stood)) and stood, stood
    assert never["late"] >= sum(stood), (never, stood)
    # What was less than a second late was sent at once: ten messages, and those of their own time; not all sixty. (Where
    # this process was kept from reading for a while, what came meanwhile seems to come at once as well.)
    assert densest(messages, 0.05) <= 40


@pytest.mark.parametrize("queue", [None, {"policy": "drop-oldest", "size": 5}], ids=["", "queue"])
def test_what_finds_no_room_after_a_stop_is_not_the_brokers_fault(queue, broker, observe, iotix, write, tmp_path):
    observer = observe(broker, "devices/+/telemetry")
    run = start(iotix, write, broker, {"qos": 1, "maxInflight": 5, **({"queue": queue} if queue else {})})
    observer.wait_for_devices(10, 30)
    stop_for([run.pid, *run.workers(2)], 3)  # less than lateAfterMs: all is sent at once, as far as there is room
    observer.wait_for_devices(10, 30, since=time.monotonic() + 0.5)
    write("stop", "")
    run.expect(111, r"never sent through the generator's\s+own\s+fault")
    books = ledger(report(tmp_path))
    assert books["neverSent"]["late"] >= 10 * 10 and books["neverSent"]["backpressure"] == 0, books
    assert books["sent"] == books["acknowledged"] == len(observer.settle().messages)


def gaps(messages):
    """The longest run of missing ticks of each device."""
    found = series(messages, "counter").values()
    return [max([b[1] - a[1] - 1 for a, b in zip(samples, samples[1:])], default=0) for samples in found]


def test_caught_up_with(broker, observe, iotix, write, tmp_path):
    observer = observe(broker, "devices/+/telemetry")
    run = start(iotix, write, broker, {"qos": 1, "onLate": "catch-up", "lateAfterMs": 500, "maxInflight": 1000})
    observer.wait_for_devices(10, 30)
    stop_for([run.pid, *run.workers(2)], STOPPED)
    observer.wait_for_devices(10, 30, since=time.monotonic() + 2)
    write("stop", "")
    # Every message was sent, most of them late: the figures are not those of the broker.
    run.expect(111, r"p99 lateness [\d.]+ s > 1")
    messages = observer.settle().messages
    assert gaps(messages) == [0] * 10, "nothing is missing"
    books = ledger(report(tmp_path))
    assert books["sent"] == books["acknowledged"] == books["scheduled"] == len(messages)
    # Ten times its own pace at most, until half a second is left: then the rest at once. Again, not all sixty.
    assert densest(messages, 0.1) <= 45, "no burst"


def test_a_stopped_controller_delays_nobody(broker, observe, iotix, write, tmp_path):
    observer = observe(broker, "devices/+/telemetry")
    run = start(iotix, write, broker, {"qos": 0, "lateAfterMs": 1000})
    observer.wait_for_devices(10, 30)
    stop_for([run.pid], 3)
    write("stop", "")
    run.wait()
    assert gaps(observer.settle().messages) == [0] * 10 or run.code == 111
    assert ledger(report(tmp_path))["neverSent"]["backpressure"] == 0


def test_what_a_dead_worker_missed_is_our_fault(broker, observe, iotix, write, tmp_path):
    observer = observe(broker, "devices/+/telemetry")
    run = start(iotix, write, broker, {"qos": 1, "maxInflight": 1, "queue": {"policy": "block"}})
    observer.wait_for_devices(10, 30)
    broker.pause()  # one message of each device is on its way, the others wait
    time.sleep(2)
    victims = run.workers(2)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(workers(run.pid)) == 2 and not set(victims) & set(workers(run.pid)), 20, run.describe)
    broker.resume()
    observer.wait_for_devices(10, 30, since=time.monotonic() + 0.5)
    write("stop", "")
    run.expect(111, r"never sent through the generator's\s+own\s+fault", r"10 with a worker that died")
    books = ledger(report(tmp_path))
    assert books["lostWithWorker"] == books["lost"] == 10, books
    assert books["neverSent"]["late"] >= 10 * 15, books
    assert books["inDoubt"] <= 2, books


def faketime():
    """The library that lets a process see another wall clock."""
    found = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "libfaketime is missing: apt-get install libfaketime"
    return str(found[0])


def test_steps_of_the_wall_clock_change_nothing(broker, observe, iotix, write, tmp_path):
    """Timestamps go on from the start of the run at the pace of the monotonic clock."""
    library = faketime()
    clock = write("clock", "+0")
    observer = observe(broker, "devices/+/telemetry")
    write("probe.json", model(counter(INTERVAL), attribute("load", {"type": "random"}, INTERVAL)))
    file = write("x.lua", scenario(3, UNTIL_STOPPED))
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    run = iotix.start("run", file, "--broker", broker.address, "--workers", 1, "--out", "json=r.json", env={
        "LD_PRELOAD": preloaded(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "ASAN_OPTIONS": options})
    begun = time.time() * 1000
    observer.wait_for_devices(3, 60)
    for step in ("+3600", "-86400", "+0"):
        write("clock", step)
        seen = len(observer.messages)
        observer.wait_for(seen + 60, 20)
    write("stop", "")
    run.expect(0)
    for samples in series(observer.settle().messages, "counter").values():
        first = samples[0][0] - samples[0][1] * INTERVAL
        assert all(stamp == first + tick * INTERVAL for stamp, tick in samples), "a stamp jumped"
        assert [tick for _, tick in samples] == list(range(len(samples))), "a tick is missing"
        assert abs(first - begun) < 60_000
    started = milliseconds(report(tmp_path)["run"]["started"])
    assert abs(started - begun) < 60_000

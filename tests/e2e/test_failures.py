"""What happens when a part of the whole dies, and what Ctrl-C does."""

import os
import re
import signal
import time

import pytest

from helpers import alive, brokers, device_of, figure, series, wait_until, workers
from scenes import UNTIL_STOPPED, counter, model, scenario

# UNTIL_STOPPED, with an eye on a counter.
COUNTING = "local before = 0\n  " + UNTIL_STOPPED.replace('    t:sleep', """    local sent = fleet:counts().sent
    t:check("counters never go back", sent >= before)
    before = sent
    t:sleep""")
QUICK_RETURN = {"reconnect": {"delayMs": 100, "maxDelayMs": 500}}


def start(iotix, write, broker, *arguments, devices=20, body=UNTIL_STOPPED, interval=100):
    write("probe.json", model(counter(interval), connection=QUICK_RETURN))
    file = write("fleet.lua", scenario(devices, body))
    return iotix.start("run", file, "--broker", broker, "--interval", "200ms", *arguments)


def test_a_killed_worker_is_restarted_and_its_devices_return(broker, observe, iotix, write):
    observer = observe(broker)
    run = start(iotix, write, broker.address, "--workers", 2, body=COUNTING)
    observer.wait_for_devices(20, 30)
    first = run.workers(2)
    os.kill(first[0], signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(workers(run.pid)) == 2 and first[0] not in workers(run.pid), 30, run.describe)
    # Both halves publish on: those of the worker that lived without a pause, the others again.
    observer.wait_for_devices(20, 30, since=killed + 0.5)
    observer.wait_for_devices(20, 30, since=time.monotonic())
    write("stop", "")
    run.wait()
    assert run.code in (0, 111), run.describe()  # 111: more than 0.1 % of the ticks came due while it was away
    assert re.search(r"workers +2, 1 restart", run.out) and "✗" not in run.out, run.describe()

    found = series(observer.settle().messages, "counter")
    assert len(found) == 20
    for key, samples in found.items():
        base = samples[0][0]
        assert all(stamp - base == value * 100 for stamp, value in samples), f"ticks of {key} moved"
    connects = [len(broker.connects()[f"dev-{i}"]) for i in range(20)]
    assert set(connects) == {1, 2} and 5 <= connects.count(2) <= 15, "those of the killed worker, and only those"
    # The counters of the killed worker were kept: at most one message of each of its devices was under way.
    seen = sum(map(len, found.values()))
    assert abs(figure(run, "sent") - seen) <= 20, f"{seen} seen: {run.describe()}"


def test_every_device_returns_after_a_crash_of_the_broker(broker, observe, iotix, write):
    observer = observe(broker)
    run = start(iotix, write, broker.address)
    observer.wait_for_devices(20, 30)
    broker.kill()
    time.sleep(0.5)
    broker.start()
    again = observe(broker)
    again.wait_for_devices(20, 30)
    write("stop", "")
    run.expect(0)
    again.settle()
    for device, samples in series(again.messages, "counter").items():
        assert samples[0][1] > 0, f"{device} began anew instead of coming back"
    assert figure(run, "back again") == 20, run.describe()


def test_a_frozen_broker_is_survived(broker, observe, iotix, write):
    observer = observe(broker)
    run = start(iotix, write, broker.address)
    observer.wait_for_devices(20, 30)
    broker.pause()
    time.sleep(1)
    broker.resume()
    observer.wait_for_devices(20, 30, since=time.monotonic() + 0.2)
    write("stop", "")
    run.expect(0)


@pytest.mark.parametrize("address", ["embedded", "given"])
def test_nothing_outlives_a_killed_controller(address, start_broker, observe, iotix, write):
    broker = start_broker() if address == "given" else None
    run = start(iotix, write, broker.address if broker else "embedded", "--workers", 2)
    pids = run.workers(2)
    run.wait_for(r"(?i)connected")
    if broker is None:
        pids = pids + wait_until(lambda: brokers(run.pid), 10, "the embedded broker")
    run.kill()
    wait_until(lambda: not any(map(alive, pids)), 30, lambda: f"{[p for p in pids if alive(p)]} to end")


def test_ctrl_c_drains_and_prints_the_summary(broker, observe, iotix, write):
    observer = observe(broker)
    run = start(iotix, write, broker.address)
    observer.wait_for_devices(20, 30)
    run.interrupt()
    run.expect(105, r"(?i)interrupt")
    messages = observer.settle().messages
    assert figure(run, "sent") == figure(run, "acknowledged") == len(messages), run.describe()
    polite = {name for name in re.findall(r"Received DISCONNECT from (\S+)", broker.log)}
    assert {f"dev-{i}" for i in range(20)} <= polite, "devices must take their leave"


def test_a_second_ctrl_c_ends_at_once(broker, observe, iotix, write):
    observer = observe(broker)
    run = start(iotix, write, broker.address)
    observer.wait_for_devices(20, 30)
    broker.pause()
    time.sleep(0.5)
    run.interrupt()
    time.sleep(0.5)
    run.interrupt()
    run.wait(5)
    assert run.code == 105, run.describe()


def test_sigterm_is_like_ctrl_c(broker, observe, iotix, write):
    observer = observe(broker)
    run = start(iotix, write, broker.address)
    observer.wait_for_devices(20, 30)
    run.signal(signal.SIGTERM)
    run.expect(105)
    assert {device_of(m) for m in observer.messages} == {f"dev-{i}" for i in range(20)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_process_group_drains_too(number, iotix, write):
    """As a terminal, `timeout` and CI systems send it: workers and the embedded broker get it as well."""
    run = start(iotix, write, "embedded")
    wait_until(lambda: brokers(run.pid), 10, "the embedded broker")
    run.wait_for(r"20 connected|connected\W+20")
    os.killpg(run.pid, number)
    run.expect(105, r"(?i)interrupt")
    assert not re.search(r"restart|killed|embedded broker ended", run.err + run.out), run.describe()
    assert figure(run, "sent") == figure(run, "acknowledged"), run.describe()


def test_one_request_to_stop_may_reach_the_process_and_its_group(iotix, write):
    run = start(iotix, write, "embedded")
    run.wait_for("20 of 20 connected")
    run.signal(signal.SIGTERM)  # as `timeout` and service managers do
    os.killpg(run.pid, signal.SIGTERM)
    run.expect(105, r"(?i)interrupt")
    assert "restart" not in run.out + run.err and "broker ended" not in run.err, run.describe()
    assert figure(run, "sent") == figure(run, "acknowledged") > 0, run.describe()

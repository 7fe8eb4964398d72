"""A broker that stands still, or does not read: what its devices do with what they measure meanwhile, how much memory that
takes, and that every message is accounted for."""

import json
import time

import pytest

from doubles import Proxy
from helpers import ledger, memory, series, wait_until
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario

FREEZE = 3.0  # seconds
PATIENT = "fleet:stop { drain = '60s' }"  # whatever waits is sent, however busy this host is
INTERVAL = 50
SIZE = 20
DEVICES = 10

QUEUES = {
    "none": None,
    "drop-newest": {"policy": "drop-newest", "size": SIZE},
    "drop-oldest": {"policy": "drop-oldest", "size": SIZE},
    "block": {"policy": "block"},
}


def report(folder):
    return json.loads((folder / "r.json").read_text(encoding="utf-8"))


@pytest.fixture(params=QUEUES)
def frozen(request, broker, observe, iotix, write, tmp_path):
    """(policy, report, ticks that came from each device) of a run whose broker stood still for a while."""
    queue = QUEUES[request.param]
    write("probe.json", model(counter(INTERVAL), connection={"maxInflight": 1, **({"queue": queue} if queue else {})}))
    file = write("x.lua", scenario(DEVICES, UNTIL_STOPPED).replace("fleet:stop()", PATIENT))
    observer = observe(broker, "devices/+/telemetry")
    run = iotix.start("run", file, "--broker", broker.address, "--out", "json=r.json", "--interval", "200ms")
    observer.wait_for_devices(DEVICES, 30)
    broker.pause()
    time.sleep(FREEZE)
    broker.resume()
    observer.wait_for_devices(DEVICES, 30, since=time.monotonic() + 1)
    write("stop", "")
    run.expect(0)
    found = series(observer.settle().messages, "counter")
    assert len(found) == DEVICES
    for samples in found.values():
        start = samples[0][0] - samples[0][1] * INTERVAL
        assert all(stamp == start + tick * INTERVAL for stamp, tick in samples), "instants are those of the ticks"
    return request.param, report(tmp_path), [[tick for _, tick in samples] for samples in found.values()]


def test_a_frozen_broker(frozen):
    policy, result, ticks = frozen
    books, trends = ledger(result), result["totals"]["trends"]
    assert books["waiting"] == books["inFlight"] == books["inDoubt"] == books["lost"] == 0
    assert books["sent"] == sum(map(len, ticks)), "what was sent is what arrived"
    gaps = [max(b - a - 1 for a, b in zip(seen, seen[1:])) for seen in ticks]
    missed = FREEZE * 1000 / INTERVAL
    if policy == "block":
        assert gaps == [0] * DEVICES and sum(books["neverSent"].values()) == 0
        assert trends["publish.latency"]["max"] > (FREEZE - 0.5) * 1000
    else:
        kept = 0 if policy == "none" else SIZE
        assert all(gap >= missed - kept - 10 for gap in gaps), gaps
        assert books["neverSent"]["backpressure"] >= sum(gaps)
    for seen in ticks if policy in ("drop-newest", "drop-oldest") else []:
        before, after = next((k, k + 1) for k in range(len(seen)) if seen[k + 1] - seen[k] > missed - SIZE - 10)
        # Those that waited longest are missing, or those that came last.
        old = policy == "drop-newest"
        run_of = seen[max(0, before - SIZE + 1):before + 1] if old else seen[after:after + SIZE]
        assert len(run_of) == SIZE and run_of[-1] - run_of[0] == SIZE - 1, f"{SIZE} waited: {run_of}"
    assert trends["publish.lateness"]["p50"] < 1000, "what waited was not late through iotix"
    assert trends["publish.service"]["p50"] < trends["publish.latency"]["max"]


@pytest.mark.parametrize("size, interval, qos", [(60000, 20, 0), (1900, 1, 0), (60000, 20, 1)])
def test_a_server_that_does_not_read_costs_no_memory(size, interval, qos, broker, iotix, write, tmp_path):
    """The kernel's buffers fill up; what waits behind them, in the library or in the device, is bounded."""
    proxy = Proxy(broker.port)
    try:
        text = attribute("text", {"type": "constant", "value": "x" * size}, interval, "string")
        write("probe.json", model(text, connection={"qos": qos, "queue": {"policy": "drop-oldest", "size": 50}}))
        file = write("x.lua", scenario(2, UNTIL_STOPPED).replace("fleet:stop()", PATIENT))
        run = iotix.start("run", file, "--broker", proxy.address, "--workers", 1, "--out", "json=r.json", "--interval",
                          "200ms")
        run.wait_for("2 of 2 connected")
        (worker,) = run.workers(1)
        time.sleep(1)
        before = memory(worker)
        proxy.hold()
        run.wait_for(r"never sent", 60)
        time.sleep(3)
        grown = memory(worker) - before
        proxy.go_on()
        time.sleep(1)
        write("stop", "")
        run.wait(90)
    finally:
        proxy.close()
    books = ledger(report(tmp_path))
    assert books["neverSent"]["backpressure"] > 20 and books["waiting"] == books["inFlight"] == 0, books
    assert books["neverSent"]["offline"] == 0, books
    # Two devices with maxInflight (20) messages each, and the library's own bytes.
    assert grown < 2 * 20 * (size + 4096) + (12 << 20), f"{grown} bytes"
    wait_until(lambda: run.code in (0, 111), 1, run.describe)

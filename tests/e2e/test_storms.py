"""Many refusals at once, two clients of one name, limits that change while a run goes on: the load that iotix itself makes
stays bounded, reasons are named, and runs go on."""

import json
import re
import resource
import subprocess
import time

import paho.mqtt.client as mqtt
import pytest

from helpers import (GROWTH, STEADY, Client, Run, children, descriptors, figure, free_port, ledger, memory, wait_until,
                     workers)
from scenes import UNTIL_STOPPED, counter, model, scenario

def report(folder):
    return json.loads((folder / "r.json").read_text(encoding="utf-8"))


def test_a_thousand_devices_and_nobody_listens(broker, iotix, write, tmp_path):
    """Exponential back-off with full jitter, the default: attempts become fewer, descriptors and memory stay where they
    are, and all connect as soon as somebody listens."""
    write("probe.json", model(counter(1000), connection={"reconnect": {"delayMs": 200, "maxDelayMs": 2000}}))
    file = write("x.lua", scenario(1000, UNTIL_STOPPED))
    broker.kill()
    run = iotix.start("run", file, "--broker", broker.address, "--workers", 1, "--interval", "200ms", "--out", "json=r.json",
                      env=STEADY)
    run.wait_for("connection refused")
    (worker,) = run.workers(1)
    time.sleep(3)
    few, small = descriptors(worker), memory(worker)
    time.sleep(5)
    assert descriptors(worker) < few + 100 and memory(worker) < small * 1.1 + 2 * GROWTH
    broker.start()
    run.wait_for("1,000 of 1,000 connected", 60)
    write("stop", "")
    run.expect(0)
    counters = report(tmp_path)["totals"]["counters"]
    # About one attempt a second and device on average in the end; before that 0.1, 0.2, 0.4, 0.8 s.
    assert counters["connect.attempts"] < 1000 * (4 + 1.5 * report(tmp_path)["run"]["seconds"]), counters
    assert counters["connect.attempts"] == counters["connect.failed"] + counters["connect.accepted"]
    assert counters["connect.accepted"] == 1000 and counters["messages.neverSent.late"] == 0


def test_session_takeover(broker, observe, iotix, write, tmp_path):
    """Another client takes a device's id: MQTT says that the older connection ends. The device comes back by its back-off,
    and takes the name in turn."""
    write("probe.json", model(counter(100), connection={"protocolVersion": "5", "reconnect": {"delayMs": 200, "jitter": "none"}}))
    file = write("x.lua", scenario(3, UNTIL_STOPPED))
    run = iotix.start("run", file, "--broker", broker.address, "--interval", "200ms", "--out", "json=r.json")
    run.wait_for("3 of 3 connected")
    observer = observe(broker, "devices/+/telemetry")
    other = Client("dev-1", protocol=mqtt.MQTTv311)
    other.reconnect_delay_set(60, 60)
    other.connect("127.0.0.1", broker.port, keepalive=30)
    other.loop_start()
    reason = run.wait_for(r"session taken over|connection closed by the server").group()  # some servers say why
    observer.wait_for_devices(3, 20, since=time.monotonic())
    other.loop_stop()
    write("stop", "")
    run.expect(0)
    result = report(tmp_path)
    assert result["totals"]["reasons"] == [{"reason": reason, "count": 1}]
    assert result["totals"]["counters"]["connection.reconnected"] == 1
    ledger(result)


def test_too_few_descriptors_in_the_middle(broker, iotix, write, tmp_path):
    """The limit of a running worker is lowered: devices that were dropped can't come back. That is this host's fault, not
    the broker's. With the limit back they return."""
    write("probe.json", model(counter(100), connection={"reconnect": {"delayMs": 100, "maxDelayMs": 300}}))
    file = write("x.lua", scenario(50, """fleet:dropout { strategy = "immediate", reconnect = true, reconnectDelayMs = 500 }
  """ + UNTIL_STOPPED + """
  fleet:wait { connected = "100%", timeout = "20s" }"""))
    run = iotix.start("run", file, "--broker", broker.address, "--workers", 1, "--interval", "200ms", "--out", "json=r.json")
    run.wait_for("50 dropped")
    (worker,) = run.workers(1)
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE, (15, resource.prlimit(worker, resource.RLIMIT_NOFILE)[1]))
    run.wait_for("too many open files")
    time.sleep(1)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
    run.wait_for("50 of 50 connected")
    write("stop", "")
    run.expect(111, r"late: iotix itself was away")
    result = report(tmp_path)
    assert result["totals"]["counters"]["messages.neverSent.late"] > 0
    assert any(one["reason"] == "too many open files" for one in result["totals"]["reasons"])
    assert result["totals"]["counters"]["connection.reconnected"] == 50
    ledger(result)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"mount: {done.stderr.strip()} (needs root)"
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full(small_disk, broker, iotix, write):
    """Every report that finds room is written, and the run says which ones did not; the summary is complete."""
    write("probe.json", model(counter(50)))
    file = write("x.lua", scenario(20, UNTIL_STOPPED))
    run = iotix.start("run", file, "--broker", broker.address, "--interval", "100ms", "--out", f"json={small_disk}/r.json",
                      "--out", f"csv={small_disk}/r.csv", "--out", "ndjson=fits.ndjson", "--data-dir", str(small_disk / "data"))
    run.wait_for("20 of 20 connected")
    with open(small_disk / "filler", "wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError as full:
            assert full.errno == 28
    time.sleep(1)
    assert run.code is None, run.describe()
    write("stop", "")
    run.wait(30)
    assert run.code == 104 and re.search(r"r\.json.*No space left", run.err + run.out), run.describe()
    assert figure(run, "sent") == figure(run, "acknowledged") > 0
    assert (file.parent / "fits.ndjson").read_text(encoding="utf-8").count("\n") > 5


def test_a_broker_that_restarts_again_and_again(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100), connection={"qos": 1, "reconnect": {"delayMs": 50, "maxDelayMs": 200}}))
    file = write("x.lua", scenario(100, UNTIL_STOPPED + '\n  fleet:wait { connected = "100%", timeout = "20s" }'))
    run: Run = iotix.start("run", file, "--broker", broker.address, "--workers", 2, "--interval", "200ms", "--out", "json=r.json",
                           env=STEADY)
    run.wait_for("100 of 100 connected")
    seen = {}
    for cycle in range(15):
        broker.kill()
        time.sleep(0.3)
        broker.start()
        wait_until(lambda: len(broker.connects()["dev-0"]) >= cycle + 2, 20, run.describe)
        time.sleep(0.5)
        if cycle in (4, 14):
            seen[cycle] = {pid: (descriptors(pid), memory(pid)) for pid in [run.pid, *workers(run.pid)]}
    assert seen[4].keys() == seen[14].keys(), "processes were restarted"
    for pid, (few, small) in seen[4].items():
        many, large = seen[14][pid]
        assert many <= few + 2 and large < small * 1.1 + 2 * GROWTH, (seen, children(run.pid))
    write("stop", "")
    run.expect(0)
    books = ledger(report(tmp_path))
    assert books["inFlight"] == books["waiting"] == books["inDoubt"] == books["neverSent"]["late"] == 0, books


def test_nobody_ever_listens(iotix, write):
    """A run can be interrupted that never got anywhere."""
    write("probe.json", model(counter(1000)))
    file = write("x.lua", scenario(10, UNTIL_STOPPED))
    run = iotix.start("run", file, "--broker", f"127.0.0.1:{free_port()}")
    run.wait_for("(?i)refused|out of reach|cannot be reached")
    if run.code is None:
        run.interrupt()
    run.wait(20)
    assert run.code in (104, 105, 107), run.describe()

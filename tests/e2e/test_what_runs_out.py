"""Descriptors, ports, memory and the broker's capacity that run out while a run goes on: each is named with what to do
about it, the run ends cleanly, and what was measured is kept."""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess

import pytest

from helpers import BINARY, figure, wait_until, workers
from scenes import counter, model, scenario

PATIENCE = "6s"


@pytest.fixture
def fleet(write):
    """fleet(devices, delay): devices that start one after the other, and a wait that gives up after PATIENCE."""
    write("probe.json", model(counter(200)))

    def put(devices, delay=10, patience=PATIENCE):
        text = scenario(devices, start=f'strategy = "linear", delayMs = {delay}')
        return write("fleet.lua", text.replace('timeout = "30s"', f'timeout = "{patience}"'))

    return put


def check_kept(run, report, advice):
    """The verdict is none of a good run; summary and report have the advice and what was measured."""
    assert run.code not in (0, None), run.describe()
    assert re.search(r"(?s)→ .*" + advice.replace(" ", r"\s+"), run.out), run.describe()
    assert re.search(r"(?s)warning: .*" + advice, run.err), run.describe()
    result = json.loads(pathlib.Path(report).read_text())
    assert any(re.search(advice, line) for line in result["verdict"]["advice"]), result["verdict"]
    assert result["verdict"]["exitCode"] == run.code
    sent = result["totals"]["counters"]["messages.sent"]
    assert sent > 0 and sent == figure(run, "sent")
    return result


def test_descriptors(broker, fleet, iotix, tmp_path):
    """A limit that is lowered under a running worker: its next sockets are refused."""
    run = iotix.start("run", fleet(300), "--broker", broker.address, "--workers", 1, "--out", "json=r.json")
    wait_until(lambda: broker.log.count(" as dev-") >= 20, 20, run.describe)
    for pid in workers(run.pid):
        most = len(os.listdir(f"/proc/{pid}/fd")) + 30
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    run.wait()
    result = check_kept(run, tmp_path / "r.json", "descriptors of a process ran out")
    assert re.search(r"too many open files", run.out)
    assert 20 <= result["totals"]["counters"]["connect.accepted"] <= 100


def test_the_brokers_limit_of_clients(start_broker, fleet, iotix, tmp_path):
    broker = start_broker(max_connections=25)
    run = iotix("run", fleet(60, 5), "--broker", broker.address, "--out", "json=r.json")
    result = check_kept(run, tmp_path / "r.json", "the broker lets nobody more in")
    assert result["totals"]["counters"]["connect.accepted"] in (25, 26)
    assert "--broker HOST:PORT" in run.err


def test_the_brokers_limit_of_descriptors(broker, fleet, iotix, tmp_path):
    most = len(os.listdir(f"/proc/{broker.process.pid}/fd")) + 30
    resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (most, most))
    run = iotix("run", fleet(80, 5), "--broker", broker.address, "--out", "json=r.json")
    result = check_kept(run, tmp_path / "r.json", "the broker lets nobody more in")
    assert 20 <= result["totals"]["counters"]["connect.accepted"] <= 31


def test_a_broker_that_restarts_is_not_called_full(start_broker, fleet, iotix, tmp_path):
    broker = start_broker()
    run = iotix.start("run", fleet(40, 50), "--broker", broker.address)
    wait_until(lambda: broker.log.count(" as dev-") >= 15, 20, run.describe)
    broker.kill()
    broker.start()
    run.wait()
    assert "lets nobody more in" not in run.out + run.err


def test_ports(fleet, tmp_path):
    """A network of its own, in which an address has 24 ports for outgoing connections."""
    unshare = [shutil.which("unshare") or "unshare", "-n"] + ([] if os.getuid() == 0 else ["-r"])
    setup = "ip link set lo up && echo 40000 40023 > /proc/sys/net/ipv4/ip_local_port_range"
    if subprocess.run([*unshare, "sh", "-c", setup], capture_output=True, check=False).returncode != 0:
        return  # hosts that forbid namespaces have no such network
    command = [BINARY, "run", str(fleet(60, 5)), "--broker", "embedded", "--bind", "none", "--out",
               f"json={tmp_path / 'r.json'}"]
    ended = subprocess.run([*unshare, "sh", "-c", f'{setup} && exec "$@"', "sh", *command], capture_output=True,
                           check=False, text=True, timeout=90, cwd=tmp_path)
    both = ended.stdout + ended.stderr
    assert ended.returncode == 107, both
    # Before anything starts, and again when it happens.
    assert re.search(r"warning: .*60 connections from one address to broker 127\.0\.0\.1:\d+ need as many source ports, "
                     r"and an address has 24", ended.stderr), both
    assert 'to lift it: sudo sysctl -w net.ipv4.ip_local_reserved_ports=' in ended.stderr, both
    assert re.search(r"source ports ran out at 2\d connections: one address has 24 .*--bind auto", ended.stderr), both
    result = json.loads((tmp_path / "r.json").read_text())
    assert 20 <= result["totals"]["counters"]["connect.accepted"] <= 24
    assert any("source ports ran out" in line for line in result["verdict"]["advice"])


def test_memory(broker, fleet, iotix, tmp_path):
    """A worker that gets no more memory is started anew, and the run ends as invalid when that does not help."""
    if "address" in BINARY:
        return  # its sanitizer reserves terabytes of addresses
    run = iotix.start("run", fleet(12000, 0.3, "40s"), "--broker", broker.address, "--workers", 1, "--out", "json=r.json")
    pid = run.workers(1)[0]
    wait_until(lambda: broker.log.count(" as dev-") >= 500, 20, run.describe)
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    most = 1024 * int(re.search(r"VmSize:\s+(\d+)", status).group(1)) + (1 << 20)
    for process in (pid, run.pid):  # those that follow inherit the controller's
        resource.prlimit(process, resource.RLIMIT_AS, (most, most))
    run.wait(90)
    assert run.code == 111, run.describe()
    assert "out of memory" in run.err or "ran out of memory" in run.err, run.describe()
    assert re.search(r"died 5 times within 10 s, the last time it ran out of memory|out of memory:", run.out + run.err)

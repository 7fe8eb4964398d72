"""The script behind make bench-million, at a size for tests: its figures, its end, what it leaves behind."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from helpers import BINARY, MARK, marked, wait_until

SCRIPT = pathlib.Path(__file__).parents[1] / "bench" / "million.py"
KERNEL = ["fs/file-max", "net/core/somaxconn", "net/ipv4/tcp_max_syn_backlog"]


def settings():
    return [pathlib.Path("/proc/sys", name).read_text() for name in KERNEL]


@pytest.fixture
def million(tmp_path):
    """million(arguments): the script as a process, in a group of its own; `inside`: what runs it."""
    started = []

    def start(*arguments, inside=(), change=False):
        mark = f"million-{os.getpid()}-{len(started)}"
        process = subprocess.Popen(
            [*inside, sys.executable, str(SCRIPT), "--iotix", BINARY, "--out", str(tmp_path / "million.json"),
             *([] if change else ["--no-sysctl"]), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, start_new_session=True,
            env=dict(os.environ, TMPDIR=str(tmp_path), **{MARK: mark}))
        process.mark = mark
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        wait_until(lambda: not marked(process.mark), 10, "all processes of the script to end")


def test_figures(million, tmp_path):
    before = settings()
    script = million("--devices", 300, "--connects", 300, "--hold", 3, "--interval", 1)
    output = script.communicate(timeout=90)[0]
    assert script.returncode == 0, output
    found = json.loads((tmp_path / "million.json").read_text())
    assert found["devices"] == 300 and found["brokers"] == 1
    assert found["connect_seconds"] >= 0.9 and found["connected_at_most"] == 300
    assert found["messages"]["sent"] >= 600 and found["messages"]["lost"] == 0
    # What the kernel needs is that of the whole host, on which other tests come and go: here, only whether it is told.
    memory = found["bytes_per_device"]
    assert abs(memory["sum"] - memory["iotix"] - memory["kernel"] - memory["brokers"]) <= 2 and "of_the_host" in memory
    assert found["messages_per_second"] > 100
    assert "all connected after" in output and "lateness p99" in output
    assert "as_free_counts" in memory and found["validity"] in ("valid", "degraded", "invalid")
    assert settings() == before and not marked(script.mark) and not list(tmp_path.glob("iotix-million.*"))

    table = subprocess.run([sys.executable, str(SCRIPT.with_name("table.py")), "--print", str(tmp_path / "million.json")],
                           capture_output=True, check=True, text=True).stdout
    assert "| devices | 300 |" in table and re.search(r"all connected after \| [\d.]+ s \| ≤ 100 \| met", table), table


def test_a_host_that_runs_out_of_memory_is_left_alone(million, tmp_path):
    """The limit is 40 TiB: whatever this host has is less."""
    script = million("--devices", 300, "--connects", 30, "--guard", 40 << 20)
    output = script.communicate(timeout=60)[0]
    assert script.returncode == 1 and not marked(script.mark), output
    assert "left no report" in json.loads((tmp_path / "million.json").read_text())["notes"][-1]


def test_fewer_devices_are_explained(million, tmp_path):
    script = million("--devices", 900_000_000)
    line = script.stdout.readline()
    if "a process may open" in line:
        line = script.stdout.readline()
    script.send_signal(signal.SIGTERM)
    script.communicate(timeout=60)
    assert re.search(r"^[\d,]+ devices instead of [\d,]+: .*(; more: |fs\.file-max)", line), line
    assert not marked(script.mark) and not list(tmp_path.glob("iotix-million.*"))


def test_it_ends_by_itself_and_keeps_what_was_measured(million, tmp_path):
    """The deadline leaves 30 s to the end of so small a run: here, 12 s to the run itself."""
    script = million("--devices", 200, "--connects", 10, "--deadline", 42)
    output = script.communicate(timeout=100)[0]
    assert script.returncode == 1, output
    found = json.loads((tmp_path / "million.json").read_text())
    assert found["connect_seconds"] is None and 1 <= found["connected_at_most"] < 150
    assert "not done within 42 s: interrupted" in found["notes"][-1]
    assert not marked(script.mark)


def work_begins(script):
    """The script and its child, mosquitto, iotix, a worker."""
    wait_until(lambda: len(marked(script.mark)) >= 5, 30, "broker and workers")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(number, million, tmp_path):
    script = million("--devices", 200, "--connects", 100)
    work_begins(script)
    script.send_signal(number)
    script.wait(30)
    wait_until(lambda: not marked(script.mark), 20, "all processes of the script to end")
    assert not list(tmp_path.glob("iotix-million.*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_limits_are_put_back(number, million):
    """In a network of its own, whose limits are nobody else's."""
    limit = "/proc/sys/net/core/somaxconn"
    inside = ["unshare", "-n", "sh", "-c", f'ip link set lo up && echo 77 > {limit} && exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        return  # only root may
    script = million("--devices", 200, "--connects", 100, inside=inside, change=True)
    work_begins(script)
    network = os.open(f"/proc/{script.pid}/ns/net", os.O_RDONLY)  # which stays as long as this is open

    def found():
        return subprocess.run(["nsenter", f"--net=/proc/{os.getpid()}/fd/{network}", "cat", limit], capture_output=True,
                              check=True, text=True).stdout.strip()

    assert found() == "4096"
    script.send_signal(number)
    script.wait(60)
    wait_until(lambda: not marked(script.mark), 20, "all processes of the script to end")
    assert found() == "77"
    os.close(network)

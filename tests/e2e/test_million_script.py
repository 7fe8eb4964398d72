"""The script behind make bench-million, at a size for tests: its figures, its end, what it leaves behind."""

import json
import os
import pathlib
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
    """million(arguments): the script as a process, in a group of its own."""
    started = []

    def start(*arguments):
        mark = f"million-{os.getpid()}-{len(started)}"
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--iotix", BINARY, "--no-sysctl", "--out", str(tmp_path / "million.json"),
             *map(str, arguments)],
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
    assert settings() == before and not marked(script.mark)


def test_it_ends_by_itself_and_keeps_what_was_measured(million, tmp_path):
    """The deadline leaves 100 s to the end of the run: here, 12 s to the run itself."""
    script = million("--devices", 200, "--connects", 10, "--deadline", 112)
    output = script.communicate(timeout=100)[0]
    assert script.returncode == 1, output
    found = json.loads((tmp_path / "million.json").read_text())
    assert found["connect_seconds"] is None and 1 <= found["connected_at_most"] < 150
    assert "not done within 112 s: interrupted" in found["notes"][-1]
    assert not marked(script.mark)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(number, million):
    script = million("--devices", 200, "--connects", 100)
    wait_until(lambda: len(marked(script.mark)) >= 4, 30, "broker and workers")  # the script, mosquitto, iotix, a worker
    script.send_signal(number)
    script.wait(30)
    wait_until(lambda: not marked(script.mark), 10, "all processes of the script to end")

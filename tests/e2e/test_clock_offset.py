"""Latency between hosts: the publisher lives in a time namespace whose monotonic clock is thousands of seconds off, so that it
is another host's as far as clocks go; the offset is measured through the broker."""

import json
import os
import subprocess

import pytest

from helpers import BINARY, die_with_parent

ELSEWHERE = ["unshare", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]), "--time", "--fork", "--kill-child"]


def bench_elsewhere(offset, broker, *options):
    """iotix bench pub to the end, by a clock that is `offset` seconds ahead."""
    command = [*ELSEWHERE, "--monotonic", str(offset), BINARY, "bench", "pub", "-h", "127.0.0.1", "-p", str(broker.port), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=die_with_parent, check=False)


@pytest.fixture
def subscriber(broker, iotix, tmp_path):
    """subscriber(n) starts `iotix bench sub` for n messages; returns it and a function that returns its report."""

    def start(messages):
        run = iotix.start("bench", "sub", "-h", "127.0.0.1", "-p", broker.port, "-c", 2, "-t", "m/#", "-L", messages,
                          "-o", "json=sub.json", "-o", "html=sub.html")
        run.wait_for("subscribed: 2 clients")
        return run, lambda: json.loads((tmp_path / "sub.json").read_text(encoding="utf-8"))

    return start


@pytest.mark.parametrize("offset", [5000, -700])
def test_latency_holds_between_clocks_that_differ(offset, broker, subscriber, tmp_path):
    sub, report = subscriber(200)
    pub = bench_elsewhere(offset, broker, "-c", "5", "-t", "m/%i", "-I", "30", "-L", "100")
    assert pub.returncode in (0, 111), pub.stdout + pub.stderr
    sub.wait()
    assert sub.code in (0, 111), sub.describe()
    report = report()
    (clock,) = report["clocks"]
    latency = report["totals"]["trends"]["receive.latency"]
    assert abs(clock["offsetMs"] - offset * 1000) <= clock["boundMs"], clock
    assert clock["samples"] >= 8 and 0 < clock["boundMs"] < 10_000, clock
    assert latency["count"] == clock["timed"] == 200 and clock["leftOut"] == 0, (latency, clock)
    assert 0 <= latency["min"] and latency["max"] < 60_000, "neither below nothing nor of the other clock"
    assert "200 messages of another host" in (tmp_path / "sub.html").read_text(encoding="utf-8")
    word = "ahead" if offset > 0 else "behind"
    sub.expect(sub.code, rf"200\s+messages\s+of\s+another\s+host:\s+its\s+clock\s+is\s+\S+\s+s\s+{word},\s+±")


def test_what_cannot_be_measured_is_left_out_and_said(broker, subscriber, observe):
    """Nobody answers for that clock: a stamp that somebody kept."""
    sub, report = subscriber(20)
    publisher = observe(broker, "nothing")
    stamp = b"ixS1" + bytes([1, 2, 3, 4]) + (7).to_bytes(8, "little") + (10**12).to_bytes(8, "little")
    for _ in range(10):
        publisher.publish("m/x", stamp)
    sub.expect(0, r"20\s+messages\s+of\s+another\s+host\s+are\s+no\s+part\s+of\s+receive\s+latency", "iotix/clock/04030201")
    report = report()
    assert report["totals"]["trends"]["receive.latency"]["count"] == 0
    assert report["clocks"] == [{"clock": "04030201", "offsetMs": None, "boundMs": None, "driftMs": None, "samples": 0,
                                 "timed": 0, "leftOut": 20}]
    assert "receive latency  " not in sub.out


def test_on_one_host_nothing_is_measured(broker, subscriber, iotix):
    sub, report = subscriber(40)
    iotix("bench", "pub", "-h", "127.0.0.1", "-p", broker.port, "-c", 2, "-t", "m/%i", "-I", 20, "-L", 20)
    sub.wait()
    assert report()["clocks"] == [] and report()["totals"]["trends"]["receive.latency"]["count"] == 40

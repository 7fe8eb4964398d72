"""Servers that vanish without a word, and addresses at which nobody ever was: noticed by keep-alive and time-outs, counted
with a reason, and mended when they are back."""

import contextlib
import ctypes
import json
import re
import subprocess
import time
import uuid

import pytest

from doubles import Proxy
from helpers import LIBC, Broker, figure, ledger, wait_until
from scenes import UNTIL_STOPPED, counter, model, scenario

KEEP_ALIVE = 6
QUICK = {"delayMs": 100, "maxDelayMs": 300}


def start(iotix, write, address, devices=5, qos=0, interval=60000, limits=None, **connection):
    write("probe.json", model(counter(interval), connection={"qos": qos, "keepAlive": KEEP_ALIVE, "reconnect": QUICK,
                                                            **connection}))
    file = write("x.lua", scenario(devices, UNTIL_STOPPED))
    return iotix.start("run", file, "--broker", address, "--interval", "200ms", "--out", "json=r.json",
                       limits=limits)


def all_are_back(run):
    """The broker knows it before the devices do."""
    before = len(run.err)
    wait_until(lambda: re.search(r"\b5 of 5 connected", run.err[before:]), 20, run.describe)


def reasons(folder):
    totals = json.loads((folder / "r.json").read_text(encoding="utf-8"))["totals"]
    return {one["reason"]: one["count"] for one in totals["reasons"]}, totals["counters"]


@pytest.mark.parametrize("qos, interval", [(0, 60000), (1, 200)])
def test_a_peer_that_goes_silent_is_noticed_within_one_and_a_half_keep_alives(qos, interval, broker, iotix, write, tmp_path):
    """By an idle device, and by one that goes on publishing into nothing."""
    proxy = Proxy(broker.port)
    try:
        begun = time.monotonic()
        run = start(iotix, write, proxy.address, qos=qos, interval=interval)
        run.wait_for("5 of 5 connected")
        proxy.hold()
        run.wait_for(r"keep-alive timed out", 2 * KEEP_ALIVE + 60)
        noticed = time.monotonic() - begun
        wait_until(lambda: all(len(broker.connects()[f"dev-{i}"]) == 2 for i in range(5)), 20, run.describe)
        all_are_back(run)
        write("stop", "")
        run.expect(0)
    finally:
        proxy.close()
    assert noticed >= 1.5 * KEEP_ALIVE, "a device last heard from the server when it connected, or later"
    found, counters = reasons(tmp_path)
    assert found == {"keep-alive timed out": 5} and counters["connection.lost"] == 5
    assert counters["connection.reconnected"] == 5
    ledger(json.loads((tmp_path / "r.json").read_text(encoding="utf-8")))
    outage = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["totals"]["trends"]["connection.outage"]
    assert outage["count"] == 5


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()} (network namespaces need root)"


CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def networks():
    """Two networks with a cable between them: (a function by which a process moves to the first one, the name of the other,
    the cable's end there, its address). The host's own interfaces stay as they are: a browser that another test runs
    drops its connections when they change."""
    tag = uuid.uuid4().hex[:8]
    near, far = f"iotix-a-{tag}", f"iotix-b-{tag}"
    ip("netns", "add", near)
    try:
        ip("netns", "add", far)
        ip("-n", near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far)
        for name, address in ((near, "10.200.0.1/24"), (far, "10.200.0.2/24")):
            for command in (f"addr add {address} dev cable", "link set cable up", "link set lo up"):
                ip("-n", name, *command.split())

        def move():
            with open(f"/run/netns/{near}", "rb") as network:
                if LIBC.setns(network.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")

        yield move, far, "cable", "10.200.0.2"
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class NamespaceBroker(Broker):
    """A mosquitto in a network namespace, on all of its addresses."""

    def __init__(self, folder, name):
        super().__init__(folder)
        self.name = name

    def run(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(self.config().replace(f"listener {self.port} 127.0.0.1", f"listener {self.port}"))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, "/usr/sbin/mosquitto", "-c", str(config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: "running" in self.log, 10, lambda: self.log)
        return self


def test_a_link_that_breaks_and_comes_back(iotix, write, tmp_path):
    """The cable is pulled at the other end: nobody closes anything."""
    with networks() as (move, name, theirs, address):
        broker = NamespaceBroker(tmp_path / "broker", name).run()
        try:
            run = start(iotix, write, f"{address}:{broker.port}", limits=move, interval=500, qos=1,
                        connectTimeoutMs=5000)
            run.wait_for("5 of 5 connected")
            before = len(run.err)
            ip("-n", name, "link", "set", theirs, "down")
            wait_until(lambda: re.search(r"\b0 of 5 connected", run.err[before:]), 60, run.describe)
            ip("-n", name, "link", "set", theirs, "up")
            run.wait_for(r"keep-alive timed out|no route to host")
            wait_until(lambda: all(len(broker.connects()[f"dev-{i}"]) == 2 for i in range(5)), 30, run.describe)
            all_are_back(run)
            write("stop", "")
            run.expect(0)
        finally:
            broker.kill()
    found, counters = reasons(tmp_path)
    assert counters["connection.lost"] == counters["connection.reconnected"] == 5, counters
    assert counters["messages.neverSent.late"] == 0, "not our fault"
    assert set(found) <= {"keep-alive timed out", "no route to host", "connection timed out"}, found
    ledger(json.loads((tmp_path / "r.json").read_text(encoding="utf-8")))


def test_an_address_at_which_nobody_is(iotix, write, tmp_path):
    with networks() as (move, _name, _theirs, address):
        nobody = address[:-1] + "9"
        run = start(iotix, write, f"{nobody}:1883", limits=move, connectTimeoutMs=500)
        run.wait_for(r"(?i)connection timed out|no route to host")
        time.sleep(2)
        run.interrupt()
        run.wait(20)
        assert run.code == 105, run.describe()
    found, counters = reasons(tmp_path)
    assert set(found) <= {"connection timed out", "no route to host"} and found, found
    assert counters["connect.failed"] >= 5 and counters["connect.accepted"] == 0
    # Each attempt takes its half second, or the kernel's answer, and then waits: no storm.
    assert counters["connect.attempts"] < 5 * 200, counters


def test_a_name_that_cannot_be_resolved_is_refused_before_anything_starts(iotix, write):
    run = start(iotix, write, "no-such-host.invalid:1883")
    run.expect(104, r"broker 'no-such-host\.invalid': no such host")
    assert figure(run, "attempts") == 0 and not re.search("connected", run.out)

"""Fleets that are large for their host: many brokers, source addresses, the pace of connecting, ports and memory that
run out."""

import collections
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from helpers import BINARY, free_port, milliseconds, sockets, wait_until, workers
from scenes import counter, model, scenario


@pytest.fixture
def files(write):
    write("probe.json", model(counter(1000)))
    return lambda devices, **parts: write("run.lua", scenario(devices, **parts))


def sources(broker):
    """{client id: address that it connected from}"""
    found = re.findall(r"New client connected from ([\d.]+):\d+ as (\S+)", broker.log)
    return {name: address for address, name in found}


def test_devices_take_the_source_addresses_in_turn(start_broker, files, iotix):
    one, two = start_broker(), start_broker()
    iotix("run", files(24), "--broker", f"{one.address},{two.address}", "--bind", "127.0.0.5-127.0.0.6,127.0.1.1").expect(0)
    addresses = ["127.0.0.5", "127.0.0.6", "127.0.1.1"]
    for broker, rest in ((one, 0), (two, 1)):
        assert sources(broker) == {f"dev-{i}": addresses[i // 2 % 3] for i in range(24) if i % 2 == rest}


def test_without_need_the_kernel_chooses(broker, files, iotix):
    iotix("run", files(20), "--broker", broker.address).expect(0)
    assert set(sources(broker).values()) == {"127.0.0.1"}


def test_devices_spread_over_many_brokers(start_broker, files, iotix):
    ports = {free_port() for _ in range(100)}
    ports = sorted(ports)[:70]
    broker = start_broker(settings=[f"listener {port} 127.0.0.1" for port in ports])
    iotix("run", files(210), "--broker", ",".join(f"127.0.0.1:{port}" for port in ports)).expect(0)
    # Connections to two brokers may have the same source port.
    peers = collections.defaultdict(set)
    for peer, port in re.findall(r"New connection from 127\.0\.0\.1:(\d+) on port (\d+)", broker.log):
        peers[peer].add(int(port))
    devices = re.findall(r"New client connected from 127\.0\.0\.1:(\d+) as dev-(\d+)", broker.log)
    assert len(devices) == 210
    for peer, index in devices:
        assert ports[int(index) % 70] in peers[peer], f"dev-{index}"


def test_connections_are_opened_at_the_given_rate(broker, observe, files, iotix):
    """Telemetry of tick 0 carries the instant of the connection: it may be later than its turn, never earlier."""
    devices, rate, workers = 90, 60, 3
    seen = observe(broker, "devices/#")
    run = iotix("run", files(devices, before='t:log("it begins at %d", t:wall())', body='t:sleep "300ms"'),
                "--broker", broker.address, "--connect-rate", f"{rate}/s", "--workers", str(workers)).expect(0)
    began = int(re.search(r"it begins at (\d+)", run.out + run.err).group(1))
    seen.wait_for_devices(devices, 10)
    stamps = {m.topic: re.search(rb'"timestamp":"([^"]+)"', m.payload).group(1).decode() for m in reversed(seen.messages)}
    instants = sorted(milliseconds(stamp) for stamp in stamps.values())
    assert len(instants) == devices
    for k, instant in enumerate(instants):
        # Each worker's first turn may come at once, and a late turn makes up for 10 ms.
        assert instant - began >= (k - workers) * 1000 / rate - 20, f"connection {k} came {instant - began} ms after the start"


def test_connections_under_way_are_as_many_as_the_window(start_broker, files, iotix):
    """A broker that is stopped accepts nobody: what the kernel took for it is what is under way."""
    broker = start_broker()
    broker.process.send_signal(signal.SIGSTOP)
    run = iotix.start("run", files(60), "--broker", broker.address, "--connect-window", "10", "--workers", "2")
    run.wait_for("0 of 60 connected")
    wait_until(lambda: sum(map(sockets, workers(run.pid))) >= 10, 10, run.describe)
    time.sleep(0.5)
    assert sum(map(sockets, workers(run.pid))) == 10 + 2  # and the pipe of each worker
    broker.process.send_signal(signal.SIGCONT)
    run.expect(0)


@pytest.mark.parametrize("arguments, message", [
    (["--bind", "127.0.0.400"], r'--bind: source address "127\.0\.0\.400" is not numeric'),
    (["--bind", "192.0.2.7"], r"--bind: source address 192\.0\.2\.7 is not an address of this host"),
    (["--connect-rate", "fast"], r"--connect-rate fast"),
    (["--connect-rate", "0/s"], r"--connect-rate 0/s: nobody would ever connect"),
    (["--connect-rate", "5/h"], r"--connect-rate 5/h: write it as 5000/s or 300/m"),
])
def test_what_cannot_be_is_refused(arguments, message, broker, files, iotix):
    iotix("run", files(1), "--broker", broker.address, *arguments).expect(104, message)


def test_more_devices_than_memory_are_refused(broker, files, iotix):
    run = iotix("run", files(250_000_000), "--broker", broker.address)
    run.expect(104, r"250000000 devices need about [\d.]+ GiB of memory \([\d.]+ KiB each\), and [\d.]+ GiB are available")


def in_a_network_of_its_own(command):
    """A command in a network namespace with 24 ports for outgoing connections; None where that is forbidden."""
    unshare = [shutil.which("unshare") or "unshare", "-n"] + ([] if os.getuid() == 0 else ["-r"])
    setup = "ip link set lo up && echo 40000 40023 > /proc/sys/net/ipv4/ip_local_port_range"
    if subprocess.run([*unshare, "sh", "-c", setup], capture_output=True, check=False).returncode != 0:
        return None
    return subprocess.run([*unshare, "sh", "-c", f'{setup} && exec "$@"', "sh", *command], capture_output=True,
                          check=False, text=True, timeout=60)


def test_ports_that_run_out_are_named(files, tmp_path):
    path = files(60, body="", start='strategy = "immediate"')
    text = path.read_text().replace('timeout = "30s"', 'timeout = "3s"')
    path.write_text(text)
    ended = in_a_network_of_its_own([BINARY, "run", str(path), "--broker", "embedded", "--bind", "none"])
    if ended is None:
        return  # hosts that forbid namespaces have no such network
    assert ended.returncode == 107, ended.stdout + ended.stderr
    assert re.search(r"no free source port: use more addresses or brokers", ended.stdout), ended.stdout + ended.stderr


def test_loopback_has_as_many_addresses_as_needed(files):
    """60 connections to one broker, of 24 ports that an address has half are planned with: five addresses."""
    ended = in_a_network_of_its_own([BINARY, "run", str(files(60)), "--broker", "embedded"])
    if ended is not None:
        assert ended.returncode == 0, ended.stdout + ended.stderr

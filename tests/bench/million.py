"""Connects a million MQTT devices on this machine, lets each publish once a minute, and measures what that costs.

Everything runs here and talks over loopback: iotix, and as many mosquitto brokers as the limit of open files demands. A
host with less memory, fewer cores or lower limits gets fewer devices, and is told so. Run by root, limits of the kernel
that stand in the way are raised for the time of the run and put back afterwards; nothing else on the host changes.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from figures import cpu_name
from host import Limits, Undo, available_kib, cpu_seconds, die_with_parent, family, host_memory, pss_kib, read, sockstat

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIO = os.path.join(HERE, "..", "..", "scenarios", "million.lua")
BYTES_PER_DEVICE = 10_600  # iotix, both ends in the kernel, and broker: what is planned with (README.md, "A million")
SPARE_MIB = 2048  # of the memory available, that is not planned with
GUARD_MIB = 1536  # … and where a run is ended, whatever was planned
DEVICES = 1_000_000
DEVICES_PER_CORE = 500_000
CONNECTS_PER_CORE = 5_750
WINDOW = 16
SECOND_LOOK = 0.6  # of --hold: to look at a hundred busy processes takes its time
BROKER_OVERHEAD = 60  # descriptors that a mosquitto needs itself

BROKER_CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_connections -1
max_inflight_messages 0
max_queued_messages 0
persistence false
set_tcp_nodelay true
log_dest none
{user}"""


def plan(arguments, limits):
    """(devices, devices per broker, what made them fewer and what would lift that). Who names a number gets it, whatever
    the cores: only memory and descriptors are hard limits."""
    devices, reasons = arguments.devices or DEVICES, []

    def cap(most, why, cure):
        nonlocal devices
        if most < devices:
            reasons.append(f"{max(most, 0):,} devices instead of {devices:,}: {why}; {cure}")
            devices = max(most, 0)

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    per_broker = files - BROKER_OVERHEAD
    if not arguments.devices:
        cap((os.cpu_count() or 1) * DEVICES_PER_CORE, f"{os.cpu_count()} cores", f"--devices {devices} asks for them all the same")
    # The controller holds two descriptors for each worker.
    cap(per_broker * (files - 100) // 2, f"a process may open {files:,} files",
        "more: ulimit -Hn 100000, if need be with sysctl -w fs.nr_open=100000 before")
    limits.at_least("fs.file-max", 2 * devices + 200_000)
    if os.geteuid() != 0:  # root is not bound by it
        most = limits.get("fs.file-max")[0]
        cap((most - 100_000) // 2, f"fs.file-max is {most:,}, and both ends of a connection are here",
            f"more: sudo sysctl -w fs.file-max={2 * devices + 200_000}")
    there, need = available_kib() >> 10, devices * BYTES_PER_DEVICE >> 20
    cap((there - SPARE_MIB << 20) // BYTES_PER_DEVICE,
        f"they would take {need:,} MiB of memory ({BYTES_PER_DEVICE:,} bytes each, both ends of the connection and the "
        f"broker included), and {there:,} MiB are available, of which {SPARE_MIB:,} are left alone",
        f"more: {need + SPARE_MIB - there:,} MiB, by ending what else runs here, or on a larger host")
    return devices, per_broker, reasons


def free_ports(count):
    """Ports for listeners, outside of those that outgoing connections get."""
    low, high = (int(word) for word in read("/proc/sys/net/ipv4/ip_local_port_range").split())
    found = []
    for port in range(10_000, 65_000):
        if len(found) == count:
            break
        if low <= port <= high:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                pass
    if len(found) < count:
        sys.exit(f"only {len(found)} free ports for {count} brokers")
    return found


def start_brokers(count, folder):
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    brokers = []
    for port in free_ports(count):
        config = os.path.join(folder, f"{port}.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(BROKER_CONFIG.format(port=port, user="user root\n" if os.geteuid() == 0 else ""))
        process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   preexec_fn=die_with_parent, start_new_session=True)  # a Ctrl-C is not for them
        process.port = port
        brokers.append(process)
    deadline = time.monotonic() + 30
    for broker in brokers:
        while True:
            try:
                socket.create_connection(("127.0.0.1", broker.port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline or broker.poll() is not None:
                    sys.exit(f"the mosquitto on port {broker.port} does not start")
                time.sleep(0.02)
    return brokers


class Run:
    def __init__(self, arguments, limits, devices, brokers, folder):
        self.a, self.limits, self.devices, self.brokers = arguments, limits, devices, brokers
        self.report = os.path.join(folder, "result.json")
        command = [arguments.iotix, "run", SCENARIO, "--interval", "1s",
                   "--broker", ",".join(f"127.0.0.1:{broker.port}" for broker in brokers),
                   "--connect-window", str(arguments.window * len(brokers)), "-e", f"devices={devices}",
                   "-e", f"interval={arguments.interval}", "-e", f"connects={arguments.connects}",
                   "-e", f"hold={arguments.hold}s", "--out", f"json={self.report}"] + arguments.extra
        limits.drop_unused()
        self.samples = {"before": self.sample([])}
        environment = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"))
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, preexec_fn=die_with_parent,
                                        start_new_session=True)
        self.connected, self.least_kib, self.interrupted = 0, available_kib(), None
        self.all_connected = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Passes the progress on, and sees when the scenario says that everybody is connected."""
        for line in self.process.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
            if b"devices connected after" in line:
                self.all_connected.set()

    def sample(self, pids):
        broker_pids = [broker.pid for broker in self.brokers]
        return {"at": time.monotonic(), **host_memory(), "iotix": pss_kib(pids), "brokers": pss_kib(broker_pids),
                "cpu": cpu_seconds(pids), "cpu_controller": cpu_seconds(pids[:1]), "cpu_brokers": cpu_seconds(broker_pids)}

    def sample_as(self, name):
        if name not in self.samples:  # once
            self.samples[name] = {"devices": self.connected, **self.sample(family(self.process.pid))}

    def interrupt(self, why):
        """The run ends and reports what it measured; the second time it ends at once."""
        self.interrupted = self.interrupted or why
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def guard(self):
        """Ends the run where the host runs out of memory: nobody else shall be killed for it."""
        left = available_kib()
        self.least_kib = min(self.least_kib, left)
        if left < self.a.guard << 9:
            self.process.kill()
        elif left < self.a.guard << 10 and not self.interrupted:
            why = f"ended with {self.connected:,} connected: only {left >> 10:,} MiB of memory were still available"
            self.sample_as("late")
            self.interrupt(why)

    def watch(self):
        """Measures when all are connected, and again before the end."""
        end = self.a.started + self.a.deadline
        second, sockets = None, sockstat("inuse")
        while self.process.poll() is None:
            now = time.monotonic()
            self.connected = max(self.connected, (sockstat("inuse") - sockets) // 2)  # until there is a report that says so
            if now > end - closing_seconds(self.devices) and not self.interrupted:
                self.interrupt(f"not done within {self.a.deadline:g} s: interrupted before")
            if now > end:
                self.process.kill()
            self.guard()
            if self.all_connected.is_set() and not self.interrupted:
                self.sample_as("connected")
                second = second or now + self.a.hold * SECOND_LOOK
                if now >= second:
                    self.sample_as("late")
            time.sleep(0.1)
        self.reader.join(10)
        return self.process.returncode


def closing_seconds(devices):
    """What the end of a run may take, of --deadline."""
    return 30 + devices / 15_000


def held_meanwhile(report, hold):
    """The fewest devices that were connected from the first measurement to the second."""
    begin = next((event["t"] for event in report["events"] if event["name"] == "all connected"), 0)
    return min([point["connected"] for point in report["series"] if begin < point["t"] <= begin + SECOND_LOOK * hold] or [0])


def memory_figures(before, after, devices):
    def each(key):
        return (after[key] - before[key]) * 1024 / devices

    part = {key: each(key) for key in ("iotix", "kernel", "brokers")}
    caches = {name: round((kib - before["caches"].get(name, 0)) * 1024 / devices) for name, kib in after["caches"].items()}
    return {**{key: round(value) for key, value in part.items()}, "sum": round(sum(part.values())),
            "of_the_host": round(each("used")), "as_free_counts": round(each("taken")), "kernel_caches": caches}


def figures(run, status, arguments, notes, per_broker):
    if run.interrupted:
        notes = notes + [run.interrupted]
    gone = [broker.port for broker in run.brokers if broker.poll() is not None]
    if gone:
        notes = notes + [f"brokers that ended before the run did, by their ports: {', '.join(map(str, gone))}"]
    out = {"date": time.strftime("%Y-%m-%d"), "cpu": cpu_name(), "cores": os.cpu_count(), "kernel": os.uname().release,
           "load": arguments.load, "devices": run.devices, "brokers": len(run.brokers), "devices_per_broker_at_most": per_broker,
           "connected_at_most": run.connected, "exit_code": status, "notes": notes,
           "least_memory_available_mib": run.least_kib >> 10}
    before, a, b = (run.samples.get(name) for name in ("before", "connected", "late"))
    if not os.path.exists(run.report):
        notes.append(f"iotix ended with {status} and left no report")
        return out
    with open(run.report, encoding="utf-8") as file:
        report = json.load(file)
    run.connected = max([point["connected"] for point in report["series"]] or [0])
    trends, counters = report["totals"]["trends"], report["totals"]["counters"]
    seconds = next((event["data"]["seconds"] for event in report["events"] if event["name"] == "all connected"), None)
    out.update(connected_at_most=run.connected, workers=len(report["workers"]), validity=report["verdict"]["validity"],
               reasons=report["verdict"]["reasons"], connect_seconds=seconds,
               connects_per_second=round(run.devices / seconds) if seconds else None,
               peak_connects_per_second=round(report["peakConnectsPerSecond"]), interval_seconds=arguments.interval,
               planned_connects_per_second=arguments.connects, window=arguments.window)
    out["lateness_ms"] = {key: trends["publish.lateness"][key] for key in ("p50", "p90", "p95", "p99", "max")}
    out["connect_ms"] = {key: trends["connect.time"][key] for key in ("p50", "p99", "max")}
    out["messages"] = {key: counters[f"messages.{key}"] for key in ("scheduled", "sent", "lost")}
    held = held_meanwhile(report, arguments.hold)
    if a and b and held < 0.99 * run.devices:
        notes.append(f"memory and CPU are not told: {held} of {run.devices} were connected between the measurements")
    elif a and b and b["cpu"] < a["cpu"]:
        notes.append("memory and CPU are not told: the run had ended before the second look was done; "
                     f"a longer --hold than {arguments.hold:g} s helps")
    elif a and b:
        span = b["at"] - a["at"]
        out["bytes_per_device"] = memory_figures(before, b, run.devices)
        out["cpu_seconds_until_connected"] = {"iotix": a["cpu"], "controller": a["cpu_controller"],
                                              "brokers": a["cpu_brokers"] - before["cpu_brokers"]}
        out["cpu_percent_of_a_core_while_publishing"] = {
            "iotix": round(100 * (b["cpu"] - a["cpu"]) / span, 1),
            "controller": round(100 * (b["cpu_controller"] - a["cpu_controller"]) / span, 1),
            "brokers": round(100 * (b["cpu_brokers"] - a["cpu_brokers"]) / span, 1)}
        rates = [point["sent"] / point["seconds"] for point in report["series"]
                 if seconds and point["t"] > seconds + 2 and point["seconds"] > 0]
        out["messages_per_second"] = round(sum(rates) / len(rates)) if rates else None
    elif b and b["devices"]:
        out["bytes_per_device"] = memory_figures(before, b, b["devices"])
    return out


def show(result):
    """The figures that were asked for, one a line."""
    def line(name, value, unit=""):
        if value is not None:
            print(f"  {name:<44}{value:>14,}{' ' + unit if unit else ''}" if isinstance(value, (int, float))
                  else f"  {name:<44}{value:>14}")

    memory, cpu = result.get("bytes_per_device", {}), result.get("cpu_percent_of_a_core_while_publishing", {})
    print("\nFIGURES")
    line("devices", result["devices"])
    line("connected at most", result["connected_at_most"])
    if "workers" in result:
        line("workers and brokers", f"{result['workers']} and {result['brokers']}")
    line("all connected after", result.get("connect_seconds") and round(result["connect_seconds"], 1), "s")
    line("connects a second", result.get("connects_per_second"))
    for name, key in (("iotix", "iotix"), ("kernel, both ends", "kernel"), ("broker", "brokers"), ("in all", "sum"),
                      ("what the host has less", "of_the_host"), ("as free(1) counts", "as_free_counts")):
        line(f"memory of a device: {name}", memory.get(key), "B")
    line("memory of the host still available, at least", result["least_memory_available_mib"], "MiB")
    line("messages a second", result.get("messages_per_second"))
    for key in ("p50", "p99", "max"):
        lateness = result.get("lateness_ms", {}).get(key)
        line(f"lateness {key}", lateness if lateness is None else round(lateness, 2), "ms")
    for key in ("iotix", "controller", "brokers"):
        line(f"CPU while publishing: {key}", cpu.get(key), "% of a core")
    line("the run of itself", result.get("validity"))
    for note in result["notes"]:
        print("  " + note)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iotix", default="build/iotix")
    parser.add_argument("--devices", type=int, help="how many (default: a million, fewer on small hosts)")
    parser.add_argument("--interval", type=float, default=60, help="seconds between two messages of a device")
    parser.add_argument("--connects", type=int, default=CONNECTS_PER_CORE * (os.cpu_count() or 1),
                        help=f"planned starts a second (default: {CONNECTS_PER_CORE:,} for each core)")
    parser.add_argument("--window", type=int, default=WINDOW, help="connections under way to each broker, whose accept "
                        f"queue holds 100 (default: {WINDOW})")
    parser.add_argument("--hold", type=float, default=60, help="seconds with everybody connected")
    parser.add_argument("--deadline", type=float, default=480,
                        help="seconds after which all is over: the run is interrupted before, and what it measured kept")
    parser.add_argument("--guard", type=int, default=GUARD_MIB, metavar="MIB",
                        help=f"the run is ended when less memory is available (default: {GUARD_MIB})")
    parser.add_argument("--out", default="build/bench/million.json")
    parser.add_argument("--no-sysctl", action="store_true", help="leave the kernel's limits alone")
    parser.add_argument("extra", nargs="*", help="further options of iotix run, after --")
    arguments = parser.parse_args()
    arguments.started, arguments.load = time.monotonic(), round(os.getloadavg()[0], 1)
    return arguments


def main():
    arguments, brokers, run = options(), [], None
    os.makedirs(os.path.dirname(arguments.out) or ".", exist_ok=True)

    def stop(number, _):
        if not run:
            sys.exit("ended by a signal")  # what was raised is put back
        run.interrupt(f"ended by {signal.Signals(number).name}")

    undo = Undo()
    limits = Limits(os.geteuid() == 0 and not arguments.no_sysctl, undo)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        folder = os.path.join(tempfile.gettempdir(), f"iotix-million.{os.getpid()}")
        undo.note(folder=folder)
        os.mkdir(folder, 0o700)
        devices, per_broker, notes = plan(arguments, limits)
        for name in ("net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog"):
            limits.at_least(name, 4096)
        notes += limits.refused
        for note in notes:
            print(note, flush=True)
        if devices < 1:
            return 1
        brokers = start_brokers(-(-devices // per_broker), folder)
        run = Run(arguments, limits, devices, brokers, folder)
        status = run.watch()
        result = figures(run, status, arguments, notes, per_broker)
    finally:
        if run and run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        for broker in brokers:
            broker.kill()
        for broker in brokers:
            broker.wait()
        undo.now()
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    show(result)
    return 0 if status in (0, 111) and not run.interrupted else 1


if __name__ == "__main__":
    sys.exit(main())

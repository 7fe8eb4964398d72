"""Connects a million MQTT devices on this machine, lets each publish once a minute, and measures what that costs.

Everything runs here and talks over loopback: iotix, and as many mosquitto brokers as the limit of open files demands. A
host with less memory, fewer cores or lower limits gets fewer devices, and is told so. Run by root, limits of the kernel
that stand in the way are raised for the time of the run and put back afterwards; nothing else on the host changes.
"""

import argparse
import ctypes
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

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIO = os.path.join(HERE, "..", "..", "scenarios", "million.lua")
KIB_PER_DEVICE = 10.1  # iotix, kernel and broker; measured below, this is what is planned with
DEVICES = 1_000_000
DEVICES_PER_CORE = 500_000
CLOSING = 100  # seconds that the end of a large run may take, of --deadline
MEMORY_SHARE = 0.93  # of what is available
BROKER_OVERHEAD = 60  # descriptors that a mosquitto needs itself
TICKS = os.sysconf("SC_CLK_TCK")
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1

BROKER_CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_connections -1
max_inflight_messages 0
max_queued_messages 0
persistence false
set_tcp_nodelay true
log_dest none
{user}"""


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def meminfo(key):
    for line in read("/proc/meminfo").splitlines():
        name, value = line.split(":")
        if name == key:
            return int(value.split()[0])
    return 0


class Limits:
    """Kernel limits that a large fleet meets, raised while the run lasts."""

    def __init__(self, may_change):
        self.may_change, self.before, self.refused = may_change, {}, []

    def get(self, name):
        return [int(word) for word in read("/proc/sys/" + name.replace(".", "/")).split()]

    def at_least(self, name, *wanted):
        found = self.get(name)
        if all(a >= b for a, b in zip(found, wanted)):
            return
        try:
            if not self.may_change:
                raise PermissionError
            with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
                file.write(" ".join(map(str, wanted)))
            self.before[name] = found
        except OSError:
            self.refused.append(f"{name} is {found[-1]}, wanted {wanted[-1]}")

    def restore(self):
        for name, values in self.before.items():
            with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
                file.write(" ".join(map(str, values)))


def plan(arguments, limits):
    """(devices, devices per broker, what made them fewer). Who names a number gets it, whatever the cores: only memory
    and descriptors are hard limits."""
    devices, reasons = arguments.devices or DEVICES, []

    def cap(most, why):
        nonlocal devices
        if most < devices:
            reasons.append(f"{why}: {most} devices")
            devices = most

    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    per_broker = descriptors - BROKER_OVERHEAD
    cap(int(meminfo("MemAvailable") * MEMORY_SHARE / KIB_PER_DEVICE), f"{meminfo('MemAvailable') >> 10} MiB of memory")
    if not arguments.devices:
        cap((os.cpu_count() or 1) * DEVICES_PER_CORE, f"{os.cpu_count()} cores")
    limits.at_least("fs.file-max", 2 * devices + 200_000)
    cap((limits.get("fs.file-max")[0] - 100_000) // 2, "fs.file-max, both ends of a connection are here")
    # The controller holds two descriptors for each worker.
    cap(per_broker * (descriptors - 100) // 2, f"{descriptors} open files a process")
    return devices, per_broker, reasons


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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


def family(pid):
    """A process and all its descendants."""
    found, wanted = [], [pid]
    while wanted:
        one = wanted.pop()
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                wanted += [int(child) for child in read(f"/proc/{one}/task/{task}/children").split()]
            found.append(one)
        except OSError:
            continue
    return found


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            total += sum(int(line.split()[1]) for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
                         if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        try:
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return ticks / TICKS


def sockets_in_use():
    """Of TCP, in this network namespace: both ends of a loopback connection."""
    for line in read("/proc/net/sockstat").splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[2])
    return 0


def kernel_kib():
    """Slab and TCP buffers. What /proc itself keeps, which grows by being read, is left out where that can be seen."""
    pages = next((int(line.split()[-1]) for line in read("/proc/net/sockstat").splitlines() if line.startswith("TCP:")), 0)
    total = meminfo("Slab") + pages * 4
    try:
        for line in read("/proc/slabinfo").splitlines():
            fields = line.split()
            if fields[0] == "proc_inode_cache":
                total -= int(fields[2]) * int(fields[3]) // 1024
    except OSError:
        pass
    return total


def used_kib():
    """All that is not free, without the page cache of files: processes, shared memory, kernel."""
    return meminfo("MemTotal") - meminfo("MemFree") - meminfo("Buffers") - meminfo("Cached") + meminfo("Shmem")


class Run:
    def __init__(self, arguments, devices, brokers, folder):
        self.a, self.devices, self.brokers = arguments, devices, brokers
        self.report = os.path.join(folder, "result.json")
        command = [arguments.iotix, "run", SCENARIO, "--interval", "1s",
                   "--broker", ",".join(f"127.0.0.1:{broker.port}" for broker in brokers),
                   "--connect-window", str(arguments.window * len(brokers)), "-e", f"devices={devices}", "-e", f"interval={arguments.interval}",
                   "-e", f"connects={arguments.connects}", "-e", f"hold={arguments.hold}s",
                   "--out", f"json={self.report}"] + arguments.extra
        self.before = self.sample([])
        self.began = time.monotonic()
        environment = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"))
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, preexec_fn=die_with_parent,
                                        start_new_session=True)
        self.samples, self.connected, self.interrupted = {}, 0, None
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
        return {"at": time.monotonic(), "used": used_kib(), "kernel": kernel_kib(), "iotix": pss_kib(pids),
                "brokers": pss_kib(broker_pids), "cpu": cpu_seconds(pids), "cpu_controller": cpu_seconds(pids[:1]),
                "cpu_brokers": cpu_seconds(broker_pids)}

    def interrupt(self, why):
        """The run ends and reports what it measured; the second time it ends at once."""
        self.interrupted = self.interrupted or why
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def watch(self):
        """Measures when all are connected, and again shortly before the end."""
        end = self.a.started + self.a.deadline
        second, sockets = None, sockets_in_use()
        while self.process.poll() is None:
            now = time.monotonic()
            self.connected = max(self.connected, (sockets_in_use() - sockets) // 2)  # until there is a report that says so
            if now > end - CLOSING and not self.interrupted:
                self.interrupt(f"not done within {self.a.deadline:g} s: interrupted before")
            if now > end:
                self.process.kill()
            if "connected" not in self.samples and self.all_connected.is_set():
                self.samples["connected"] = self.sample(family(self.process.pid))
                second = now + self.a.hold * 0.9
            if second and now >= second and "late" not in self.samples:
                self.samples["late"] = self.sample(family(self.process.pid))
            time.sleep(0.1)
        self.reader.join(10)
        return self.process.returncode


def held_meanwhile(report, hold):
    """The fewest devices that were connected from the first measurement to the second."""
    begin = next((event["t"] for event in report["events"] if event["name"] == "all connected"), 0)
    return min([point["connected"] for point in report["series"] if begin < point["t"] <= begin + 0.9 * hold] or [0])


def figures(run, status, arguments, notes, per_broker):
    if run.interrupted:
        notes = notes + [run.interrupted]
    gone = [broker.port for broker in run.brokers if broker.poll() is not None]
    if gone:
        notes = notes + [f"brokers that ended before the run did, by their ports: {', '.join(map(str, gone))}"]
    if not os.path.exists(run.report):
        notes = notes + [f"iotix ended with {status} and left no report"]
        return {"devices": run.devices, "brokers": len(run.brokers), "connected_at_most": run.connected, "exit_code": status,
                "notes": notes}
    with open(run.report, encoding="utf-8") as file:
        report = json.load(file)
    run.connected = max([point["connected"] for point in report["series"]] or [0])
    trends, counters = report["totals"]["trends"], report["totals"]["counters"]
    seconds = next((event["data"]["seconds"] for event in report["events"] if event["name"] == "all connected"), None)
    out = {"devices": run.devices, "brokers": len(run.brokers), "devices_per_broker_at_most": per_broker,
           "workers": len(report["workers"]), "cores": os.cpu_count(), "exit_code": status, "notes": notes,
           "connected_at_most": run.connected, "kernel": os.uname().release, "connect_seconds": seconds,
           "connects_per_second": round(run.devices / seconds) if seconds else None,
           "peak_connects_per_second": round(report["peakConnectsPerSecond"]), "interval_seconds": arguments.interval}
    out["lateness_ms"] = {key: trends["publish.lateness"][key] for key in ("p50", "p90", "p95", "p99", "max")}
    out["connect_ms"] = {key: trends["connect.time"][key] for key in ("p50", "p99", "max")}
    out["messages"] = {key: counters[f"messages.{key}"] for key in ("scheduled", "sent", "lost")}
    a, b = run.samples.get("connected"), run.samples.get("late")
    held = held_meanwhile(report, arguments.hold)
    if a and b and held < 0.99 * run.devices:
        out["notes"] = notes + [f"memory and CPU are not told: {held} of {run.devices} were connected between the measurements"]
    elif a and b:
        n, span = run.devices, b["at"] - a["at"]
        part = {key: (b[key] - run.before[key]) * 1024 / n for key in ("iotix", "kernel", "brokers")}
        out["bytes_per_device"] = {**{key: round(value) for key, value in part.items()},
                                   "sum": round(sum(part.values())),
                                   "of_the_host": round((b["used"] - run.before["used"]) * 1024 / n)}
        out["cpu_seconds_until_connected"] = {"iotix": a["cpu"], "controller": a["cpu_controller"],
                                              "brokers": a["cpu_brokers"] - run.before["cpu_brokers"]}
        out["cpu_percent_of_a_core_while_publishing"] = {
            "iotix": round(100 * (b["cpu"] - a["cpu"]) / span, 1),
            "controller": round(100 * (b["cpu_controller"] - a["cpu_controller"]) / span, 1),
            "brokers": round(100 * (b["cpu_brokers"] - a["cpu_brokers"]) / span, 1)}
        rates = [point["sent"] / point["seconds"] for point in report["series"]
                 if seconds and point["t"] > seconds + 2 and point["seconds"] > 0]
        out["messages_per_second"] = round(sum(rates) / len(rates)) if rates else None
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
                      ("what the host has less", "of_the_host")):
        line(f"memory of a device: {name}", memory.get(key), "B")
    line("messages a second", result.get("messages_per_second"))
    for key in ("p50", "p99", "max"):
        line(f"lateness {key}", result.get("lateness_ms", {}).get(key), "ms")
    for key in ("iotix", "controller", "brokers"):
        line(f"CPU while publishing: {key}", cpu.get(key), "% of a core")
    for note in result["notes"]:
        print("  " + note)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iotix", default="build/iotix")
    parser.add_argument("--devices", type=int, help="how many (default: a million, fewer on small hosts)")
    parser.add_argument("--interval", type=float, default=60, help="seconds between two messages of a device")
    parser.add_argument("--connects", type=int, default=6_500 * (os.cpu_count() or 1),
                        help="planned starts a second (default: 6,500 for each core)")
    parser.add_argument("--window", type=int, default=50,
                        help="connections under way to each broker: mosquitto's accept queue holds 100 (default: 50)")
    parser.add_argument("--hold", type=float, default=60, help="seconds with everybody connected")
    parser.add_argument("--deadline", type=float, default=480,
                        help="seconds after which all is over: the run is interrupted before, and what it measured kept")
    parser.add_argument("--out", default="build/bench/million.json")
    parser.add_argument("--no-sysctl", action="store_true", help="leave the kernel's limits alone")
    parser.add_argument("extra", nargs="*", help="further options of iotix run, after --")
    arguments = parser.parse_args()
    arguments.started = time.monotonic()
    os.makedirs(os.path.dirname(arguments.out) or ".", exist_ok=True)
    def stop(number, _):
        if not run:
            sys.exit("ended by a signal")  # what was raised is put back
        run.interrupt(f"ended by {signal.Signals(number).name}")

    limits = Limits(os.geteuid() == 0 and not arguments.no_sysctl)
    brokers, run = [], None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="iotix-million.") as folder:
        try:
            devices, per_broker, notes = plan(arguments, limits)
            limits.at_least("net.core.somaxconn", 4096)
            limits.at_least("net.ipv4.tcp_max_syn_backlog", 4096)
            notes += limits.refused
            for note in notes:
                print(f"fewer devices, or slower, because of {note}", flush=True)
            brokers = start_brokers(-(-devices // per_broker), folder)
            run = Run(arguments, devices, brokers, folder)
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
            limits.restore()
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    show(result)
    return 0 if status in (0, 111) and not run.interrupted else 1


if __name__ == "__main__":
    sys.exit(main())

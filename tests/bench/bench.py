"""Measures iotix beside a plain C loop against one mosquitto, and prints medians with quartiles.

All processes share the machine, broker included, so times vary with whatever else runs there: what to compare between
machines are the ratios. Rounds are interleaved, so that a slow minute hits both sides.

CPU of iotix is user + system of the whole run, controller and workers, from start to end; nothing is subtracted.
CPU of the baseline is that of its sending loop; its connections are opened in advance.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BROKER_CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
persistence false
set_tcp_nodelay true
log_dest none
{user}"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Broker:
    """mosquitto with the settings of the embedded broker, on a free port."""

    def __init__(self, folder):
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.port = free_port()
        config = os.path.join(folder, "mosquitto.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(BROKER_CONFIG.format(port=self.port, user="user root\n" if os.geteuid() == 0 else ""))
        self.process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    sys.exit("mosquitto does not start")
                time.sleep(0.02)

    def clients(self):
        """Established connections, counted at the broker's end."""
        local = f":{self.port:04X}"
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = (line.split() for line in table)
            return sum(1 for row in rows if row[1].endswith(local) and row[3] == "01")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Run:
    """One `iotix run` of bench.lua."""

    def __init__(self, iotix, broker, folder, devices, rate, duration):
        self.folder = folder
        self.report = os.path.join(folder, "result.json")
        self.log = os.path.join(folder, "log")
        if os.path.exists(self.report):
            os.unlink(self.report)
        scenario = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench.lua")
        command = [iotix, "run", scenario, "--quiet", "--broker", f"127.0.0.1:{broker.port}"]
        for name, value in (("devices", devices), ("rate", rate), ("duration", f"{duration}s")):
            command += ["-e", f"{name}={value}"]
        command += ["--out", f"json={self.report}"]
        with open(self.log, "wb") as log:
            environment = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"))
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def processes(self):
        """The controller and all its descendants."""
        found, wanted = [], [self.process.pid]
        while wanted:
            pid = wanted.pop()
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                        wanted += [int(child) for child in children.read().split()]
                found.append(pid)
            except OSError:
                continue
        return found

    def memory_kib(self):
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return total

    def finish(self):
        """Waits; returns (CPU seconds of all its processes, the report)."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        # 111: too late to be trusted as a test. Here that is a figure like any other.
        if self.process.returncode not in (0, 111):
            with open(self.log, encoding="utf-8", errors="replace") as log:
                sys.exit(f"iotix ended with status {self.process.returncode}:\n{log.read()}")
        with open(self.report, encoding="utf-8") as file:
            return usage.ru_utime + usage.ru_stime, json.load(file)


class Figure:
    """A measured quantity: all its values, printed as median and quartiles."""

    def __init__(self, title, unit, digits=2):
        self.title, self.unit, self.digits, self.values = title, unit, digits, []

    def add(self, value):
        self.values.append(value)

    def line(self):
        values, digits = sorted(self.values), self.digits
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
        middle = statistics.median(values)
        return f"{self.title:<58} {middle:>10.{digits}f} {self.unit:<6} [{low:.{digits}f} … {high:.{digits}f}]"


class Bench:
    def __init__(self, arguments, folder):
        self.a, self.folder = arguments, folder
        self.broker = Broker(folder)
        self.figures = {}

    def figure(self, title, unit, value, digits=2):
        self.figures.setdefault(title, Figure(title, unit, digits)).add(value)

    def iotix(self, devices, rate, duration):
        return Run(self.a.iotix, self.broker, self.folder, devices, rate, duration)

    def quiet(self):
        """Until the broker has forgotten the clients of the round before."""
        deadline = time.monotonic() + 30
        while self.broker.clients() > 0 and time.monotonic() < deadline:
            time.sleep(0.1)

    def baseline(self, rate):
        self.quiet()
        command = [self.a.baseline, "127.0.0.1", str(self.broker.port), str(self.a.devices), str(rate)]
        command += [str(self.a.seconds), str(self.a.payload)]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def publish_round(self):
        loop = self.baseline(self.a.rate)
        self.quiet()
        cpu, report = self.iotix(self.a.devices, self.a.rate, self.a.seconds).finish()
        counters = report["totals"]["counters"]
        late = report["totals"]["trends"]["publish.lateness"]
        sent = counters["messages.sent"]
        own = cpu * 1e6 / sent
        self.figure("payload", "B", counters["bytes.sent"] / sent, 0)
        self.figure(f"messages sent in {self.a.seconds} s and while connecting", "", sent, 0)
        for name in ("p50", "p95", "p99", "max"):
            self.figure(f"lateness {name}", "ms", late[name])
        for name in ("p50", "p95", "p99"):
            self.figure(f"lateness {name} of the plain loop", "ms", loop[f"lateness_{name}_ms"])
        self.figure("CPU for each message, all of iotix", "µs", own)
        self.figure("CPU for each message, plain loop", "µs", loop["cpu_us_per_message"])
        self.figure("ratio iotix ÷ plain loop", "", own / loop["cpu_us_per_message"])
        self.figure("CPU for each message, plain loop at full speed", "µs", self.baseline(0)["cpu_us_per_message"])
        self.figure("CPU for each connect, plain loop", "µs", loop["cpu_us_per_connect"])

    def idle(self, devices):
        """CPU of a run that only connects, and its memory while connected."""
        self.quiet()
        run = self.iotix(devices, 0, 4)
        deadline = time.monotonic() + 60
        while self.broker.clients() < devices and time.monotonic() < deadline and run.process.poll() is None:
            time.sleep(0.05)
        time.sleep(2)
        memory = run.memory_kib()
        cpu, _ = run.finish()
        return cpu, memory

    def idle_round(self):
        none_cpu, none_memory = self.idle(0)
        cpu, memory = self.idle(self.a.devices)
        self.figure("CPU for each connect and close", "µs", (cpu - none_cpu) * 1e6 / self.a.devices)
        self.figure("memory of iotix without devices", "MiB", none_memory / 1024)
        self.figure("memory for each idle connected device", "B", (memory - none_memory) * 1024 / self.a.devices, 0)

    def print(self):
        a = self.a
        print(f"{a.devices} devices, {a.rate} messages/s of QoS 0, {a.rounds} rounds: median [quartiles]")
        print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")
        for figure in self.figures.values():
            print(figure.line())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iotix", default="build/iotix")
    parser.add_argument("--baseline", default="build/bench/baseline")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=5000, help="messages a second, of all devices")
    parser.add_argument("--seconds", type=int, default=10, help="of publishing in each round")
    parser.add_argument("--payload", type=int, default=200, help="bytes, of the plain loop")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="iotix-bench.") as folder:
        bench = Bench(arguments, folder)
        try:
            for _ in range(arguments.rounds):
                bench.publish_round()
                bench.idle_round()
        finally:
            bench.broker.stop()
    bench.print()


if __name__ == "__main__":
    main()

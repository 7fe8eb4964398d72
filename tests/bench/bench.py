"""Measures iotix beside a plain C loop against one mosquitto, and prints medians with quartiles beside the targets.

All processes share the machine, broker included, so times vary with whatever else runs there: what to compare between
machines are the ratios. Rounds are interleaved, so that a slow minute hits both sides. README.md says what each
figure means and how it is taken.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from measure import HERE, Broker, Run, workplace


class Figure:
    """A measured quantity: all its values, and what they should be at most."""

    def __init__(self, name, unit, digits, target, stretch):
        self.name, self.unit, self.digits, self.target, self.stretch = name, unit, digits, target, stretch
        self.values = []

    def quartiles(self):
        if len(self.values) == 1:
            return self.values * 3
        low, _, high = statistics.quantiles(self.values, n=4)
        return low, statistics.median(self.values), high

    def verdict(self):
        if self.target is None:
            return ""
        median = self.quartiles()[1]
        if self.stretch is not None and median <= self.stretch:
            return "met, stretch too"
        return "met" if median <= self.target else "MISSED"

    def line(self):
        low, median, high = (f"{value:,.{self.digits}f}" for value in self.quartiles())
        bounds = [f"{bound:,g}" for bound in (self.target, self.stretch) if bound is not None]
        target = f"≤ {' / '.join(bounds)}" if bounds else ""
        return f"  {self.name:<54}{median:>9} {self.unit:<3} {f'[{low} … {high}]':<22}{target:<16}{self.verdict()}".rstrip()

    def json(self):
        low, median, high = self.quartiles()
        return {
            "name": self.name,
            "unit": self.unit,
            "median": median,
            "quartiles": [low, high],
            "target": self.target,
            "stretch": self.stretch,
            "verdict": self.verdict() or None,
            "values": self.values,
        }


class Bench:
    def __init__(self, arguments, folder):
        self.a, self.folder = arguments, folder
        self.broker = Broker(folder)
        self.sections = {}

    def figure(self, section, name, unit, value, digits=2, target=None, stretch=None):
        figures = self.sections.setdefault(section, {})
        figures.setdefault(name, Figure(name, unit, digits, target, stretch)).values.append(value)

    # ---- the two sides ----

    def loop(self, devices, rate):
        """The plain loop: what it prints."""
        self.broker.wait_until_idle()
        command = [self.a.baseline, "127.0.0.1", str(self.broker.port), str(devices), str(rate)]
        command += [str(self.a.seconds), "200"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def iotix(self, devices, rate, qos=0, workers=None):
        """CPU time of all of iotix for each message sent between two marks, and the report of the run."""
        options = {"devices": devices, "rate": rate, "qos": qos, "duration": f"{self.a.seconds}s"}
        run = Run(self.a.iotix, self.broker, self.folder, options, workers)
        begin, end = run.mark("begin"), run.mark("end")
        return (end.cpu_us - begin.cpu_us) / (end.sent - begin.sent), run.finish()

    # ---- what is measured ----

    def publish(self, devices, title, stretch_only=False):
        """QoS 0 beside the plain loop, at the same rate."""
        loop = self.loop(devices, self.a.rate)["cpu_us_per_message"]
        section = f"{title}, {self.a.rate:,} messages/s of 200 bytes: CPU for each message"
        own, _ = self.iotix(devices, self.a.rate)
        self.figure(section, "plain loop, QoS 0", "µs", loop)
        self.figure(section, "iotix, QoS 0", "µs", own)
        target = None if stretch_only else 1.25
        self.figure(section, "iotix ÷ plain loop", "×", own / loop, target=target or 1.15, stretch=target and 1.15)
        return loop, section

    def main_round(self):
        loop, section = self.publish(2000, "2,000 devices")
        own, _ = self.iotix(2000, self.a.rate, workers=1)
        self.figure(section, "iotix with one worker ÷ plain loop", "×", own / loop)
        own, report = self.iotix(2000, self.a.rate, qos=1)
        self.figure(section, "iotix, QoS 1", "µs", own)
        self.figure(section, "iotix, QoS 1 ÷ plain loop, QoS 0", "×", own / loop, target=2.8)
        counters = report["totals"]["counters"]
        self.figure(section, "payload", "B", counters["bytes.sent"] / counters["messages.sent"], 0)

    def lateness_round(self):
        loop = self.loop(2000, 5000)
        own, report = self.iotix(2000, 5000)
        late = report["totals"]["trends"]["publish.lateness"]
        section = "2,000 devices, 5,000 messages/s: lateness behind the due instant"
        for name in ("p50", "p95", "p99"):
            self.figure(section, f"{name} of iotix", "ms", late[name])
            self.figure(section, f"{name} of the plain loop", "ms", loop[f"lateness_{name}_ms"])
        self.figure(section, "CPU for each message ÷ plain loop", "×", own / loop["cpu_us_per_message"])
        orders = report["totals"]["trends"]["schedule.lateness"]
        for name in ("p50", "p95", "p99"):
            self.figure("Starts and drops of devices: lateness behind their instant", name, "ms", orders[name])

    def full_speed_round(self):
        loop = self.loop(2000, 0)["cpu_us_per_message"]
        own, _ = self.iotix(2000, 400000)
        section = "2,000 devices, as fast as it goes: CPU for each message"
        self.figure(section, "plain loop", "µs", loop)
        self.figure(section, "iotix, more due than can be sent", "µs", own)
        self.figure(section, "iotix ÷ plain loop", "×", own / loop)

    def connected(self, devices):
        """CPU until all are connected, and the memory of all processes a second later."""
        run = Run(self.a.iotix, self.broker, self.folder, {"devices": devices, "rate": 0, "duration": "0.5s"})
        cpu = run.mark("connected").cpu_us
        run.mark("begin")
        memory = run.memory_bytes()
        run.finish()
        return cpu, memory

    def connect_round(self):
        few, many = 2000, 10000
        cpu_few, memory_few = self.connected(few)
        cpu_many, memory_many = self.connected(many)
        section = f"Devices that only connect: slope between {few:,} and {many:,}"
        self.figure(section, "CPU for each connect, plain loop", "µs", self.loop(few, 1)["cpu_us_per_connect"])
        connect = (cpu_many - cpu_few) / (many - few)
        self.figure(section, "CPU for each connect", "µs", connect, target=60, stretch=50)
        memory = (memory_many - memory_few) / (many - few)
        self.figure(section, "memory for each connected device (Pss)", "B", memory, 0, target=2000, stretch=1600)
        self.figure(section, "memory of iotix itself", "MiB", (memory_few - memory * few) / 2**20, 1)

    def engine(self):
        """No network: the engine alone, in virtual time."""
        command = [self.a.engine, HERE, "2000", str(max(self.a.rounds, 7))]
        taken = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        section = "Inside a worker, without network and kernel: CPU for each message"
        for plain, present, lua in zip(taken["plain"], taken["present"], taken["lua"]):
            self.figure(section, "no Lua in the process", "ns", plain, 0)
            self.figure(section, "a Lua state, unused: more", "%", 100 * (present / plain - 1), 1, target=2)
            self.figure(section, "a generator in Lua instead of a native one: more", "ns", lua - present, 0, target=500)

    # ---- all of it ----

    def run(self):
        parts = self.a.parts.split(",")
        for number in range(self.a.rounds):
            if "publish" in parts:
                self.main_round()
            if "lateness" in parts:
                self.lateness_round()
            if "connect" in parts:
                self.connect_round()
            if "scale" in parts and number % 2 == 0:
                for devices in (200, 15000):
                    self.publish(devices, f"{devices:,} devices", stretch_only=True)
                self.full_speed_round()
        if "engine" in parts:
            self.engine()

    def head(self):
        return {
            "date": time.strftime("%Y-%m-%d"),
            "cpus": os.cpu_count(),
            "cpu": cpu_name(),
            "kernel": platform.release(),
            "rounds": self.a.rounds,
            "secondsOfPublishing": self.a.seconds,
            "load": round(os.getloadavg()[1], 1),
        }

    def print(self, seconds):
        head = self.head()
        print(f"{head['date']}, {head['cpus']} × {head['cpu']}, Linux {head['kernel']}, load {head['load']}")
        print(f"{head['rounds']} rounds in {seconds:.0f} s: median [quartiles], ≤ target / stretch")
        for section, figures in self.sections.items():
            print(f"\n{section}")
            for figure in figures.values():
                print(figure.line())

    def save(self, path):
        sections = [
            {"title": section, "figures": [figure.json() for figure in figures.values()]}
            for section, figures in self.sections.items()
        ]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**self.head(), "sections": sections}, file, indent=2, ensure_ascii=False)
            file.write("\n")


def cpu_name():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of iotix, bench/baseline and bench/engine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=20000, help="messages a second, of all devices")
    parser.add_argument("--seconds", type=float, default=2, help="of publishing in each measurement")
    parser.add_argument("--parts", default="publish,lateness,connect,scale,engine")
    arguments = parser.parse_args()
    arguments.iotix = os.path.join(arguments.build, "iotix")
    arguments.baseline = os.path.join(arguments.build, "bench", "baseline")
    arguments.engine = os.path.join(arguments.build, "bench", "engine")
    started = time.monotonic()
    with workplace() as folder:
        bench = Bench(arguments, folder)
        try:
            bench.run()
        finally:
            bench.broker.stop()
    bench.print(time.monotonic() - started)
    bench.save(os.path.join(arguments.build, "bench", "result.json"))


if __name__ == "__main__":
    sys.exit(main())

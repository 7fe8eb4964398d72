"""Measures iotix beside a plain C loop against mosquitto, and prints medians with quartiles beside the targets.

All processes share the machine, brokers included, so times vary with whatever else runs there: what to compare between
machines are the ratios. Rounds are interleaved, so that a slow minute hits both sides. README.md says what each figure
means and how it is taken. Parts:

  publish   CPU for each message with 2,000 devices: QoS 0 and 1, one worker and as many as there are cores
  ledger    … what the delivery ledger adds to it, and what an observer takes
  scale     … with 200 and 15,000 devices
  flat      … with 1,000, 10,000 and 100,000 devices, the kernel's own growth divided out
  lateness  how late messages, starts and drops are
  connect   CPU and memory of connected devices, and where these bytes are
  group     starting, counting, dropping out and stopping a million devices
  start     start-up of the program and of a worker
  engine    CPU inside a worker, without network: with and without Lua
"""

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time

import figures
from measure import HERE, PATIENCE, Brokers, Failed, Run, median_start_ms, workplace

PARTS = ("publish", "ledger", "scale", "flat", "lateness", "connect", "group", "start", "engine")
DEVICES_OF_BROKER = 19_000  # descriptors of one mosquitto, and of one process of the plain loop
WARM = 1.0  # seconds of publishing before a measurement: a connection's first messages cost more


class Bench:
    def __init__(self, arguments, folder):
        self.a, self.folder = arguments, folder
        self.figures = figures.Figures()
        self.brokers = Brokers(folder, 1)
        self.many_brokers = None
        self.failures = 0
        self.cores = os.cpu_count()

    def figure(self, *arguments, **options):
        self.figures.add(*arguments, **options)

    # ---- the two sides ----

    def loop(self, devices, rate, processes=1, order="mixed", brokers=None):
        """The plain loop: what it prints."""
        brokers = brokers or self.brokers
        brokers.wait_until_idle()
        command = [self.a.baseline, "127.0.0.1", ",".join(map(str, brokers.ports)), devices, rate, self.a.seconds, 200]
        command = [str(part) for part in (*command, processes, order, WARM)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout)

    def loop_us(self, *arguments, **options):
        return self.loop(*arguments, **options)["cpu_us_per_message"]

    def iotix(self, devices, rate, workers=None, brokers=None, **options):
        """CPU time of all of iotix for each message sent between two marks, and the report of the run."""
        options = {"devices": devices, "rate": rate, "settle": f"{WARM}s", "duration": f"{self.a.seconds}s", **options}
        run = Run(self.a.iotix, brokers or self.brokers, self.folder, options, workers)
        begin, end = run.mark("begin"), run.mark("end")
        return (end.cpu_us - begin.cpu_us) / (end.sent - begin.sent), run.finish()

    # ---- CPU for each message ----

    def publish(self, devices):
        """QoS 0 beside the plain loop: the whole of iotix against as many loops as it has workers; one against one."""
        section = f"{devices:,} devices, {self.a.rate:,} messages/s of 200 bytes: CPU for each message"
        in_turn = self.loop_us(devices, self.a.rate, order="turn")
        one = self.loop_us(devices, self.a.rate)
        single, _ = self.iotix(devices, self.a.rate, workers=1)
        all_cores = self.loop_us(devices, self.a.rate, self.cores)
        whole, _ = self.iotix(devices, self.a.rate)
        self.figure(section, "plain loop, sockets in the order of connecting", "µs", in_turn)
        self.figure(section, "plain loop, in the order of random phases", "µs", one)
        self.figure(section, f"plain loop, in {self.cores} processes", "µs", all_cores)
        self.figure(section, "iotix, one worker, QoS 0", "µs", single)
        self.figure(section, f"iotix, {self.cores} workers, QoS 0", "µs", whole)
        self.figure(section, "iotix, one worker ÷ plain loop", "×", single / one, target=1.15)
        self.figure(section, f"iotix, {self.cores} workers ÷ plain loop in {self.cores} processes", "×", whole / all_cores,
                    target=1.15)
        return section, one, all_cores

    def publish_round(self):
        section, one, all_cores = self.publish(2000)
        single, _ = self.iotix(2000, self.a.rate, workers=1, qos=1)
        whole, report = self.iotix(2000, self.a.rate, qos=1)
        self.figure(section, "iotix, one worker, QoS 1", "µs", single)
        self.figure(section, "QoS 1, one worker ÷ plain loop, QoS 0", "×", single / one, target=2.8)
        self.figure(section, f"QoS 1, {self.cores} workers ÷ plain loop in {self.cores} processes, QoS 0", "×",
                    whole / all_cores, target=2.8)
        counters = report["totals"]["counters"]
        self.figure(section, "payload", "B", counters["bytes.sent"] / counters["messages.sent"], 0)

    def ledger_round(self):
        """One worker, QoS 0, not observed and observed; observers are processes of their own."""
        section = f"Delivery ledger: 2,000 devices, {self.a.rate:,} messages/s of 200 bytes: CPU for each message"
        plain, _ = self.iotix(2000, self.a.rate, workers=1)
        options = {"devices": 2000, "rate": self.a.rate, "settle": f"{WARM}s", "duration": f"{self.a.seconds}s"}
        run = Run(self.a.iotix, self.brokers, self.folder, {**options, "observe": "true"}, 1)
        begin, end = run.mark("begin"), run.mark("end")
        sent, observers = end.sent - begin.sent, end.of_observers_us - begin.of_observers_us
        total = run.finish()["delivery"]["total"]
        observed = (end.cpu_us - begin.cpu_us - observers) / sent
        self.figure(section, "not observed", "µs", plain)
        self.figure(section, "observed, without its observer", "µs", observed)
        self.figure(section, "observed ÷ not observed", "×", observed / plain, target=1.1)
        self.figure(section, "its observer, for each message", "µs", observers / sent)
        self.figure(section, "messages not delivered", "", total["sent"] - total["delivered"], 0)

    def scale_round(self):
        for devices in (200, 15000):
            self.publish(devices)

    def flat_round(self):
        """Both sides in the same number of processes, the loop in the order of random phases."""
        brokers = math.ceil(100_000 / DEVICES_OF_BROKER)
        most = max(self.cores, brokers)
        if not self.many_brokers:
            self.many_brokers = Brokers(self.folder, brokers)
        section = f"Flat cost: {self.a.rate:,} messages/s of 200 bytes, spread over {brokers} brokers"
        ratios = {}
        pairs = ((1000, self.cores), (10_000, self.cores), (100_000, most), (1000, most))
        for devices, processes in dict.fromkeys(pairs):
            loop = self.loop_us(devices, self.a.rate, processes, brokers=self.many_brokers)
            own, _ = self.iotix(devices, self.a.rate, workers=processes, brokers=self.many_brokers,
                                delay=min(0.2, 15_000 / devices))
            ratios[devices, processes] = own / loop
            self.figure(section, f"plain loop, {devices:,} devices in {processes} processes", "µs", loop)
            self.figure(section, f"iotix, {devices:,} devices in {processes} workers", "µs", own)
            self.figure(section, f"iotix ÷ plain loop, {devices:,} devices in {processes} processes", "×", own / loop)
        few, many = ratios[1000, self.cores], ratios[100_000, most]
        self.figure(section, "that ratio with 10,000 ÷ with 1,000 devices", "×", ratios[10_000, self.cores] / few,
                    target=1.1, least=0.9)
        self.figure(section, "that ratio with 100,000 ÷ with 1,000 devices", "×", many / few, target=1.1, least=0.9)
        self.figure(section, f"… both in {most} processes, which 100,000 devices need", "×", many / ratios[1000, most])

    # ---- lateness ----

    def lateness_round(self):
        loop = self.loop(2000, 5000)
        own, report = self.iotix(2000, 5000, drops=1)
        late = report["totals"]["trends"]["publish.lateness"]
        section = "2,000 devices, 5,000 messages/s: lateness behind the due instant"
        for name in ("p50", "p95", "p99"):
            self.figure(section, f"{name} of iotix", "ms", late[name])
            self.figure(section, f"{name} of the plain loop", "ms", loop[f"lateness_{name}_ms"])
        self.figure(section, "CPU for each message ÷ plain loop", "×", own / loop["cpu_us_per_message"])
        orders = report["totals"]["trends"]["schedule.lateness"]
        for name in ("p50", "p95", "p99"):
            self.figure("Starts and drops of devices: lateness behind their instant", name, "ms", orders[name])

    # ---- connections ----

    def connected(self, devices, delay):
        """CPU until all are connected, and the memory of all processes a second later. Each time with a new broker:
        the kernel still keeps the ports of earlier connections to an old one, and looks long for a free one."""
        options = {"devices": devices, "rate": 0, "duration": "0.1s", "delay": delay}
        with Brokers(self.folder, 1) as brokers:
            run = Run(self.a.iotix, brokers, self.folder, options)
            cpu = run.mark("connected").cpu_us
            run.mark("begin")
            memory = run.memory_bytes()
            run.finish()
        return cpu, memory

    def loop_connect_us(self, devices):
        with Brokers(self.folder, 1) as brokers:
            return self.loop(devices, 1, brokers=brokers)["cpu_us_per_connect"]

    def connect_round(self):
        few, many = 2000, 10_000
        section = f"Devices that only connect: slope between {few:,} and {many:,}"
        self.figure(section, "CPU for each connect, plain loop, as fast as it can", "µs", self.loop_connect_us(many))
        cpu_few, memory_few = self.connected(few, 0)
        cpu_many, memory_many = self.connected(many, 0)
        self.figure(section, "CPU for each connect, as fast as it can", "µs", (cpu_many - cpu_few) / (many - few), target=50)
        paced = self.connected(many, 0.2)[0] - self.connected(few, 0.2)[0]
        self.figure(section, "CPU for each connect, one each 0.2 ms", "µs", paced / (many - few))
        memory = (memory_many - memory_few) / (many - few)
        self.figure(section, "memory for each connected device (Pss)", "B", memory, 0, target=1600)
        self.figure(section, "memory of iotix itself", "MiB", (memory_few - memory * few) / 2**20, 1)
        where = "Where the bytes of a connected device are"
        sizes = json.loads(subprocess.run([self.a.sizes], check=True, capture_output=True, timeout=PATIENCE).stdout)
        for name, size in sizes.items():
            self.figure(where, name, "B", size, 0)
        parts = ("slot", "row", "place", "link", "client of the library")
        self.figure(where, "what is left: pages and heap in part used, packets on their way", "B",
                    memory - sum(sizes[part] for part in parts), 0)

    # ---- orders and start-up ----

    def group_round(self):
        run = Run(self.a.iotix, None, self.folder, {"devices": 1_000_000}, scenario="group.lua")
        section = "1,000,000 created devices: how long an order keeps the scenario waiting"
        orders = {"start": "start, worker processes included", "count": "count by state, meanwhile",
                  "dropout": "dropout, meanwhile", "start-again": "start, all workers there",
                  "count-again": "count by state", "dropout-again": "dropout", "stop": "stop"}
        for name, ms in run.lines("took"):
            self.figure(section, orders[name], "ms", float(ms), 1, target=100)
        run.finish()

    def start_round(self):
        section = "Start-up: from fork to end, or until it works"
        (empty, empty_cpu), (version, _) = median_start_ms([[self.a.empty], [self.a.iotix, "version"]], 10)
        self.figure(section, "empty program with the same libraries", "ms", empty)
        self.figure(section, "iotix version", "ms", version)
        self.figure(section, "iotix version ÷ empty program", "×", version / empty, target=1.5)
        run = Run(self.a.iotix, self.brokers, self.folder, {"devices": 1, "rate": 0, "settle": "0s", "duration": "0.1s"}, 1)
        worker = run.mark("connected").of_workers_us / 1000
        run.finish()
        self.figure(section, "CPU of a worker until its first device is connected", "ms", worker)
        self.figure(section, "… ÷ CPU of the empty program, its end included", "×", worker / empty_cpu, target=1.5)

    # ---- inside a worker ----

    def engine_round(self):
        """No network: the engine alone, in virtual time."""
        command = [self.a.engine, HERE, "2000", "15"]
        taken = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout)
        plain, present, lua = taken["plain"], taken["present"], taken["lua"]
        section = "Inside a worker, without network and kernel: CPU for each message"
        self.figure(section, "no Lua in the process", "ns", statistics.median(plain), 0)
        more = statistics.median(with_lua / without for with_lua, without in zip(present, plain))
        self.figure(section, "a Lua state, unused: more", "%", 100 * (more - 1), 1, target=2)
        self.figure(section, "a generator in Lua instead of a native one: more", "ns",
                    statistics.median(own - native for own, native in zip(lua, present)), 0, target=500)

    def run(self):
        for _ in range(self.a.rounds):
            for part in PARTS:
                if part in self.a.parts:
                    self.try_part(part)

    def try_part(self, part):
        """A run that fails, on a host too busy for it, leaves its figures out of this round."""
        try:
            getattr(self, f"{part}_round")()
        except (Failed, OSError, subprocess.SubprocessError, ValueError, LookupError, ZeroDivisionError) as failure:
            Run.end_latest()
            self.failures += 1
            print(f"{part}: {failure}", file=sys.stderr)

    def stop(self):
        for brokers in (self.brokers, self.many_brokers):
            if brokers:
                brokers.stop()


def parts(text):
    chosen = text.split(",")
    for part in chosen:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"\"{part}\" is none of {', '.join(PARTS)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="folder of iotix and of bench/")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rate", type=int, default=20_000, help="messages a second, of all devices")
    parser.add_argument("--seconds", type=float, default=1.5, help="of publishing in each measurement")
    parser.add_argument("--parts", type=parts, default=list(PARTS), help="some of them, separated by commas")
    arguments = parser.parse_args()
    arguments.iotix = os.path.join(arguments.build, "iotix")
    for program in ("baseline", "engine", "empty", "sizes"):
        setattr(arguments, program, os.path.join(arguments.build, "bench", program))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was measured so far is kept
    started, head = time.monotonic(), figures.head(arguments)
    with workplace() as folder:
        bench = Bench(arguments, folder)
        try:
            bench.run()
        except KeyboardInterrupt:
            print("interrupted: what was measured so far\n")
        finally:
            Run.end_latest()
            bench.stop()
    seconds = time.monotonic() - started
    bench.figures.print(head, seconds)
    bench.figures.save(os.path.join(arguments.build, "bench", "result.json"), head, seconds)
    if bench.failures:
        print(f"\n{bench.failures} measurements failed; see above", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())

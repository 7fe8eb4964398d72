"""Where the CPU time of a message goes: the plain loop and iotix, sampled by perf while they publish at the same pace.

Prints, for each, ns of a message in user space and in the kernel, which libraries they are of, and the largest functions
side by side. Needs perf (Debian: linux-perf) and the right to sample the kernel (root). Sampling itself costs a few per
cent on both sides; what to compare are the parts of one side with those of the other.
"""

import argparse
import collections
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from bench import DEVICES_OF_BROKER
from measure import Brokers, Run, workplace

HERTZ = 4000  # samples a second of each process
LINE = re.compile(r"\s*(\d+)\s+(\S+)\s+\[(.)\]\s+(\S+)")
UNKNOWN = re.compile(r"0x[0-9a-f]{16}$")


class Profile:
    """Samples of one side, all rounds together; the halves of each round for the medians."""

    def __init__(self, name):
        self.name, self.samples, self.halves = name, collections.Counter(), []

    def add(self, pids, seconds, folder):
        data = os.path.join(folder, "perf.data")
        done = subprocess.run(["perf", "record", "-q", "-F", str(HERTZ), "-e", "cpu-clock", "-p", ",".join(map(str, pids)),
                               "-o", data, "--", "sleep", str(seconds)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"perf record could not sample {self.name}; it needs root, or sysctl -w kernel.perf_event_paranoid=1:\n"
                     f"{done.stderr.strip()}")
        text = subprocess.run(["perf", "report", "-i", data, "--stdio", "-g", "none", "--no-children", "-F", "sample,dso,sym"],
                              check=True, capture_output=True, text=True).stdout
        found = collections.Counter()
        for match in filter(None, map(LINE.match, text.splitlines())):
            where = "kernel" if match[3] != "." else match[2]
            found[where, "(no symbol)" if UNKNOWN.match(match[4]) else match[4]] += int(match[1])
        kernel = sum(count for (where, _), count in found.items() if where == "kernel")
        if kernel == 0:  # perf leaves the kernel out in silence, where it may not sample it
            sys.exit("perf may not sample the kernel here: run it as root, or sysctl -w kernel.perf_event_paranoid=1")
        self.halves.append((sum(found.values()) - kernel, kernel))
        self.samples += found


def wait_until(done):
    deadline = time.monotonic() + 120
    while not done():
        if time.monotonic() > deadline:
            sys.exit("the plain loop did not connect within 2 minutes")
        time.sleep(0.2)


def sample_loop(profile, arguments, brokers, folder):
    program = os.path.join(arguments.build, "bench", "baseline")
    command = [program, "127.0.0.1", ",".join(map(str, brokers.ports)), arguments.devices, arguments.rate,
               arguments.seconds + 2, 200, arguments.processes, "mixed", 1]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL) as loop:
        wait_until(lambda: brokers.clients() >= arguments.devices or loop.poll() is not None)
        time.sleep(1.2)
        with open(f"/proc/{loop.pid}/task/{loop.pid}/children", encoding="ascii") as children:
            profile.add(children.read().split(), arguments.seconds, folder)


def sample_iotix(profile, arguments, brokers, folder):
    options = {"devices": arguments.devices, "rate": arguments.rate, "duration": f"{arguments.seconds + 1}s",
               "delay": min(0.2, 15_000 / arguments.devices)}
    run = Run(os.path.join(arguments.build, "iotix"), brokers, folder, options, arguments.processes)
    run.mark("begin")
    profile.add(run.processes(), arguments.seconds, folder)
    run.finish()


def show(profiles, arguments):
    ns = 1e9 / HERTZ / (arguments.rate * arguments.seconds)  # of a message, for each sample of a round
    print(f"{arguments.devices:,} devices, {arguments.rate:,} messages/s, {arguments.processes} processes each, "
          f"{arguments.rounds} rounds: ns for each message")
    for profile in profiles:
        user, kernel = (statistics.median(halves) * ns for halves in zip(*profile.halves))
        print(f"\n{profile.name}: user {user:,.0f}, kernel {kernel:,.0f}")
        parts = collections.Counter()
        for (where, _), count in profile.samples.items():
            parts[where] += count
        print("  " + ", ".join(f"{where} {count * ns / arguments.rounds:,.0f}" for where, count in parts.most_common(6)))
    loop, own = (profile.samples for profile in profiles)
    each = ns / arguments.rounds
    print(f"\n{'loop':>8}{'iotix':>8}")
    ranked = sorted(set(loop) | set(own), key=lambda key: -max(loop[key], own[key]))
    for key in ranked[:arguments.lines]:
        print(f"{loop[key] * each:8,.0f}{own[key] * each:8,.0f}  {key[0]}: {key[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="folder of iotix and of bench/")
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--rate", type=int, default=20_000, help="messages a second, of all devices")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="workers, and processes of the loop")
    parser.add_argument("--seconds", type=int, default=3, help="of sampling, each time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=40, help="functions to show")
    arguments = parser.parse_args()
    if not shutil.which("perf"):
        sys.exit("perf is not installed: apt-get install linux-perf")
    arguments.processes = max(arguments.processes, math.ceil(arguments.devices / DEVICES_OF_BROKER))
    profiles = [Profile("plain loop"), Profile("iotix")]
    count = math.ceil(arguments.devices / DEVICES_OF_BROKER)
    with workplace() as folder, Brokers(folder, count) as brokers:
        try:
            for _ in range(arguments.rounds):
                for profile, sample in zip(profiles, (sample_loop, sample_iotix)):
                    brokers.wait_until_idle()
                    sample(profile, arguments, brokers, folder)
        finally:
            Run.end_latest()
    show(profiles, arguments)


if __name__ == "__main__":
    main()

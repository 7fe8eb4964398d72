"""What bench.py measures with: brokers, runs of iotix, and what /proc says of their processes."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 300  # seconds, after which whatever is measured is ended: it would never come to an end
NOBODY = "127.0.0.1:1"  # an address at which no broker listens

BROKER_CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_connections -1
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


class Failed(Exception):
    """A run of iotix did not end as it should: what it said."""


class Brokers:
    """mosquitto with the settings of the embedded broker, on free ports, each a process of its own."""

    def __init__(self, folder, count):
        self.processes, self.ports = [], []
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        for _ in range(count):
            port = free_port()
            config = os.path.join(folder, f"mosquitto-{port}.conf")
            with open(config, "w", encoding="utf-8") as file:
                file.write(BROKER_CONFIG.format(port=port, user="user root\n" if os.geteuid() == 0 else ""))
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.processes.append(subprocess.Popen([program, "-c", config], preexec_fn=raise_descriptor_limit, **silent))
            self.ports.append(port)
        self.address = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        for port, process in zip(self.ports, self.processes):
            self.wait_until_it_listens(port, process)

    def wait_until_it_listens(self, port, process):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    self.stop()
                    sys.exit("mosquitto does not start")
                time.sleep(0.02)

    def clients(self):
        """Established connections, counted at the brokers' end."""
        ends = {f":{port:04X}" for port in self.ports}
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = (line.split() for line in table)
            return sum(1 for row in rows if row[3] == "01" and row[1][8:] in ends)

    def wait_until_idle(self):
        """Until they have forgotten the clients of the round before."""
        deadline = time.monotonic() + 30
        while self.clients() > 0 and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def raise_descriptor_limit():
    import resource  # pylint: disable=import-outside-toplevel  # in the child, before mosquitto begins

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_us(pid):
    """CPU time (user + system) of all threads of a process, to the ns."""
    used = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
            used += int(stat.read().split()[0]) / 1000
    return used


def is_observer(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read().startswith(b"iotix-observer")


class Look:
    """The processes of a run at one moment: their CPU time in µs, messages sent so far."""

    def __init__(self, run, sent):
        self.sent = sent
        controller, *workers = run.processes()
        self.of_workers_us = sum(cpu_us(pid) for pid in workers)
        self.cpu_us = cpu_us(controller) + self.of_workers_us
        self.of_observers_us = sum(cpu_us(pid) for pid in workers if is_observer(pid))


class Run:
    """One `iotix run` of a scenario beside this file. It counts its controller and all workers, not the brokers."""

    latest = None

    def __init__(self, iotix, brokers, folder, options, workers=None, scenario="bench.lua"):
        if brokers:
            brokers.wait_until_idle()
        self.report = os.path.join(folder, "result.json")
        self.log = os.path.join(folder, "log")
        if os.path.exists(self.report):
            os.unlink(self.report)
        command = [iotix, "run", os.path.join(HERE, scenario), "--quiet"]
        command += ["--broker", brokers.address if brokers else NOBODY]
        for name, value in options.items():
            command += ["-e", f"{name}={value}"]
        command += ["--out", f"json={self.report}"]
        if workers:
            command += ["--workers", str(workers)]
        with open(self.log, "wb") as log:
            environment = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"))
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        self.watchdog = threading.Timer(PATIENCE, self.process.kill)
        self.watchdog.daemon = True
        self.watchdog.start()
        Run.latest = self

    @classmethod
    def end_latest(cls):
        """One that was left in the middle must not disturb what is measured next; its workers end with it."""
        if cls.latest:
            cls.latest.watchdog.cancel()
        if cls.latest and cls.latest.process.poll() is None:
            cls.latest.process.kill()
            cls.latest.process.wait()

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

    def lines(self, word):
        """The words behind `word` of each line that begins with it, as they come."""
        for line in self.process.stdout:
            first, *words = line.split() or [""]
            if first == word:
                yield words

    def mark(self, name):
        """Waits for a mark of the scenario."""
        for words in self.lines("mark"):
            if words[0] == name:
                return Look(self, int(words[1]))
        self.process.wait()
        self.fail()

    def memory_bytes(self):
        """Pss of all processes: what is shared counts once."""
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return total * 1024

    def finish(self):
        """Waits for the end; returns the report."""
        self.process.stdout.read()
        # 111: too late to be trusted as a test. Here that is a figure like any other.
        status = self.process.wait()
        self.watchdog.cancel()
        if status not in (0, 111):
            self.fail()
        with open(self.report, encoding="utf-8") as file:
            return json.load(file)

    def fail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise Failed(f"iotix ended with status {self.process.returncode}:\n{log.read()}")


def start_ms(command):
    """From fork to the end of a program that says something and ends: wall time, and CPU time."""
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    begun = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=nowhere)
    _, _, usage = os.wait4(pid, 0)
    return (time.perf_counter() - begun) * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def median_start_ms(commands, times):
    """Wall and CPU time of each command, taking turns."""
    taken = [[] for _ in commands]
    for _ in range(times):
        for command, pairs in zip(commands, taken):
            pairs.append(start_ms(command))
    return [tuple(statistics.median(values) for values in zip(*pairs)) for pairs in taken]


def workplace():
    return tempfile.TemporaryDirectory(prefix="iotix-bench.")

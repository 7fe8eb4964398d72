"""What bench.py measures with: the broker, runs of iotix, and what /proc says of their processes."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

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

    def wait_until_idle(self):
        """Until it has forgotten the clients of the round before."""
        deadline = time.monotonic() + 30
        while self.clients() > 0 and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Look:
    """The processes of a run at one moment: CPU time in µs (user + system, to the ns), messages sent so far."""

    def __init__(self, run, sent):
        self.sent, self.cpu_us = sent, 0.0
        for pid in run.processes():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                    self.cpu_us += int(stat.read().split()[0]) / 1000


class Run:
    """One `iotix run` of bench.lua. It counts its controller and all workers, not the broker."""

    def __init__(self, iotix, broker, folder, options, workers=None):
        broker.wait_until_idle()
        self.report = os.path.join(folder, "result.json")
        self.log = os.path.join(folder, "log")
        if os.path.exists(self.report):
            os.unlink(self.report)
        command = [iotix, "run", os.path.join(HERE, "bench.lua"), "--quiet", "--broker", f"127.0.0.1:{broker.port}"]
        for name, value in options.items():
            command += ["-e", f"{name}={value}"]
        command += ["--out", f"json={self.report}"]
        if workers:
            command += ["--workers", str(workers)]
        with open(self.log, "wb") as log:
            environment = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"))
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)

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

    def mark(self, name):
        """Waits for a mark of bench.lua."""
        for line in self.process.stdout:
            words = line.split()
            if words[:2] == ["mark", name]:
                return Look(self, int(words[2]))
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
        if self.process.wait() not in (0, 111):
            self.fail()
        with open(self.report, encoding="utf-8") as file:
            return json.load(file)

    def fail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            sys.exit(f"iotix ended with status {self.process.returncode}:\n{log.read()}")


def workplace():
    return tempfile.TemporaryDirectory(prefix="iotix-bench.")

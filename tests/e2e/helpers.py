"""What the end-to-end tests share: a private broker, the iotix process, an independent observer, and /proc."""

import collections
import ctypes
import datetime
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import uuid

import paho.mqtt.client as mqtt

BINARY = os.path.abspath(os.environ.get("IOTIX", "build/iotix"))
MARK = "IOTIX_TEST_MARK"  # environment variable by which a test finds every process that it caused
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def wait_until(condition, timeout, what):
    """Polls until condition() is true and returns its value; fails after `timeout` seconds, naming `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still waiting: {what() if callable(what) else what}")
        time.sleep(0.02)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# ---- free ports


def ephemeral_ports():
    try:
        low, high = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return 32768, 60999


def free_port():
    """A free loopback port, if possible one that the kernel gives to no outgoing connection: a broker that was stopped
    must get it back."""
    low, high = ephemeral_ports()
    outside = [p for p in range(5000, 65000) if not low <= p <= high]
    for _ in range(50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.choice(outside) if len(outside) > 1000 else 0))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise AssertionError("found no free port")


def accepts(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# ---- broker


class Broker:
    """A mosquitto on a loopback port of its own. `users`: {name: password}, nobody else may connect;
    `max_connections`: more are refused; `settings`: further lines of mosquitto.conf."""

    def __init__(self, folder, users=None, max_connections=None, settings=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.users = users
        self.max_connections = max_connections
        self.settings = list(settings)
        self.port = free_port()
        self.process = None
        self.log_path = self.folder / "mosquitto.log"

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def log(self):
        """What mosquitto logged: one line for each connection, will and loss."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def config(self):
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence false",
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
            "sys_interval 1",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "log_type information",
            "log_type debug",
        ]
        if os.getuid() == 0:
            lines.append("user root")
        if self.max_connections is not None:
            lines.append(f"max_connections {self.max_connections}")
        if self.users is None:
            lines.append("allow_anonymous true")
        else:
            passwords = self.folder / "passwords"
            passwords.write_text("".join(f"{name}:{password}\n" for name, password in self.users.items()))
            subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        return "\n".join(lines + self.settings) + "\n"

    def start(self):
        """Starts it, at the same port as before if it ran already, and waits until it accepts."""
        assert self.process is None
        config = self.folder / "mosquitto.conf"
        for attempt in range(5):
            config.write_text(self.config())
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    ["/usr/sbin/mosquitto", "-c", str(config)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
                )
            wait_until(lambda: self.process.poll() is not None or accepts(self.port), 10, "mosquitto to start")
            if self.process.poll() is None:
                return self
            self.process = None
            if attempt == 0 and "Address already in use" in self.log:
                self.port = free_port()
        raise AssertionError("mosquitto did not start:\n" + self.log)

    def _end(self, number):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def connects(self):
        """{client id: [fields of each accepted CONNECT]}; fields: protocol (4 or 5), clean, keep_alive, username."""
        found = collections.defaultdict(list)
        pattern = r"New client connected from \S+ as (\S+) \(p(\d), c(\d), k(\d+)(?:, u'([^']*)')?\)"
        for name, protocol, clean, keep_alive, username in re.findall(pattern, self.log):
            found[name].append({
                "protocol": {"1": 3, "2": 4, "5": 5}[protocol],
                "clean": clean == "1",
                "keep_alive": int(keep_alive),
                "username": username or None,
            })
        return found


# ---- observer

Message = collections.namedtuple("Message", "topic payload qos retain time")


class Client(mqtt.Client):
    """paho binds a source port of its own, which fails on a host with many connections; the kernel finds one."""

    def _create_socket_connection(self):
        return socket.create_connection((self._host, self._port), timeout=self._connect_timeout)


class Observer:
    """Subscribes to `topics` with QoS 2 and keeps every message: (topic, payload, qos, retain, monotonic time)."""

    def __init__(self, broker, topics="#", username=None, password=None, protocol=mqtt.MQTTv311):
        self._messages = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._topics = [topics] if isinstance(topics, str) else list(topics)
        self._client = Client(f"observer-{uuid.uuid4().hex[:12]}", protocol=protocol)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port, keepalive=30)
        self._client.loop_start()
        assert self._ready.wait(10), "the observer could not subscribe"

    def _on_connect(self, client, *_):
        client.subscribe([(topic, 2) for topic in self._topics])

    def _on_message(self, _client, _data, message):
        with self._changed:
            self._messages.append(
                Message(message.topic, bytes(message.payload), message.qos, bool(message.retain), time.monotonic())
            )
            self._changed.notify_all()

    @property
    def messages(self):
        with self._changed:
            return list(self._messages)

    def publish(self, topic, payload, qos=1):
        self._client.publish(topic, payload, qos).wait_for_publish(10)

    def wait_for(self, count, timeout, where=lambda message: True):
        """Waits until `count` messages for which where(message) is true have come; returns them."""
        deadline = time.monotonic() + timeout
        found, seen = [], 0
        with self._changed:
            while True:
                found += [m for m in self._messages[seen:] if where(m)]
                seen = len(self._messages)
                if len(found) >= count:
                    return found
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} of {count} messages after {timeout} s ({seen} of any kind)"
                self._changed.wait(left)

    def wait_for_devices(self, count, timeout, since=0.0):
        """Waits until `count` different devices have published telemetry that came after `since`; returns their ids."""
        devices = set()

        def complete():
            devices.update(device_of(m) for m in self.messages if m.time > since)
            devices.discard(None)
            return len(devices) >= count

        wait_until(complete, timeout, lambda: f"{len(devices)} of {count} devices seen")
        return devices

    def settle(self, quiet=0.3, timeout=10):
        """Waits until nothing has come for `quiet` seconds: what was sent before has arrived then."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while time.monotonic() < deadline:
                if not self._changed.wait(quiet):
                    return self
        raise AssertionError(f"messages still come after {timeout} s")

    def close(self):
        self._client.disconnect()  # first: else the loop sleeps until its next turn, a second later
        self._client.loop_stop()


def read_off(names, step):
    """{group: [instants in ms]} of devices "group-index", in the order in which something was seen of them. The group
    "ruler" has one every `step` ms, and what came after one of these came at its instant: on a busy host, both are late
    alike. Those that are late together come as they happen to: what is read off is right to some steps."""
    found, marks = collections.defaultdict(list), 0
    for name in names:
        group = name.rsplit("-", 1)[0]
        if group == "ruler":
            marks += 1
        else:
            found[group].append(max(0, marks - 1) * step)
    return found


def device_of(message):
    """The device id in a topic of the form devices/ID/…, else None."""
    parts = message.topic.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "devices" else None


STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def milliseconds(stamp):
    """ISO-8601 UTC with exactly three decimals → milliseconds since 1970."""
    assert STAMP.fullmatch(stamp), f"not an ISO-8601 UTC instant with milliseconds: {stamp}"
    instant = datetime.datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    return round((instant - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) / MILLISECOND)


MILLISECOND = datetime.timedelta(milliseconds=1)


def series(messages, *attributes):
    """{(device, attribute): [(timestamp in ms, value)]} in order of time; a message delivered twice counts once."""
    found = collections.defaultdict(dict)
    for message in messages:
        body = json.loads(message.payload)
        for name in attributes:
            if name in body:
                found[body["deviceId"], name][milliseconds(body["timestamp"])] = body[name]
    return {key: sorted(values.items()) for key, values in found.items()}


# ---- processes


def children(pid):
    """Process ids of the direct children, zombies left out."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry))
    return sorted(found)


def runs_binary(pid, binary):
    try:
        return os.path.samefile(f"/proc/{pid}/exe", binary)
    except OSError:
        return False


def workers(pid):
    """The worker processes of the iotix process `pid`: its children that run the same binary."""
    return [child for child in children(pid) if runs_binary(child, BINARY)]


def brokers(pid):
    """The embedded brokers of the iotix process `pid`."""
    return [child for child in children(pid) if runs_binary(child, "/usr/sbin/mosquitto")]


def sockets(pid):
    """How many sockets a process has open."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except OSError:
            pass
    return count


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def marked(mark):
    """Every live process that carries `mark` in its environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                environment = pathlib.Path("/proc", entry, "environ").read_bytes()
            except OSError:
                continue
            if wanted in environment.split(b"\0") and alive(int(entry)):
                found.append(int(entry))
    return found


def preloaded(library):
    """Behind the address sanitizer's, if iotix was built with it."""
    text = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
    sanitizers = re.findall(r"=> (\S+/lib[at]san\.so\S*)", text)
    return ":".join([*sanitizers, library])


class Run:
    """An iotix process in a process group of its own, as a shell would start it. Its output is read all the time."""

    def __init__(self, arguments, cwd, env=None, limits=None):
        self.arguments = [str(a) for a in arguments]
        self.mark = uuid.uuid4().hex
        environment = dict(os.environ, **{MARK: self.mark}, **(env or {}))

        def prepare():
            die_with_parent()
            if limits:
                limits()

        self._lines = {"out": [], "err": []}
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [BINARY, *self.arguments],
            cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, preexec_fn=prepare,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, "out"), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, "err"), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, name):
        for line in stream:
            with self._changed:
                self._lines[name].append(line.decode(errors="replace"))
                self._changed.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def out(self):
        with self._changed:
            return "".join(self._lines["out"])

    @property
    def err(self):
        with self._changed:
            return "".join(self._lines["err"])

    @property
    def code(self):
        return self.process.poll()

    def describe(self):
        command = " ".join(["iotix", *self.arguments])
        return f"{command}: exit code {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}---"

    def wait(self, timeout=60):
        """Waits for its end and returns self, with `code`, `out` and `err` complete."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not finished after {timeout} s: {self.describe()}") from None
        for reader in self._readers:
            reader.join(10)
        return self

    def was_held_up(self, code):
        """Invalid for no other reason than that this host was too busy for it, and else as expected. What a test has to say
        about validity it asks for by the report."""
        busy = r"p99 lateness [^\n]* > 1\.00 s|never sent through the generator's\s+own\s+fault"
        failed = "✗" in self.out
        return self.code == 111 and (code, failed) in ((0, False), (99, True)) and re.search(busy, self.out)

    def expect(self, code, *texts):
        """Waits for the end; the exit code must be `code` and each text (a regular expression) be in the output. A run whose
        host was busy may be invalid (111) instead of passed or failed."""
        self.wait()
        assert self.code == code or self.was_held_up(code), f"expected exit code {code}: {self.describe()}"
        for text in texts:
            assert re.search(text, self.out + self.err), f"expected {text!r}: {self.describe()}"
        return self

    def wait_for(self, pattern, timeout=30):
        """Waits until a line of stdout or stderr matches; returns the match."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self._lines["out"] + self._lines["err"]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, 0.1))
        raise AssertionError(f"after {timeout} s no line matches {pattern!r}: {self.describe()}")

    def workers(self, count=1, timeout=20):
        """Waits until there are at least `count` workers and returns their ids."""
        return wait_until(
            lambda: (lambda found: found if len(found) >= count else None)(workers(self.pid)),
            timeout, lambda: f"{count} workers: {self.describe()}",
        )

    def signal(self, number):
        self.process.send_signal(number)

    def interrupt(self):
        """Ctrl-C: a terminal sends it to the whole process group."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def close(self):
        """Ends whatever is left. Nothing may be: iotix takes its workers and brokers with it."""
        was_running = self.process.poll() is None
        if was_running:
            self.kill()
        try:
            wait_until(lambda: not marked(self.mark), 5, lambda: f"{marked(self.mark)} to end: {self.describe()}")
        finally:
            for pid in marked(self.mark):
                os.kill(pid, signal.SIGKILL)
            for reader in self._readers:
                reader.join(10)
            self.process.stdout.close()
            self.process.stderr.close()
        assert "runtime error:" not in self.err, f"undefined behaviour: {self.describe()}"


def figure(run, label):
    """A number of the summary, by the label at the start of its line; 0 if there is no such line."""
    found = re.search(rf"(?m)^  {re.escape(label)} +([\d,]+)", run.out)
    return int(found.group(1).replace(",", "")) if found else 0


def ledger(report):
    """The ledger of a JSON report, as totals.ledger, after its equations were checked for all groups and each."""
    for totals in [report["totals"], *report["groups"]]:
        one = totals["ledger"]
        never = sum(one["neverSent"].values())
        assert one["scheduled"] == never + one["sent"] + one["waiting"] + one["inDoubt"], one
        assert one["sent"] == one["acknowledged"] + one["lost"] + one["inFlight"], one
    return report["totals"]["ledger"]


def memory(pid):
    """Bytes of a process without those of its program and libraries; shared memory is divided among its users."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(n) for n in re.findall(r"(?m)^Pss_(?:Anon|Shmem): +(\d+) kB", text))


# An address sanitizer keeps freed memory for a while; with this environment it does not. It keeps records of its own all
# the same: GROWTH is what any process may grow by, beside some percent.
STEADY = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"}
GROWTH = (8 if b"libasan" in pathlib.Path(BINARY).read_bytes() else 1) << 20


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))

"""What the tests of the REST services share: a running `iotix serve`, and how to talk to it."""

import contextlib
import json
import re
import socket
import time

import requests

from helpers import Broker, Run, wait_until

SENSOR = {
    "id": "temperature-sensor-v1",
    "name": "Temperature sensor",
    "type": "sensor",
    "protocol": "mqtt",
    "connection": {"topicPattern": "devices/${deviceId}/telemetry", "qos": 1},
    "telemetry": [
        {"name": "temperature", "type": "number", "unit": "celsius", "intervalMs": 200,
         "generator": {"type": "random", "min": 15, "max": 35}},
    ],
    "commands": [
        {"name": "setTarget", "topic": "devices/${deviceId}/commands/setTarget",
         "parameters": [{"name": "target", "type": "number", "required": True}]},
    ],
}


class Service:
    """iotix serve on a free port. `url` is its address; get, post, put and delete take paths and return answers."""

    def __init__(self, folder, broker, *arguments, env=None):
        self.folder = folder
        self.run = Run(
            ["serve", "device", "--port", "0", "--data-dir", folder / "data", "--broker", broker.address, *arguments],
            folder, env,
        )
        found = wait_until(self.listening, 60, self.run.describe)
        assert self.run.code is None, self.run.describe()
        self.host, self.port = found.group(1), int(found.group(2))
        self.url = f"http://{self.host}:{self.port}"
        self.session = requests.Session()
        wait_until(lambda: self.get("/ready").status_code == 200, 60, "the service to be ready")

    def listening(self):
        return re.search(r"http://([\w.\[\]:]+):(\d+)", self.run.err + self.run.out) or self.run.code is not None

    def ask(self, method, path, body=None, **options):
        options.setdefault("timeout", 30)
        if body is not None:
            options["json"] = body
        return self.session.request(method, self.url + path, **options)

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.ask("POST", path, body, **options)

    def put(self, path, body=None, **options):
        return self.ask("PUT", path, body, **options)

    def delete(self, path, **options):
        return self.ask("DELETE", path, **options)

    def raw(self, data, timeout=20):
        """Sends bytes on a connection of its own and returns all that comes back until it ends."""
        with self.connect(timeout) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
            return read_all(connection)

    def connect(self, timeout=20):
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def alive(self):
        """Still there, and answers."""
        assert self.run.code is None, self.run.describe()
        assert self.get("/health").json()["status"] == "healthy"

    def close(self):
        self.session.close()
        self.run.close()


def read_all(connection):
    found = b""
    with contextlib.suppress(OSError):
        while True:
            block = connection.recv(65536)
            if not block:
                break
            found += block
    return found


def status_of(answer):
    """The status of a raw answer, 0 if there is none."""
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else 0


@contextlib.contextmanager
def serving(tmp_path_factory, *arguments, env=None, broker_options=None):
    """A service with a broker of its own, for a whole module of tests."""
    folder = tmp_path_factory.mktemp("serve")
    broker = Broker(folder / "broker", **(broker_options or {})).start()
    service = None
    try:
        service = Service(folder, broker, *arguments, env=env)
        service.broker = broker
        yield service
    finally:
        if service:
            service.close()
        broker.kill()


def problem(answer, status, *paths):
    """Asserts that an answer is a problem document of that status, and that it names these fields."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status and document["title"] and document["detail"], document
    named = [error["path"] for error in document.get("errors", [])]
    for path in paths:
        assert path in named, f"{path} is not among {named}: {document}"
    assert all(error["message"] for error in document.get("errors", []))
    return document


class Events:
    """A client of the event stream: (name, data) as they come."""

    def __init__(self, service):
        self.answer = service.session.get(service.url + "/api/v1/events", stream=True, timeout=30)
        assert self.answer.status_code == 200
        assert self.answer.headers["Content-Type"].startswith("text/event-stream")
        self.lines = self.answer.iter_lines(chunk_size=1, decode_unicode=True)

    def __iter__(self):
        name = None
        for line in self.lines:
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])

    def wait_for(self, condition, timeout=30):
        """The first event for which condition(name, data) is true."""
        deadline = time.monotonic() + timeout
        for name, data in self:
            if condition(name, data):
                return data
            assert time.monotonic() < deadline, "the event did not come"
        raise AssertionError("the stream ended")

    def close(self):
        self.answer.close()

"""A service with its live page, and a headless Chromium that looks at it. What people do there is in
browser/scenarios.mjs."""

import os
import pathlib
import signal
import subprocess
import tempfile

import pytest
import requests
from helpers import BINARY, free_port, wait_until

FOLDER = pathlib.Path(__file__).parent / "browser"
LIBRARIES = pathlib.Path(BINARY).parent / "browser"
LIMIT = 170  # seconds for one scenario; conftest.py ends a test after 180

SENSOR = {
    "id": "page-sensor", "name": "Page sensor", "type": "sensor", "protocol": "mqtt",
    "connection": {"topicPattern": "page/${deviceId}", "qos": 1},
    "telemetry": [
        {"name": "level", "type": "number", "unit": "percent", "intervalMs": 500,
         "generator": {"type": "random", "min": 0, "max": 100}},
    ],
}
ACTUATOR = {
    "id": "page-actuator", "name": "Page actuator", "type": "actuator", "protocol": "mqtt",
    "connection": {"topicPattern": "page/${deviceId}", "qos": 1},
    "telemetry": [
        {"name": "setpoint", "type": "number", "unit": "celsius", "intervalMs": 1000,
         "generator": {"type": "constant", "value": 20}},
    ],
    "commands": [
        {"name": "setSetpoint", "topic": "page/${deviceId}/set",
         "parameters": [{"name": "setpoint", "type": "number", "required": True}],
         "response": {"topic": "page/${deviceId}/done", "template": {"setpoint": "${setpoint}"}}},
    ],
}


class Service:
    """An `iotix serve` of its own: a free port, a folder for its data, one broker."""

    def __init__(self, folder, broker):
        self.folder = folder
        self.broker = broker
        self.port = free_port()
        self.process = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "serve.log", "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "device", "--port", str(self.port), "--broker", self.broker.address,
                 "--data-dir", str(self.folder / "data"), "--workers", "2"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.is_ready, 60, lambda: f"the service: {(self.folder / 'serve.log').read_text()}")
        return self

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "serve.log").read_text()
        try:
            return requests.get(f"{self.address}/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self.process = None

    def obey(self, word):
        """What a script of the page asks for while it looks on: "stop" or "start"."""
        {"stop": self.stop, "start": self.start}[word]()
        return "done"


@pytest.fixture
def service(tmp_path, broker):
    one = Service(tmp_path, broker).start()
    for model in (SENSOR, ACTUATOR):
        answer = requests.post(f"{one.address}/api/v1/models", json=model, timeout=20)
        assert answer.status_code == 201, answer.text
    yield one
    one.stop()


def short_folder():
    """For the browser's profile and its socket: a socket's path has 107 bytes, a test's own folder is too deep."""
    parent = tempfile.gettempdir()
    return tempfile.TemporaryDirectory(prefix="page-", dir=parent if len(parent) < 48 else "/tmp", ignore_cleanup_errors=True)


@pytest.fixture
def browse(service, tmp_path):
    """browse(SCENARIO, asked=f) runs a scenario; f answers the questions that it asks this side."""
    assert (LIBRARIES / "node_modules").is_dir(), "make browser fetches what drives the browser"
    running, profiles = [], short_folder()

    def run(scenario, asked=None):
        environment = {**os.environ, "IOTIX_BROWSER": str(LIBRARIES), "PAGE_LIMIT_S": str(LIMIT - 10),
                       "TMPDIR": profiles.name}
        with open(tmp_path / "browser.log", "w+", encoding="utf-8") as errors:
            process = subprocess.Popen(["node", str(FOLDER / "drive.mjs"), scenario, service.address],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                                       env=environment, start_new_session=True)
            running.append(process)
            for line in process.stdout:
                assert line.startswith("ask ") and asked, line
                process.stdin.write(f"{asked(line[4:].strip())}\n")
                process.stdin.flush()
            process.wait(LIMIT)
            errors.seek(0)
            assert process.returncode == 0, errors.read()

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    profiles.cleanup()

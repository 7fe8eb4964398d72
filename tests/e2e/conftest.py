"""Fixtures of the end-to-end tests. They drive the iotix binary and watch it from outside: a real mosquitto, an
independent MQTT client, and /proc. Every process that a test starts ends with the test."""

import json
import os
import signal

import pytest

from helpers import Broker, Observer, Run

TEST_LIMIT = 180  # seconds for one test

outcomes = {}


def pytest_runtest_logreport(report):
    """A test passed when its call and its clean-up did; everything else, skips included, is a failure."""
    good = report.outcome == "passed" and not hasattr(report, "wasxfail")
    outcomes[report.nodeid] = outcomes.get(report.nodeid, True) and good


def pytest_collectreport(report):
    if report.failed:
        outcomes[report.nodeid] = False


def pytest_sessionfinish(session):
    path = os.environ.get("E2E_COUNTS")
    if path:
        passed = sum(outcomes.values())
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{passed} {len(outcomes) - passed}\n")
    if not all(outcomes.values()) and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(autouse=True)
def time_limit():
    """No test may hang: after TEST_LIMIT seconds it fails where it is."""

    def expired(_number, _frame):
        raise AssertionError(f"the test is not finished after {TEST_LIMIT} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory):
    """Journals of runs go there, not to the home of whoever runs the tests."""
    os.environ.setdefault("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def start_broker(tmp_path):
    """start_broker(users={name: password}, max_connections=n, settings=[lines]) starts a mosquitto."""
    started = []

    def start(**options):
        started.append(Broker(tmp_path / f"broker-{len(started)}", **options).start())
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def broker(start_broker):
    """A mosquitto that lets everybody in."""
    return start_broker()


@pytest.fixture
def observe():
    """observe(broker, topics="#") subscribes an independent client."""
    observers = []

    def start(broker_, topics="#", **options):
        observers.append(Observer(broker_, topics, **options))
        return observers[-1]

    yield start
    for one in observers:
        one.close()


@pytest.fixture
def write(tmp_path):
    """write(name, content) puts a file into the test's folder: text as it is, anything else as JSON."""

    def put(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")
        return path

    return put


class Starter:
    """iotix("run", "x.lua") runs to the end; iotix.start(…) runs in the background. Both return a helpers.Run."""

    def __init__(self, folder):
        self.folder = folder
        self.runs = []

    def start(self, *arguments, env=None, limits=None, cwd=None):
        self.runs.append(Run(arguments, cwd or self.folder, env, limits))
        return self.runs[-1]

    def __call__(self, *arguments, timeout=60, **options):
        return self.start(*arguments, **options).wait(timeout)


@pytest.fixture
def iotix(tmp_path):
    starter = Starter(tmp_path)
    yield starter
    for run in starter.runs:
        run.close()

"""Fixtures of the end-to-end tests. They drive the iotix binary and watch it from outside: a real mosquitto, an
independent MQTT client, and /proc. Every process that a test starts ends with the test."""

import os

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

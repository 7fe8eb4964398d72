"""The event stream, and /metrics."""

import json
import subprocess
import time

import pytest
import requests

from helpers import wait_until
from rest import SENSOR, Events, problem, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory) as one:
        assert one.post("/api/v1/models", dict(SENSOR, id="m")).status_code == 201
        yield one


@pytest.fixture
def events(service):
    opened = []

    def start():
        opened.append(Events(service))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def gauge(service, name):
    for line in service.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return 0.0


def test_stats_come_at_once_and_go_on(service, events):
    stream = events()
    found = []
    for name, data in stream:
        if name == "stats":
            found.append(data["uptimeSeconds"])
        if len(found) == 4:
            break
    assert found == sorted(found) and found[-1] - found[0] >= 1


def test_a_launch_is_seen_as_it_happens(service, events):
    stream = events()
    assert service.post("/api/v1/groups", {"modelId": "m", "count": 300, "groupId": "seen"}).status_code == 201
    assert stream.wait_for(lambda name, data: name == "groups") is not None
    assert service.post("/api/v1/groups/seen/start", {"strategy": "linear", "delayMs": 5}).status_code == 200
    done, states, progress = 0, {}, []
    deadline = time.monotonic() + 60
    for name, data in stream:
        assert time.monotonic() < deadline
        if name == "state":
            assert len(data["devices"]) <= 200 and data["more"] >= 0
            for device in data["devices"]:
                assert device["groupId"] == "seen"
                states[device["id"]] = device["status"]
        elif name == "progress" and data["groupId"] == "seen":
            assert data["operation"] == "start" and data["strategy"] == "linear" and data["total"] == 300
            assert data["done"] >= done
            done = data["done"]
            progress.append(data["status"])
            if data["status"] == "done":
                break
    assert done == 300 and progress[0] == "running"
    stream.wait_for(lambda name, data: name == "stats" and data["runningDeviceCount"] == 300)
    assert states and set(states.values()) <= {"starting", "running"}
    assert service.delete("/api/v1/groups/seen").status_code == 204


def test_every_client_gets_everything(service, events):
    streams = [events() for _ in range(10)]
    assert gauge(service, "iotix_http_streams") >= 10
    assert service.post("/api/v1/groups", {"modelId": "m", "count": 5, "groupId": "shared"}).status_code == 201
    for stream in streams:
        stream.wait_for(lambda name, data: name == "groups")


def test_clients_that_vanish_are_noticed(service):
    before = gauge(service, "iotix_http_streams")
    connections = [service.connect() for _ in range(20)]
    for connection in connections:
        connection.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(4096)
    assert gauge(service, "iotix_http_streams") >= before + 20
    for connection in connections:
        connection.close()
    wait_until(lambda: gauge(service, "iotix_http_streams") <= before, 20, "vanished clients to be noticed")


def test_there_are_only_so_many_streams(service):
    held = []
    try:
        for _ in range(80):
            answer = requests.get(service.url + "/api/v1/events", stream=True, timeout=10)
            held.append(answer)
            if answer.status_code != 200:
                break
        problem(held[-1], 503)
        assert int(held[-1].headers["Retry-After"]) > 0
        assert len(held) <= 65
        service.alive()
    finally:
        for answer in held:
            answer.close()
    wait_until(lambda: gauge(service, "iotix_http_streams") == 0, 20, "the streams to be closed")


def test_prometheus_likes_the_metrics(service):
    assert service.post("/api/v1/groups", {"modelId": "m", "count": 10, "groupId": "measured"}).status_code == 201
    assert service.post("/api/v1/groups/measured/start").status_code == 200
    wait_until(lambda: service.get("/api/v1/groups/measured").json()["connected"] == 10, 30, "ten devices")
    wait_until(lambda: gauge(service, 'iotix_group_messages_sent_total{group="measured"}') > 20, 30, "messages")
    wait_until(lambda: gauge(service, 'iotix_devices_connected{group="measured"}') == 10, 30, "the figures")
    answer = service.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    done = subprocess.run(["promtool", "check", "metrics"], input=answer.text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    samples = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in samples, f"{name} is there twice"
            samples[name] = float(value)
    assert samples['iotix_devices{group="measured",status="running"}'] == 10
    assert samples['iotix_devices_connected{group="measured"}'] == 10
    assert samples["iotix_connect_accepted_total"] >= 10
    assert samples['iotix_publish_latency_seconds_bucket{le="+Inf"}'] == samples["iotix_publish_latency_seconds_count"] > 0
    assert samples["iotix_messages_sent_total"] >= samples['iotix_group_messages_sent_total{group="measured"}'] > 0
    assert 0 <= samples["iotix_loop_busy_ratio"] <= 1
    assert samples["iotix_memory_bytes"] > 1e6
    buckets = [value for name, value in samples.items() if name.startswith("iotix_publish_latency_seconds_bucket")]
    assert buckets == sorted(buckets)


def test_counters_never_go_back(service):
    """Not even when the group that counted is deleted."""
    assert service.post("/api/v1/groups", {"modelId": "m", "count": 5, "groupId": "passing"}).status_code == 201
    assert service.post("/api/v1/groups/passing/start").status_code == 200
    wait_until(lambda: service.get("/api/v1/groups/passing").json()["connected"] == 5, 30, "five devices")
    before = gauge(service, "iotix_connect_accepted_total")
    sent = service.get("/api/v1/stats").json()["messagesSent"]
    assert service.delete("/api/v1/groups/passing").status_code == 204
    assert gauge(service, "iotix_connect_accepted_total") >= before
    assert service.get("/api/v1/stats").json()["messagesSent"] >= sent


def test_labels_are_bounded(service):
    """Many groups are named up to a limit and added up beyond it."""
    for i in range(120):
        assert service.post("/api/v1/groups", {"modelId": "m", "count": 2, "groupId": f"many-{i}"}).status_code == 201
        assert service.post(f"/api/v1/groups/many-{i}/start", {"strategy": "linear", "delayMs": 1e6}).status_code == 200
    assert service.post("/api/v1/groups", {"modelId": "m", "count": 7, "groupId": "never"}).status_code == 201
    assert service.post("/api/v1/devices", {"modelId": "m", "deviceId": "single"}).status_code == 201
    wait_until(lambda: gauge(service, 'iotix_devices_connected{group="(other)"}') > 0, 30, "the last groups")
    text = service.get("/metrics").text
    groups = {line.split('group="')[1].split('"')[0] for line in text.splitlines() if line.startswith("iotix_devices{")}
    assert len(groups) <= 103 and "(other)" in groups
    total = sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("iotix_devices{"))
    assert total == json.loads(service.get("/api/v1/stats").text)["deviceCount"]
    for name in ["never"] + [f"many-{i}" for i in range(120)]:
        assert service.delete(f"/api/v1/groups/{name}").status_code == 204

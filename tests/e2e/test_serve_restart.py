"""What a service keeps: after any end, kill -9 among them, everything acknowledged is back, and what ran runs again."""

import json
import random
import signal
import socket
import sqlite3
import threading
import time

import pytest
import requests

from helpers import alive, wait_until, workers
from rest import SENSOR, Service, problem

RESTARTS = 50
FEW = 8  # device groups keep the restarts short


@pytest.fixture
def start_service(tmp_path, broker):
    """start_service(*arguments) starts one; all of a test share one data folder."""
    started = []

    def start(*arguments, **options):
        started.append(Service(tmp_path, broker, "--workers", "1", *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def killed(service):
    """kill -9; its workers end as well."""
    pids = workers(service.run.pid)
    service.run.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids), 20, "the workers to end")


def database(tmp_path):
    return sqlite3.connect(f"file:{tmp_path}/data/iotix.db?mode=ro", uri=True)


def running(service, group):
    return service.get(f"/api/v1/groups/{group}").json()["byStatus"]["running"]


def test_everything_is_back(start_service):
    first = start_service()
    model = {**SENSOR, "id": "mine", "name": "über"}
    assert first.post("/api/v1/models", model).status_code == 201
    for body in ({"modelId": "mine", "count": 20, "groupId": "runs", "idPattern": "r-{index}"},
                 {"modelId": "mine", "count": 10, "groupId": "stopped"},
                 {"modelId": "mine", "count": 5, "groupId": "created"}):
        assert first.post("/api/v1/groups", body).status_code == 201
    assert first.post("/api/v1/groups/runs/start", {"strategy": "linear", "delayMs": 5}).status_code == 200
    assert first.post("/api/v1/groups/stopped/start").status_code == 200
    assert first.post("/api/v1/groups/stopped/stop").status_code == 200
    for name in ("kitchen", "cellar"):
        assert first.post("/api/v1/devices", {"modelId": "mine", "deviceId": name}).status_code == 201
    assert first.post("/api/v1/devices", {"modelId": "mine", "deviceId": "extra", "groupId": "runs"}).status_code == 201
    assert first.post("/api/v1/devices/kitchen/start").json()["status"] == "running"
    wait_until(lambda: running(first, "runs") == 21, 30, "the group to run")
    assert first.post("/api/v1/devices/r-4/stop").json()["status"] == "stopped"
    assert first.delete("/api/v1/devices/r-7").status_code == 204
    created = first.get("/api/v1/devices/kitchen").json()["createdAt"]
    killed(first)

    second = start_service()
    assert second.get("/api/v1/models/mine").json() == model
    assert [g["groupId"] for g in second.get("/api/v1/groups").json()] == ["runs", "stopped", "created"]
    # 20 devices and the one that joined, less the one that was stopped and the one that was deleted.
    wait_until(lambda: running(second, "runs") == 19, 30, "the group to run again")
    wait_until(lambda: second.get("/api/v1/devices/kitchen").json()["connectionState"] == "connected", 30,
               "the single device")
    assert second.get("/api/v1/devices/kitchen").json()["createdAt"] == created
    assert second.get("/api/v1/devices/cellar").json()["status"] == "created"
    assert second.get("/api/v1/devices/r-4").json()["status"] == "stopped"
    problem(second.get("/api/v1/devices/r-7"), 404)
    assert second.get("/api/v1/devices/extra").json()["groupId"] == "runs"
    group = second.get("/api/v1/groups/stopped").json()
    assert group["status"] == "stopped" and group["byStatus"]["stopped"] == 10
    assert second.get("/api/v1/groups/created").json()["byStatus"]["created"] == 5
    # Ids are taken as before.
    problem(second.post("/api/v1/devices", {"modelId": "mine", "deviceId": "cellar"}), 409)
    problem(second.post("/api/v1/groups", {"modelId": "mine", "count": 1, "idPattern": "r-{index}"}), 409)
    # A deleted device's id may be given again.
    assert second.post("/api/v1/devices", {"modelId": "mine", "deviceId": "r-7"}).status_code == 201


def test_a_stop_overtakes_a_start_that_waits(start_service):
    """The last order holds, although the start is answered later."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = start_service()
        body = {"modelId": "temperature-sensor-v1", "deviceId": "late",
                "overrideConnection": {"broker": "127.0.0.1", "port": silent.getsockname()[1]}}
        assert first.post("/api/v1/devices", body).status_code == 201
        answers = []
        starting = threading.Thread(target=lambda: answers.append(
            requests.post(f"{first.url}/api/v1/devices/late/start", timeout=30).json()))
        starting.start()
        wait_until(lambda: first.get("/api/v1/devices/late").json()["status"] == "starting", 20, "the start")
        assert first.post("/api/v1/devices/late/stop").json()["status"] == "stopped"
        starting.join()
        assert answers[0]["status"] == "stopped"
        killed(first)
        second = start_service()
        assert second.get("/api/v1/devices/late").json()["status"] == "stopped"


def test_what_was_stopped_is_stopped_after_a_restart(start_service):
    """Also once one device of the group runs: workers have the group anew then, in which nothing ever ran."""
    first = start_service()
    for name in ("g", "h"):
        body = {"modelId": "temperature-sensor-v1", "count": 4, "groupId": name}
        assert first.post("/api/v1/groups", body).status_code == 201
    assert first.post("/api/v1/groups/g/start").status_code == 200
    wait_until(lambda: running(first, "g") == 4, 30, "the group to run")
    assert first.post("/api/v1/groups/g/stop").status_code == 200
    assert first.post("/api/v1/devices/h-2/start").json()["status"] == "running"
    assert first.post("/api/v1/devices/h-2/stop").json()["status"] == "stopped"
    killed(first)

    second = start_service()
    for name, created in (("g", 0), ("h", 2)):
        assert second.post(f"/api/v1/devices/{name}-1/start").json()["status"] == "running"
        counts = {"running": 1, "stopped": 3 - created, "created": created}
        wait_until(lambda: {k: n for k, n in second.get(f"/api/v1/groups/{name}").json()["byStatus"].items() if n} ==
                   {k: n for k, n in counts.items() if n}, 20, "the states of the group")
        assert second.get(f"/api/v1/devices/{name}-2").json()["status"] == "stopped"
        for status, count in counts.items():
            found = second.get(f"/api/v1/devices?groupId={name}&status={status}").json()
            assert (found["total"], len(found["items"])) == (count, count), status


def test_single_devices_leave_nothing_behind(start_service, tmp_path):
    service = start_service()
    for number in range(3):
        body = {"modelId": "temperature-sensor-v1", "deviceId": f"user-{number}", "overrideConnection": {"username": f"u{number}"}}
        assert service.post("/api/v1/devices", body).status_code == 201
        assert service.post(f"/api/v1/devices/user-{number}/start").json()["status"] == "running"
    sent = service.get("/api/v1/devices/user-0/metrics").json()["messagesSent"]
    for number in range(3):
        assert service.delete(f"/api/v1/devices/user-{number}").status_code == 204
    wait_until(lambda: not database(tmp_path).execute("SELECT * FROM groups").fetchall(), 20, "the store")
    wait_until(lambda: service.get("/api/v1/stats").json()["messagesSent"] >= sent, 20, "their messages in the sums")
    # A device of the same name and connection is a new one.
    assert service.post("/api/v1/devices", body).status_code == 201
    assert service.post("/api/v1/devices/user-2/start").json()["status"] == "running"


def test_values_go_on(start_service, broker, observe):
    """The seed is kept: a device's values are those of the same function before and after."""
    first = start_service()
    model = {**SENSOR, "telemetry": [{"name": "n", "type": "number", "intervalMs": 100, "generator":
                                      {"type": "random", "min": 0, "max": 1000000}}]}
    assert first.post("/api/v1/models", {**model, "id": "numbers"}).status_code == 201
    first.post("/api/v1/groups", {"modelId": "numbers", "count": 1, "groupId": "n"})
    seen = observe(broker, "devices/n-0/telemetry")
    first.post("/api/v1/groups/n/start")
    wait_until(lambda: len(seen.messages) >= 3, 30, "values")
    killed(first)
    before = [json.loads(m.payload)["n"] for m in list(seen.messages)]
    start_service()
    wait_until(lambda: len(seen.messages) >= len(before) + 3, 30, "values after the restart")
    after = [json.loads(m.payload)["n"] for m in list(seen.messages)][len(before):]
    assert after[:3] == before[:3]


def test_dropouts_end_with_the_service(start_service):
    """What was started runs again, whoever had dropped out among it; a device that was stopped stays so."""
    first = start_service()
    for name, reconnect in (("back", True), ("gone", False)):
        body = {"modelId": "temperature-sensor-v1", "count": 6, "groupId": name}
        assert first.post("/api/v1/groups", body).status_code == 201
        assert first.post(f"/api/v1/groups/{name}/start").status_code == 200
        wait_until(lambda name=name: running(first, name) == 6, 20, "the group to run")
        body = {"strategy": "immediate", "count": 4, "reconnect": reconnect, "reconnectDelayMs": 600000}
        assert first.post(f"/api/v1/groups/{name}/dropout", body).json()["devicesAffected"] == 4
        wait_until(lambda name=name: running(first, name) == 2, 20, "the dropout")
    assert first.post("/api/v1/devices/gone-0/stop").json()["status"] == "stopped"
    killed(first)
    second = start_service()
    wait_until(lambda: running(second, "back") == 6 and running(second, "gone") == 5, 30, "what ran to run again")
    assert second.get("/api/v1/devices/gone-0").json()["status"] == "stopped"
    assert second.get("/api/v1/groups/gone").json()["byStatus"]["dropped"] == 0


def test_ephemeral_keeps_nothing(start_service, tmp_path):
    first = start_service("--ephemeral")
    assert first.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 1, "groupId": "g"}).status_code == 201
    first.run.signal(signal.SIGTERM)
    first.run.expect(0)
    assert not (tmp_path / "data" / "iotix.db").exists()
    assert start_service("--ephemeral").get("/api/v1/groups").json() == []


class Writer(threading.Thread):
    """Adds and deletes single devices and groups until the service is gone; knows what was acknowledged."""

    def __init__(self, service, number, draw):
        super().__init__(daemon=True)
        self.service, self.number, self.draw = service, number, draw
        self.session = requests.Session()
        self.added, self.deleted, self.unsure = set(), set(), set()
        self.count = 0

    def call(self, method, path, body=None):
        return self.session.request(method, self.service.url + path, json=body, timeout=10).status_code

    def step(self):
        name = f"d{self.number}-{self.count}x"
        self.count += 1
        self.unsure = {name}
        if self.call("POST", "/api/v1/devices", {"modelId": "temperature-sensor-v1", "deviceId": name}) == 201:
            self.added.add(name)
        self.unsure = set()
        if self.added and self.draw.random() < 0.3:
            name = self.draw.choice(sorted(self.added))
            self.unsure = {name}
            if self.call("DELETE", f"/api/v1/devices/{name}") == 204:
                self.added.discard(name)
                self.deleted.add(name)
            self.unsure = set()

    def run(self):
        try:
            while True:
                self.step()
        except requests.RequestException:
            pass


def test_kills_while_it_writes(start_service, tmp_path):
    """50 times: writes from two clients at once, kill -9 at a random moment, a restart. Nothing acknowledged is lost, nothing
    deleted comes back, and the database is sound each time."""
    draw = random.Random(6)
    there, gone = set(), set()
    for n in range(RESTARTS):
        service = start_service()
        names = {d["id"] for d in pages(service)}
        assert there <= names, f"lost after {n} kills: {sorted(there - names)[:5]}"
        assert not gone & names, f"back after {n} kills: {sorted(gone & names)[:5]}"
        if n == 0:
            assert service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": FEW, "groupId": "g"}).ok
            assert service.post("/api/v1/groups/g/start").ok
        else:
            wait_until(lambda: running(service, "g") == FEW, 30, "the group to run again")
        writers = [Writer(service, f"{n}-{k}", draw) for k in range(2)]
        for one in writers:
            one.start()
        time.sleep(draw.uniform(0.01, 0.2))
        killed(service)
        for one in writers:
            one.join(15)
            assert not one.is_alive()
            there = (there | one.added) - one.deleted - one.unsure
            gone = (gone | one.deleted) - one.unsure
        with database(tmp_path) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(there) > RESTARTS, "hardly anything was written"


def pages(service):
    """All devices."""
    offset = 0
    while True:
        page = service.get("/api/v1/devices", params={"limit": 1000, "offset": offset}).json()
        yield from page["items"]
        offset += len(page["items"])
        if not page["hasMore"]:
            return

"""A broker whose name can't be looked up is like one that is down: devices are in error and say why, and run as soon as
the name is known. A library before libc's answers for one name, as a file beside it says."""

import http.client
import json
import os
import subprocess

import pytest

from helpers import alive, preloaded, wait_until, workers
from rest import Service

NAME = "broker.later.example"

RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    const char *folder = getenv("TEST_RESOLVER");
    if (!node || !folder || strcmp(node, "broker.later.example") != 0)
        return next(node, service, hints, list);
    char known[512] = "", slow[512] = "";
    strncat(strcat(strncat(known, folder, 400), "/known"), "", 1);
    strncat(strcat(strncat(slow, folder, 400), "/slow"), "", 1);
    while (access(slow, F_OK) == 0)
        usleep(20000);
    return access(known, F_OK) == 0 ? next("127.0.0.1", service, hints, list) : EAI_AGAIN;
}
"""


@pytest.fixture
def names(tmp_path):
    """The folder in which `known` and `slow` say how the resolver answers."""
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "resolver.c").write_text(RESOLVER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / "resolver.so", folder / "resolver.c", "-ldl"], check=True,
                   timeout=60)
    return folder


@pytest.fixture
def start_service(tmp_path, broker, names):
    started = []

    def start(*arguments):
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        env = {"LD_PRELOAD": preloaded(str(names / "resolver.so")), "TEST_RESOLVER": str(names), "ASAN_OPTIONS": options}
        started.append(Service(tmp_path, broker, "--workers", "1", *arguments, env=env))
        return started[-1]

    yield start
    (names / "slow").unlink(missing_ok=True)
    for one in started:
        one.close()


def elsewhere(broker):
    return {"broker": NAME, "port": int(broker.address.rpartition(":")[2])}


def group(service, name="g"):
    return service.get(f"/api/v1/groups/{name}").json()


def killed(service):
    pids = workers(service.run.pid)
    service.run.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids), 20, "the workers to end")


def make(service, broker, count=3, name="g"):
    body = {"modelId": "temperature-sensor-v1", "count": count, "groupId": name, "overrideConnection": elsewhere(broker)}
    assert service.post("/api/v1/groups", body).status_code == 201


class Waiting:
    """A POST that has arrived when this returns, and is answered some time later."""

    def __init__(self, service, path):
        self.connection = http.client.HTTPConnection(service.host, service.port, timeout=40)
        self.connection.request("POST", path)
        for _ in range(5):  # turns of the service's loop
            assert service.get("/ready").status_code == 200

    def answer(self):
        """Status and body."""
        answer = self.connection.getresponse()
        body = json.loads(answer.read())
        self.connection.close()
        return answer.status, body


def add(service, broker, name):
    body = {"modelId": "temperature-sensor-v1", "deviceId": name, "overrideConnection": elsewhere(broker)}
    assert service.post("/api/v1/devices", body).status_code == 201


def device(service, name):
    return service.get(f"/api/v1/devices/{name}").json()["status"]


def known(names):
    (names / "known").touch()
    (names / "slow").unlink()


def test_a_group_waits_for_the_name(start_service, broker, names):
    service = start_service()
    make(service, broker)
    answer = service.post("/api/v1/groups/g/start")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["status"], shown["devicesStarted"], shown["byStatus"]["error"]) == ("started", 3, 3)
    assert NAME in shown["errorMessage"]
    device = service.get("/api/v1/devices/g-1").json()
    assert device["status"] == "error" and NAME in device["errorMessage"] and "name" in device["errorMessage"]
    assert service.get("/api/v1/devices?status=error").json()["total"] == 3
    wait_until(lambda: service.get("/api/v1/stats").json()["byStatus"]["error"] == 3, 20, "the figures")
    (names / "known").touch()
    wait_until(lambda: group(service)["byStatus"]["running"] == 3, 60, "the devices to run")
    assert "errorMessage" not in group(service)
    assert service.get("/api/v1/devices/g-1").json()["errorMessage"] is None
    assert service.run.err.count("tried again until it works") == 1


def test_after_a_restart_without_names(start_service, broker, names):
    (names / "known").touch()
    first = start_service()
    make(first, broker)
    assert first.post("/api/v1/groups/g/start").status_code == 200
    single = {"modelId": "temperature-sensor-v1", "deviceId": "one", "overrideConnection": elsewhere(broker)}
    assert first.post("/api/v1/devices", single).status_code == 201
    assert first.post("/api/v1/devices/one/start").json()["status"] == "running"
    assert first.post("/api/v1/devices/g-2/stop").json()["status"] == "stopped"
    wait_until(lambda: group(first)["byStatus"]["running"] == 2, 20, "the devices to run")
    killed(first)
    (names / "known").unlink()
    second = start_service()
    wait_until(lambda: group(second)["byStatus"]["error"] == 2, 20, "the name to be missing")
    assert group(second)["byStatus"]["stopped"] == 1
    wait_until(lambda: second.get("/api/v1/devices/one").json()["status"] == "error", 20, "the device to be in error")
    (names / "known").touch()
    wait_until(lambda: group(second)["byStatus"]["running"] == 2, 60, "the group to run")
    wait_until(lambda: second.get("/api/v1/devices/one").json()["status"] == "running", 60, "the device to run")
    assert group(second)["byStatus"]["stopped"] == 1


def test_a_single_device_goes_on_trying(start_service, broker, names):
    service = start_service()
    single = {"modelId": "temperature-sensor-v1", "deviceId": "one", "overrideConnection": elsewhere(broker)}
    assert service.post("/api/v1/devices", single).status_code == 201
    answer = service.post("/api/v1/devices/one/start")
    assert answer.status_code == 200 and answer.json()["status"] == "error" and NAME in answer.json()["errorMessage"]
    assert service.post("/api/v1/devices/one/stop").json()["status"] == "stopped"
    assert service.get("/api/v1/devices/one").json()["errorMessage"] is None
    assert service.post("/api/v1/devices/one/start").json()["status"] == "error"
    (names / "known").touch()
    wait_until(lambda: service.get("/api/v1/devices/one").json()["status"] == "running", 60, "the device to run")


def test_a_name_server_that_does_not_answer(start_service, broker, names):
    """Starts are answered at once all the same; stops and deletions do not wait; nor does the end."""
    (names / "slow").touch()
    service = start_service()
    for name in ("g", "other", "third"):
        make(service, broker, name=name)
        answer = service.post(f"/api/v1/groups/{name}/start")
        assert answer.status_code == 200 and NAME in answer.json()["errorMessage"], answer.text
    assert service.post("/api/v1/groups/g/stop").json()["devicesStopped"] == 3
    assert group(service)["byStatus"]["stopped"] == 3
    assert service.delete("/api/v1/groups/other").status_code == 204
    assert service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 1,
                                           "groupId": "other"}).status_code == 201
    (names / "known").touch()
    (names / "slow").unlink()
    wait_until(lambda: group(service, "third")["byStatus"]["running"] == 3, 60, "the group to run")
    assert group(service)["byStatus"]["stopped"] == 3
    assert group(service, "other")["byStatus"] == dict(group(service)["byStatus"], stopped=0, created=1)
    service.alive()


def test_the_name_of_the_command_line(start_service, broker, names):
    """The service starts without it; whoever goes there is in error until it is known."""
    port = broker.address.rpartition(":")[2]
    service = start_service("--broker", f"{NAME}:{port}")
    assert NAME in service.run.err
    for name in ("a", "b"):
        body = {"modelId": "temperature-sensor-v1", "count": 2, "groupId": name}
        assert service.post("/api/v1/groups", body).status_code == 201
        assert NAME in service.post(f"/api/v1/groups/{name}/start").json()["errorMessage"]
    (names / "known").touch()
    for name in ("a", "b"):
        wait_until(lambda name=name: group(service, name)["byStatus"]["running"] == 2, 60, "the group to run")


def test_the_last_order_to_a_device_holds(start_service, broker, names):
    """Starts that wait for the name do not overtake what is ordered meanwhile."""
    (names / "slow").touch()
    service = start_service()
    for name in ("stopped", "deleted", "again", "other"):
        add(service, broker, name)
    waiting = {name: Waiting(service, f"/api/v1/devices/{name}/start") for name in ("stopped", "deleted", "again")}
    assert service.post("/api/v1/devices/again/stop").json()["status"] == "stopped"
    second = Waiting(service, "/api/v1/devices/again/start")
    assert service.post("/api/v1/devices/stopped/stop").json()["status"] == "stopped"
    assert service.delete("/api/v1/devices/deleted").status_code == 204
    assert device(service, "stopped") == "stopped"
    known(names)
    assert second.answer()[1]["status"] == "running"
    code, body = waiting["stopped"].answer()
    assert (code, body["status"]) == (200, "stopped")
    assert waiting["again"].answer()[0] == 200
    assert waiting["deleted"].answer()[0] == 404
    assert service.post("/api/v1/devices/other/start").json()["status"] == "running"
    assert (device(service, "stopped"), device(service, "again")) == ("stopped", "running")
    assert service.get("/api/v1/devices/stopped/metrics").json()["connectionCount"] == 0
    for name in ("stopped", "again") * 2:
        assert service.post(f"/api/v1/devices/{name}/start").json()["status"] == "running"
        assert service.post(f"/api/v1/devices/{name}/stop").json()["status"] == "stopped"


def test_the_last_order_holds_between_groups_and_devices(start_service, broker, names):
    (names / "slow").touch()
    service = start_service()
    make(service, broker)
    make(service, broker, name="h")
    group_start = Waiting(service, "/api/v1/groups/g/start")
    assert service.post("/api/v1/devices/g-1/stop").json()["status"] == "stopped"
    device_start = Waiting(service, "/api/v1/devices/h-1/start")
    assert service.post("/api/v1/groups/h/stop").status_code == 200
    known(names)
    assert group_start.answer()[0] == 200
    assert device_start.answer()[1]["status"] == "stopped"
    wait_until(lambda: group(service)["byStatus"]["running"] == 2, 60, "the others to run")
    assert device(service, "g-1") == "stopped"
    assert service.post("/api/v1/devices/h-0/start").json()["status"] == "running"
    assert service.get("/api/v1/devices/h-1/metrics").json()["connectionCount"] == 0
    wait_until(lambda: group(service, "h")["byStatus"]["stopped"] == 2, 20, "the states of the group")
    killed(service)
    again = start_service()
    wait_until(lambda: group(again)["byStatus"]["running"] == 2, 60, "the others to run again")
    wait_until(lambda: device(again, "h-0") == "running", 60, "the device to run again")
    assert (device(again, "g-1"), device(again, "h-1")) == ("stopped", "stopped")
    assert group(again)["byStatus"]["stopped"] == 1

"""iotix serve as a command: options, signals, folders of models, locks, the embedded broker, sizes."""

import json
import os
import re
import resource
import signal
import socket
import sqlite3
import time

import pytest
import requests

from helpers import Run, alive, brokers, wait_until, workers
from rest import SENSOR, Service, problem, serving


@pytest.fixture
def service_of(tmp_path, broker):
    """service_of(*arguments, env={}) starts a service in the test's folder."""
    started = []

    def start(*arguments, **options):
        started.append(Service(tmp_path, broker, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def serve(tmp_path):
    """serve(*arguments) runs `iotix serve` as it is."""
    started = []

    def start(*arguments, env=None, limits=None):
        started.append(Run(["serve", *arguments], tmp_path, env, limits))
        return started[-1]

    yield start
    for one in started:
        one.close()


# ---- options ----

@pytest.mark.parametrize("arguments, texts", [
    (["test"], ["test service is not part of this version yet", "iotix serve device"]),
    (["device", "management"], ["management service is not part of this version"]),
    (["devise"], ['no service "devise"', 'did you mean "device"']),
    (["--prot", "1"], ["unknown option --prot", "--port"]),
    (["--port", "70000"], ["70000", "65535"]),
    (["--host", "0.0.0.0"], ["0.0.0.0", "authentication is not part of this version", "127.0.0.1"]),
    (["--ephemeral", "--models", "/no/such/folder"], ["/no/such/folder", "No such file"]),
    (["--log-level", "loud"], ["ERROR, WARN, INFO or DEBUG"]),
    (["--log-format", "xml"], ["text or json"]),
    (["--data-dir", "/proc/nowhere"], ["/proc/nowhere"]),
    (["--ephemeral", "--port", "0", "--broker", "nobody:1:2"], ["nobody:1:2"]),
])
def test_mistakes_are_explained(serve, arguments, texts):
    serve(*arguments).expect(104, *texts)


def test_help_names_every_option(serve):
    shown = serve("--help").expect(0).out
    for option in ("--host", "--port", "--data-dir", "--ephemeral", "--models", "--broker", "--bind", "--workers",
                   "--allow-env", "--allow-host", "--connect-rate", "--log-level", "--log-format", "DEVICE_MODEL_PATH"):
        assert option in shown


def test_other_addresses_only_for_development(service_of):
    service = service_of("--host", "0.0.0.0", env={"IOTIX_DEV": "1"})
    assert "everybody who reaches this address" in service.run.err


def test_a_port_that_is_taken(service_of, serve, broker):
    service = service_of()
    serve("--ephemeral", "--broker", broker.address, "--port", str(service.port)).expect(
        104, f"127.0.0.1:{service.port}|port {service.port}", "in use|another")
    service.alive()


def test_one_service_to_a_data_folder(service_of, serve, broker, tmp_path):
    service = service_of()
    serve("--data-dir", str(tmp_path / "data"), "--broker", broker.address, "--port", "0").expect(
        104, "another iotix service", str(service.run.pid), "--data-dir")
    service.alive()


def test_log_as_json(service_of):
    service = service_of("--log-format", "json")
    service.run.signal(signal.SIGHUP)
    service.run.wait_for("SIGHUP")
    lines = [json.loads(line) for line in service.run.err.splitlines()]
    assert all(set(line) == {"time", "level", "message"} for line in lines)
    assert lines[-1]["level"] == "INFO"


# ---- the end ----

def test_sigterm_drains(service_of, broker, observe):
    """Devices disconnect politely (no will), requests end, nothing stays behind, and it takes seconds."""
    service = service_of()
    model = {**SENSOR, "id": "willed"}
    model["connection"] = {**SENSOR["connection"], "will": {"topic": "wills/${deviceId}", "payload": "gone"}}
    seen = observe(broker, "wills/#")
    assert service.post("/api/v1/models", model).status_code == 201
    service.post("/api/v1/groups", {"modelId": "willed", "count": 50, "groupId": "w"})
    service.post("/api/v1/groups/w/start")
    wait_until(lambda: service.get("/api/v1/groups/w").json()["connected"] == 50, 30, "the group")
    pids = workers(service.run.pid)
    service.run.signal(signal.SIGTERM)
    service.run.expect(0)
    assert not any(alive(pid) for pid in pids)
    seen.settle()
    assert seen.messages == []


def test_the_embedded_broker_comes_back(serve):
    """With a free port and nothing given, a broker of its own; when that dies it is started again, on its port."""
    run = serve("--ephemeral", "--port", "0", "--broker", "embedded")
    port = int(run.wait_for(r"embedded mosquitto on 127\.0\.0\.1:(\d+)").group(1))
    found = wait_until(lambda: brokers(run.pid), 20, "the broker")
    os.kill(found[0], signal.SIGKILL)
    run.wait_for(rf"embedded broker is back on port {port}", 60)


def test_more_devices_than_the_embedded_broker_holds(serve):
    """What happens and what to do is in the start's answer, in the log and the figures; the log does not go on and on."""
    run = serve("--ephemeral", "--port", "0", "--broker", "embedded",
                limits=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    url = run.wait_for(r"http://[\d.]+:\d+").group()
    body = {"modelId": "temperature-sensor-v1", "count": 200, "groupId": "many"}
    assert requests.post(f"{url}/api/v1/groups", json=body, timeout=20).status_code == 201
    started = requests.post(f"{url}/api/v1/groups/many/start", timeout=20).json()
    assert started["devicesStarted"] == 200
    assert re.search(r"200 clients are more than the embedded broker can hold: \d+.*--nofile=", started["advice"][0])
    run.wait_for(r"200 clients are more than the embedded broker can hold")
    run.wait_for(r"the embedded broker lets nobody more in at \d+ connections.*may have 100 descriptors.*--nofile", 60)

    def advice():
        return requests.get(f"{url}/api/v1/stats", timeout=20).json()["advice"]

    assert wait_until(lambda: len(advice()) == 2 and advice(), 20, "the advice")[1].startswith("the embedded broker lets")
    run.wait_for(r"\(×\d{3,}\)", 60)
    repeated = [line for line in run.err.splitlines() if "many: connection" in line]
    assert len(repeated) <= 20, run.err
    assert sum("lets nobody more in" in line for line in run.err.splitlines()) == 1
    assert requests.delete(f"{url}/api/v1/groups/many", timeout=60).status_code == 204
    wait_until(lambda: not any("200 clients" in line for line in advice()), 20, "the advice to go with the group")


def test_a_worker_that_dies_again_and_again(service_of):
    """Five deaths in a row are too many for a run; a service tries on, and its devices come back."""
    service = service_of("--workers", "1")
    service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 5, "groupId": "g"})
    service.post("/api/v1/groups/g/start")
    for _ in range(5):
        wait_until(lambda: service.get("/api/v1/groups/g").json()["connected"] == 5, 40, "the devices")
        pid = workers(service.run.pid)[0]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), 20, "its end")
        wait_until(lambda: [w for w in workers(service.run.pid) if w != pid], 60, "a successor")
    assert "started again" in service.run.err
    wait_until(lambda: service.get("/api/v1/groups/g").json()["connected"] == 5, 60, "the devices to be back")
    wait_until(lambda: service.get("/api/v1/stats").json()["workerRestarts"] == 5, 10, "the figure")
    service.alive()


# ---- the database ----

def change(path, statement):
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def break_it(path):
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def of_later_version(path):
    change(path, "PRAGMA user_version = 999")


def of_somebody_else(path):
    path.unlink()
    change(path, "CREATE TABLE recipes(name TEXT)")


def no_database(path):
    path.write_bytes(b"this is not a database, but somebody's notes\n" * 100)


@pytest.mark.parametrize("spoil, text", [
    (break_it, "left as it is"), (of_later_version, "later version"), (of_somebody_else, "another program"),
    (no_database, "left as it is"),
])
def test_databases_that_can_not_be_used(service_of, serve, broker, tmp_path, spoil, text):
    """A clear message, and nothing is overwritten."""
    service = service_of()
    service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 1, "groupId": "g"})
    service.run.signal(signal.SIGTERM)
    service.run.expect(0)
    path = tmp_path / "data" / "iotix.db"
    spoil(path)
    before = path.read_bytes()
    serve("--data-dir", str(tmp_path / "data"), "--broker", broker.address, "--port", "0").expect(
        104, "iotix.db", text)
    assert path.read_bytes() == before


def test_a_full_disk(service_of, tmp_path):
    """What can't be kept is refused and not there; when there is room again, it works again."""
    service = service_of()
    used = max(path.stat().st_size for path in (tmp_path / "data").iterdir())
    whole = resource.prlimit(service.run.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.run.pid, resource.RLIMIT_FSIZE, (used + 40_000, whole[1]))
    kept, refused = [], None
    for n in range(200):
        answer = service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 3, "groupId": f"g{n}"})
        if answer.status_code != 201:
            refused = f"g{n}"
            problem(answer, 503)
            break
        kept.append(f"g{n}")
    assert kept and refused, "the limit was never met"
    assert [g["groupId"] for g in service.get("/api/v1/groups").json()] == kept
    resource.prlimit(service.run.pid, resource.RLIMIT_FSIZE, whole)
    assert service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 3, "groupId": refused}).ok
    service.run.kill()
    again = service_of()
    assert [g["groupId"] for g in again.get("/api/v1/groups").json()] == [*kept, refused]


# ---- models of files ----

def write_model(path, **changes):
    path.write_text(json.dumps({**SENSOR, **changes}), encoding="utf-8")


def model(service, name):
    answer = service.get(f"/api/v1/models/{name}")
    return answer.json() if answer.ok else None


def test_models_of_files_are_read_again(service_of, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "a.json", id="from-file", name="first")
    service = service_of(env={"DEVICE_MODEL_PATH": str(folder)})
    assert model(service, "from-file")["name"] == "first"
    assert model(service, "ecg-monitor-v1"), "the shipped models are there as well"

    write_model(folder / "a.json", id="from-file", name="second")
    wait_until(lambda: model(service, "from-file")["name"] == "second", 20, "the changed file")
    (folder / "a.json").write_text('{"id": "from-file", "name": "third", "type": "toaster"}', encoding="utf-8")
    service.run.wait_for("a.json.*fault", 20)
    assert model(service, "from-file")["name"] == "second", "the model that was read before stays"

    write_model(folder / "b.json", id="new-file")
    wait_until(lambda: model(service, "new-file"), 20, "a new file")
    (folder / "b.json").unlink()
    wait_until(lambda: not model(service, "new-file"), 20, "the file to be missed")

    service.post("/api/v1/groups", {"modelId": "from-file", "count": 1, "groupId": "g"})
    (folder / "a.json").unlink()
    service.run.wait_for("model stays while devices use it|from-file.*stays", 20)
    assert model(service, "from-file")
    problem(service.delete("/api/v1/models/ecg-monitor-v1"), 409)


def test_models_of_a_folder_that_is_swapped(service_of, tmp_path):
    """As Kubernetes mounts them: files are links through ..data, and an update swaps that one."""
    folder = tmp_path / "mounted"
    for version in ("old", "new"):
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "swapped.json").write_text(json.dumps({**SENSOR, "id": "swapped", "name": version}))
    (folder / "..data").symlink_to("..old")
    (folder / "swapped.json").symlink_to("..data/swapped.json")
    service = service_of("--models", folder)
    assert service.get("/api/v1/models/swapped").json()["name"] == "old"
    (folder / "..tmp").symlink_to("..new")
    (folder / "..tmp").rename(folder / "..data")
    wait_until(lambda: service.get("/api/v1/models/swapped").json()["name"] == "new", 20, "the new model")


def test_sighup_reads_models(service_of, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    service = service_of("--models", str(folder))
    write_model(folder / "late.json", id="late")
    service.run.signal(signal.SIGHUP)
    wait_until(lambda: model(service, "late"), 20, "the model")


# ---- sizes ----

def test_a_million_devices_in_a_group(service_of):
    """Made at once and listed by pages; their ids lead back to them."""
    service = service_of()
    created = service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 1_000_000, "groupId": "huge",
                                              "idPattern": "huge-{index}"})
    assert created.status_code == 201 and created.json()["deviceCount"] == 1_000_000
    page = service.get("/api/v1/devices", params={"groupId": "huge", "limit": 3, "offset": 999_998}).json()
    assert [d["id"] for d in page["items"]] == ["huge-999998", "huge-999999"]
    assert page["total"] == 1_000_000 and page["hasMore"] is False
    assert service.get("/api/v1/devices/huge-123456").json()["index"] == 123456
    problem(service.get("/api/v1/devices/huge-1000000"), 404)
    problem(service.get("/api/v1/devices/huge-007"), 404)
    assert service.delete("/api/v1/devices/huge-0").status_code == 204
    page = service.get("/api/v1/devices", params={"groupId": "huge", "limit": 1}).json()
    assert page["items"][0]["id"] == "huge-1" and page["total"] == 999_999
    created = service.get("/api/v1/devices", params={"groupId": "huge", "status": "created", "limit": 2, "offset": 500_000}).json()
    assert [d["id"] for d in created["items"]] == ["huge-500001", "huge-500002"]
    problem(service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 1_000_001}), 400, "count")
    assert service.delete("/api/v1/groups/huge").status_code == 204
    assert service.get("/health").json()["deviceCount"] == 0


def test_pages_of_a_running_group(service_of):
    """Every device once, whatever the filter; filters by status follow what happens."""
    service = service_of("--workers", "2")
    count = 3000
    service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": count, "groupId": "g"})
    service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 10, "groupId": "other"})
    service.post("/api/v1/groups/g/start")
    wait_until(lambda: service.get("/api/v1/groups/g").json()["connected"] == count, 60, "the group")

    def ids(**filters):
        found, page = [], 1
        while True:
            answer = service.get("/api/v1/devices", params={"page": page, "pageSize": 700, **filters}).json()
            found += [d["id"] for d in answer["items"]]
            if not answer["hasMore"]:
                assert answer["total"] == len(found)
                return found
            page += 1

    assert ids(groupId="g") == [f"g-{i}" for i in range(count)]
    assert ids(groupId="g", status="running") == [f"g-{i}" for i in range(count)]
    assert ids(status="created") == [f"other-{i}" for i in range(10)]
    assert len(ids(modelId="temperature-sensor-v1")) == count + 10
    assert ids(modelId="ecg-monitor-v1") == []
    dropped = service.post("/api/v1/groups/g/dropout", {"strategy": "immediate", "count": 1234}).json()
    assert dropped["devicesAffected"] == 1234
    wait_until(lambda: service.get("/api/v1/groups/g").json()["byStatus"]["dropped"] == 1234, 30, "the dropout")
    assert len(set(ids(status="dropped"))) == 1234
    assert len(set(ids(status="running"))) == count - 1234


def test_states_of_a_group_that_follows_a_deleted_one(service_of):
    """Its devices take the places of those before, in another order; the first look at them is right."""
    service = service_of("--ephemeral")
    for name in ("before", "after"):
        body = {"modelId": "temperature-sensor-v1", "count": 50, "groupId": name}
        assert service.post("/api/v1/groups", body).status_code == 201
        assert service.post(f"/api/v1/groups/{name}/start").status_code == 200
        wait_until(lambda: service.get(f"/api/v1/groups/{name}").json()["byStatus"]["running"] == 50, 30, "the group")
        devices = service.get(f"/api/v1/devices?groupId={name}").json()["items"]
        assert [d["status"] for d in devices] == ["running"] * 50
        assert service.delete(f"/api/v1/groups/{name}").status_code == 204


def test_more_groups_than_can_be_at_work(service_of):
    """511 groups at most are at work: stopped ones make room for others, and come back when they are started."""
    service = service_of("--ephemeral")
    for number in range(520):
        body = {"modelId": "temperature-sensor-v1", "count": 1, "groupId": f"g{number}"}
        assert service.post("/api/v1/groups", body).status_code == 201
        answer = service.post(f"/api/v1/groups/g{number}/start")
        assert answer.status_code == 200, (number, answer.text)
        assert service.post(f"/api/v1/groups/g{number}/stop").status_code == 200
    assert service.get("/api/v1/groups/g0").json()["byStatus"]["stopped"] == 1
    assert service.post("/api/v1/groups/g0/start").status_code == 200
    wait_until(lambda: service.get("/api/v1/groups/g0").json()["connected"] == 1, 20, "the first one")


def test_groups_come_and_go(service_of):
    """More groups than there are places for their counters, one after the other: each place is used again, sums stay."""
    service = service_of("--workers", "1")
    sent = 0
    for n in range(40):
        name = f"g{n}"
        service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 2, "groupId": name})
        service.post(f"/api/v1/groups/{name}/start")
        wait_until(lambda: service.get(f"/api/v1/groups/{name}").json()["connected"] == 2, 30, "the group")
        assert service.delete(f"/api/v1/groups/{name}").status_code == 204
    time.sleep(1.1)
    sent = service.get("/api/v1/stats").json()["messagesSent"]
    assert sent >= 40
    assert service.get("/api/v1/devices").json()["total"] == 0
    time.sleep(1.1)
    assert service.get("/api/v1/stats").json()["messagesSent"] == sent


# ---- models that try what they should not ----

HOSTILE = [
    ({"telemetry": [{"name": "x", "type": "string", "intervalMs": 1000,
                     "generator": {"type": "replay", "dataFile": "/etc/passwd"}}]}, 201),
    ({"telemetry": [{"name": "x", "type": "binary", "intervalMs": 1000,
                     "generator": {"type": "constant", "file": "../../../../etc/shadow"}}]}, 201),
    ({"connection": {"passwordRef": "file:/etc/passwd"}}, 400),
    ({"connection": {"passwordRef": "env:SECRET"}}, 400),
    ({"connection": {"username": "${env.SECRET}"}}, 400),
    ({"connection": {"tls": {"ca": "/etc/ssl/certs/ca-certificates.crt"}}}, 400),
    ({"connection": {"tls": {"cert": "/etc/passwd", "key": "/etc/passwd"}}}, 400),
    ({"children": [{"model": "/etc/passwd", "count": 1}], "type": "gateway"}, 400),
    ({"children": [{"model": "../secret.json", "count": 1}], "type": "gateway"}, 400),
    ({"telemetry": [{"name": "x", "type": "number", "intervalMs": 1000,
                     "generator": {"type": "custom", "handler": "../../evil"}}]}, 400),
    ({"telemetry": [{"name": "x", "type": "number", "intervalMs": 1000,
                     "generator": {"type": "custom", "handler": "/tmp/evil.lua"}}]}, 400),
    ({"behaviors": [{"name": "b", "handler": "..%2fevil"}]}, 400),
]


@pytest.mark.parametrize("changes, status", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_models(hostile_service, changes, status):
    """Files outside of the data folders, secrets and code stay out of reach: refused at once, or when a device would read
    them. What is refused does not tell what is in the file."""
    service = hostile_service
    body = {**SENSOR, "id": f"hostile-{HOSTILE.index((changes, status))}", **changes}
    answer = service.post("/api/v1/models", body)
    assert answer.status_code == status, answer.text
    assert "root:" not in answer.text and "geheim" not in answer.text
    if status == 201:
        warned = answer.json().get("warnings", [])
        assert warned, "a file that can't be read is warned of"
        service.post("/api/v1/devices", {"modelId": body["id"], "deviceId": body["id"]})
        started = service.post(f"/api/v1/devices/{body['id']}/start")
        assert started.status_code >= 400 or started.json()["status"] == "error", started.text
        assert "root:" not in started.text
    service.alive()


@pytest.fixture(scope="module")
def hostile_service(tmp_path_factory):
    with serving(tmp_path_factory, env={"SECRET": "geheim"}) as service:
        yield service


def test_a_service_manager_is_told(service_of, tmp_path):
    """sd_notify: ready once it answers, and that it ends."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        service = service_of(env={"NOTIFY_SOCKET": path})
        assert manager.recv(100) == b"READY=1"
        service.run.signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
    service.run.expect(0)

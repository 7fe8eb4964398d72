"""Clients of the reference platform: their curl lines as they are, with only the address and ids exchanged."""

import json
import shlex
import subprocess

import pytest

from helpers import wait_until
from rest import SENSOR, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory) as one:
        model = dict(SENSOR, id="reference-sensor")
        assert one.post("/api/v1/models", model).status_code == 201
        for group in ("sensor-group", "production-sensors", "critical-sensors", "field-devices"):
            answer = one.post("/api/v1/groups", {"modelId": "reference-sensor", "count": 20, "groupId": group})
            assert answer.status_code == 201, answer.text
            assert one.post(f"/api/v1/groups/{group}/start", {}).status_code == 200
            running(one, group, 20)
        yield one


def running(service, group, count):
    wait_until(lambda: service.get(f"/api/v1/groups/{group}").json()["connected"] >= count, 30,
               lambda: service.get(f"/api/v1/groups/{group}").text)


def curl(service, line):
    """Runs a line of a shell; the answer's status and JSON."""
    line = line.replace("http://localhost:8080", service.url)
    words = shlex.split(line.replace("\\\n", " "))
    assert words[0] == "curl"
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code}", *words[1:]],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(body) if body else None


GROUP_FIELDS = {"groupId", "deviceCount", "devicesCreated", "devicesStarted", "devicesStopped", "status"}


def test_health_and_models(service):
    status, health = curl(service, "curl http://localhost:8080/health")
    assert status == 200 and health["status"] == "healthy"
    assert {"version", "uptimeSeconds", "deviceCount", "runningDeviceCount"} <= set(health)
    status, models = curl(service, "curl http://localhost:8080/api/v1/models")
    assert status == 200 and isinstance(models, list)
    ids = [model["id"] for model in models]
    assert "temperature-sensor-v1" in ids and "environmental-sensor-v1" in ids and ids == sorted(ids)


def test_a_group_and_its_launches(service):
    status, group = curl(service, r"""curl -X POST http://localhost:8080/api/v1/groups \
  -H "Content-Type: application/json" \
  -d '{
    "modelId": "temperature-sensor-v1",
    "count": 5000,
    "groupId": "temp-sensors-batch-1",
    "idPattern": "temp-sensor-{index}"
  }'""")
    assert status == 201 and GROUP_FIELDS <= set(group)
    assert group["groupId"] == "temp-sensors-batch-1" and group["status"] == "created"
    assert group["deviceCount"] == group["devicesCreated"] == 5000
    assert group["devicesStarted"] == group["devicesStopped"] == 0
    status, again = curl(service, """curl -X POST http://localhost:8080/api/v1/groups
        -H "Content-Type: application/json" -d '{"modelId": "temperature-sensor-v1", "count": 1,
        "groupId": "temp-sensors-batch-1"}'""".replace("\n", " "))
    assert status == 409 and again["status"] == 409

    status, page = curl(service, 'curl "http://localhost:8080/api/v1/devices?groupId=temp-sensors-batch-1"')
    assert status == 200 and page["total"] == 5000 and page["hasMore"] is True and page["page"] == 1
    assert page["items"][0]["id"] == "temp-sensor-0" and len(page["items"]) == page["pageSize"]


@pytest.mark.parametrize("settings", [
    """{
    "strategy": "immediate"
  }""",
    """{
    "strategy": "linear",
    "delayMs": 10
  }""",
    """{
    "strategy": "batch",
    "batchSize": 100,
    "delayMs": 1000
  }""",
    """{
    "strategy": "exponential",
    "delayMs": 1,
    "exponentBase": 1.1,
    "maxDelayMs": 5000
  }""",
    """{
  "strategy": "batch",
  "delayMs": 1000,
  "batchSize": 100,
  "maxDelayMs": 60000,
  "exponentBase": 1.5
}""",
])
def test_launch_strategies(service, settings):
    service.delete("/api/v1/groups/launched")
    assert service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 30, "groupId": "launched",
                                           "idPattern": "launched-{index}"}).status_code == 201
    status, group = curl(service, "curl -X POST http://localhost:8080/api/v1/groups/launched/start \\\n"
                                  '  -H "Content-Type: application/json" \\\n' + f"  -d '{settings}'")
    assert status == 200 and GROUP_FIELDS <= set(group), group
    assert group["status"] == "started" and group["devicesStarted"] == 30 and group["deviceCount"] == 30
    running(service, "launched", 30)

    status, stopped = curl(service, "curl -X POST http://localhost:8080/api/v1/groups/launched/stop")
    assert status == 200 and stopped["status"] == "stopped" and GROUP_FIELDS <= set(stopped)
    wait_until(lambda: service.get("/api/v1/groups/launched").json()["devicesStopped"] == 30, 20, "all to be stopped")
    status, nothing = curl(service, "curl -X DELETE http://localhost:8080/api/v1/groups/launched")
    assert status == 204 and nothing is None
    assert service.get("/api/v1/groups/launched").status_code == 404
    assert service.get("/api/v1/devices?groupId=launched").json()["total"] == 0


def test_stagger_in_the_query(service):
    assert service.post("/api/v1/groups", {"modelId": "temperature-sensor-v1", "count": 5, "groupId": "staggered"})
    status, group = curl(service, "curl -X POST http://localhost:8080/api/v1/groups/staggered/start?staggerMs=5")
    assert status == 200 and group["devicesStarted"] == 5
    running(service, "staggered", 5)


def test_stats(service):
    status, stats = curl(service, "curl http://localhost:8080/api/v1/stats")
    assert status == 200
    assert {"deviceCount", "runningDeviceCount", "messagesSent", "messagesReceived", "bytesSent", "groupCount",
            "modelCount", "uptimeSeconds"} <= set(stats)
    assert stats["runningDeviceCount"] > 0
    wait_until(lambda: service.get("/api/v1/stats").json()["messagesSent"] > 0, 20, "messages")


# Each dropout of the reference with what it takes of 20 running devices.
DROPOUTS = [
    ("sensor-group", '{\n    "strategy": "immediate",\n    "percentage": 50\n  }', 10),
    ("sensor-group", '{\n    "strategy": "linear",\n    "count": 100,\n    "delayMs": 1000\n  }', None),
    ("sensor-group",
     '{\n    "strategy": "exponential",\n    "percentage": 30,\n    "delayMs": 100,\n    "exponentBase": 1.5\n  }', None),
    ("sensor-group", '{\n    "strategy": "random",\n    "percentage": 25,\n    "durationMs": 60000\n  }', None),
    ("production-sensors",
     '{\n    "strategy": "immediate",\n    "percentage": 30,\n    "reconnect": true,\n    "reconnectDelayMs": 120000\n  }',
     6),
    ("critical-sensors",
     '{\n    "strategy": "exponential",\n    "percentage": 50,\n    "delayMs": 1000,\n    "exponentBase": 2.0\n  }', 10),
    ("field-devices",
     '{\n    "strategy": "random",\n    "count": 200,\n    "durationMs": 300000,\n    "reconnect": true,\n'
     '    "reconnectDelayMs": 60000\n  }', 20),
    ("sensor-group",
     '{\n    "strategy": "linear",\n    "percentage": 20,\n    "delayMs": 500,\n    "reconnect": true,\n'
     '    "reconnectDelayMs": 30000\n  }', None),
]


@pytest.mark.parametrize("group, settings, affected", DROPOUTS)
def test_dropouts(service, group, settings, affected):
    status, dropout = curl(service, f"curl -X POST http://localhost:8080/api/v1/groups/{group}/dropout \\\n"
                                    '  -H "Content-Type: application/json" \\\n' + f"  -d '{settings}'")
    assert status == 200, dropout
    assert dropout["groupId"] == group and dropout["status"] == "dropout_initiated"
    assert dropout["dropoutStrategy"] == json.loads(settings)["strategy"]
    assert dropout["estimatedDurationMs"] >= 0
    if affected is not None:
        assert dropout["devicesAffected"] == affected


def test_half_of_a_group_drops(service):
    for call in ("", "/start"):
        body = {} if call else {"modelId": "reference-sensor", "count": 40, "groupId": "halved"}
        assert service.post("/api/v1/groups" + ("/halved/start" if call else ""), body).ok
    running(service, "halved", 40)
    status, dropout = curl(service, """curl -X POST http://localhost:8080/api/v1/groups/halved/dropout \\
  -H "Content-Type: application/json" \\
  -d '{
    "strategy": "immediate",
    "percentage": 50
  }'""")
    assert status == 200 and dropout["devicesAffected"] == 20
    wait_until(lambda: service.get("/api/v1/devices?groupId=halved&status=dropped").json()["total"] == 20, 20,
               "half to be dropped")


def test_one_device(service):
    status, device = curl(service, """curl -X POST http://localhost:8080/api/v1/devices \\
  -H "Content-Type: application/json" \\
  -d '{"modelId": "temperature-sensor-v1"}'""")
    assert status == 201 and device["status"] == "created" and device["connectionState"] == "disconnected"
    assert {"id", "modelId", "groupId", "status", "connectionState", "createdAt", "startedAt", "lastTelemetryAt",
            "errorMessage"} <= set(device)
    name = device["id"]
    status, started = curl(service, f"curl -X POST http://localhost:8080/api/v1/devices/{name}/start")
    assert status == 200 and started["status"] == "running" and started["connectionState"] == "connected"
    status, metrics = curl(service, f"curl http://localhost:8080/api/v1/devices/{name}/metrics")
    assert status == 200 and metrics["deviceId"] == name
    assert {"messagesSent", "messagesReceived", "bytesSent", "bytesReceived", "connectionCount", "errorCount",
            "lastTelemetry"} <= set(metrics)
    assert metrics["connectionCount"] == 1
    stopped = service.post(f"/api/v1/devices/{name}/stop").json()
    assert stopped["status"] == "stopped" and stopped["connectionState"] == "disconnected"
    assert service.delete(f"/api/v1/devices/{name}").status_code == 204
    assert service.get(f"/api/v1/devices/{name}").status_code == 404

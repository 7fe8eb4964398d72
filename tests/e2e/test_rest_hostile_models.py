"""Models from REST can't read what they shouldn't: files, environment variables, handlers by path. Each is tried with a
secret, which must come up nowhere: not in an answer, not in a message, not in the log."""

import os

import pytest

from helpers import Observer, wait_until
from rest import SENSOR, problem, serving

SECRET = "kUx9fQ2sEcReT7hB"


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """Files that hold the secret: text, numbers, Lua."""
    folder = tmp_path_factory.mktemp("secret")
    (folder / "secret.txt").write_text(SECRET + "\n")
    (folder / "secret.csv").write_text("value\n" + (SECRET + "\n") * 50)
    (folder / "handler.lua").write_text(f'return function() return function() return "{SECRET}" end end\n')
    (folder / "key.pem").write_text(SECRET)
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory, secret):
    with serving(tmp_path_factory, env={"HOSTILE_SECRET": SECRET}) as one:
        one.observer = Observer(one.broker)
        yield one
        one.alive()
        one.observer.close()
        assert SECRET not in one.run.out + one.run.err
        assert all(SECRET.encode() not in m.payload and SECRET not in m.topic for m in one.observer.messages)
        assert SECRET not in one.broker.log


def with_generator(kind="string", **generator):
    return dict(SENSOR, commands=[], telemetry=[{"name": "v", "type": kind, "intervalMs": 50, "generator": generator}])


def with_connection(**connection):
    return dict(SENSOR, commands=[], connection=dict(SENSOR["connection"], **connection))


def models(secret):
    relative = os.path.relpath(secret, "/data")
    for path in (f"{secret}/secret.csv", f"../../../../../../../../{secret}/secret.csv", f"{relative}/secret.csv",
                 f"/data/../{secret}/secret.csv", f"file://{secret}/secret.csv", f"embedded:../{secret}/secret.csv",
                 "/proc/self/environ", "/proc/self/fd/0", "/dev/stdin", "/dev/zero", "..", ".", "/"):
        yield f"replay {path}", with_generator(type="replay", dataFile=path)
    yield "binary file", with_generator("binary", type="constant", dataFile=f"{secret}/secret.txt")
    yield "binary environ", with_generator("binary", type="constant", dataFile="/proc/self/environ")
    for name in (f"{secret}/handler", "../handler", "../../secret/handler", "handler.lua", "os", "io", "ffi", "a/b", "a\\b",
                 "handler\u0000", "", "iotix.core", "/etc/passwd"):
        yield f"generator {name}", with_generator(type="custom", handler=name)
        yield f"behavior {name}", dict(SENSOR, commands=[], behaviors=[{"name": "b", "handler": name}])
    for text in ("${env.HOSTILE_SECRET}", "x-${env.HOSTILE_SECRET}-${deviceId}", "${env.PATH}"):
        yield f"topic {text}", with_connection(topicPattern=text + "/${deviceId}")
        yield f"user {text}", with_connection(username=text)
        yield f"password {text}", with_connection(username="u", password=text)
        yield f"client {text}", with_connection(clientIdPattern=text + "${deviceId}")
        yield f"will {text}", with_connection(will={"topic": "will", "payload": text})
        yield f"constant {text}", with_generator(type="constant", value=text)
        yield f"publish {text}", dict(SENSOR, commands=[], behaviors=[
            {"name": "b", "trigger": {"type": "connect"}, "action": {"type": "publish", "topic": "leak", "payload": text}}])
    for reference in ("env:HOSTILE_SECRET", f"file:{secret}/secret.txt", f"file:../../..{secret}/secret.txt",
                      "file:/proc/self/environ"):
        yield f"passwordRef {reference}", with_connection(username="u", passwordRef=reference)
    for field in ("ca", "cert", "key"):
        yield f"tls {field}", with_connection(tls={field: f"{secret}/key.pem"})
    yield "child", dict(SENSOR, type="gateway", commands=[], children=[{"model": f"{secret}/model.json", "count": 1}])
    yield "child by path", dict(SENSOR, type="gateway", commands=[], children=[{"model": "../../etc/passwd", "count": 1}])


def test_nothing_leaks(service, secret):
    refused = started = 0
    for number, (name, model) in enumerate(models(secret)):
        model = dict(model, id=f"hostile-{number}")
        answer = service.post("/api/v1/models", model)
        assert SECRET not in answer.text, name
        if answer.status_code == 400:
            problem(answer, 400)
            refused += 1
            continue
        assert answer.status_code == 201, (name, answer.status_code, answer.text)
        made = service.post("/api/v1/devices", {"modelId": model["id"], "deviceId": f"h-{number}"})
        assert SECRET not in made.text and made.status_code in (201, 400), (name, made.text)
        if made.status_code == 201:
            start = service.post(f"/api/v1/devices/h-{number}/start")
            assert SECRET not in start.text and start.status_code in (200, 400, 409), (name, start.status_code, start.text)
            metrics = service.get(f"/api/v1/devices/h-{number}/metrics")
            assert SECRET not in metrics.text, name
            started += 1
    service.observer.settle(0.3, 3) if not started else None
    assert refused > 20
    for path in ("/api/v1/models", "/api/v1/devices?pageSize=1000", "/metrics", "/api/v1/groups"):
        assert SECRET not in service.get(path).text


def test_a_harmless_model_still_works(service):
    assert service.post("/api/v1/models", dict(SENSOR, id="harmless")).status_code == 201
    assert service.post("/api/v1/devices", {"modelId": "harmless", "deviceId": "harmless-1"}).status_code == 201
    assert service.post("/api/v1/devices/harmless-1/start").json()["status"] == "running"
    wait_until(lambda: any("harmless-1" in m.topic for m in service.observer.messages), 20, "its telemetry")


def test_overrides_are_checked_like_models(service, secret):
    service.post("/api/v1/models", dict(SENSOR, id="overridden"))
    for number, connection in enumerate(({"username": "${env.HOSTILE_SECRET}"}, {"passwordRef": "env:HOSTILE_SECRET"},
                                         {"topicPattern": "${env.HOSTILE_SECRET}/${deviceId}"}, {"qos": 7}, {"nonsense": 1})):
        answer = service.post("/api/v1/groups", {"modelId": "overridden", "count": 2, "groupId": f"o-{number}",
                                                 "overrideConnection": connection})
        assert SECRET not in answer.text
        if answer.status_code == 201:
            start = service.post(f"/api/v1/groups/o-{number}/start")
            assert SECRET not in start.text
            assert start.status_code in (200, 400), start.text
        else:
            problem(answer, 400)

"""The OpenAPI document: valid, true, and complete. Every operation in it is called, and every answer is held against what
the document says about it."""

import copy
import socket

import jsonschema
import pytest
import requests

from helpers import wait_until
from rest import SENSOR, serving

METHODS = {"get", "put", "post", "delete"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory) as one:
        yield one


@pytest.fixture(scope="module")
def document(service):
    return service.get("/openapi.json").json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def schemas(node):
    """Every schema below a node of the document."""
    if isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]
        for value in node.values():
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_valid(document):
    """Structure by the rules of OpenAPI 3.1; each schema by JSON Schema 2020-12."""
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] and document["info"]["version"]
    check = jsonschema.Draft202012Validator.check_schema
    for schema in document["components"]["schemas"].values():
        check(schema)
    for schema in schemas(document["paths"]):
        check(schema)
    for reference in references(document):
        assert reference.startswith("#/components/schemas/"), reference
        assert reference.rsplit("/", 1)[1] in document["components"]["schemas"], reference
    seen = set()
    for method, path, operation in operations(document):
        assert method in METHODS and path.startswith("/")
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        assert operation["summary"] and operation["tags"]
        parameters = operation.get("parameters", [])
        variables = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        assert {p["name"] for p in parameters if p["in"] == "path"} == variables
        for parameter in parameters:
            assert parameter["in"] in ("path", "query") and parameter["description"] and "schema" in parameter
            assert parameter["in"] != "path" or parameter["required"] is True
        assert operation["responses"]
        for status, answer in operation["responses"].items():
            assert 100 <= int(status) < 600 and answer["description"]
            for media in answer.get("content", {}).values():
                assert set(media) <= {"schema"}
        if "requestBody" in operation:
            assert list(operation["requestBody"]["content"]) == ["application/json"]
            assert method in ("put", "post")


def validate(document, operation, answer):
    """The answer is one of those that the document names, of that type, and fits its schema."""
    described = operation["responses"].get(str(answer.status_code))
    assert described, f"{operation['operationId']} does not know {answer.status_code}: {answer.text[:300]}"
    if "content" not in described:
        assert answer.content == b""
        return
    kind = answer.headers["Content-Type"].split(";")[0]
    assert kind in described["content"], f"{operation['operationId']}: {kind}"
    if kind.endswith("json"):
        schema = dict(copy.deepcopy(described["content"][kind]["schema"]), components=document["components"])
        jsonschema.Draft202012Validator(schema, format_checker=jsonschema.draft202012_format_checker).validate(
            answer.json())


class Caller:
    """Calls operations by their id and validates each answer."""

    def __init__(self, service, document):
        self.service, self.document = service, document
        self.operations = {o["operationId"]: (m, p, o) for m, p, o in operations(document)}
        self.called = set()

    def __call__(self, operation_id, status, body=None, query=None, **variables):
        method, path, operation = self.operations[operation_id]
        answer = self.service.ask(method.upper(), path.format(**variables), body, params=query)
        assert answer.status_code == status, f"{operation_id}: {answer.status_code} {answer.text[:500]}"
        validate(self.document, operation, answer)
        if status < 400:
            self.called.add(operation_id)
        return answer.json() if answer.content and answer.headers["Content-Type"].endswith("json") else answer


def test_every_operation_answers_as_documented(service, document):
    call = Caller(service, document)
    for name in ("getHealth", "getReady", "getMetrics", "getOpenapi", "getStats", "getStatsHistory", "listModels", "listGroups",
                 "listDevices", "listStrategies"):
        call(name, 200)

    model = dict(SENSOR, id="documented")
    call("createModel", 200, model, {"validate": "true"})
    call("getModel", 404, id="documented")
    call("createModel", 201, model)
    call("createModel", 409, model)
    call("createModel", 400, dict(model, type="toaster"))
    call("getModel", 200, id="documented")
    call("replaceModel", 200, dict(model, name="Other"), id="documented")
    call("replaceModel", 404, dict(model, id="unknown"), id="unknown")
    assert call("getModel", 200, id="documented")["name"] == "Other"

    device = call("createDevice", 201, {"modelId": "documented", "deviceId": "one"})
    assert device["id"] == "one"
    call("createDevice", 409, {"modelId": "documented", "deviceId": "one"})
    call("createDevice", 400, {"modelId": "unknown"})
    call("startDevice", 200, id="one")
    wait_until(lambda: service.get("/api/v1/devices/one/metrics").json()["messagesSent"] > 0, 20, "a message")
    assert "temperature" in call("getDeviceMetrics", 200, id="one")["lastTelemetry"]
    call("sendCommand", 202, {"target": 5}, id="one", name="setTarget")
    call("sendCommand", 404, {}, id="one", name="explode")
    call("getDevice", 200, id="one")
    call("getDevice", 404, id="two")
    call("stopDevice", 200, id="one")
    call("deleteModel", 409, id="documented")

    call("createGroup", 201, {"modelId": "documented", "count": 20, "groupId": "g"})
    call("createGroup", 409, {"modelId": "documented", "count": 20, "groupId": "g"})
    call("createGroup", 400, {"modelId": "documented", "count": 0})
    call("startGroup", 200, {"strategy": "linear", "delayMs": 1}, id="g")
    call("startGroup", 404, {}, id="unknown")
    wait_until(lambda: call("getGroup", 200, id="g")["connected"] == 20, 30, "the group to connect")
    call("getGroupHistory", 200, id="g")
    call("getGroupHistory", 404, id="unknown")
    call("listGroups", 200)
    assert len(call("listDevices", 200, query={"groupId": "g", "pageSize": 7})["items"]) == 7
    call("dropGroup", 200, {"strategy": "immediate", "percentage": 50}, id="g")
    call("stopGroup", 200, id="g")
    call("previewStrategy", 200, {"kind": "launch", "strategy": "linear", "delayMs": 10, "count": 1000})
    call("previewStrategy", 400, {"kind": "launch", "strategy": "linaer", "count": 1000})
    call("deleteGroup", 204, id="g")
    call("deleteGroup", 404, id="g")
    call("deleteDevice", 204, id="one")
    call("deleteModel", 204, id="documented")

    with service.session.get(service.url + "/api/v1/events", stream=True, timeout=10) as events:
        validate_stream(document, events)
        call.called.add("getEvents")
    assert call.called == set(call.operations), set(call.operations) - call.called


def validate_stream(document, answer):
    described = document["paths"]["/api/v1/events"]["get"]["responses"][str(answer.status_code)]
    assert answer.headers["Content-Type"].split(";")[0] in described["content"]


def raw_answer(service, request):
    """All that comes until the server closes the connection."""
    host = f"{service.host}:{service.port}"
    with socket.create_connection((service.host, service.port), 10) as client:
        client.sendall(f"{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_heads_and_options(service, document):
    """HEAD goes wherever GET does, and OPTIONS says what goes."""
    for method, path, _ in operations(document):
        if "{" in path:
            continue
        allow = service.ask("OPTIONS", path)
        assert allow.status_code == 204 and method.upper() in allow.headers["Allow"].split(", ")
        if method == "get":
            head, get = service.ask("HEAD", path), service.session.get(service.url + path, stream=True, timeout=10)
            assert head.status_code == get.status_code == 200 and head.content == b""
            assert head.headers["Content-Type"] == get.headers["Content-Type"]
            get.close()
            assert raw_answer(service, f"HEAD {path}").partition(b"\r\n\r\n")[2] == b""


def test_pages(service):
    for count in (3, 4, 5):
        service.delete(f"/api/v1/groups/pages-{count}")
    service.post("/api/v1/models", dict(SENSOR, id="paged"))
    assert service.post("/api/v1/groups", {"modelId": "paged", "count": 2500, "groupId": "pages",
                                           "idPattern": "page-{index}"}).status_code == 201
    found, page = [], 1
    while True:
        answer = service.get("/api/v1/devices", params={"groupId": "pages", "page": page, "pageSize": 1000}).json()
        assert (answer["page"], answer["pageSize"], answer["total"]) == (page, 1000, 2500)
        found += [device["id"] for device in answer["items"]]
        page += 1
        if not answer["hasMore"]:
            break
    assert found == [f"page-{i}" for i in range(2500)]
    window = service.get("/api/v1/devices", params={"groupId": "pages", "offset": 2490, "limit": 20}).json()
    assert [device["id"] for device in window["items"]] == [f"page-{i}" for i in range(2490, 2500)]
    assert window["hasMore"] is False
    beyond = service.get("/api/v1/devices", params={"groupId": "pages", "page": 4, "pageSize": 1000}).json()
    assert beyond["items"] == [] and beyond["hasMore"] is False
    models = service.get("/api/v1/models")
    assert int(models.headers["X-Total-Count"]) == len(models.json())
    assert service.get("/api/v1/models?limit=2&offset=1").json() == models.json()[1:3]


def test_documentation_and_page(service):
    page = service.get("/")
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe-eval" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    again = requests.get(service.url + "/", headers={"If-None-Match": page.headers["ETag"]}, timeout=10)
    assert again.status_code == 304 and again.content == b""
    document = service.get("/openapi.json")
    again = service.get("/openapi.json", headers={"If-None-Match": document.headers["ETag"]})
    assert again.status_code == 304

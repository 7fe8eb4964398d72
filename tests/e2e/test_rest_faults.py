"""Every fault answers with its status and a problem document that names the field; nothing gets in by the side."""

import pytest

from rest import SENSOR, problem, serving, status_of


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory) as one:
        assert one.post("/api/v1/models", dict(SENSOR, id="m")).status_code == 201
        assert one.post("/api/v1/groups", {"modelId": "m", "count": 3, "groupId": "g"}).status_code == 201
        yield one


BODIES = [
    ("/api/v1/groups", {"count": 5}, "modelId", "is missing"),
    ("/api/v1/groups", {"modelId": "m"}, "count", "is missing"),
    ("/api/v1/groups", {"modelId": "m", "count": 0}, "count", "must be 1 to 1000000"),
    ("/api/v1/groups", {"modelId": "m", "count": 1000001}, "count", "must be 1 to 1000000"),
    ("/api/v1/groups", {"modelId": "m", "count": -1}, "count", "must be"),
    ("/api/v1/groups", {"modelId": "m", "count": 1.5}, "count", "whole number"),
    ("/api/v1/groups", {"modelId": "m", "count": "5"}, "count", "must be an integer, not a string"),
    ("/api/v1/groups", {"modelId": "m", "count": True}, "count", "must be an integer"),
    ("/api/v1/groups", {"modelId": 5, "count": 5}, "modelId", "must be a string"),
    ("/api/v1/groups", {"modelId": "", "count": 5}, "modelId", "empty"),
    ("/api/v1/groups", {"modelId": "../m", "count": 5}, "modelId", "letters"),
    ("/api/v1/groups", {"modelId": "m", "count": 5, "groupId": "a/b"}, "groupId", "letters"),
    ("/api/v1/groups", {"modelId": "m", "count": 5, "groupid": "a"}, "groupid", "did you mean \"groupId\""),
    ("/api/v1/groups", {"modelId": "m", "count": 5, "idPattern": "fixed"}, "idPattern", "{index}"),
    ("/api/v1/groups", {"modelId": "m", "count": 5, "overrideConnection": []}, "overrideConnection", "object"),
    ("/api/v1/groups/g/start", {"strategy": 5}, "strategy", "must be a string"),
    ("/api/v1/groups/g/start", {"strategy": "linear", "delayMs": -1}, "delayMs", "must be"),
    ("/api/v1/groups/g/start", {"strategy": "batch", "batchSize": 0}, "batchSize", "must be"),
    ("/api/v1/groups/g/start", {"strategy": "exponential", "exponentBase": 0.5}, "exponentBase", "must be"),
    ("/api/v1/groups/g/dropout", {"percentage": 101}, "percentage", "must be 0 to 100"),
    ("/api/v1/groups/g/dropout", {"percentage": "half"}, "percentage", "must be a number"),
    ("/api/v1/groups/g/dropout", {"count": -1}, "count", "must be"),
    ("/api/v1/groups/g/dropout", {"mode": "explode"}, "mode", "not a known value"),
    ("/api/v1/groups/g/dropout", {"reconnect": "yes"}, "reconnect", "must be true or false"),
    ("/api/v1/groups/g/dropout", {"reconnectDelayMs": -5}, "reconnectDelayMs", "must be"),
    ("/api/v1/devices", {}, "modelId", "is missing"),
    ("/api/v1/devices", {"modelId": "m", "deviceId": "a b"}, "deviceId", "letters"),
    ("/api/v1/devices", {"modelId": "m", "deviceID": "a"}, "deviceID", "did you mean \"deviceId\""),
    ("/api/v1/strategies/preview", {"strategy": "linear", "count": 5}, "kind", "is missing"),
    ("/api/v1/strategies/preview", {"kind": "launch", "strategy": "linear", "count": 0}, "count", "must be"),
    ("/api/v1/models", dict(SENSOR, id="a b"), "id", "letters"),
    ("/api/v1/models", dict(SENSOR, id="x", protocol="mqtr"), "protocol", "did you mean \"mqtt\""),
    ("/api/v1/models", dict(SENSOR, id="x", telemetry=[{"name": "t", "type": "number", "intervalMs": 0,
                                                        "generator": {"type": "random"}}]),
     "telemetry[0].intervalMs", "must be"),
    ("/api/v1/models", dict(SENSOR, id="x", connection={"qos": 3}), "connection.qos", "must be 0 to 2"),
]


@pytest.mark.parametrize("path, body, field, text", BODIES)
def test_bodies(service, path, body, field, text):
    document = problem(service.post(path, body), 400, field)
    messages = [error["message"] for error in document["errors"] if error["path"] == field]
    assert any(text in message for message in messages), document


def test_every_fault_of_a_body_at_once(service):
    problem(service.post("/api/v1/groups", {"modelId": 5, "count": 0, "x": 1}), 400, "modelId", "count", "x")


@pytest.mark.parametrize("path", ["/api/v1/groups", "/api/v1/devices"])
def test_overrides_name_their_fields(service, path):
    service.post("/api/v1/models", dict(SENSOR, id="overridden"))
    body = {"modelId": "overridden", "overrideConnection": {"port": 70000, "qos": 7}}
    problem(service.post(path, dict(body, count=5) if path.endswith("groups") else body), 400,
            "overrideConnection.port", "overrideConnection.qos")


def test_unknown_models_are_named(service):
    assert "nobody" in problem(service.post("/api/v1/groups", {"modelId": "nobody", "count": 5}), 400)["detail"]
    assert "nobody" in problem(service.post("/api/v1/devices", {"modelId": "nobody"}), 400)["detail"]


def test_unknown_strategies_are_named(service):
    document = problem(service.post("/api/v1/groups/g/start", {"strategy": "linaer"}), 400)
    assert "linear" in document["detail"]
    document = problem(service.post("/api/v1/groups/g/start", {"strategy": "linear", "dealyMs": 5}), 400)
    assert "delayMs" in document["detail"]


QUERIES = [
    ("/api/v1/devices?page=0", "page"),
    ("/api/v1/devices?pageSize=1001", "pageSize"),
    ("/api/v1/devices?pageSize=many", "pageSize"),
    ("/api/v1/devices?limit=0", "limit"),
    ("/api/v1/devices?offset=-1", "offset"),
    ("/api/v1/devices?page=1&offset=5", "page"),
    ("/api/v1/devices?page=1&page=2", "page"),
    ("/api/v1/devices?status=flying", "status"),
    ("/api/v1/devices?groupID=g", "groupID"),
    ("/api/v1/models?page=99999999999999999999999", "page"),
    ("/api/v1/stats?x=1", "x"),
]


@pytest.mark.parametrize("path, field", QUERIES)
def test_queries(service, path, field):
    problem(service.get(path), 400, field)


def test_unknown_things(service):
    for path in ("/nothing", "/api", "/api/v1", "/api/v2/models", "/api/v1/models/unknown", "/api/v1/devices/unknown",
                 "/api/v1/groups/unknown", "/api/v1/devices/unknown/metrics", "/api/v1/groups/g/h/i"):
        problem(service.get(path), 404)
    for path in ("/api/v1/groups/unknown/start", "/api/v1/groups/unknown/stop", "/api/v1/groups/unknown/dropout",
                 "/api/v1/devices/unknown/start", "/api/v1/devices/unknown/stop"):
        problem(service.post(path), 404)
    for path in ("/api/v1/models/unknown", "/api/v1/devices/unknown", "/api/v1/groups/unknown"):
        problem(service.delete(path), 404)


def test_methods(service):
    for method, path, allow in (("PUT", "/api/v1/groups", {"GET", "HEAD", "POST", "OPTIONS"}),
                                ("POST", "/api/v1/stats", {"GET", "HEAD", "OPTIONS"}),
                                ("GET", "/api/v1/groups/g/start", {"POST", "OPTIONS"}),
                                ("PATCH", "/api/v1/models/m", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
                                ("DELETE", "/", {"GET", "HEAD", "OPTIONS"}),
                                ("BREW", "/api/v1/models", {"GET", "HEAD", "POST", "OPTIONS"})):
        answer = service.ask(method, path)
        problem(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == allow


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml",
                                  "application/json; charset=latin-1"])
def test_what_is_not_json(service, kind):
    answer = service.ask("POST", "/api/v1/groups", data=b'{"modelId":"m","count":1}',
                         headers={"Content-Type": kind} if kind else {})
    problem(answer, 415)


MALFORMED = [b"", b"{", b"[]", b"5", b"null", b'"x"', b'{"modelId":"m","count":1}garbage', b'{"count":1,"count":2}',
             b'{"modelId":"\xff","count":1}', b'{"modelId":"a\\u0000b","count":1}', b'{"modelId":"m","count":1e999}',
             b'{"modelId":"m","count":' + b"9" * 500 + b"}", b'{"modelId":"m","count":NaN}', b"\x00", b"{\x00}",
             b"[" * 60000, b'{"a":' * 5000, b"\xef\xbb\xbf{}", b'{"modelId":"' + b"x" * 60000 + b'","count":1}']


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
@pytest.mark.parametrize("path", ["/api/v1/groups", "/api/v1/models", "/api/v1/devices"])
def test_malformed_bodies(service, path, body):
    problem(service.ask("POST", path, data=body, headers={"Content-Type": "application/json"}), 400)
    service.alive()


def test_conflicts(service):
    problem(service.post("/api/v1/groups", {"modelId": "m", "count": 3, "groupId": "g"}), 409)
    problem(service.post("/api/v1/models", dict(SENSOR, id="m")), 409)
    problem(service.delete("/api/v1/models/m"), 409)
    assert service.get("/api/v1/models/m").status_code == 200


HOSTS = [("localhost", 200), ("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("evil.example.com", 403),
         ("localhost.evil.example.com", 403), ("127.0.0.1.nip.io:8080", 403), ("", 400), ("a b", 403)]


@pytest.mark.parametrize("host, status", HOSTS)
def test_names_in_host(service, host, status):
    """A page whose name was made to point here (DNS rebinding) gets nothing."""
    answer = service.raw(f"GET /api/v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) == status, answer[:300]


def test_names_that_the_operator_allows(tmp_path_factory):
    with serving(tmp_path_factory, "--allow-host", "device-engine", env={"IOTIX_ALLOWED_HOSTS": "one.test,two.test"}) as one:
        for host, status in (("device-engine:8080", 200), ("two.test", 200), ("three.test", 403)):
            assert one.get("/health", headers={"Host": host}).status_code == status
        page = one.post("/api/v1/groups", {}, headers={"Host": "two.test", "Origin": "http://two.test"})
        assert page.status_code == 400


def test_pages_of_others(service):
    """A page of another origin can neither change nor read anything."""
    for headers in ({"Origin": "http://evil.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
                    {"Origin": f"http://localhost:{service.port + 1}"}):
        problem(service.post("/api/v1/groups", {"modelId": "m", "count": 1, "groupId": "csrf"}, headers=headers), 403)
        problem(service.get("/api/v1/models", headers=headers), 403)
    assert service.get("/api/v1/groups/csrf").status_code == 404
    own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
    assert service.get("/api/v1/models", headers=own).status_code == 200


PATHS = ["/../../../../etc/passwd", "/assets/../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd",
         "/assets/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/docs/../../etc/passwd", "/assets/%252e%252e/etc/passwd",
         "/api/v1/models/..%2f..%2f..%2fetc%2fpasswd", "/api/v1/models/%2fetc%2fpasswd", "/api/v1/devices/" + "a" * 300,
         "/api/v1/models/~root", "file:///etc/passwd", "/\\..\\..\\etc\\passwd", "/./etc/passwd"]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_reaches_the_file_system(service, path):
    answer = service.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) in (400, 404), answer[:300]
    assert b"root:" not in answer


def test_nul_and_bad_escapes(service):
    for path in ("/api/v1/models/%00", "/api/v1/models/m%00", "/api/v1/models/%zz", "/api/v1/models/%", "/api/v1/models/%ff",
                 "/api/v1/models/%0a", "/api/v1/devices?groupId=%00", "/api/v1/devices?groupId=%c3%28"):
        answer = service.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert status_of(answer) == 400, (path, answer[:300])
        assert b"application/problem+json" in answer

"""Clients that want no good: slow, large, many, malformed. The service stays, answers others, and leaks nothing."""

import contextlib
import json
import random
import select
import signal
import socket
import threading
import time

import pytest
import requests

from helpers import wait_until
from rest import SENSOR, problem, read_all, serving, status_of


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with serving(tmp_path_factory) as one:
        assert one.post("/api/v1/models", dict(SENSOR, id="m")).status_code == 201
        assert one.post("/api/v1/groups", {"modelId": "m", "count": 5, "groupId": "g"}).status_code == 201
        yield one
        one.alive()


def request(line, *headers, body=b""):
    head = [f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_large_bodies(service):
    size = 5 * 1024 * 1024
    answer = service.ask("POST", "/api/v1/models", data=b" " * size, headers={"Content-Type": "application/json"})
    problem(answer, 413)
    # without saying how long it is
    answer = service.ask("POST", "/api/v1/models", data=(b" " * 65536 for _ in range(size // 65536)),
                         headers={"Content-Type": "application/json"})
    problem(answer, 413)
    # and a client that asks first sends nothing
    answer = service.raw(request("POST /api/v1/models", f"Content-Length: {size}", "Content-Type: application/json",
                                 "Expect: 100-continue"))
    assert status_of(answer) == 413 and b"100 Continue" not in answer
    # far too long: no need to read it
    answer = service.raw(request("POST /api/v1/models", "Content-Length: 99999999999", "Content-Type: application/json"))
    assert status_of(answer) == 413


def test_bodies_are_as_long_as_their_operation_needs(service):
    """Read and checked in one turn of the loop, they may not take long."""
    def model(size, **rest):
        text = json.dumps(dict(SENSOR, id="long", metadata={"text": "x" * (size - 900)}, **rest))
        return text + " " * (size - len(text))

    as_json = {"Content-Type": "application/json"}
    limit = 256 * 1024
    assert service.ask("POST", "/api/v1/models", data=model(limit), headers=as_json).status_code == 201
    assert service.delete("/api/v1/models/long").status_code == 204
    refused = problem(service.ask("POST", "/api/v1/models", data=model(limit + 1), headers=as_json), 413)
    assert "262144" in refused["detail"] and "files" in refused["detail"]
    text = model(limit + 1)
    problem(service.ask("PUT", "/api/v1/models/m", data=iter([text[:9].encode(), text[9:].encode()]), headers=as_json), 413)
    body = json.dumps({"modelId": "m", "count": 1, "groupId": "long"})
    body += " " * (64 * 1024 - len(body))
    problem(service.ask("POST", "/api/v1/groups", data=body + " ", headers=as_json), 413)
    assert service.ask("POST", "/api/v1/groups", data=body, headers=as_json).status_code == 201
    assert service.delete("/api/v1/groups/long").status_code == 204


def test_a_gateway_of_many_children(service):
    """One that names a model 3,000 times is as good as one that names it once; only together they have a limit."""
    def gateway(name, child, count):
        return dict(SENSOR, id=name, type="gateway", commands=[], children=[
            {"model": child, "count": 1, "idPattern": f"{{deviceId}}-{i}-{{index}}"} for i in range(count)])

    telemetry = [dict(SENSOR["telemetry"][0], name=f"t{i}") for i in range(1000)]
    for name, values in (("small-child", SENSOR["telemetry"]), ("large-child", telemetry)):
        assert service.post("/api/v1/models", dict(SENSOR, id=name, telemetry=values)).status_code == 201
    assert service.post("/api/v1/models", gateway("wide", "small-child", 3000)).status_code == 201
    refused = problem(service.post("/api/v1/models", gateway("heavy", "large-child", 3000)), 400)
    assert "4 MiB" in refused["detail"] and "children[" in refused["detail"]
    missing = gateway("holes", "small-child", 20)
    missing["children"][7]["model"] = "nobody"
    assert "children[7].model" in problem(service.post("/api/v1/models", missing), 400)["detail"]
    service.alive()
    for name in ("wide", "small-child", "large-child"):
        assert service.delete(f"/api/v1/models/{name}").status_code == 204


def test_large_headers_and_targets(service):
    answer = service.raw(request("GET /health", "X-Long: " + "a" * 20000))
    assert status_of(answer) == 431 and b"application/problem+json" in answer
    answer = service.raw(request("GET /health", *[f"X-{i}: {'b' * 100}" for i in range(200)]))
    assert status_of(answer) == 431
    answer = service.raw(request("GET /" + "a" * 9000))
    assert status_of(answer) == 414 and b"application/problem+json" in answer
    assert status_of(service.raw(request("GET /health", "X-Long: " + "a" * 1000000))) in (431, 0)
    assert status_of(service.raw(request("GET /" + "a" * 1000000))) in (414, 431, 0)


def test_requests_that_are_none(service):
    for data in (b"\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", b"\x00" * 100,
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200,
                 b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
                 b"POST /api/v1/groups HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                 b"POST /api/v1/groups HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5x\r\n\r\n",
                 b"POST /api/v1/groups HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        with service.connect(5) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert status_of(answer) == 0 or 400 <= status_of(answer) < 600, (data, answer[:200])
    service.alive()


@pytest.mark.parametrize("headers, body, word", [
    (["Host: evil.example"], b"", b"Host"),
    (["host: localhost"], b"", b"Host"),
    (["Content-Length: 2", "Content-Length: 2"], b"{}", b"Content-Length"),
    (["Content-Length: 2", "Content-Length: 40"], b"{}" + b" " * 38, b"Content-Length"),
    (["Content-Length: 2", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n", b""),
    (["Transfer-Encoding: chunked", "Content-Length: 20"], b"0\r\n\r\n", b""),
    (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n", b"Transfer-Encoding"),
    (["Transfer-Encoding: identity, chunked"], b"2\r\n{}\r\n0\r\n\r\n", b""),
])
def test_requests_that_can_be_read_in_two_ways(service, headers, body, word):
    """Refused, and what follows on the connection is not taken for a request."""
    head = ["POST /api/v1/groups/none/stop HTTP/1.1", "Host: localhost", *headers]
    smuggled = b"DELETE /api/v1/groups/g HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service.connect(10) as connection:
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body + smuggled)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert status_of(answer) == 400 and word in answer, answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert service.get("/api/v1/groups/g").status_code == 200


def test_a_half_sent_request_holds_up_nobody(service):
    with contextlib.ExitStack() as stack:
        for i in range(100):
            connection = stack.enter_context(service.connect())
            connection.sendall(b"POST /api/v1/groups HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"[:20 + i % 50])
        for _ in range(20):
            service.alive()


def test_slow_headers_are_cut_off(service):
    """One byte now and then keeps a connection alive for ever otherwise."""
    with service.connect(5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        start = time.monotonic()
        with pytest.raises(OSError):  # after the 30 s that a request has, however slowly bytes come
            while time.monotonic() - start < 120:
                connection.sendall(b"a")
                readable = select.select([connection], [], [], 0.5)[0]
                if readable and connection.recv(4096) == b"":
                    raise OSError("closed")
        assert time.monotonic() - start > 20


def test_one_address_has_only_so_many_connections(service):
    held = []
    try:
        for _ in range(300):
            held.append(service.connect(5))
        alive = 0
        for connection in held:
            with contextlib.suppress(OSError):
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                alive += b"200 OK" in connection.recv(4096)
        assert 200 <= alive <= 250
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: can_ask(service), 10, "room for others")


def can_ask(service):
    try:
        return requests.get(service.url + "/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_keep_alive_and_pipelining(service):
    one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service.connect() as connection:
        connection.sendall(one * 49 + request("GET /health"))
        assert read_all(connection).count(b'"status":"healthy"') == 50


WORDS = [b"GET ", b"POST ", b"PUT ", b"DELETE ", b" HTTP/1.1\r\n", b"\r\n", b"Host: localhost\r\n", b"/api/v1/", b"groups", b"models",
         b"devices", b"/start", b"/dropout", b"?page=", b"pageSize=9", b"%00", b"%2f", b"..", b"Content-Length: ",
         b"Content-Type: application/json\r\n", b"Transfer-Encoding: chunked\r\n", b"{", b"}", b"[", b"]", b'"modelId":"m"',
         b'"count":', b"1e308", b"-1", b'"strategy":"linear"', b"null", b",", b":", b"\x00", b"\xff"]


def mutate(draw, data):
    data = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        at = draw.randint(0, len(data))
        kind = draw.randrange(4)
        if kind == 0:
            data[at:at + draw.randint(0, 10)] = draw.choice(WORDS)
        elif kind == 1:
            data[at:at] = draw.choice(WORDS)
        elif kind == 2:
            del data[at:at + draw.randint(1, 20)]
        elif data and at < len(data):
            data[at] = draw.randrange(256)
    return bytes(data)


def value(draw, depth=0):
    """Some JSON value."""
    kinds = [lambda: draw.choice([None, True, False, 0, -1, 1, 2**31, 2**53, -2**63, 1e308, 0.1, "", "m", "g", "linear"]),
             lambda: draw.randint(-10, 10), lambda: "".join(chr(draw.randrange(1, 0xd7ff)) for _ in range(draw.randrange(6)))]
    if depth < 3:
        kinds += [lambda: [value(draw, depth + 1) for _ in range(draw.randrange(4))],
                  lambda: {draw.choice(FIELDS): value(draw, depth + 1) for _ in range(draw.randrange(4))}]
    return draw.choice(kinds)()


FIELDS = ["modelId", "count", "groupId", "idPattern", "strategy", "delayMs", "batchSize", "percentage", "durationMs", "reconnect",
          "mode", "id", "name", "type", "protocol", "connection", "telemetry", "commands", "behaviors", "generator", "intervalMs",
          "overrideConnection", "deviceId", "kind", "broker", "handler", "dataFile", "x", ""]
CALLS = [("POST", "/api/v1/groups"), ("POST", "/api/v1/models"), ("POST", "/api/v1/models?validate=true"),
         ("PUT", "/api/v1/models/m"), ("POST", "/api/v1/devices"), ("POST", "/api/v1/groups/g/start"),
         ("POST", "/api/v1/groups/g/dropout"), ("POST", "/api/v1/devices/g-0/commands/setTarget"),
         ("POST", "/api/v1/strategies/preview")]


@pytest.mark.parametrize("seed", range(3))
def test_fuzzed_bodies(service, seed):
    """Random JSON to everything that takes some: an answer each time, and never a fault of ours."""
    draw = random.Random(seed)
    valid = [dict(SENSOR, id="m"), {"modelId": "m", "count": 3}, {"strategy": "linear", "delayMs": 1}, {"percentage": 10}]
    for _ in range(300):
        method, path = draw.choice(CALLS)
        body = draw.choice(valid) if draw.random() < 0.5 else {}
        body = dict(body, **{draw.choice(FIELDS): value(draw) for _ in range(draw.randint(0, 4))})
        if "count" in body and isinstance(body["count"], (int, float)) and body["count"] > 1000:
            del body["count"]  # what is valid and large only takes time
        answer = service.ask(method, path, data=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code < 500 or answer.status_code == 503, (method, path, body, answer.text)
        if answer.status_code >= 400:
            problem(answer, answer.status_code)
        if answer.status_code == 201 and "groups" in path:
            service.delete("/api/v1/groups/" + answer.json()["groupId"])
    service.alive()


@pytest.mark.parametrize("seed", range(2))
def test_fuzzed_requests(service, seed):
    """Mutated bytes instead of requests."""
    draw = random.Random(seed)
    seeds = [request("GET /api/v1/devices?page=1&pageSize=5"), request("GET /api/v1/groups/g"),
             request("POST /api/v1/groups/g/start", "Content-Type: application/json", "Content-Length: 21",
                     body=b'{"strategy":"linear"}'),
             request("POST /api/v1/models", "Content-Type: application/json", "Transfer-Encoding: chunked",
                     body=b"8\r\n{\"id\":5}\r\n0\r\n\r\n")]
    for _ in range(400):
        with service.connect(1) as connection:  # a client that ends in mid-line may wait for the time-out
            with contextlib.suppress(OSError):
                connection.sendall(mutate(draw, draw.choice(seeds)))
                time.sleep(0.002)
                connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert status_of(answer) != 500, answer[:500]
    service.alive()


def test_many_clients_at_once(service):
    """Twenty clients that ask and change things at the same time: each gets its own answers."""
    faults = []

    def client(number):
        try:
            with requests.Session() as session:
                for i in range(15):
                    name = f"c{number}-{i}"
                    made = session.post(service.url + "/api/v1/groups", timeout=30,
                                        json={"modelId": "m", "count": 2, "groupId": name, "idPattern": name + "-{index}"})
                    assert made.status_code == 201 and made.json()["groupId"] == name, made.text
                    page = session.get(service.url + "/api/v1/devices", params={"groupId": name}, timeout=30).json()
                    assert [d["id"] for d in page["items"]] == [f"{name}-0", f"{name}-1"], page
                    assert session.delete(service.url + "/api/v1/groups/" + name, timeout=30).status_code == 204
        except Exception as fault:  # pylint: disable=broad-except
            faults.append(fault)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults, faults[:3]


def peak_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) // 1024


def test_long_lists_for_clients_that_go_away(tmp_path_factory):
    """Each list takes megabytes until it is handed over: they are made one after the other, for those who still wait."""
    groups, clients = 1200, 200
    with serving(tmp_path_factory) as service:
        assert service.post("/api/v1/models", dict(SENSOR, id="m")).status_code == 201
        for number in range(groups):
            body = {"modelId": "m", "count": 1, "groupId": f"g{number}", "idPattern": f"a{number}x" + "{index}"}
            assert service.post("/api/v1/groups", body).status_code == 201
        before = peak_mib(service.run.process.pid)
        for _ in range(clients):
            with socket.create_connection(("127.0.0.1", service.port)) as client:
                client.sendall(request("GET /api/v1/groups"))
        assert len(service.ask("GET", "/api/v1/groups?limit=3").json()) == 3
        waiting = [threading.Thread(target=service.ask, args=("GET", "/api/v1/groups")) for _ in range(4)]
        for thread in waiting:
            thread.start()
        assert len(service.ask("GET", "/api/v1/groups").json()) == groups
        for thread in waiting:
            thread.join()
        assert peak_mib(service.run.process.pid) - before < 400
        service.alive()


def test_ends_with_clients_connected(tmp_path_factory):
    """SIGTERM with an event stream, an idle connection and half a request open: gone within seconds, without error."""
    with serving(tmp_path_factory) as one:
        connections = [one.connect() for _ in range(3)]
        connections[0].sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connections[1].sendall(b"POST /api/v1/groups HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert b"200 OK" in connections[0].recv(4096)
        one.run.signal(signal.SIGTERM)
        one.run.wait(30)
        assert one.run.code == 0, one.run.describe()
        for connection in connections:
            read_all(connection)
            connection.close()

"""Verdicts, thresholds that end a run, reports, and requests to a backend's other side."""

import http.server
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time
import xml.etree.ElementTree as tree

import pytest

from scenes import UNTIL_STOPPED, counter, model, scenario

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
import check_reports  # noqa: E402  (the readers of the unit tests)

FORMATS = ("junit", "json", "html", "csv", "ndjson")


@pytest.fixture
def run(iotix, write, broker):
    def begin(text, *arguments, wait=True, **options):
        write("probe.json", model(counter(100)))
        file = write("x.lua", text)
        start = iotix if wait else iotix.start
        return start("run", file.name, "--broker", broker.address, *arguments, **options)

    return begin


def test_all_reports_of_one_run(run, broker, observe, tmp_path):
    observer = observe(broker)
    (tmp_path / "out").mkdir()
    body = """t:sleep "500ms"
  t:check("odd <name> & \\"quotes\\"", true)
  t:check("never", false)
  t:event("half-time", { score = 3 })
  local gone = fleet:dropout { strategy = "immediate", count = 2, reconnect = true, reconnectDelayMs = 200 }
  gone:wait()"""
    keys = 'thresholds = { ["messages.sent"] = "count>1", ["publish.latency{group:fleet}"] = "p(95)<1ns" },'
    outputs = [part for name in FORMATS for part in ("--out", f"{name}=out/run.{name}")]
    ended = run(scenario(5, body, keys=keys), *outputs, "--seed", 2**63 + 1).expect(99, r"never")
    assert check_reports.main(tmp_path / "out", ROOT / "runtime" / "control" / "result.schema.json") == 0

    result = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    seen = len(observer.settle().messages)
    counters = result["totals"]["counters"]
    # Each of the two power cuts may fall between a message and its PUBACK.
    assert counters["messages.sent"] - 2 <= counters["messages.acked"] <= seen <= counters["messages.sent"]
    assert counters["messages.sent"] == counters["messages.acked"] + counters["messages.lost"] and seen >= 20
    assert sum(point["acked"] for point in result["series"]) == counters["messages.acked"]
    assert result["run"]["seed"] == str(2**63 + 1)
    assert result["verdict"]["outcome"] == "failed" and result["verdict"]["exitCode"] == ended.code
    assert [(c["name"], c["passed"]) for c in result["checks"]] == [('odd <name> & "quotes"', True), ("never", False)]
    assert [t["passed"] for t in result["thresholds"]] == [True, False]
    assert result["thresholds"][1]["tags"] == {"group": "fleet"}
    assert [d["back"] for d in result["dropouts"]] == [2]
    assert ("half-time", {"score": 3}) in [(e["name"], e["data"]) for e in result["events"]]

    suite = tree.parse(tmp_path / "out" / "run.junit").getroot()[0]
    failed = [case.get("name") for case in suite.findall("testcase") if case.find("failure") is not None]
    assert failed == ["never", "publish.latency{group:fleet} p(95)<1ns"]


def test_a_report_on_stdout_is_alone_with_the_summary(run):
    ended = run(scenario(1), "--out", "ndjson=-").expect(0)
    kinds = [json.loads(line)["type"] for line in ended.out.splitlines() if line.startswith("{")]
    assert kinds[0] == "run" and kinds[-1] == "summary", ended.describe()


def test_a_report_that_cannot_be_written(run):
    run(scenario(1), "--out", "json=no/such/folder/x.json").expect(104, r"no/such/folder/x\.json")


def test_an_interrupted_run_still_reports(run, tmp_path):
    running = run(scenario(3, UNTIL_STOPPED), "--out", "junit=run.xml", wait=False)
    running.wait_for(r"(?i)connected")
    running.interrupt()
    running.expect(105)
    suite = tree.parse(tmp_path / "run.xml").getroot()[0]
    assert suite.get("errors") == "1"
    assert suite.find("testcase[@name='scenario']/error").get("type") == "interrupted"


def test_threshold_that_ends_the_run(run):
    keys = 'thresholds = { ["messages.sent"] = { threshold = "count<20", abortOnFail = true } },'
    started = time.monotonic()
    ended = run(scenario(5, 't:sleep "80s"', keys=keys), "--interval", "200ms")
    assert ended.code == 99, ended.describe()
    assert time.monotonic() - started < 60
    assert re.search(r"messages\.sent count<20 +count was \d+, must be < 20", ended.out), ended.describe()


def test_a_generator_that_cannot_keep_up_never_passes(run, write):
    running = run(scenario(5, UNTIL_STOPPED), "--workers", 1, wait=False)
    running.wait_for(r"msg/s")
    found = running.workers(1)
    for worker in found:
        os.kill(worker, signal.SIGSTOP)  # longer than the limit of 1 s
    time.sleep(3)
    for worker in found:
        os.kill(worker, signal.SIGCONT)
    running.wait_for(r"latency p99 \d\.\d s|latency p99 \d,?\d{3}")
    write("stop", "")
    running.expect(111, r"INVALID", r"p99 lateness .* > 1\.00 s: this host could not keep")


@pytest.fixture
def backend():
    """An HTTP server on a free port; `requests` has what came."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            requests.append((self.command, self.path, self.headers.get("Content-Type"), body))
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("X-Answer", "42")
            self.end_headers()
            self.wfile.write(b'{"total": 5}')

        do_POST = do_GET

        def log_message(self, *_):
            pass

    requests = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.requests = requests
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_http_requests_of_a_scenario(run, backend):
    body = f"""local base = "http://127.0.0.1:{backend.server_port}"
  local got = t:http(base .. "/devices")
  t:check("total", got.json.total == 5 and got.status == 200 and got.headers["x-answer"] == "42")
  t:check("time", got.latencyMs > 0)
  t:check("created", t:http {{ url = base .. "/devices", json = {{ a = 1 }} }}.status == 200)
  t:check("missing is an answer", t:http(base .. "/missing").status == 404)
  local ok, problem = pcall(t.http, t, "http://127.0.0.1:1/")
  t:check("refused", not ok and tostring(problem):find("GET http://127.0.0.1:1/", 1, true) ~= nil)
  local bad, why = pcall(t.http, t, "ftp://127.0.0.1/")
  t:check("only http", not bad and tostring(why):find("no http:// or https:// address", 1, true) ~= nil)"""
    ended = run(scenario(1, body), env={"http_proxy": "", "no_proxy": "*"})
    assert ended.code == 0, ended.describe()
    assert [request[:2] for request in backend.requests] == [
        ("GET", "/devices"), ("POST", "/devices"), ("GET", "/missing")]
    assert backend.requests[1][2:] == ("application/json", '{"a":1}')

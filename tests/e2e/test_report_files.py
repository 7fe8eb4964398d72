"""The reports of one real run, each read by somebody else's parser and compared with what an observer saw."""

import csv
import html.parser
import json
import pathlib
import re
import xml.etree.ElementTree as etree

import jsonschema
import pytest

from helpers import figure
from scenes import counter, model

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "runtime" / "control" / "result.schema.json"

SCENARIO = """local iotix = require "iotix"
local orders, waiting = iotix.metric.counter "orders", iotix.metric.trend "waiting"
return iotix.scenario {
  name = "reports <&> \\"quoted\\"", description = "a run that has everything", tags = { suite = "nightly" },
  options = { devices = 6 },
  thresholds = {
    ["messages.lost"] = "count<=5", ["publish.latency"] = { "p(95)<30s", "p(95)<0.001ms" },
    ["messages.sent{group:one}"] = "count>1", orders = "count==3",
  },
  run = function(t)
    local one = t:group { model = "probe.json", count = t.options.devices, group = "one", tags = { site = "<north>" } }
    local two = t:group { model = "probe.json", count = 2, group = "two" }
    one:start { strategy = "linear", delayMs = 20 }
    two:start()
    one:wait { connected = "100%" } two:wait { connected = "100%" }
    t:event("before <the> outage", { cause = "cable & plug" })
    orders:add(2) orders:add(1, { shop = "north" }) waiting:add(12.5)
    for i = 1, 3 do t:check("flaky & odd", i ~= 2) end
    t:check("always </script> fine", true)
    t:sleep "700ms"
    one:dropout { strategy = "immediate", percentage = 50, reconnect = true, reconnectDelayMs = 300 }:wait()
    two:dropout { strategy = "immediate" }:wait()
    t:sleep "500ms" -- nobody of these comes back: the next point sees them away, however late it is
    one:stop() two:stop()
  end,
}
"""
KINDS = {"junit": "r.xml", "json": "r.json", "csv": "r.csv", "ndjson": "r.ndjson", "html": "r.html"}


@pytest.fixture
def made(broker, observe, iotix, write, tmp_path):
    """A run with every report: (run, folder, messages seen)"""
    write("probe.json", model(counter(100)))
    observer = observe(broker, "devices/+/telemetry")
    file = write("x.lua", SCENARIO)
    outputs = [part for kind, name in KINDS.items() for part in ("--out", f"{kind}={name}")]
    run = iotix("run", file.name, "--broker", broker.address, "--interval", "250ms", "--seed", 77, *outputs).expect(99)
    return run, tmp_path, observer.settle().messages


def check_json(folder, messages):
    result = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    jsonschema.validate(result, json.loads(SCHEMA.read_text(encoding="utf-8")), jsonschema.Draft202012Validator)
    run, verdict, counters = result["run"], result["verdict"], result["totals"]["counters"]
    assert run["scenario"] == 'reports <&> "quoted"' and run["seed"] == "77" and run["options"] == {"devices": 6}
    assert run["tags"] == {"suite": "nightly"} and run["models"][0]["id"] == "probe-v1"
    assert (verdict["outcome"], verdict["exitCode"]) == ("failed", 99)
    # Each of the five power cuts may fall between a message and its PUBACK.
    assert counters["messages.sent"] == counters["messages.acked"] + counters["messages.lost"]
    assert counters["messages.sent"] - 5 <= counters["messages.acked"] <= len(messages) <= counters["messages.sent"]
    assert counters["connect.accepted"] == 8 + 3 and counters["connection.dropped"] == 3 + 2
    assert counters["messages.scheduled"] == counters["messages.sent"] + counters["messages.neverSent.offline"]
    assert {g["group"]: g["devices"]["count"] for g in result["groups"]} == {"one": 6, "two": 2}
    assert sum(g["counters"]["messages.sent"] for g in result["groups"]) == counters["messages.sent"]
    checks = {c["name"]: c for c in result["checks"]}
    assert (checks["flaky & odd"]["passes"], checks["flaky & odd"]["fails"]) == (2, 1)
    assert checks["always </script> fine"]["passed"]
    assert sorted(t["passed"] for t in result["thresholds"]) == [False, True, True, True, True]
    dropouts = [(d["group"], d["eligible"], d["chosen"], d["dropped"], d["back"]) for d in result["dropouts"]]
    assert dropouts == [("one", 6, 3, 3, 3), ("two", 2, 2, 2, 0)]
    assert [d["backTime"]["count"] for d in result["dropouts"]] == [3, 0]
    assert [e["name"] for e in result["events"]] == ["before <the> outage"]
    assert {(m["name"], m["value"]) for m in result["metrics"] if m["kind"] == "counter"} == {("orders", 2), ("orders", 1)}
    assert sum(p["sent"] for p in result["series"]) == counters["messages.sent"] and len(result["series"]) >= 6
    times = [p["t"] for p in result["series"]]
    assert times == sorted(times)
    assert any(p["byStatus"]["dropped"] >= 2 for p in result["series"]), "the outage shows"
    return result


def check_ndjson(folder, result):
    lines = [json.loads(line) for line in (folder / "r.ndjson").read_text(encoding="utf-8").splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds[0] == "run" and kinds[-1] == "summary"
    assert kinds.count("point") == len(result["series"]) and kinds.count("event") == 1
    assert kinds.count("check") == 2 and kinds.count("threshold") == 5
    points = [{k: v for k, v in line.items() if k != "type"} for line in lines if line["type"] == "point"]
    assert points == result["series"]
    assert lines[-1]["totals"] == result["totals"]


def check_csv(folder, result):
    with open(folder / "r.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result["series"])
    for row, point in zip(rows, result["series"]):
        assert abs(float(row["seconds"]) - point["t"]) < 0.01
        assert int(row["sent"]) == point["sent"] and int(row["devices_connected"]) == point["connected"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"])


def check_junit(folder):
    root = etree.parse(folder / "r.xml").getroot()
    (suite,) = root.iter("testsuite")
    cases = {(c.get("classname").rsplit(".", 1)[1], c.get("name")): c for c in suite.iter("testcase")}
    failed = {key for key, case in cases.items() if case.find("failure") is not None}
    assert failed == {("checks", "flaky & odd"), ("thresholds", "publish.latency p(95)<0.001ms")}
    assert int(suite.get("tests")) == len(cases) == 2 + 2 + 5
    assert int(suite.get("failures")) == 2 and suite.get("errors") == "0"
    text = cases["thresholds", "publish.latency p(95)<0.001ms"].find("failure")
    assert "p(95) was" in (text.get("message") or "") + (text.text or "")
    assert {p.get("name"): p.get("value") for p in suite.iter("property")}["seed"] == "77"


class Page(html.parser.HTMLParser):
    """Texts, tags, and whatever a browser would load from elsewhere."""

    VOID = {"meta", "link", "br", "hr", "img", "input", "path", "line", "rect", "circle", "polyline", "use"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.outside, self.open = [], "", [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "xlink:href") and not (value or "").startswith(("#", "data:")):
                self.outside.append((tag, name, value))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text += data


def check_html(folder):
    source = (folder / "r.html").read_text(encoding="utf-8")
    page = Page(source)
    assert not page.open and page.outside == []
    assert not re.search(r"@import|url\((?!['\"]?(#|data:))|https?://(?!www\.w3\.org)", source), "nothing from elsewhere"
    for text in ('reports <&> "quoted"', "flaky & odd", "always </script> fine", "before <the> outage",
                 "cable & plug", "publish.latency", "p(95)<0.001ms", "orders", "waiting", "one", "two", "nightly", "77"):
        assert text in page.text, text
    assert page.tags.count("svg") >= 2, "plots of the run over time"
    assert "FAILED" in page.text.upper()


def test_reports(made):
    run, folder, messages = made
    result = check_json(folder, messages)
    assert figure(run, "sent") == result["totals"]["counters"]["messages.sent"]
    check_ndjson(folder, result)
    check_csv(folder, result)
    check_junit(folder)
    check_html(folder)


def test_a_script_error_stands_in_every_report(iotix, write, tmp_path):
    write("x.lua", """local iotix = require "iotix"
return iotix.scenario { name = "broken", run = function(t)
  t:check("before", true)
  local x = nil
  t:log(x.field)
end }
""")
    outputs = [part for kind, name in KINDS.items() for part in ("--out", f"{kind}={name}")]
    iotix("run", "x.lua", "--broker", "embedded", *outputs).expect(107)
    verdict = json.loads((tmp_path / "r.json").read_text())["verdict"]
    assert (verdict["outcome"], verdict["exitCode"]) == ("script error", 107) or verdict["exitCode"] == 107
    assert "x.lua:5" in verdict["error"]
    suite = next(etree.parse(tmp_path / "r.xml").getroot().iter("testsuite"))
    assert suite.get("errors") == "1"
    assert "x.lua:5" in etree.tostring(next(suite.iter("error")), encoding="unicode")
    assert "x.lua:5" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    summary = json.loads((tmp_path / "r.ndjson").read_text().splitlines()[-1])
    assert summary["exitCode"] == 107 and "x.lua:5" in summary["error"]


def test_a_report_that_cannot_be_written_is_found_before_the_run(iotix, write):
    write("x.lua", 'local iotix = require "iotix"\nreturn iotix.scenario { name = "x", run = function(t) t:log "ran" end }\n')
    ended = iotix("run", "x.lua", "--broker", "embedded", "--out", "json=nowhere/r.json").expect(104, r"nowhere/r\.json")
    assert "ran" not in ended.err

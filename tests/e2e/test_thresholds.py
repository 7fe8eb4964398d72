"""Thresholds of every kind of metric, on tags, in windows, and with an early end."""

import json
import re
import time

import pytest

from scenes import UNTIL_STOPPED, counter, model, scenario

METRICS = """
local orders, level = iotix.metric.counter "orders", iotix.metric.gauge "level"
local good, took = iotix.metric.rate "good", iotix.metric.trend "took"
local empty, never = iotix.metric.trend "empty", iotix.metric.rate "never"
"""

FILL = """
  orders:add(10) orders:add(5, { shop = "north" })
  level:add(42)
  for i = 1, 4 do good:add(i > 1) end
  for i = 1, 100 do took:add(i, { path = i <= 50 and "low" or "high" }) end
  t:check("first", true) t:check("second", true) t:check("second", true)
"""


def text(thresholds, body=FILL, top=METRICS):
    lines = ",\n    ".join(f'[ [[{metric}]] ] = {value}' for metric, value in thresholds)
    return f"""local iotix = require "iotix"
{top}
return iotix.scenario {{ name = "thresholds",
  thresholds = {{
    {lines}
  }},
  run = function(t)
  {body}
end }}
"""


PASS = [
    ("orders", '{ "count==15", "count>14", "count>=15", "count<16", "count<=15", "count!=14", "count<1k" }'),
    ("orders{shop:north}", '"count==5"'),
    ("level", '{ "value==42", "value>41.5", "min>=0", "max<=42" }'),
    ("good", '{ "rate==75%", "rate>0.7", "rate<76%" }'),
    ("took", '{ "min==1", "max==100ms", "max<=0.1s", "avg==50.5", "med<52", "p(95)>90", "p(95)<=97ms", "p(99.9)<=100", '
             '"count==100", "sum==5050" }'),
    ("took{path:low}", '{ "max==50", "count==50" }'),
    ("took{path:high}", '"min==51"'),
    ("checks", '{ "rate==100%" }'),
    ("checks{name:second}", '"rate>99%"'),
    ("messages.sent", '"count==0"'),
    ("connect.refused", '{ threshold = "count<1" }'),
]

FAIL = [
    ("orders", "count>15", r"count was 15, must be > 15"),
    ("orders{shop:south}", "count>0", r"shop:south"),
    ("level", "value<42", r"value was 42"),
    ("good", "rate>80%", r"rate was 75 ?%"),
    ("took", "p(95)<90ms", r"p\(95\) was 9\d(\.\d+)? ms"),
    ("took{path:low}", "max<50ms", r"max was 50(\.0+)? ms"),
    ("empty", "p(95)<1s", r"no samples"),
    ("never", "rate<1%", r"no samples"),
    ("checks{name:second}", "rate<50%", r"rate was 100 ?%"),
    ("publish.latency", "p(50)<1s", r"no samples"),
    ("connect.success", "rate>1%", r"no samples"),
]


def test_thresholds_that_hold(iotix, write):
    ended = iotix("run", write("x.lua", text(PASS)), "--broker", "embedded").expect(0, r"24 of 24 thresholds|PASSED")
    assert "✗" not in ended.out, ended.describe()


def test_thresholds_that_do_not_hold(iotix, write, tmp_path):
    lines = [(metric, f'"{rule}"') for metric, rule, _ in FAIL]
    ended = iotix("run", write("x.lua", text(lines)), "--broker", "embedded", "--out", "json=r.json").expect(99)
    found = {(t["metric"] + ("{%s}" % ",".join(f"{k}:{v}" for k, v in t["tags"].items()) if t["tags"] else ""),
              t["threshold"]): t for t in json.loads((tmp_path / "r.json").read_text())["thresholds"]}
    for metric, rule, reason in FAIL:
        line = re.search(rf"✗ {re.escape(metric)} {re.escape(rule)}[^\n]*(\n {{6,}}[^\n]*)?", ended.out)
        assert line and re.search(reason, line.group(0)), f"{metric} {rule}: {ended.describe()}"
        assert found[metric, rule]["passed"] is False and re.search(reason, found[metric, rule]["reason"])
    assert len(found) == len(FAIL)


BAD = [
    ("orders", '"p(95)<5"', r"orders.*counter"),
    ("took", '"p(101)<5"', r"101"),
    ("took", '"p(95) 5"', r"column"),
    ("took", '"max<5 parsec"', r"parsec|column"),
    ("took", '{ threshold = "max<5", abortOnFial = true }', r"abortOnFial.*did you mean.*abortOnFail"),
    ("odrers", '"count>1"', r"odrers.*did you mean.*orders"),
    ("publish.latncy", '"max<5"', r"publish.latncy.*did you mean.*publish.latency"),
    ("took{path}", '"max<5"', r"filter"),
    ("took", "7", r"text|table"),
    ("took", '{ threshold = "max<5", over = "10ms" }', r"1 ?s or longer"),
    ("connect.success", '"rate>1s"', r"connect.success|rate"),
]


@pytest.mark.parametrize("metric, rule, reason", BAD, ids=[f"{m} {r}" for m, r, _ in BAD])
def test_faulty_thresholds_are_found_at_the_start(metric, rule, reason, iotix, write):
    iotix("run", write("x.lua", text([(metric, rule)], 't:log "it ran"')), "--broker", "embedded").expect(104, reason)


def test_every_faulty_threshold_is_named(iotix, write):
    bad = [("took", '"p(95) 5"'), ("messages.sent", '"p(95)<5"'), ("good", '"rate>>5"')]
    ended = iotix("run", write("x.lua", text(bad)), "--broker", "embedded").expect(104)
    assert all(metric in ended.out + ended.err for metric, _ in bad), ended.describe()


def test_groups_and_their_tags_are_judged_apart(broker, iotix, write):
    write("probe.json", model(counter(100)))
    write("x.lua", text([
        ("messages.sent{group:one}", '"count>=3"'), ("messages.sent{group:two}", '"count>=6"'),
        ("messages.sent{site:north}", '"count>=6"'), ("publish.latency{site:north}", '"p(95)<30s"'),
        ("devices.stopped{group:one}", '"value==1"'), ("messages.lost", '"count==0"'), ("mqtt.messages.sent", '"count>=9"'),
        ("connect.success", '"rate==100%"'),
    ], """
  local one = t:group { model = "probe.json", group = "one", count = 1 }
  local two = t:group { model = "probe.json", group = "two", count = 2, tags = { site = "north" } }
  one:start() two:start()
  one:wait { connected = 1 } two:wait { connected = 2 }
  t:sleep "450ms"
  one:stop() two:stop()
  t:sleep "200ms" """))
    iotix("run", "x.lua", "--broker", broker.address).expect(0)


def test_a_threshold_may_end_the_run(iotix, write, tmp_path):
    write("x.lua", text([("orders", '{ threshold = "count<3", abortOnFail = true }')], """
  for i = 1, 600 do
    orders:add()
    t:log("order %d", i)
    t:sleep "100ms"
  end""").replace("name = \"thresholds\",", 'name = "thresholds", teardown = function(t) t:log "cleaned up" end,'))
    began = time.monotonic()
    ended = iotix("run", "x.lua", "--broker", "embedded", "--out", "json=r.json").expect(
        99, r"✗ orders count<3", r"cleaned up")
    assert time.monotonic() - began < 30, ended.describe()
    assert 3 <= int(re.findall(r"order (\d+)", ended.err)[-1]) < 100
    verdict = json.loads((tmp_path / "r.json").read_text())["verdict"]
    assert verdict["exitCode"] == 99, verdict


def test_no_early_end_before_the_delay(iotix, write):
    write("x.lua", text([("orders", '{ threshold = "count<3", abortOnFail = true, delayAbort = "2500ms" }')], """
  orders:add(5)
  t:sleep "60s" """))
    began = time.monotonic()
    iotix("run", "x.lua", "--broker", "embedded").expect(99, r"✗ orders count<3")
    assert 2.4 < time.monotonic() - began < 30


def test_a_window_sees_what_the_whole_run_hides(iotix, write):
    """Slow for one second in the middle: over the whole run the median is fine, over 1 s it is not."""
    body = """
  for i = 1, 40 do
    for _ = 1, 10 do took:add(i > 15 and i <= 28 and 900 or 5) end
    t:sleep "100ms"
  end"""
    ended = iotix("run", write("x.lua", text([
        ("took", '{ "med<100ms", "med<100ms over 1s", { threshold = "med<950ms", over = "1s" } }')], body)),
        "--broker", "embedded").expect(99)
    assert re.search(r"✓ took med<100ms +", ended.out), ended.describe()
    assert re.search(r"✗ took med<100ms over 1s", ended.out), ended.describe()
    assert re.search(r"✓ took med<950ms", ended.out), ended.describe()


def test_thresholds_are_judged_after_ctrl_c_too(broker, iotix, write):
    write("probe.json", model(counter(100)))
    write("x.lua", scenario(2, UNTIL_STOPPED, keys='thresholds = { ["messages.sent"] = "count>1M" },'))
    run = iotix.start("run", "x.lua", "--broker", broker.address, "--interval", "200ms")
    run.wait_for(r"2 of 2 connected")
    run.interrupt()
    run.expect(105, r"✗ messages\.sent count>1M")

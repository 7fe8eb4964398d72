"""What `iotix report` finds of runs that ended, still go on, or died at a random moment."""

import csv
import json
import os
import pathlib
import random
import re
import resource
import signal
import time

import jsonschema
import pytest

from helpers import figure, wait_until
from scenes import UNTIL_STOPPED, counter, model, scenario

SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "runtime" / "control" / "result.schema.json"
KINDS = {"junit": "r.xml", "json": "r.json", "csv": "r.csv", "ndjson": "r.ndjson", "html": "r.html"}

RICH = """local iotix = require "iotix"
local orders, waiting = iotix.metric.counter "orders", iotix.metric.trend "waiting"
return iotix.scenario {
  name = "rich <&> \\"quoted\\"", tags = { suite = "nightly" }, options = { devices = 6 },
  thresholds = {
    ["messages.lost"] = "count==0", ["publish.latency"] = { "p(95)<30s", "p(95)<0.001ms", "max<30s over 1s" },
    ["messages.sent{group:one}"] = "count>1", orders = "count==3", ["devices.connected"] = "min>=0",
    ["checks{name:flaky}"] = "rate>50%",
  },
  run = function(t)
    local one = t:group { model = "probe.json", count = t.options.devices, group = "one", tags = { site = "<north>" } }
    local two = t:group { model = "probe.json", count = 2, group = "two" }
    one:start { strategy = "linear", delayMs = 20 }
    one:wait { connected = "100%" }
    t:event("before <the> outage", { cause = "cable & plug" })
    orders:add(2) orders:add(1, { shop = "north" }) waiting:add(12.5)
    for i = 1, 3 do t:check("flaky", i ~= 2) end
    t:sleep "1300ms"
    two:start() two:wait { connected = "100%" }
    one:dropout { strategy = "immediate", percentage = 50, reconnect = true, reconnectDelayMs = 300 }:wait()
    t:sleep "500ms"
    one:stop() two:stop()
  end,
}
"""


def outputs(folder):
    return [part for kind, name in KINDS.items() for part in ("--out", f"{kind}={folder}/{name}")]


@pytest.mark.parametrize("interval", ["200ms", "1s", "3s"])
def test_a_report_is_the_same_as_that_of_the_run_itself(interval, broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    for folder in ("run", "again"):
        (tmp_path / folder).mkdir()
    arguments = ["--broker", broker.address, "--data-dir", "data", "--interval", interval, "--seed", 77]
    run = iotix("run", write("x.lua", RICH).name, *arguments, *outputs("run")).expect(99)
    again = iotix("report", "last", "--data-dir", "data", *outputs("again")).expect(99)
    assert again.out == run.out
    for name in KINDS.values():
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
    # by its id, the beginning of the id, its folder, its file
    identity = json.loads((tmp_path / "run" / "r.json").read_text(encoding="utf-8"))["run"]["id"]
    for name in (identity, identity[:6], f"data/runs/{identity}", f"data/runs/{identity}/journal"):
        assert iotix("report", name, "--data-dir", "data").expect(99).out == run.out


def test_the_list_of_runs(broker, iotix, write):
    write("probe.json", model(counter(100)))
    iotix("report", "--data-dir", "data").expect(0, "no run has left a journal")
    for name, ending in (("one", 0), ("two", 99)):
        body = f't:sleep "200ms" t:check("fine", {str(ending == 0).lower()})'
        text = scenario(devices=2, body=body).replace('name = "test"', f'name = "{name}"')
        iotix("run", write("x.lua", text).name, "--broker", broker.address, "--data-dir", "data").expect(ending)
    lines = iotix("report", "--data-dir", "data").expect(0).out.splitlines()
    assert [line.split()[-1] for line in lines] == ["SCENARIO", "two", "one"], lines
    assert "failed (99)" in lines[1] and "passed" in lines[2], lines


def test_a_run_that_is_not_there(iotix, tmp_path):
    iotix("report", "last", "--data-dir", "data").expect(104, "there are no runs in")
    (tmp_path / "data" / "runs" / "0123456789abcdef").mkdir(parents=True)
    journal = tmp_path / "data" / "runs" / "0123456789abcdef" / "journal"
    journal.write_text("something else entirely")
    iotix("report", "last", "--data-dir", "data").expect(104, "is no journal")
    iotix("report", "0123456789abcdee", "--data-dir", "data").expect(104, "0123456789abcdef", "lists the runs")
    journal.write_bytes(b"IXJRNL1\n")
    iotix("report", "last", "--data-dir", "data").expect(104, "before anything was measured")
    iotix("report", "--out", "json=x").expect(104, "needs a run")
    iotix("report", "last", "--out", "jsn=x").expect(104, "json")


def test_odd_things_to_report_on_or_to_repeat_say_what_to_do(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    file = write("x.lua", scenario(devices=2, body='t:sleep "200ms"')).name
    iotix("run", file, "--broker", broker.address, "--data-dir", "data", "--out", "json=r.json").expect(0)
    whole = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    (tmp_path / "cut.json").write_text((tmp_path / "r.json").read_text(encoding="utf-8")[:1500])
    (tmp_path / "empty").write_text("")
    (tmp_path / "folder").mkdir()
    older = {**whole, "iotix": "0.0.9", "run": {**whole["run"], "command": ["--frobnicate=1"]}}
    write("older.json", json.dumps(older))
    later = {**whole, "formatVersion": 99}
    later["run"]["settings"]["intervalMs"]["value"] = 1000  # the same as 1000.0
    later["run"]["models"][0]["hash"] = "0" * 16
    write("later.json", json.dumps(later))

    def repeat(name):
        return iotix("run", "--replay-of", name, "--data-dir", "data")

    repeat("cut.json").expect(104, "no whole JSON report: line", "iotix report lists the runs")
    repeat("older.json").expect(104, "unknown option --frobnicate", "it was run by iotix 0.0.9", "--seed")
    warned = repeat("later.json").expect(0, "written by a later version", r"the hash of model probe-v1 was 0+, is")
    assert "intervalMs" not in warned.err + warned.out
    repeat("empty").expect(104, "it is empty")
    repeat("gone.json").expect(104, "neither a run", "lists the runs")
    for command in (("run", "--replay-of"), ("report",)):
        iotix(*command, "folder", "--data-dir", "data").expect(104, "no journal in it", "lists the runs")
    iotix("report", "r.json", "--data-dir", "data").expect(104, "but JSON: reports are made from journals")
    iotix("report", "last", "--data-dir", "data", "--out", "json=/dev/full").expect(104, "No space left on device")


TICKING = scenario(devices=20, body='for i = 1, 600 do t:sleep "50ms" t:log("at %d", i) t:check("up", true) end')


def last_said(run):
    said = re.findall(r"at (\d+)\n", run.err + run.out)
    return int(said[-1]) if said else 0


def test_twenty_controllers_are_killed_at_a_random_moment(iotix, write, tmp_path):
    """Whatever the scenario did more than a second before the end is in the report; and half a second more, since the last
    look may have been on its way."""
    write("probe.json", model(counter(100)))
    file = write("x.lua", TICKING).name
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for batch in range(5):
        runs = []
        for number in range(4):
            data = f"data-{batch}-{number}"
            runs.append((data, iotix.start("run", file, "--broker", "embedded", "-w", 1, "--data-dir", data)))
        for _, run in runs:
            run.wait_for("at 1$")
        for data, run in runs:
            time.sleep(chance.random() * 0.8)
            run.kill()
            run.wait()
            said = last_said(run)
            report = iotix("report", "last", "--data-dir", data, "--out", f"json={data}.json")
            report.expect(105, "ENDED EARLY: its controller died")
            result = json.loads((tmp_path / f"{data}.json").read_text(encoding="utf-8"))
            jsonschema.validate(result, schema, jsonschema.Draft202012Validator)
            assert result["verdict"]["endedEarly"] and result["verdict"]["exitCode"] == 105
            checks = sum(check["passes"] for check in result["checks"])
            assert checks >= said - 30, f"seed {seed}: {checks} checks of {said}: {report.describe()}"
            listed = iotix("report", "--data-dir", data).expect(0)
            assert "ended early" in listed.out


def test_an_observed_run_whose_controller_dies_tells_what_was_delivered(broker, observe, iotix, write, tmp_path):
    """In every format, up to the last second: at least what an independent client had seen two seconds before."""
    write("probe.json", model(counter(100)))
    seen = observe(broker, "devices/#")
    file = write("x.lua", TICKING).name
    run = iotix.start("run", file, "--broker", broker.address, "--observe", "devices/#", "--data-dir", "data")
    run.wait_for("at 40$")
    before = len(seen.messages)
    run.wait_for("at 80$")
    run.kill()
    run.wait()
    report = iotix("report", "last", "--data-dir", "data", *outputs(".")).expect(105, "ENDED EARLY", "the account was not closed")
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    jsonschema.validate(result, json.loads(SCHEMA.read_text(encoding="utf-8")), jsonschema.Draft202012Validator)
    delivery = result["delivery"]
    total = delivery["total"]
    assert delivery["closed"] is False and total["sent"] == total["delivered"] + total["inFlight"] and total["lost"] == 0
    assert 0 < before <= total["delivered"], report.describe()
    assert [(part["group"], part["qos"], part["delivered"]) for part in delivery["parts"]] == [
        ("fleet", 1, total["delivered"])]
    assert delivery["observers"]["topics"] == ["devices/#"] and delivery["devices"]["affected"] is not None
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert sum(int(row["delivery_delivered"] or 0) for row in rows) == total["delivered"]
    assert int(rows[-1]["delivery_in_flight"]) == total["inFlight"] and rows[-1]["delivery_lost"] == "0"
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert ">Delivery" in html and f"{total['delivered']:,}" in html and "not closed" in html
    assert "DELIVERY" in (tmp_path / "r.xml").read_text(encoding="utf-8")


def test_a_run_that_still_goes_on(broker, iotix, write):
    write("probe.json", model(counter(100)))
    run = iotix.start("run", write("x.lua", TICKING).name, "--broker", broker.address, "--data-dir", "data")
    run.wait_for("at 20$")
    iotix("report", "last", "--data-dir", "data").expect(105, "the run is still going on", r"accepted +20")
    iotix("report", "--data-dir", "data").expect(0, r"running +test")
    run.interrupt()
    run.expect(105)
    iotix("report", "last", "--data-dir", "data").expect(105, "INTERRUPTED")


def test_a_journal_that_cannot_be_written_any_more_leaves_the_run_alone(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    body = 'for i = 1, 60 do t:sleep "50ms" t:log("at %d", i) end'
    file = write("x.lua", scenario(devices=20, body=body)).name
    run = iotix.start("run", file, "--broker", broker.address, "--data-dir", "data", "--out", "json=r.json")
    run.wait_for("at 20$")
    journal = wait_until(lambda: list(tmp_path.glob("data/runs/*/journal")), 10, "a journal")[0]
    size = journal.stat().st_size
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
    run.wait_for("journal .* can't be written any more: File too large")
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run.expect(0)
    assert run.err.count("can't be written any more") == 1, run.describe()
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert figure(run, "sent") == result["totals"]["counters"]["messages.sent"]
    iotix("report", "last", "--data-dir", "data").expect(105, "ENDED EARLY", "journal could not be written")


SOAK = """local iotix = require "iotix"
return iotix.scenario { name = "soak",
  thresholds = { ["publish.latency"] = { "p(95)<300s", "max<0.000001ms over 1s" }, ["messages.lost"] = "count==0" },
  run = function(t)
    for i = 1, 12 do t:group { model = "probe.json", count = 5, group = "g" .. i }:start() end
    %s
    t:check("the end was reached", true)
  end }
"""


def test_a_long_run_keeps_within_its_share_and_is_covered_whole(broker, iotix, write, tmp_path):
    """Once its journal has to become coarser, only the course over time does: all sums and the verdict are those of the
    run, the one of a threshold with windows too."""
    write("probe.json", model(counter(50)))
    file = write("x.lua", SOAK % UNTIL_STOPPED).name
    run = iotix.start("run", file, "--broker", broker.address, "--data-dir", "data", "--data-limit", "1MiB",
                      "--interval", "100ms", "--out", "json=r.json")
    run.wait_for("keeps fewer points over time", 60)
    journal = next(tmp_path.glob("data/runs/*/journal"))
    wait_until(lambda: journal.stat().st_size > 120 << 10, 60, "the journal to become coarser once more")
    time.sleep(1)
    write("stop", "")
    run.wait(60)
    assert journal.stat().st_size <= 256 << 10
    report = iotix("report", "last", "--data-dir", "data", "--out", "json=again.json").expect(run.code, "became coarser")
    one, again = (json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("r.json", "again.json"))
    assert len(again["series"]) < len(one["series"]), report.describe()
    for part in ("totals", "groups", "latency", "checks", "thresholds", "peakConnectsPerSecond", "run"):
        assert again[part] == one[part], part
    for part in ("outcome", "exitCode", "validity", "reasons", "suspect"):
        assert again["verdict"][part] == one["verdict"][part], part
    assert any(not threshold["passed"] for threshold in again["thresholds"])


@pytest.mark.parametrize("place", ["file/below", "/proc/nowhere"])
def test_without_a_folder_for_journals_the_run_goes_on(place, broker, iotix, write):
    write("probe.json", model(counter(100)))
    write("file", "")
    file = write("x.lua", scenario(devices=2, body='t:sleep "300ms"')).name
    run = iotix("run", file, "--broker", broker.address, "--data-dir", place).expect(0, "leaves no journal")
    assert run.err.count("journal") == 1, run.describe()


def test_old_runs_make_room(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    file = write("x.lua", scenario(devices=2, body='t:sleep "200ms"')).name
    arguments = ["run", file, "--broker", broker.address, "--data-dir", "data", "--data-limit", "1MiB"]
    iotix(*arguments).expect(0)
    old = list(tmp_path.glob("data/runs/*/journal"))
    with old[0].open("ab") as journal:
        journal.truncate(900 << 10)
    past = time.time() - 1000
    os.utime(old[0], (past, past))
    iotix(*arguments).expect(0)
    left = list(tmp_path.glob("data/runs/*/journal"))
    assert len(left) == 1 and left != old, left
    iotix(*arguments[:-1], "100").expect(104, "1MiB or more")


def test_a_run_that_is_aborted_at_once(broker, iotix, write):
    write("probe.json", model(counter(100)))
    run = iotix.start("run", write("x.lua", TICKING).name, "--broker", broker.address, "--data-dir", "data")
    run.wait_for("at 5$")
    broker.pause()  # so that the drain takes its time
    run.signal(signal.SIGINT)
    run.wait_for("once more aborts")
    time.sleep(0.4)
    run.signal(signal.SIGINT)
    run.expect(105)
    broker.resume()
    iotix("report", "last", "--data-dir", "data").expect(105, r"ENDED EARLY|INTERRUPTED")

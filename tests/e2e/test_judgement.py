"""What the generator says about itself, and what a run says about how to repeat it."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from helpers import die_with_parent, wait_until
from scenes import UNTIL_STOPPED, counter, model, scenario

BURN = "import os\nos.sched_setaffinity(0, {%d})\nwhile True: pass"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def starved(pid, core):
    """One process that burns this core goes first there: `pid` gets what it leaves over, which is next to nothing."""
    burner = subprocess.Popen([sys.executable, "-c", BURN % core], preexec_fn=die_with_parent, start_new_session=True)
    group = pathlib.Path(f"/proc/{pid}/autogroup")  # some kernels share the CPU out among sessions first
    try:
        with contextlib.suppress(OSError):
            group.write_text("19", encoding="ascii")
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
        yield
    finally:
        burner.kill()
        burner.wait()
        with contextlib.suppress(OSError):  # only root may; others have to wait a little longer for the end
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
            group.write_text("0", encoding="ascii")


def test_a_cpu_burner_beside_the_run_turns_the_verdict(broker, iotix, write, tmp_path):
    """The same run twice on one core, with and without a burner that goes first there. How busy the machine is otherwise
    does not matter: by its other limits no run is judged here, and the quiet one by none."""
    write("probe.json", model(dict(counter(200), phase="random"), connection={"qos": 0}))
    body = f't:log "all are up" {UNTIL_STOPPED}'
    file = write("x.lua", scenario(devices=100, body=body)).name
    core = min(os.sched_getaffinity(0))

    def run(name, burning, *limits):
        (tmp_path / "stop").unlink(missing_ok=True)
        arguments = ["run", file, "--broker", broker.address, "-w", 1, "--data-dir", name, "--out", f"json={name}.json"]
        running = iotix.start(*arguments, *limits, limits=lambda: os.sched_setaffinity(0, {core}))
        running.wait_for("all are up", 60)
        before = running.err.count("connected ·")
        with starved(running.workers(1)[0], core) if burning else contextlib.nullcontext():
            wait_until(lambda: running.err.count("connected ·") >= before + 9, 60, running.describe)
        write("stop", "")
        running.wait(60)
        return running, read(tmp_path / f"{name}.json")["verdict"]

    free = []
    for name in ("lateness.degraded", "lateness.invalid", "ownFault.invalid", "busy.degraded", "steal.degraded"):
        free += ["--limit", f"{name}=off"]
    _, quiet = run("quiet", False, *free, "--limit", "wait.degraded=off")
    assert (quiet["validity"], quiet["exitCode"], quiet["reasons"]) == ("valid", 0, [])
    limit = ["--limit", "busy.for=4s"]
    burnt, verdict = run("burnt", True, *free, *limit)
    assert verdict["validity"] == "degraded" and verdict["exitCode"] == 0, burnt.describe()
    assert "a worker waited for a CPU for more than" in verdict["reasons"][0]
    assert verdict["figures"]["waited"] > 0.3 and "publish.latency" in verdict["suspect"]
    assert "own delays are a part of these times" in burnt.out and "PASSED (degraded)" in burnt.out
    iotix("report", "last", "--data-dir", "quiet", "--limit", "wait.degraded=off").expect(0, r"(?m)^PASSED$")
    late = ["--limit", "lateness.invalid=1ns"]
    iotix("report", "last", "--data-dir", "burnt", *late).expect(111, "INVALID", "more about this host")


def test_limits_are_options(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    file = write("x.lua", scenario(devices=5, body='t:sleep "500ms"')).name
    arguments = ["run", file, "--broker", broker.address, "--out", "json=r.json"]
    run = iotix(*arguments, "--limit", "lateness.invalid=1ns").expect(111, "p99 lateness", r"lateness.invalid 1 ?ns")
    assert read(tmp_path / "r.json")["verdict"]["limits"]["invalidLatenessMs"] == 1e-06, run.describe()
    iotix(*arguments, "--limit", "latenes.invalid=1s").expect(104, "lateness.invalid")
    iotix(*arguments, "--limit", "busy.degraded=200%").expect(104, "is no share")


def test_a_scenario_says_its_limits_and_the_command_line_wins(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))

    def with_limits(limits):
        text = scenario(devices=5, body='t:sleep "500ms"')
        return write("x.lua", text.replace("options = {", f"limits = {{ {limits} }}, options = {{")).name

    file = with_limits('["lateness.invalid"] = "1ns", ["busy.degraded"] = 0.8, ["busy.for"] = 2, ["steal.degraded"] = "off"')
    arguments = ["run", file, "--broker", broker.address, "--data-dir", "data", "--out", "json=r.json"]
    iotix(*arguments).expect(111, "p99 lateness", r"lateness.invalid 1 ?ns  \(scenario\)", r"busy.degraded 80 %  \(scenario\)")
    iotix(*arguments, "--limit", "lateness.invalid=1h", "--limit", "lateness.degraded=1h", "--limit", "wait.degraded=off"
          ).expect(0, r"lateness.invalid 1h 00m  \(command line\)", r"(?m)^PASSED$")
    result = read(tmp_path / "r.json")
    settings = {name: (s["value"], s["origin"]) for name, s in result["run"]["settings"].items()}
    assert settings["limit.lateness.invalid"][1] == "command line"
    assert settings["limit.busy.degraded"] == ("80 %", "scenario") and settings["limit.busy.for"] == ("2 s", "scenario")
    assert settings["limit.steal.degraded"] == ("off", "scenario")
    assert settings["limit.restarts.degraded"] == ("0", "default")
    limits = result["verdict"]["limits"]
    assert (limits["degradedBusy"], limits["busyForSeconds"], limits["degradedSteal"]) == (0.8, 2, None)
    iotix("report", "last", "--data-dir", "data", "--limit", "lateness.invalid=1ns").expect(111, r"1 ns  \(of this report\)")
    for limits, said in (
            ('["latenes.invalid"] = "1s"', 'limits: there is no limit "latenes.invalid"; did you mean "lateness.invalid"'),
            ('["busy.degraded"] = 2', "limits: .*is no share"), ('["lateness.invalid"] = "fast"', "is not a duration"),
            ('["restarts.degraded"] = 1.5', "whole count"), ('["busy.for"] = true', "must be a text")):
        file = with_limits(limits)
        for command in ("plan", "run"):
            iotix(command, file, "--broker", broker.address).expect(104, said)


def test_settings_have_an_origin_and_the_host_its_facts(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    own = model(counter(100), id="own", connection={"broker": "127.0.0.1", "port": broker.port})
    write("own.json", own)
    text = scenario(devices=2, body='t:sleep "200ms"').replace(
        "local fleet", 'local other = t:group { model = "own.json", count = 1, group = "other" }\n  local fleet')
    file = write("x.lua", text.replace("options = {", "options = { extra = 1,")).name
    env = {"MQTT_BROKER_HOST": "127.0.0.1", "MQTT_BROKER_PORT": str(broker.port)}
    iotix("run", file, "-w", 1, "-e", "devices=3", "--out", "json=r.json", env=env).expect(0)
    run = read(tmp_path / "r.json")["run"]
    origins = {name: setting["origin"] for name, setting in run["settings"].items()}
    assert run["settings"]["broker"] == {"value": broker.address, "origin": "environment"}
    assert run["settings"]["option.devices"] == {"value": 3, "origin": "command line"}
    assert run["settings"]["option.extra"] == {"value": 1, "origin": "scenario"}
    assert run["settings"]["workers"] == {"value": 1, "origin": "command line"}
    assert run["settings"]["group.other.broker"] == {"value": broker.address, "origin": "model"}
    assert origins["bind"] == origins["seed"] == origins["limit.lateness.degraded"] == "default"
    assert run["command"] == ["--workers=1", "--option=devices=3"]
    assert run["host"]["cores"] >= 1 and run["host"]["memoryBytes"] > 1 << 20 and run["host"]["kernel"]
    assert len(run["scenarioHash"]) == 16


def values(observer):
    return sorted((m.topic, m.payload.split(b'"value":')[1]) for m in observer.settle().messages)


def test_a_run_is_repeated_from_its_report_or_its_journal(broker, observe, iotix, write, tmp_path):
    noise = dict(name="value", type="number", intervalMs=100, total=30, generator={"type": "random", "min": 0, "max": 1})
    write("probe.json", model(noise))
    file = write("x.lua", scenario(devices=1, body='t:sleep "1200ms"')).name
    seen = []
    for arguments in (
            [file, "--broker", broker.address, "-e", "devices=3", "--data-dir", "data", "--out", "json=first.json"],
            ["--replay-of", "first.json", "--data-dir", "data", "--out", "json=second.json"],
            ["--replay-of", "last", "--data-dir", "data", "--out", "json=third.json"]):
        observer = observe(broker, "devices/+/telemetry")
        iotix("run", *arguments).expect(0)
        seen.append(values(observer))
        observer.close()
    assert len(seen[0]) == 30 and seen[0] == seen[1] == seen[2]
    first, second, third = (read(tmp_path / f"{name}.json")["run"] for name in ("first", "second", "third"))
    assert first["seed"] == second["seed"] == third["seed"] and third["options"] == {"devices": 3}
    assert second["replay"] == {"of": first["id"], "differences": []} and third["replay"]["of"] == second["id"]


def test_a_repetition_says_what_is_not_the_same(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100)))
    file = write("x.lua", scenario(devices=2, body='t:sleep "200ms"')).name
    iotix("run", file, "--broker", broker.address, "--out", "json=r.json").expect(0)
    report = read(tmp_path / "r.json")
    report["iotix"], report["run"]["host"]["cores"] = "0.0.1", 1234
    write("r.json", report)
    write("probe.json", dict(model(counter(100)), name="Another probe"))
    write("x.lua", scenario(devices=2, body='t:sleep "201ms"'))
    run = iotix("run", "--replay-of", "r.json", "-e", "devices=4", "--out", "json=again.json").expect(0)
    differences = read(tmp_path / "again.json")["run"]["replay"]["differences"]
    for text in ("the version of iotix was \"0.0.1\"", "the hash of the scenario file", "this host's cores was 1234",
                 "setting option.devices was 2, is 4", "the hash of model probe-v1 was"):
        assert [d for d in differences if text in d], (text, differences)
        assert text in run.err and text in run.out, run.describe()
    iotix("run", "--replay-of", "nothing-there").expect(104, "nothing-there")
    (tmp_path / "x.lua").rename(tmp_path / "moved.lua")
    iotix("run", "--replay-of", "r.json").expect(104, r"x\.lua.* can't be read from here", "name\\s+the file")
    iotix("run", "moved.lua", "--replay-of", "r.json").expect(0)
    write("broken.json", "{")
    iotix("run", "--replay-of", "broken.json").expect(104, "is no whole JSON report")
    write("other.json", {"run": {}})
    iotix("run", "--replay-of", "other.json").expect(104, "is no report of a run")
    iotix("run").expect(104, "something is missing")


def test_times_by_qos(broker, iotix, write, tmp_path):
    write("zero.json", model(counter(100), id="zero", connection={"qos": 0}))
    write("one.json", model(counter(100), id="one", connection={"topicPattern": "one/${deviceId}", "qos": 1}))
    text = """local iotix = require "iotix"
return iotix.scenario { name = "qos", thresholds = {
    ["publish.latency{qos:0}"] = "count>1", ["publish.service{qos:1}"] = "p(50)<30s",
    ["publish.latency{qos:2}"] = "count>0", ["mqtt.publish.latency{qos:1,group:zero}"] = "count>0" },
  run = function(t)
    local zero = t:group { model = "zero.json", count = 3, group = "zero" }
    local one = t:group { model = "one.json", count = 3, group = "one" }
    zero:start() one:start() zero:wait { connected = "100%" } one:wait { connected = "100%" }
    t:sleep "600ms" zero:stop() one:stop()
  end }"""
    run = iotix("run", write("x.lua", text).name, "--broker", broker.address, "--out", "json=r.json").expect(99)
    latency = {row["qos"]: row for row in read(tmp_path / "r.json")["latency"]}
    assert sorted(latency) == [0, 1] and all(row["protocol"] == "mqtt" for row in latency.values())
    assert latency[0]["response"]["count"] >= 9 and latency[1]["service"]["count"] >= 9
    assert latency[0]["response"]["fewSamples"] == ["p99", "p999"] or latency[0]["response"]["count"] >= 100
    passed = {t["metric"] + str(t["tags"]): t["passed"] for t in read(tmp_path / "r.json")["thresholds"]}
    assert sorted(passed.values()) == [False, False, True, True], run.describe()
    assert "mqtt latency q0" in run.out and "mqtt service q1" in run.out

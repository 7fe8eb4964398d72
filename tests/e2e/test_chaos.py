"""The scenario "chaos" on a broker that is well, and the same kind of trouble on one that is frozen for a while."""

import json
import os
import pathlib
import signal
import time

from helpers import brokers, wait_until
from scenes import counter, model

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "scenarios"

FROZEN = """local iotix = require "iotix"
return iotix.scenario {
  name = "frozen",
  thresholds = { ["mqtt.publish.latency"] = "p(95)<500ms", ["connection.lost"] = "count==0" },
  run = function(t)
    local fleet = t:group { model = "probe.json", count = 20, id = "dev-{index}" }
    fleet:start()
    fleet:wait { connected = "100%" }
    t:sleep "500ms"
    io.open("ready", "w"):close()
    t:wait_until(function() local file = io.open "go" return file and file:close() end, "60s", "the broker to go on")
    fleet:dropout { strategy = "random", percentage = 20, durationMs = 200, reconnect = true }:wait "30s"
    fleet:wait { connected = "100%" }
    fleet:stop { drain = "10s" }
  end,
}
"""
FREEZE = 3.0  # seconds


def test_chaos_on_the_embedded_broker(iotix):
    ended = iotix("run", FOLDER / "chaos.lua", "--broker", "embedded", "-e", "devices=100", "-e", "scale=0.01").expect(
        0, r"✓ network partition: everybody is back", r"✓ cascading failure: everybody is back",
        r"✓ random field failures: everybody is back", r"back again +100\b")
    assert "✗" not in ended.out


def test_a_frozen_broker_shows_in_the_verdict_and_in_the_report(iotix, write, tmp_path):
    """Latency counts from the instant at which a message was due: what waited for the broker was slow, even if it was
    not sent while the broker stood still."""
    write("probe.json", model(counter(100), connection={"maxInflight": 1000}))
    file = write("x.lua", FROZEN)
    run = iotix.start("run", file.name, "--broker", "embedded", "--out", "json=r.json", "--interval", "500ms")
    wait_until((tmp_path / "ready").exists, 30, run.describe)
    (broker,) = brokers(run.pid)
    os.kill(broker, signal.SIGSTOP)
    try:
        time.sleep(FREEZE)
    finally:
        os.kill(broker, signal.SIGCONT)
    write("go", "")
    run.expect(99, r"✗ mqtt\.publish\.latency p\(95\)<500ms\s+p\(95\) was [2-9]\.\d+ s", r"✓ connection\.lost")

    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert result["verdict"]["exitCode"] == 99 and result["verdict"]["validity"] != "invalid"
    hole = [p for p in result["series"] if p["acked"] == 0 and p["sent"] > 0]
    assert sum(p["seconds"] for p in hole) > FREEZE - 1.5, "nothing was acknowledged while the broker stood still"
    assert max(p["latencyMax"] or 0 for p in result["series"]) > (FREEZE - 0.5) * 1000
    trends = result["totals"]["trends"]
    assert trends["publish.latency"]["max"] > (FREEZE - 0.5) * 1000
    assert trends["publish.lateness"]["p50"] < 500, "the generator itself kept its schedule"
    counters = result["totals"]["counters"]
    assert counters["messages.acked"] + counters["messages.lost"] == counters["messages.sent"]
    assert counters["messages.lost"] <= 4, "only what the four dropped devices had under way"

"""A broker that stands still for a quarter of a run: response latency tells, service latency does not, and the report shows
the hole."""

import json
import re
import time

from helpers import ledger
from scenes import UNTIL_STOPPED, counter, model, scenario

RUN, FREEZE = 40, 10  # seconds


def test_a_quarter_of_the_run_without_a_broker(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(100), connection={"maxInflight": 1, "queue": {"policy": "block"}}))
    file = write("x.lua", scenario(50, UNTIL_STOPPED))
    run = iotix.start("run", file, "--broker", broker.address, "--out", "json=r.json", "--out", "html=r.html")
    run.wait_for("50 of 50 connected")
    begun = time.monotonic()
    time.sleep(10)
    broker.pause()
    paused = time.monotonic()
    time.sleep(FREEZE)
    broker.resume()
    stood = time.monotonic() - paused
    time.sleep(max(0.0, RUN - (time.monotonic() - begun)))
    write("stop", "")
    run.expect(0, r"publish latency", r"publish service")

    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    trends = result["totals"]["trends"]
    assert trends["publish.latency"]["p99"] >= 0.7 * FREEZE * 1000, trends["publish.latency"]
    assert trends["publish.service"]["p99"] < 1_000, trends["publish.service"]
    books = ledger(result)
    assert books["sent"] == books["acknowledged"] == books["scheduled"], books
    assert result["verdict"]["validity"] != "invalid", result["verdict"]

    hole = [p for p in result["series"] if p["acked"] == 0 and p["connected"] == 50]
    assert stood - 3 <= sum(p["seconds"] for p in hole) <= stood + 3, "the plot's points have the hole"
    assert max(p["latencyMax"] or 0 for p in result["series"]) > (FREEZE - 1) * 1000
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.search(r"publish\.latency", page) and re.search(r"publish\.service", page) and "<svg" in page

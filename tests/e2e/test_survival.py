"""Violent deaths, pauses and full disks at bad moments: what can go on goes on, the rest ends with a reason, and nothing
stays behind."""

import json
import os
import pathlib
import random
import re
import signal
import socket
import threading
import time

import pytest

from helpers import alive, brokers, children, figure, ledger, wait_until, workers
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario

QUICK_RETURN = {"reconnect": {"delayMs": 100, "maxDelayMs": 500}}


def start(iotix, write, *arguments, broker="embedded", devices=20, body=UNTIL_STOPPED, **more):
    write("probe.json", model(counter(100), connection=QUICK_RETURN))
    file = write("fleet.lua", scenario(devices, body, **more))
    return iotix.start("run", file, "--broker", broker, "--interval", "200ms", *arguments)


def is_called(name):
    """Is a process called so? Each worker has a name of its own."""
    return lambda pid: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == name.encode()


BUSY = """local seen, before, outages = 0, 0, {}
  local all = t:subscribe "devices/#"
  t:spawn(function()
    while all:next() do seen = seen + 1 end
  end)
  while true do
    local file = io.open "stop"
    if file then file:close() break end
    local sent = fleet:counts().sent
    t:check("counters never go back", sent >= before)
    before = sent
    outages[#outages + 1] = fleet:dropout {
      strategy = "random", percentage = 10, durationMs = 200, reconnect = true, reconnectDelayMs = 100,
    }
    fleet:set("counter", { step = 1 })
    t:sleep "100ms"
  end
  for _, outage in ipairs(outages) do outage:wait "20s" end
  fleet:wait { connected = "100%", timeout = "20s" }
  t:sleep "300ms"
  seen = 0
  t:sleep "1s"
  t:check("the observer sees messages again", seen > 0)"""


def test_twenty_workers_die_at_random_moments(iotix, write):
    """Each of six four times at most, because a worker that dies five times within ten seconds ends the run."""
    run = start(iotix, write, "--workers", 5, devices=100, body=BUSY)
    run.workers(6)
    draw = random.Random(20)
    victims = [place for _ in range(4) for place in draw.sample(range(6), 6)][:20]
    names = [f"iotix-worker-{i}" for i in range(5)] + ["iotix-observer-5"]

    def incarnation(place):
        found = list(filter(is_called(names[place]), workers(run.pid)))
        return found[0] if found else None

    for place in victims:
        time.sleep(draw.uniform(0.05, 0.6))
        os.kill(wait_until(lambda: incarnation(place), 10, run.describe), signal.SIGKILL)
        assert run.code is None, run.describe()
    write("stop", "")
    run.wait()
    assert run.code in (0, 111), run.describe()  # 111: more than 0.1 % of the ticks came due while a worker was away
    assert re.search(r"workers +5, 20 restarts", run.out) and "✗" not in run.out, run.describe()
    assert run.out.count("✓") == 2, run.describe()
    assert figure(run, "sent") == figure(run, "acknowledged") + figure(run, "lost"), run.describe()


def test_an_embedded_broker_that_dies_makes_the_run_invalid(iotix, write):
    run = start(iotix, write)
    run.wait_for("connected")
    os.kill(wait_until(lambda: brokers(run.pid), 10, "the embedded broker")[0], signal.SIGKILL)
    run.wait(20)
    run.expect(111, r"embedded broker .* was killed by signal 9", "INVALID")


def test_a_stopped_worker_is_waited_for(iotix, write):
    run = start(iotix, write, "--workers", 2)
    run.wait_for("20 of 20 connected")
    worker = run.workers(2)[0]
    os.kill(worker, signal.SIGSTOP)
    time.sleep(3)
    os.kill(worker, signal.SIGCONT)
    time.sleep(0.5)
    assert worker in workers(run.pid), run.describe()
    write("stop", "")
    run.wait()
    assert run.code in (0, 111), run.describe()  # its ticks were late, which may be too much
    assert re.search(r"workers +2\n", run.out), run.describe()


def test_a_stopped_controller_goes_on(iotix, write):
    run = start(iotix, write, "--workers", 2)
    run.wait_for("20 of 20 connected")
    pids = run.workers(2)
    os.kill(run.pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(run.pid, signal.SIGCONT)
    time.sleep(0.5)
    assert workers(run.pid) == pids, run.describe()
    write("stop", "")
    run.wait()
    assert run.code in (0, 111), run.describe()  # its ticks were late, which may be too much
    assert re.search(r"workers +2\n", run.out), run.describe()


ENDLESS = """return function(config, device)
  return function(tick, now)
    local n = 0
    while %s do
      n = n + 1
    end
    return tick
  end
end
"""


@pytest.mark.parametrize("condition", ["tick >= 5", "tick == 5"])
def test_a_worker_that_hangs_in_compiled_lua_comes_back_and_names_the_line(condition, iotix, write):
    """Compiled loops ignore the watchdog: the worker is killed, and its successor does not compile. It asks once more for
    the value that its predecessor hung in, even if no other tick would hang."""
    write("generators/endless.lua", ENDLESS % condition)
    write("probe.json", model(attribute("n", {"type": "custom", "handler": "endless"}, 50), connection=QUICK_RETURN))
    file = write("fleet.lua", scenario(2, UNTIL_STOPPED))
    run = iotix.start("run", file, "--broker", "embedded", "--workers", 1, "--out", "json=r.json")
    run.wait_for(r"endless\.lua:[456]", 70)
    write("stop", "")
    run.wait(20)
    assert "hung" in run.err, run.describe()
    books = ledger(json.loads((file.parent / "r.json").read_text(encoding="utf-8")))
    assert books["inDoubt"] == 0 and books["neverSent"]["error"] >= 1, books


def leftovers(folders):
    found = set()
    for folder in folders:
        found.update(path for path in pathlib.Path(folder).rglob("*"))
    return found


def test_a_killed_controller_leaves_no_process_and_no_file(iotix, write, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    write("probe.json", model(counter(100)))
    file = write("fleet.lua", scenario(20, 't:subscribe "devices/#"\n' + UNTIL_STOPPED))
    places = [tmp_path, "/dev/shm"]
    before = leftovers(places)
    run = iotix.start("run", file, "--broker", "embedded", "--out", "json=report.json",
                      env={"TMPDIR": str(scratch), "HOME": str(scratch), "XDG_RUNTIME_DIR": str(scratch)})
    run.wait_for("20 of 20 connected")
    pids = children(run.pid)
    assert len(pids) >= 3
    run.kill()
    wait_until(lambda: not any(map(alive, pids)), 2, lambda: f"{[p for p in pids if alive(p)]} to end")
    assert not {path for path in leftovers(places) - before if "iotix" in path.name or tmp_path in path.parents}


def test_ctrl_c_leaves_the_embedded_broker_alone_until_all_is_acknowledged(iotix, write):
    """The signal goes to the whole process group."""
    run = start(iotix, write, devices=200)
    run.wait_for("200 of 200 connected")
    run.interrupt()
    run.wait(15)
    assert run.code == 105, run.describe()
    assert figure(run, "sent") == figure(run, "acknowledged") > 0, run.describe()
    assert "restart" not in run.out + run.err, run.describe()


def test_ctrl_c_while_devices_start(iotix, write):
    run = start(iotix, write, devices=500, start='strategy = "linear", delayMs = 20')
    run.wait_for(r"\d+ of 500 connected")
    run.interrupt()
    run.wait(15)
    assert run.code == 105, run.describe()


@pytest.mark.parametrize("pause", [0, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2])
def test_ctrl_c_at_the_very_beginning(pause, iotix, write):
    run = start(iotix, write)
    time.sleep(pause)
    run.interrupt()
    run.wait(15)
    # Before its handlers are there, the signal itself ends it.
    assert run.code in (105, -signal.SIGINT), run.describe()


def test_ctrl_c_while_it_drains(broker, iotix, write):
    run = start(iotix, write, broker=broker.address)
    run.wait_for("20 of 20 connected")
    broker.pause()  # nothing is acknowledged any more: the drain takes its time
    time.sleep(0.3)
    run.interrupt()
    run.wait_for("once more aborts")
    time.sleep(0.2)
    run.interrupt()
    run.wait(3)
    assert run.code == 105, run.describe()


def test_a_broker_that_freezes_before_the_end_does_not_keep_the_run(broker, iotix, write):
    run = start(iotix, write, broker=broker.address)
    run.wait_for("20 of 20 connected")
    broker.pause()
    time.sleep(0.5)
    write("stop", "")
    run.wait(20)
    assert run.code == 0, run.describe()
    assert figure(run, "lost") > 0, run.describe()
    assert figure(run, "sent") == figure(run, "acknowledged") + figure(run, "lost"), run.describe()


@pytest.fixture
def mute():
    """A server that accepts and never says a word; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    accepted = []

    def accept():
        while True:
            try:
                accepted.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    for one in accepted:
        one.close()


def test_ctrl_c_while_a_broker_does_not_answer(mute, iotix, write):
    run = start(iotix, write, broker=f"127.0.0.1:{mute}")
    run.wait_for("20 starting")
    run.interrupt()
    run.wait(10)
    assert run.code == 105, run.describe()


def test_a_report_that_finds_the_disk_full_is_no_success(iotix, write):
    run = start(iotix, write, "--out", "json=/dev/full", "--out", "csv=points.csv", body="t:sleep '300ms'")
    run.expect(104, r"json report.*/dev/full.*No space left", r"acknowledged +\d")
    assert (pathlib.Path(run.process.args[2]).parent / "points.csv").read_text().count("\n") >= 2


@pytest.mark.parametrize("target", ["no/such/folder/x.json", "."])
def test_a_report_that_cannot_be_written_is_refused_before_anything_starts(target, broker, iotix, write):
    run = start(iotix, write, "--out", f"json={target}", broker=broker.address)
    run.expect(104, re.escape(f"can't write {target}"))
    assert not broker.connects(), "devices connected all the same"
    assert "DEVICES" not in run.out

"""Workers, broker and observers are killed at random moments of one run: it ends, accounts for every message, and leaves
nothing behind."""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import time

import pytest

from helpers import alive, children, descriptors, figure, ledger, marked, wait_until, workers
from scenes import UNTIL_STOPPED, counter, model, scenario

KILLS = 20
DEVICES = 60
WORKERS = 4
OBSERVED = """t:observe { topics = "devices/+/telemetry", qos = 1 }"""
# All are back, and what was under way is settled.
CALM = UNTIL_STOPPED + """
  fleet:wait { connected = "100%", timeout = "30s" }"""


def names(pid):
    """{name: pid} of the worker processes; each has a name of its own."""
    found = {}
    for child in workers(pid):
        try:
            found[pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[0].decode()] = child
        except OSError:
            pass
    return found


def shared_files(pids):
    """Files of /dev/shm that these processes have: other programs of this host have some, too."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found |= set(re.findall(r"/dev/shm/\S+", pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")))
    return found


def tcp_sockets(port):
    """Connections to a port in any state but TIME_WAIT, by whomever."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [line for line in lines if f":{port:04X}" in (line.split()[2][8:],) and line.split()[3] != "06"]


@pytest.mark.parametrize("queue", [None, {"policy": "block"}])
def test_twenty_random_kills(queue, broker, iotix, write, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = {"maxInflight": 2, "reconnect": {"delayMs": 50, "maxDelayMs": 300}}
    write("probe.json", model(counter(40), connection={**settings, **({"queue": queue} if queue else {})}))
    file = write("fleet.lua", scenario(DEVICES, CALM, before=OBSERVED))
    run = iotix.start("run", file, "--broker", broker.address, "--workers", WORKERS, "--interval", "200ms",
                      "--out", "json=r.json", "--seed", 1,
                      env={"TMPDIR": str(scratch), "HOME": str(scratch), "XDG_STATE_HOME": str(scratch / "state")})
    run.wait_for(f"{DEVICES} of {DEVICES} connected")
    begun = time.monotonic()
    wait_until(lambda: len(names(run.pid)) == WORKERS + 1, 30, run.describe)
    everybody = sorted(names(run.pid))
    before = descriptors(run.pid)
    draw = random.Random(7)
    # Each at most four times: a worker that dies five times within ten seconds ends the run.
    victims = [name for name in everybody for _ in range(4)][:KILLS - 4] + ["broker"] * 4
    draw.shuffle(victims)
    killed = 0
    for name in victims:
        time.sleep(draw.uniform(0.05, 0.5))
        if name == "broker":
            broker.kill()
            time.sleep(draw.uniform(0, 0.3))
            broker.start()
            continue
        os.kill(wait_until(lambda: names(run.pid).get(name), 30, run.describe), signal.SIGKILL)
        killed += "worker" in name
        assert run.code is None, run.describe()
    assert len(victims) == KILLS
    wait_until(lambda: len(names(run.pid)) == WORKERS + 1, 30, run.describe)
    wait_until(lambda: descriptors(run.pid) <= before + 2, 30,
               lambda: f"the controller to keep nothing of those that died: {descriptors(run.pid)}, before {before}")
    pids = children(run.pid)
    assert not shared_files([run.pid, *pids]), "what workers share has no name that could stay behind"
    ticks = int((time.monotonic() - begun) * 25)
    write("stop", "")
    run.wait()
    assert run.code in (0, 111), run.describe()
    assert not any(map(alive, pids)) and not marked(run.mark), "no orphan"

    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    books, delivery = ledger(result), result["delivery"]["total"]
    assert books["waiting"] == books["inFlight"] == 0, books
    assert books["inDoubt"] <= killed, books
    assert books["sent"] == figure(run, "sent") > 0, run.describe()
    assert delivery["sent"] == delivery["delivered"] + delivery["lost"] + delivery["inFlight"], delivery
    assert delivery["inDoubt"] <= killed, delivery
    assert abs(delivery["sent"] - books["sent"]) <= killed, (delivery, books)
    assert books["lostWithWorker"] <= books["lost"], books
    # Every device's ticks came due, 25 a second from its first connection on, wherever its worker and the broker were.
    assert books["scheduled"] >= DEVICES * (ticks - 1), (books, ticks)
    assert books["scheduled"] <= DEVICES * (result["run"]["seconds"] * 25 + 2), books

    left = [path for path in scratch.rglob("*") if path.is_file() and "runs" not in path.parts]
    assert not left, left
    wait_until(lambda: not tcp_sockets(broker.port), 30, lambda: f"open: {tcp_sockets(broker.port)}")

"""Fleets of more workers than are started at once: their start is answered while processes are still to come, and what
is asked of them meanwhile reaches every device all the same."""

import os

import pytest

from scenes import counter, model

WORKERS = 2 * (os.cpu_count() or 1) + 6  # two a core are started at a time
DEVICES = 5 * WORKERS


@pytest.fixture
def run(write, iotix, broker):
    write("probe.json", model(counter(1000)))

    def run(body):
        path = write("run.lua", f"""local iotix = require "iotix"
return iotix.scenario {{ name = "many", run = function(t)
  local fleet = t:group {{ model = "probe.json", count = {DEVICES}, id = "dev-{{index}}", group = "fleet" }}
  {body}
end }}
""")
        return iotix("run", path, "--broker", broker.address, "--workers", str(WORKERS), "--out", "json=run.json")
    return run


def test_calls_meanwhile_reach_every_device(run):
    run("""
  fleet:start()
  t:check("each", fleet:each(function(device) device:set("counter", 7) end) == fleet:count())
  local last = fleet:device(fleet:count() - 1)
  t:check("one", last:run(function(device) return device.id end) == last.id)
  last:set("counter", 8)
  fleet:wait { connected = "100%", timeout = "30s" }
  t:check("nobody twice", t:metric("connect.attempts").value == fleet:count())
  fleet:stop()""").expect(0)


def test_orders_meanwhile_hold(run):
    """Whatever their workers are told first: a stop after a start is the last word, and so is a start of one device."""
    run("""
  fleet:start()
  fleet:stop()
  fleet:device(1):start()
  fleet:device(fleet:count() - 1):start()
  fleet:wait { connected = 2, timeout = "30s" }
  fleet:wait { stopped = fleet:count() - 2, timeout = "30s" }
  t:sleep "500ms"
  t:check("only they", fleet:count "connected" == 2)
  fleet:stop()""").expect(0)


def test_nothing_starts_when_the_run_ends_meanwhile(run, broker):
    run("fleet:start(function(k) return 60 end)").expect(0)
    assert "New client connected" not in broker.log


@pytest.mark.parametrize("shift, count", [(1, "-1"), (0, "0")])
def test_what_a_late_worker_refuses_ends_the_run(run, shift, count):
    """The first device of the last worker, and of the first one."""
    ended = run(f"""
  fleet:start(function(k)
    if k == ({WORKERS} - {shift}) % {WORKERS} then error("no instant for it") end
    return 0
  end)
  t:sleep "60s" """).expect(107)
    assert "no instant for it" in ended.err + ended.out


def test_orders_for_single_devices(run):
    """As many orders as devices, each for one of them: its own worker acts."""
    run("""
  for index = 0, fleet:count() - 1 do fleet:device(index):start() end
  fleet:wait { connected = "100%", timeout = "30s" }
  for index = 0, fleet:count() - 1, 2 do fleet:device(index):stop() end
  fleet:wait { stopped = math.ceil(fleet:count() / 2), timeout = "30s" }
  for index = 0, fleet:count() - 1 do
    t:check("device " .. index, fleet:device(index):status() == (index % 2 == 0 and "stopped" or "running"))
  end
  fleet:stop()""").expect(0)

"""A run that goes on for long needs no more memory and no more descriptors than a short one."""

import time

from helpers import GROWTH, STEADY, descriptors, memory, wait_until, workers
from scenes import attribute, model

IDLE = 40  # fewer descriptors than this has a process without connected devices

# Tells the test where it is, and waits until the test has looked.
PAUSE = """
local function pause(t, name)
  local file = assert(io.open(name .. ".tmp", "w"))
  file:close()
  os.rename(name .. ".tmp", name .. ".here")
  while true do
    file = io.open(name .. ".go")
    if file then file:close() return end
    t:sleep "20ms"
  end
end
"""

SCENARIO = """local iotix = require "iotix"
{pause}
return iotix.scenario {{ name = "growth", run = function(t)
  local fleet = t:group {{ model = "probe.json", count = {devices}, id = "dev-{{index}}", group = "fleet" }}
  {body}
end }}
"""


def fewest(pid):
    """Descriptors of a process, the fewest of some looks: it may just be reading a file of /proc."""
    return min(descriptors(pid) for _ in range(20))


class Growing:
    """A run that is looked at when its scenario pauses."""

    def __init__(self, iotix, write, devices, body, *arguments, interval=200):
        write("probe.json", model(attribute("load", {"type": "random", "min": 0, "max": 1}, interval)))
        file = write("growth.lua", SCENARIO.format(pause=PAUSE, devices=devices, body=body))
        self.folder = file.parent
        self.run = iotix.start("run", file, "--broker", "embedded", *arguments, env=STEADY)

    def look(self, name):
        """{pid: (bytes, descriptors)} of the controller and its workers when the scenario pauses at `name`."""
        wait_until(lambda: (self.folder / f"{name}.here").exists() or self.run.code is not None, 150, self.run.describe)
        assert self.run.code is None, self.run.describe()
        own = [self.run.pid, *workers(self.run.pid)]
        wait_until(lambda: self.closed(own), 30, lambda: f"descriptors of {name}: {self.run.describe()}")
        seen = {pid: (memory(pid), fewest(pid)) for pid in own}
        (self.folder / f"{name}.go").touch()
        return seen

    @staticmethod
    def closed(own):
        """Whether the connections are closed: devices are stopped once they said goodbye, their sockets go a little later."""
        before = list(map(fewest, own))
        time.sleep(0.3)
        return max(before) < IDLE and before == list(map(fewest, own))

    def compare(self, early, late):
        assert early.keys() == late.keys(), f"processes were restarted: {self.run.describe()}"
        for pid, (before, few) in early.items():
            after, many = late[pid]
            assert many == few, f"{few} descriptors became {many}: {self.run.describe()}"
            assert after < before * 1.05 + GROWTH, f"{before} bytes became {after}: {self.run.describe()}"


def test_starting_and_stopping_leaves_nothing_behind(iotix, write):
    growing = Growing(iotix, write, 1000, """
  for cycle = 1, 100 do
    fleet:start { strategy = "batch", batchSize = 100, delayMs = 10 }
    fleet:wait { connected = "100%", timeout = "30s" }
    fleet:stop()
    fleet:wait { stopped = "100%", timeout = "30s" }
    if cycle == 10 or cycle == 100 then pause(t, "cycle-" .. cycle) end
  end""")
    early = growing.look("cycle-10")
    growing.compare(early, growing.look("cycle-100"))
    growing.run.expect(0)


def test_dropouts_leave_nothing_behind(iotix, write):
    """The first look comes when a worker's table of dropouts is full, the second after 23,000 reconnects more."""
    growing = Growing(iotix, write, 200, """
  fleet:start { strategy = "immediate" }
  fleet:wait { connected = "100%", timeout = "30s" }
  local first
  for i = 1, 500 do
    local outage = fleet:dropout { strategy = "immediate", percentage = 50, reconnect = true, reconnectDelayMs = 5 }
    outage:wait()
    first = first or outage
    if i == 270 or i == 500 then
      local old, new = first:progress(), outage:progress()
      t:check("each dropout takes half of the devices", old.back == 100 and new.back == 100)
      t:check("times are kept", old.backMs.p50 > 5 and new.backMs.p50 > 5)
      fleet:stop()
      fleet:wait { stopped = "100%", timeout = "30s" }
      pause(t, "dropout-" .. i)
      fleet:start { strategy = "immediate" }
      fleet:wait { connected = "100%", timeout = "30s" }
    end
  end""")
    early = growing.look("dropout-270")
    growing.compare(early, growing.look("dropout-500"))
    growing.run.expect(0, r"back again +50,000")

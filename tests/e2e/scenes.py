"""Models and scenarios for the tests: small, fast, and written to the test's folder."""

# Runs until the test writes a file named "stop": the test decides how long, not the clock.
UNTIL_STOPPED = """while true do
    local file = io.open "stop"
    if file then file:close() break end
    t:sleep "50ms"
  end"""


def attribute(name, generator, interval=200, kind="number", **more):
    return dict(name=name, type=kind, intervalMs=interval, generator=generator, **more)


def counter(interval=200):
    """Counts the ticks: value k belongs to tick k."""
    return attribute("counter", {"type": "sequence", "start": 0, "step": 1, "max": 1000000}, interval, "integer")


def model(*telemetry, id="probe-v1", connection=None, **more):
    return dict(
        id=id,
        name="Probe",
        type="sensor",
        protocol="mqtt",
        connection={"topicPattern": "devices/${deviceId}/telemetry", "qos": 1, **(connection or {})},
        telemetry=list(telemetry) or [counter()],
        **more,
    )


def scenario(devices=5, body="", model="probe.json", start='strategy = "immediate"', before="", keys=""):
    """A fleet "fleet" of devices dev-0, dev-1, … that is started, connected, and stopped after `body`."""
    return f"""local iotix = require "iotix"
return iotix.scenario {{ name = "test", options = {{ devices = {devices} }}, {keys} run = function(t)
  {before}
  local fleet = t:group {{ model = "{model}", count = t.options.devices, id = "dev-{{index}}", group = "fleet" }}
  fleet:start {{ {start} }}
  fleet:wait {{ connected = "100%", timeout = "30s" }}
  {body}
  fleet:stop()
end }}
"""

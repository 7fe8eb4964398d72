"""What a backend receives: topics, payloads, values and instants."""

import json
import os
import re

import pytest

from helpers import device_of, series, sockets, wait_until
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario

PROBE = model(
    attribute("temperature", {"type": "random", "min": 20, "max": 30, "distribution": "uniform"}, unit="celsius"),
    attribute("pressure", {"type": "random", "min": 980, "max": 1040, "distribution": "normal", "mean": 1013.25,
                           "stddev": 10}, 300, unit="hPa"),
    attribute("air", {"type": "random", "min": 0, "max": 500, "distribution": "exponential"}, kind="integer"),
    attribute("open", {"type": "random"}, 300, "boolean"),
    attribute("state", {"type": "constant", "value": "active"}, 500, "string"),
    counter(100),
)
INTERVALS = {a["name"]: a["intervalMs"] for a in PROBE["telemetry"]}
UNITS = {a["name"]: a.get("unit") for a in PROBE["telemetry"]}


def test_fifty_devices_publish_on_exact_instants(broker, observe, iotix, write):
    write("probe.json", PROBE)
    file = write("fleet.lua", scenario(50, 't:sleep "2s"', start='strategy = "linear", delayMs = 1'))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages

    devices = {f"dev-{i}" for i in range(50)}
    assert {m.topic for m in messages} == {f"devices/{d}/telemetry" for d in devices}
    for message in messages:
        body = json.loads(message.payload)
        (name,) = set(body) - {"deviceId", "timestamp", "unit"}
        assert body["deviceId"] == device_of(message)
        assert body.get("unit") == UNITS[name], body
        assert message.qos == 1 and not message.retain

    found = series(messages, *INTERVALS)
    assert set(found) == {(d, name) for d in devices for name in INTERVALS}
    assert sum(map(len, found.values())) == len(messages), "a message came twice"
    for (device, name), samples in found.items():
        interval = INTERVALS[name]
        base = found[device, "counter"][0][0]
        assert [stamp - base for stamp, _ in samples] == [k * interval for k in range(len(samples))], (device, name)
        assert len(samples) >= 2000 // interval, (device, name)

    def values(name):
        return [value for (_, n), samples in found.items() if n == name for _, value in samples]

    assert all(type(v) is float and 20 <= v <= 30 for v in values("temperature"))
    assert all(type(v) is float and 980 <= v <= 1040 for v in values("pressure"))
    assert all(type(v) is int and 0 <= v <= 500 for v in values("air"))
    assert set(values("open")) == {True, False}
    assert set(values("state")) == {"active"}
    for device in devices:
        assert [value for _, value in found[device, "counter"]] == list(range(len(found[device, "counter"])))
    assert len(set(values("temperature"))) > 100, "devices repeat each other's values"
    assert 1008 < sum(values("pressure")) / len(values("pressure")) < 1018
    assert sum(values("air")) / len(values("air")) < 200, "not exponential: small values must be frequent"


def test_shipped_model_of_the_environmental_sensor(broker, observe, iotix, write):
    file = write("env.lua", scenario(50, 't:sleep "300ms"', model="environmental-sensor-v1"))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    found = series(observer.settle().messages, "temperature", "pressure", "humidity", "airQualityIndex")
    assert len(found) == 50 * 4
    limits = {"temperature": (15, 35), "pressure": (980, 1040), "humidity": (20, 90), "airQualityIndex": (0, 500)}
    for (_, name), samples in found.items():
        low, high = limits[name]
        assert all(low <= value <= high for _, value in samples)
    assert broker.connects()["env-sensor-dev-0"], "the model's clientIdPattern is not used"


def test_ecg_payloads_are_400_raw_bytes(broker, observe, iotix, write):
    file = write("ecg.lua", scenario(3, 't:sleep "2s"', model="ecg-monitor-v1"))
    observer = observe(broker, "devices/+/ecg")
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    # A beat may begin with any byte, a brace among them.
    raw = [m for m in messages if not m.payload.startswith(b'{"deviceId"')]
    assert {len(m.payload) for m in raw} == {400}
    for device in ("dev-0", "dev-1", "dev-2"):
        own = [m.payload for m in raw if device_of(m) == device]
        assert len(own) >= 5
        samples = [int.from_bytes(own[0][i:i + 2], "little", signed=True) for i in range(0, 400, 2)]
        assert max(samples) - min(samples) > 100, "a flat line is no ECG"
        assert len(set(own)) > 1, "noise must differ from beat to beat"
    rates = series([m for m in messages if m not in raw], "heartRate")
    assert len(rates) == 3
    assert all(type(v) is int and 60 <= v <= 100 for samples in rates.values() for _, v in samples)


def test_combined_payload_has_all_attributes_of_an_instant(broker, observe, iotix, write):
    both = model(counter(100), attribute("load", {"type": "constant", "value": 1.5}, 300, unit="percent"),
                 connection={"payload": "combined"})
    write("probe.json", both)
    file = write("fleet.lua", scenario(2, 't:sleep "1s"'))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    bodies = [json.loads(m.payload) for m in messages]
    for body in bodies:
        assert ("load" in body) == (body["counter"] % 3 == 0), body
    found = series(messages, "counter", "load")
    assert len(found) == 4
    for (_, name), samples in found.items():
        interval = 100 if name == "counter" else 300
        assert [b - a for (a, _), (b, _) in zip(samples, samples[1:])] == [interval] * (len(samples) - 1)


def test_inline_model_and_metadata_in_topics(broker, observe, iotix, write):
    file = write("inline.lua", """local iotix = require "iotix"
return iotix.scenario { name = "inline", run = function(t)
  local fleet = t:group { count = 2, id = "n-{index}", group = "line", model = {
    id = "inline-v1", name = "Inline", type = "sensor", protocol = "mqtt", metadata = { site = "north" },
    connection = { topicPattern = "${metadata.site}/${groupId}/${modelId}/${index}/${deviceId}", qos = 1 },
    telemetry = { { name = "x", type = "integer", intervalMs = 200, generator = { type = "constant", value = 7 } } },
  } }
  fleet:start {}
  fleet:wait { connected = "100%", timeout = "30s" }
  t:sleep "300ms"
  fleet:stop()
end }
""")
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    assert {m.topic for m in messages} == {"north/line/inline-v1/0/n-0", "north/line/inline-v1/1/n-1"}
    assert {json.loads(m.payload)["x"] for m in messages} == {7}


def test_replay_publishes_the_rows_of_a_file_in_order(broker, observe, iotix, write):
    write("readings.csv", "time,value\n1,10.50\n2,11.25\n3,9\n")
    write("probe.json", model(
        attribute("looped", {"type": "replay", "dataFile": "readings.csv", "column": "value", "loop": True}, 100),
        attribute("held", {"type": "replay", "dataFile": "readings.csv", "column": "value", "loop": False}, 100),
    ))
    file = write("fleet.lua", scenario(2, 't:sleep "1s"'))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    for (_, name), samples in series(messages, "looped", "held").items():
        values = [value for _, value in samples]
        rows = [10.5, 11.25, 9]
        expected = [rows[k % 3 if name == "looped" else min(k, 2)] for k in range(len(values))]
        assert len(values) >= 10 and values == expected
    assert any(b'"looped":10.50' in m.payload for m in messages), "replayed numbers keep their digits"


def test_custom_generator_beside_the_model(broker, observe, iotix, write):
    write("generators/ramp.lua", """return function(config, device)
  return function(tick, now)
    return config.base + tick
  end
end
""")
    write("probe.json", model(attribute("ramp", {"type": "custom", "handler": "ramp", "config": {"base": 40}}, 100)))
    file = write("fleet.lua", scenario(2, 't:sleep "500ms"'))
    observer = observe(broker)
    iotix("run", file, "--broker", broker.address).expect(0)
    for samples in series(observer.settle().messages, "ramp").values():
        assert [value for _, value in samples] == [40 + k for k in range(len(samples))]


RANDOM = model(
    attribute("uniform", {"type": "random", "min": 0, "max": 1}, 100),
    attribute("normal", {"type": "random", "min": -50, "max": 50, "distribution": "normal"}, 200),
    attribute("whole", {"type": "random", "min": 0, "max": 1000000}, 100, "integer"),
)


def test_a_seed_gives_the_same_values_with_any_number_of_workers(start_broker, observe, iotix, write):
    write("probe.json", RANDOM)
    file = write("fleet.lua", scenario(20, 't:sleep "1s"'))
    runs = []
    for seed, workers in ((7, 1), (7, 4), (8, 1)):
        broker = start_broker()
        runs.append((observe(broker), iotix.start(
            "run", file, "--broker", broker.address, "--seed", seed, "--workers", workers)))
    values = []
    for observer, run in runs:
        run.expect(0)
        values.append({key: [v for _, v in samples] for key, samples in
                       series(observer.settle().messages, "uniform", "normal", "whole").items()})
    one, four, other = values
    assert set(one) == set(four) == set(other) and len(one) == 60
    for key in one:
        ticks = min(len(one[key]), len(four[key]), len(other[key]))
        assert ticks >= 5
        assert one[key][:ticks] == four[key][:ticks], key
        assert one[key][:ticks] != other[key][:ticks], key
    assert len({tuple(v[:5]) for v in one.values()}) == 60, "devices or attributes share a sequence"


def test_the_seed_is_printed_and_repeats_the_run(broker, observe, iotix, write):
    write("probe.json", RANDOM)
    file = write("fleet.lua", scenario(2, 't:sleep "500ms"'))
    first = observe(broker)
    run = iotix("run", file, "--broker", broker.address).expect(0)
    expected = series(first.settle().messages, "uniform")
    seed = re.search(r"seed\W+(\d+)", run.out)
    assert seed, run.describe()
    second = observe(broker)
    iotix("run", file, "--broker", broker.address, "--seed", seed.group(1)).expect(0)
    for key, samples in series(second.settle().messages, "uniform").items():
        ticks = min(len(samples), len(expected[key]))
        assert [v for _, v in samples][:ticks] == [v for _, v in expected[key]][:ticks]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_has_one_descriptor_for_each_connected_device(broker, iotix, write, tmp_path, workers):
    write("probe.json", model())
    file = write("fleet.lua", scenario(
        60, "local f = io.open('ready', 'w') f:close() " + UNTIL_STOPPED))
    run = iotix.start("run", file, "--broker", broker.address, "--workers", workers)
    wait_until((tmp_path / "ready").exists, 30, run.describe)
    pids = run.workers(workers)
    open_now = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids}
    total = sum(sockets(pid) for pid in pids)
    write("stop", "")
    run.expect(0)
    assert len(pids) == workers
    assert 60 <= total <= 60 + 3 * workers, open_now
    assert sum(open_now.values()) <= 60 + 25 * workers, open_now


def test_numbers_reach_the_backend_as_the_model_writes_them(broker, observe, iotix, write):
    """Also when its file begins with a byte order mark, and when a group has a connection of its own."""
    text = json.dumps(model(attribute("a", {"type": "constant", "value": "NUMBER"})))
    write("probe.json", "\ufeff" + text.replace('"NUMBER"', "1.50"))
    write("x.lua", scenario(1, 't:sleep "300ms"').replace("count =", "connection = { qos = 0 }, count ="))
    observer = observe(broker)
    iotix("run", "x.lua", "--broker", broker.address).expect(0)
    payloads = {re.search(rb'"a":([^,}]*)', m.payload).group(1) for m in observer.settle().messages}
    assert payloads == {b"1.50"}

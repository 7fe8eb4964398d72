"""Gateways: what the devices behind them measure comes in messages of the gateway."""

import collections
import json

import pytest

from helpers import milliseconds
from scenes import attribute, counter, model, scenario


def gateway(children, *telemetry, **connection):
    return dict(model(*telemetry, id="gw-v1", children=children,
                      connection={"topicPattern": "gateways/${deviceId}/data", **connection}), type="gateway")


def child(*telemetry, id="child-v1"):
    content = model(*telemetry, id=id)
    del content["connection"]
    return content


CHILD = child(
    counter(200),
    attribute("weight", {"type": "random", "min": 1, "max": 2}, 400, unit="kg"),
    attribute("state", {"type": "constant", "value": "ok"}, 600, "string"))


def collect(messages):
    """{gateway: {instant in ms: {child: its members}}}"""
    found = collections.defaultdict(dict)
    for message in messages:
        body = json.loads(message.payload)
        if "children" in body:
            instant = milliseconds(body["timestamp"])
            assert instant not in found[body["deviceId"]], "one message for each instant"
            found[body["deviceId"]][instant] = {
                c["deviceId"]: {k: v for k, v in c.items() if k != "deviceId"} for c in body["children"]}
            assert message.topic == f"gateways/{body['deviceId']}/data" and message.qos == 1
    return found


def check(found, gateways, names):
    assert set(found) == {f"dev-{i}" for i in range(gateways)}
    for device, instants in found.items():
        base, children = min(instants), {name.format(device) for name in names}
        assert len(instants) >= 5
        for instant, members in instants.items():
            tick, rest = divmod(instant - base, 200)
            assert rest == 0, f"{device}: ticks moved: {sorted(instants)}"
            assert set(members) == children
            for values in members.values():
                expected = {"counter"} | ({"weight"} if tick % 2 == 0 else set()) | ({"state"} if tick % 3 == 0 else set())
                assert set(values) == expected and values["counter"] == tick
                assert values.get("state", "ok") == "ok" and 1 <= values.get("weight", 1) <= 2
        ticks = sorted((i - base) // 200 for i in instants)
        assert ticks == list(range(len(ticks))), "an instant is missing"


@pytest.mark.parametrize("how", ["inline", "by id"])
def test_children_report_through_their_gateway(how, broker, observe, iotix, write):
    write("models/child.json", CHILD)
    reference = {"inline": CHILD, "by id": "child-v1"}[how]
    write("probe.json", gateway([{"model": reference, "count": 3}], counter(100)))
    observer = observe(broker)
    iotix("run", write("x.lua", scenario(2, 't:sleep "1100ms"')), "--broker", broker.address).expect(0)
    messages = observer.settle().messages
    check(collect(messages), 2, ["{}-0", "{}-1", "{}-2"])
    own = [json.loads(m.payload) for m in messages if b"children" not in m.payload]
    assert {b["deviceId"] for b in own} == {"dev-0", "dev-1"} and all("counter" in b for b in own)
    assert len([n for n in broker.connects() if n.startswith("dev-")]) == 2, "children have no connection"


def test_several_kinds_of_children_with_ids_of_their_own(broker, observe, iotix, write):
    write("probe.json", gateway([
        {"model": child(counter(200), id="a-v1"), "count": 2, "idPattern": "{deviceId}/a{index}"},
        {"model": child(attribute("level", {"type": "constant", "value": 4}, 200), id="b-v1"),
         "idPattern": "b-of-{deviceId}-{index}"},
    ], counter(100)))
    observer = observe(broker)
    iotix("run", write("x.lua", scenario(2, 't:sleep "700ms"')), "--broker", broker.address).expect(0)
    for device, instants in collect(observer.settle().messages).items():
        for members in instants.values():
            assert set(members) == {f"{device}/a0", f"{device}/a1", f"b-of-{device}-0"}
            assert members[f"b-of-{device}-0"] == {"level": 4}


def test_children_differ_and_repeat_with_the_seed(start_broker, observe, iotix, write):
    write("probe.json", gateway([{"model": CHILD, "count": 4}], counter(1000)))
    file = write("x.lua", scenario(2, 't:sleep "900ms"'))
    weights = []
    for seed in (5, 5):
        broker = start_broker()
        observer = observe(broker)
        iotix("run", file, "--broker", broker.address, "--seed", seed).expect(0)
        found = collections.defaultdict(list)
        for _, instants in sorted(collect(observer.settle().messages).items()):
            for _, members in sorted(instants.items()):
                for name, values in members.items():
                    if "weight" in values:
                        found[name].append(values["weight"])
        weights.append(found)
    one, again = weights
    assert len(one) == 8 and len({tuple(v[:2]) for v in one.values()}) == 8
    assert all(one[name][:2] == again[name][:2] for name in one)


def test_faults_of_children_are_named(iotix, write, broker):
    cases = [
        ([{"model": dict(CHILD, telemetry=[counter()] * 2)}], r"children\[0\]\.model"),
        ([{"model": CHILD, "count": 0}], r"children\[0\]\.count"),
        ([{"model": CHILD, "idPattern": "child-{index}"}], r"children\[0\]\.idPattern.*deviceId"),
        ([{"model": "chidl-v1"}], r"chidl-v1"),
    ]
    for number, (children, text) in enumerate(cases):
        write("probe.json", gateway(children, counter()))
        iotix("run", write("x.lua", scenario(1)), "--broker", broker.address).expect(104, text)
        if number < 3:
            iotix("model", "check", "probe.json").expect(104, text)
    write("probe.json", dict(gateway([{"model": CHILD}], counter()), type="sensor"))
    iotix("model", "check", "probe.json").expect(104, r"children.*gateway")

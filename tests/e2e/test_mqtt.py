"""MQTT as the broker and other clients see it."""

import re

import pytest

from helpers import Observer, device_of, figure, series
from scenes import UNTIL_STOPPED, counter, model, scenario


def run_with(iotix, write, broker, connection, body='t:sleep "600ms"', devices=3, **more):
    write("probe.json", model(counter(100), connection=connection, **more))
    file = write("fleet.lua", scenario(devices, body))
    return iotix.start("run", file, "--broker", broker.address)


@pytest.mark.parametrize("version, protocol", [("3.1.1", 4), ("5", 5)])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_version_and_qos(version, protocol, qos, broker, observe, iotix, write):
    observer = observe(broker)
    run_with(iotix, write, broker, {"protocolVersion": version, "qos": qos}).expect(0)
    messages = observer.settle().messages
    assert {m.qos for m in messages} == {qos}
    connects = broker.connects()
    for device in ("dev-0", "dev-1", "dev-2"):
        assert [c["protocol"] for c in connects[device]] == [protocol]
    for samples in series(messages, "counter").values():
        assert [value for _, value in samples] == list(range(len(samples))) and len(samples) >= 6
    assert len(messages) == sum(map(len, series(messages, "counter").values())), "a message came twice"


def test_retained_messages_wait_for_late_subscribers(broker, iotix, write):
    run_with(iotix, write, broker, {"retain": True}).expect(0)
    late = Observer(broker)
    messages = late.wait_for(3, 10)
    late.close()
    assert all(m.retain for m in messages)
    assert {device_of(m) for m in messages} == {"dev-0", "dev-1", "dev-2"}


def test_nothing_is_retained_by_default(broker, iotix, write):
    run_with(iotix, write, broker, {}).expect(0)
    late = Observer(broker)
    assert late.settle().messages == []
    late.close()


WILL = {"topic": "devices/${deviceId}/status", "payload": {"device": "${deviceId}", "state": "gone"}, "qos": 1,
        "retain": True}


def test_the_will_is_seen_when_a_device_dies(broker, observe, iotix, write):
    observer = observe(broker, "devices/+/status")
    traffic = observe(broker, "devices/+/telemetry")
    run = run_with(iotix, write, broker, {"will": WILL}, body=UNTIL_STOPPED)
    traffic.wait_for_devices(3, 30)
    assert observer.messages == []
    run.kill()
    wills = observer.wait_for(3, 10)
    assert {(m.topic, m.payload) for m in wills} == {
        (f"devices/dev-{i}/status", b'{"device":"dev-%d","state":"gone"}' % i) for i in range(3)}
    assert {m.qos for m in wills} == {1}
    late = observe(broker, "devices/+/status")
    assert all(m.retain for m in late.wait_for(3, 10))


def test_no_will_when_a_device_stops_politely(broker, observe, iotix, write):
    observer = observe(broker, "devices/+/status")
    run_with(iotix, write, broker, {"will": WILL}).expect(0)
    assert observer.settle().messages == []
    assert len(re.findall(r"Will message specified", broker.log)) == 3


def test_dropped_devices_fire_their_will_and_return(broker, observe, iotix, write):
    observer = observe(broker, "devices/+/status")
    run = run_with(iotix, write, broker, {"will": WILL}, devices=10, body="""
  local outage = fleet:dropout { strategy = "immediate", count = 4, reconnect = true, reconnectDelayMs = 300 }
  outage:wait()
  t:check("all are back", fleet:count "connected" == fleet:count())
""")
    run.expect(0)
    wills = observer.settle().messages
    assert len({m.topic for m in wills}) == len(wills) == 4
    connects = broker.connects()
    assert sorted(len(connects[f"dev-{i}"]) for i in range(10)) == [1] * 6 + [2] * 4


def test_client_id_user_name_keep_alive_and_session(start_broker, observe, iotix, write):
    broker = start_broker(users={"user-dev-0": "geheim-0", "user-dev-1": "geheim-1", "watch": "w"})
    observer = observe(broker, username="watch", password="w")
    run_with(iotix, write, broker, {
        "clientIdPattern": "unit-${index}-${deviceId}", "username": "user-${deviceId}", "password": "geheim-${index}",
        "keepAlive": 25, "cleanSession": False,
    }, devices=2).expect(0)
    assert {device_of(m) for m in observer.settle().messages} == {"dev-0", "dev-1"}
    connects = broker.connects()
    for i in range(2):
        assert connects[f"unit-{i}-dev-{i}"] == [
            {"protocol": 4, "clean": False, "keep_alive": 25, "username": f"user-dev-{i}"}]


def test_topic_of_an_attribute(broker, observe, iotix, write):
    observer = observe(broker)
    write("probe.json", model(counter(100), dict(counter(100), name="other", topic="other/${deviceId}")))
    file = write("fleet.lua", scenario(2, 't:sleep "300ms"'))
    iotix("run", file, "--broker", broker.address).expect(0)
    topics = {(m.topic, b'"other"' in m.payload) for m in observer.settle().messages}
    assert topics == {("devices/dev-0/telemetry", False), ("devices/dev-1/telemetry", False),
                      ("other/dev-0", True), ("other/dev-1", True)}


def test_embedded_broker(observe, iotix, write):
    write("probe.json", model(counter(100)))
    file = write("fleet.lua", scenario(10, 't:sleep "500ms"' + """
  t:check("all connected", fleet:count "connected" == fleet:count())"""))
    iotix("run", file, "--broker", "embedded").expect(0)


def test_auto_takes_the_broker_that_the_environment_names(broker, observe, iotix, write):
    observer = observe(broker)
    write("probe.json", model(counter(100)))
    file = write("fleet.lua", scenario(2, 't:sleep "300ms"'))
    environment = {"MQTT_BROKER_HOST": "127.0.0.1", "MQTT_BROKER_PORT": str(broker.port)}
    iotix("run", file, "--broker", "auto", env=environment).expect(0)
    assert observer.settle().messages


def test_a_list_of_brokers_shares_the_fleet(start_broker, observe, iotix, write):
    both = [start_broker(), start_broker()]
    observers = [observe(b) for b in both]
    write("probe.json", model(counter(100)))
    file = write("fleet.lua", scenario(40, 't:sleep "300ms"'))
    iotix("run", file, "--broker", ",".join(b.address for b in both)).expect(0)
    seen = [{device_of(m) for m in o.settle().messages} for o in observers]
    assert len(seen[0]) + len(seen[1]) == 40 and not seen[0] & seen[1]
    assert min(map(len, seen)) >= 5


def test_broker_of_the_model_stays_unless_forced(start_broker, observe, iotix, write):
    own, other = start_broker(), start_broker()
    watch_own, watch_other = observe(own), observe(other)
    write("probe.json", model(counter(100), connection={"broker": "192.0.2.1", "port": 1}))
    set_here = f'connection = {{ broker = "127.0.0.1", port = {own.port} }}'
    text = scenario(2, 't:sleep "300ms"').replace('group = "fleet" }', f'group = "fleet", {set_here} }}')
    file = write("fleet.lua", text)
    iotix("run", file, "--broker", other.address).expect(0)
    assert watch_own.settle().messages and not watch_other.settle().messages
    iotix("run", file, "--broker", other.address, "--broker-force").expect(0)
    assert watch_other.settle().messages


def test_max_connections_of_the_broker_are_counted_as_refusals(start_broker, observe, iotix, write):
    broker = start_broker(max_connections=6)
    write("probe.json", model(counter(100)))
    refused = """t:wait_until(function()
    return t:metric("connect.refused").count + t:metric("connect.failed").count >= 3 and fleet:count "connected" >= 6
  end, "30s", "the others to fail")
  fleet:wait"""
    text = scenario(10, 't:sleep "200ms"').replace("fleet:wait", refused).replace('timeout = "30s"', 'timeout = "300ms"')
    file = write("fleet.lua", text)
    run = iotix("run", file, "--broker", broker.address)
    assert run.code in (99, 107), run.describe()
    accepted = figure(run, "accepted")
    assert accepted in (6, 7) and figure(run, "no answer") + figure(run, "refused") >= 3, run.describe()
    assert re.search(rf"10 connected, reached {accepted}\b", run.out), run.describe()

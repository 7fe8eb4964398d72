"""iotix bench conn, pub and sub, as the broker and an independent client see them."""

import collections
import json
import re
import statistics
import time

import pytest

from helpers import Observer, figure

STAMP_MAGIC = b"ixS1"


def bench(iotix, broker, kind, *arguments, **options):
    return iotix("bench", kind, "-h", "127.0.0.1", "-p", broker.port, *arguments, **options)


def start_bench(iotix, broker, kind, *arguments):
    return iotix.start("bench", kind, "-h", "127.0.0.1", "-p", broker.port, *arguments)


def test_limit_is_exact_and_topics_are_filled_in(broker, observe, iotix):
    observer = observe(broker)
    run = bench(iotix, broker, "pub", "-c", 3, "-i", 1, "-n", 5, "--prefix", "unit-", "-u", "user-%i", "-t",
                "b/%i/%c/%u/100%%", "-s", 100, "-q", 1, "-I", 20, "-L", 10)
    run.expect(0, "all 10 messages were sent")
    messages = observer.settle().messages
    sent = collections.Counter(m.topic for m in messages)
    assert sent == {"b/5/unit-5/user-5/100%": 4, "b/6/unit-6/user-6/100%": 3, "b/7/unit-7/user-7/100%": 3}
    assert {(len(m.payload), m.qos, m.retain) for m in messages} == {(100, 1, False)}
    assert figure(run, "sent") == figure(run, "acknowledged") == 10
    by_topic = collections.defaultdict(list)
    for message in messages:
        assert message.payload.startswith(STAMP_MAGIC)
        by_topic[message.topic].append(int.from_bytes(message.payload[8:16], "little"))
    assert all(ticks == list(range(len(ticks))) for ticks in by_topic.values())
    assert {name: c[0]["username"] for name, c in broker.connects().items() if name.startswith("unit-")} == {
        "unit-5": "user-5", "unit-6": "user-6", "unit-7": "user-7"}


@pytest.mark.parametrize("size", [1, 23, 24, 70000])
def test_payloads_have_exactly_the_size(size, broker, observe, iotix):
    observer = observe(broker)
    bench(iotix, broker, "pub", "-c", 1, "-t", "t", "-s", size, "-L", 2, "-I", 10).expect(0)
    assert [len(m.payload) for m in observer.wait_for(2, 10)] == [size, size]


def test_message_as_text_and_from_a_file(broker, observe, iotix, tmp_path):
    observer = observe(broker)
    (tmp_path / "payload.bin").write_bytes(bytes(range(256)))
    bench(iotix, broker, "pub", "-c", 1, "-t", "text", "-m", '{"a": "ü ${deviceId}"}', "-L", 1).expect(0)
    bench(iotix, broker, "pub", "-c", 1, "-t", "file", "--message", "@payload.bin", "-L", 1).expect(0)
    payloads = {m.topic: m.payload for m in observer.wait_for(2, 10)}
    assert payloads == {"text": '{"a": "ü ${deviceId}"}'.encode(), "file": bytes(range(256))}


def test_what_nobody_gave_is_not_said_to_be_given(broker, iotix, tmp_path):
    bench(iotix, broker, "pub", "-c", 2, "-t", "t", "-L", 1, "--out", f"json={tmp_path / 'o.json'}").expect(0)
    settings = json.loads((tmp_path / "o.json").read_text())["run"]["settings"]
    given = {name for name, setting in settings.items() if setting["origin"] == "command line"}
    assert given == {"broker", "option.count", "option.topic", "option.limit", "option.prefix"}
    again = iotix("run", "--replay-of", tmp_path / "o.json")  # with none of these options it would never end
    again.expect(104, rf"it is of iotix bench pub: repeat that command line with --seed {settings['seed']['value']}")


def test_observers_account_for_what_pub_sends(broker, iotix, tmp_path):
    arguments = ["-c", 3, "-i", 1, "-t", "b/%i", "-q", 1, "-I", 20, "-L", 60, "--observe", "b/#", "--data-dir", "data"]
    run = bench(iotix, broker, "pub", *arguments, "--late-after", "1h", "--out", f"json={tmp_path / 'o.json'}")
    run.expect(0, r"DELIVERY.*\n  all +60 +60 +0 +0")
    delivery = json.loads((tmp_path / "o.json").read_text())["delivery"]
    assert (delivery["total"]["sent"], delivery["total"]["delivered"], delivery["total"]["unwatched"]) == (60, 60, 0)
    assert delivery["observers"]["topics"] == ["b/#"] and delivery["observers"]["lateAfterMs"] == 3600000
    assert iotix("report", "last", "--data-dir", "data").expect(0).out == run.out
    small = bench(iotix, broker, "pub", *arguments, "-s", 24, "-V", 5).expect(0)
    assert re.search(r"DELIVERY.*\n  all +60 +60 +0 +0", small.out), small.describe()
    bench(iotix, broker, "pub", *arguments, "-s", 24).expect(104, "payload of 24 bytes has no room", "-s 63")
    bench(iotix, broker, "pub", *arguments, "-u", "a%i").expect(104, "user name without %")
    bench(iotix, broker, "sub", "-t", "x", "--observe", "#").expect(104, "an option of bench pub")


def test_messages_speak_of_the_flags_of_bench(broker, iotix):
    bench(iotix, broker, "conn", "--ifaddr", "1.2.3").expect(104, '--ifaddr: source address "1.2.3"')
    bench(iotix, broker, "conn", "-c", 1, "--ifaddr", "::1").expect(104, "--ifaddr: broker 127.0.0.1 can't be reached from ::1")
    iotix("bench", "conn", "-h", ",", "-c", 1).expect(104, '-h "," names no broker')
    bench(iotix, broker, "conn", "--data-limit", "5").expect(104, "--data-limit 5: it must be 1MiB or more")


def test_interval_gives_the_rate(broker, observe, iotix):
    observer = observe(broker)
    run = bench(iotix, broker, "pub", "-c", 5, "-i", 0, "-t", "r/%i", "-I", 50, "--duration", "2s")
    run.expect(0)
    instants = collections.defaultdict(list)
    for message in observer.settle().messages:
        instants[message.topic].append(int.from_bytes(message.payload[16:24], "little"))
    assert len(instants) == 5
    for ticks in instants.values():
        gaps = [(later - earlier) / 1e6 for earlier, later in zip(ticks, ticks[1:])]
        assert len(ticks) >= 30 and 40 <= statistics.median(gaps) <= 60, gaps


def test_retain_qos_2_and_mqtt_5(broker, iotix):
    bench(iotix, broker, "pub", "-c", 2, "-t", "keep/%i", "-r", "-q", 2, "-L", 2, "-V", 5, "-k", 30, "-C", "false",
          "--prefix", "v5-").expect(0)
    late = Observer(broker)
    messages = late.wait_for(2, 10)
    late.close()
    assert {(m.topic, m.qos, m.retain) for m in messages} == {("keep/0", 2, True), ("keep/1", 2, True)}
    assert broker.connects()["v5-0"] == [{"protocol": 5, "clean": False, "keep_alive": 30, "username": None}]


def test_source_addresses_are_taken_in_turn(broker, iotix):
    bench(iotix, broker, "conn", "-c", 6, "-i", 1, "--prefix", "src-", "--ifaddr", "127.0.0.5-127.0.0.6,127.0.0.9",
          "--duration", "100ms").expect(0)
    found = dict(re.findall(r"New client connected from ([\d.]+:\d+) as (src-\d)", broker.log))
    assert {name: peer.split(":")[0] for peer, name in found.items()} == {
        f"src-{i}": ["127.0.0.5", "127.0.0.6", "127.0.0.9"][i % 3] for i in range(6)}


@pytest.mark.parametrize("size, length", [("1k", 1000), ("2KiB", 2048), ("1KB", 1000), ("64B", 64)])
def test_sizes_have_units(size, length, broker, observe, iotix):
    observer = observe(broker)
    bench(iotix, broker, "pub", "-c", 1, "-t", "t", "-s", size, "-L", 1, "-I", 10).expect(0)
    assert len(observer.wait_for(1, 10)[0].payload) == length


def test_flags_of_other_tools_mean_the_same(broker, observe, iotix):
    observer = observe(broker)
    iotix("bench", "pub", "--hostname", "127.0.0.1", "-p", broker.port, "--mqtt-version", "5.0", "-c", 1, "-t", "t/%i",
          "-im", 10, "--payload-size=32", "--no-clean", "--prefix", "other-", "-L", 2).expect(0)
    assert [len(m.payload) for m in observer.wait_for(2, 10)] == [32, 32]
    connect = broker.connects()["other-0"][0]
    assert connect["protocol"] == 5 and connect["clean"] is False


def test_user_name_and_password(start_broker, iotix):
    broker = start_broker(users={"ann": "pa$${word}"})
    bench(iotix, broker, "conn", "-c", 2, "-u", "ann", "-P", "pa$${word}", "--duration", "100ms").expect(0)
    refused = bench(iotix, broker, "conn", "-c", 2, "-u", "ann", "-P", "wrong", "--duration", "100ms")
    refused.expect(99, "not authorised")
    assert "pa$${word}" not in refused.out + refused.err


def test_conn_connects_at_the_rate_and_holds(broker, iotix):
    begin = time.monotonic()
    run = start_bench(iotix, broker, "conn", "-c", 20, "-R", 20, "--prefix", "hold-")
    run.wait_for("20 of 20 connected")
    assert time.monotonic() - begin >= 0.9, "20 clients at 20 a second take 0.95 s"
    assert sorted(n for n in broker.connects() if n.startswith("hold-")) == sorted(f"hold-{i}" for i in range(20))
    run.interrupt()
    run.expect(105)
    assert figure(run, "accepted") == 20


def test_conn_says_when_nobody_is_accepted(iotix):
    iotix("bench", "conn", "-h", "127.0.0.1", "-p", 1, "-c", 1, "--duration", "100ms", timeout=80).expect(
        99, "connection refused")


def test_sub_counts_and_measures_what_pub_publishes(broker, iotix, tmp_path):
    sub = start_bench(iotix, broker, "sub", "-c", 2, "-t", "m/%i/#", "-q", 1, "-L", 20, "-o", "json=sub.json")
    sub.wait_for("subscribed: 2 clients")
    bench(iotix, broker, "pub", "-c", 2, "-t", "m/%i/x", "-q", 1, "-I", 20, "-L", 20).expect(0)
    sub.expect(0, "20 messages were received", r"receive latency +\S+")
    assert figure(sub, "received") == 20
    report = json.loads((tmp_path / "sub.json").read_text())
    latency = report["totals"]["trends"]["receive.latency"]
    assert latency["count"] == 20 and 0 < latency["max"] < 10000
    assert report["run"]["options"]["limit"] == 20


def test_sub_counts_foreign_messages_without_measuring(broker, observe, iotix):
    publisher = observe(broker)
    sub = start_bench(iotix, broker, "sub", "-c", 3, "-t", "a/#", "-t", "b", "-L", 6)
    sub.wait_for("subscribed: 3 clients to a/#, b")
    publisher.publish("a/1", "one")
    publisher.publish("b", "two")
    sub.expect(0)
    assert figure(sub, "received") == 6 and "receive latency" not in sub.out


def test_impossible_subscriptions_fail_the_run(broker, iotix):
    run = bench(iotix, broker, "sub", "-c", 2, "-t", "a/#/b", "--duration", "100ms")
    run.expect(99, "✗ all subscriptions were accepted", "could not subscribe")
    assert figure(run, "refused subs") == 2


def test_pub_with_a_model(broker, observe, iotix):
    observer = observe(broker)
    bench(iotix, broker, "pub", "-c", 3, "-i", 1, "--model", "simple-temperature", "-t", "own/%i", "-q", 2,
          "--duration", "300ms").expect(0)
    messages = observer.settle().messages
    assert {m.topic for m in messages} == {"own/0", "own/1", "own/2"} and {m.qos for m in messages} == {2}
    assert all("deviceId" in json.loads(m.payload) for m in messages)


@pytest.mark.parametrize("arguments, text", [
    (["pub", "-t", "a", "--topicc", "b"], 'iotix bench pub: unknown option --topicc; did you mean "--topic"'),
    (["pubb"], 'unknown command "pubb"; did you mean "pub"'),
    (["pub"], "-t is missing"),
    (["pub", "-t", "a/#", "-L", "1"], "wildcards"),
    (["pub", "-t", "a", "-q", "3"], "-q 3: it must be 0, 1 or 2"),
    (["pub", "-t", "a", "-V", "3"], "-V 3: there are 4"),
    (["pub", "-t", "a", "-I", "0"], "shortest interval"),
    (["pub", "-t", "a", "-r", "-C", "maybe"], "is too much"),
    (["pub", "-t", "a", "-m", "@missing"], "No such file"),
    (["sub", "-t", "a", "-P", "x"], "-P without -u"),
    (["conn", "-i", "5", "-R", "5"], "give one of them"),
    (["conn", "-k", "3", "--duration", "1s"], "keepAlive"),
    (["conn", "--ifaddr", "192.0.2.7"], "192.0.2.7 is not an address of this host"),
    (["conn", "--seed", "x"], "--seed x: it must be a whole number"),
    (["pub", "-t", "a", "-s", "big"], "-s big:"),
])
def test_mistakes_are_named(arguments, text, iotix):
    run = iotix("bench", *arguments)
    run.expect(104)
    assert text in run.err + run.out, run.describe()


@pytest.mark.parametrize("kind, own", [("conn", "--connrate"), ("pub", "--interval_of_msg"), ("sub", "FILTER")])
def test_help_is_complete(kind, own, iotix):
    text = iotix("bench", kind, "--help").expect(0).out
    for word in ["-h", "-p", "-V", "-c", "-i", "-R", "-k", "-u", "-P", "-C", "-S", "--prefix", "-n", "--duration",
                 "--seed", "--workers", "--out", "--quiet", "--ifaddr", own]:
        assert re.search(rf"(^|[ ,]){re.escape(word)}\b", text, re.M), word

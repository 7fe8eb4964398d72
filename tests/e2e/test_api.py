"""The scenario's own language: groups and single devices, tasks and waits, messages, files, metrics, phases."""

import json
import re
import time

import pytest

from helpers import series
from scenes import attribute, counter, model

VALUES = model(
    counter(100),
    attribute("level", {"type": "constant", "value": 5}, 100),
    attribute("mode", {"type": "constant", "value": "auto"}, 100, "string"),
    attribute("noise", {"type": "random", "min": 0, "max": 1}, 100))


@pytest.fixture
def run(iotix, write, broker):
    """run(body, *arguments, top=…, keys=…): the scenario x.lua, whose run function has this body."""

    def start(body, *arguments, top="", keys="", wait=True, **options):
        text = f"""local iotix = require "iotix"
{top}
return iotix.scenario {{ name = "api", {keys}
run = function(t, prepared)
{body}
end }}
"""
        file = write("x.lua", text)
        return (iotix if wait else iotix.start)("run", file.name, "--broker", broker.address, *arguments, **options)

    return start


def report(file):
    return json.loads(file.read_text(encoding="utf-8"))


# ---- devices


def test_several_groups_of_several_models(run, write, broker, observe):
    observer = observe(broker)
    write("a.json", model(counter(100), id="a-v1"))
    write("b.json", model(counter(100), id="b-v1", connection={"topicPattern": "other/${groupId}/${deviceId}"}))
    run("""
  local a = t:group { model = "a.json", count = 3 }
  local b = t:group { model = "b.json", count = 4, group = "beta", id = "unit-{index}-b", tags = { site = "north" } }
  local c = t:group { model = "a.json", count = 2, group = "gamma", connection = { topicPattern = "c/${index}", qos = 0 } }
  t:check("ids", b:device_id(3) == "unit-3-b" and b.id == "beta" and b.size == 4 and a:device_id(1) == a.id .. "-1")
  t:check("nothing runs yet", a:count "created" == 3 and a:count "connected" == 0)
  a:start() b:start() c:start()
  t:parallel { function() a:wait { connected = 3 } end, function() b:wait { connected = "100%" } end,
    function() c:wait { running = 2, connected = 2 } end }
  t:sleep "300ms"
  local counts = b:counts()
  t:check("counts", counts.connected == 4 and counts.running == 4 and counts.sent >= 12 and counts.dropped == 0)
  t:check("by group", t:metric("messages.sent", { group = "beta" }).count >= 12
    and t:metric("messages.sent", { group = "beta" }).count < t:metric("messages.sent").count)
  t:check("stopped", b:stop() == 4)
  t:check("only those", b:count "stopped" == 4 and a:count "connected" == 3)
  local ok, message = pcall(t.group, t, { model = "a.json", group = "beta" })
  t:check("a name once", not ok and tostring(message):find "beta")
  ok, message = pcall(t.group, t, { model = "a.json", id = "unit-{index}-b" })
  t:check("ids once", not ok and tostring(message):find "unit")
  ok, message = pcall(t.device, t, { model = "a.json", count = 2 })
  t:check("one device", not ok and tostring(message):find "count")
""").expect(0)
    topics = {m.topic for m in observer.settle().messages}
    assert {f"other/beta/unit-{i}-b" for i in range(4)} <= topics and {"c/0", "c/1"} <= topics
    assert len(topics) == 3 + 4 + 2
    assert {m.qos for m in observer.messages if m.topic.startswith("c/")} == {0}


def test_one_device(run, write, broker, observe):
    observer = observe(broker)
    write("probe.json", VALUES)
    run("""
  local one = t:device { model = "probe.json", id = "solo-{index}" }
  t:check("created", one:status() == "created" and one.id == "solo-0" and one.index == 0)
  local ok, message = pcall(one.publish, one, "x", "y")
  t:check("not connected yet", not ok and tostring(message):find "never started")
  one:start()
  one:wait { state = "running" }
  t:wait_until(function() return one:value "counter" == 2 end, "10s", "the third value")
  local values = one:values()
  t:check("values", values.level == 5 and values.mode == "auto" and type(values.noise) == "number"
    and one:value "level" == 5)
  ok, message = pcall(one.value, one, "lvel")
  t:check("unknown values are errors", not ok and tostring(message):find "did you mean")
  one:publish("mine/1", { a = { 1, 2 }, b = "x" })
  one:publish("mine/2", "bytes\\0more", { qos = 0, retain = true })
  one:publish(nil, { own = true }, { qos = 2 })
  one:publish("mine/${deviceId}", "filled in")
  one:set("level", 9):set("mode", "manual"):set("noise", { min = 7, max = 8 })
  t:wait_until(function() return one:value "level" == 9 and one:value "noise" >= 7 end, "10s", "new values")
  one:set("level", nil):set("noise")
  t:wait_until(function() return one:value "level" == 5 and one:value "noise" < 7 end, "10s", "old values")
  t:check("what stays", one:value "mode" == "manual")
  one:disconnect { mode = "close", reconnectDelayMs = 2000 }
  t:wait_until(function() return one.fleet:count "connected" == 0 end, "10s", "it to go")
  one.fleet:wait { connected = 1, timeout = "10s" }
  t:check("run", one:run(function(d) return { id = d.id, level = d:value "level", sum = d.index + 40 } end).sum == 40)
  one:stop():wait { state = "stopped", timeout = "5s" }
  local good, why = pcall(one.wait, one, { state = "running", timeout = "200ms" })
  t:check("waits say what is", not good and tostring(why):find "stopped")
""").expect(0)
    messages = observer.settle().messages
    own = {m.topic: m for m in messages}
    assert json.loads(own["mine/1"].payload) == {"a": [1, 2], "b": "x"} and own["mine/1"].qos == 1
    assert own["mine/2"].payload == b"bytes\0more" and own["mine/2"].qos == 0
    assert own["mine/solo-0"].payload == b"filled in"
    assert [m.qos for m in messages if m.payload == b'{"own":true}'] == [2]
    levels = [v for _, v in series([m for m in messages if b'"level"' in m.payload], "level")["solo-0", "level"]]
    assert [v for k, v in enumerate(levels) if k == 0 or levels[k - 1] != v] == [5, 9, 5]


def test_each_set_sample_and_commands_of_a_fleet(run, write, broker, observe):
    observer = observe(broker)
    write("probe.json", dict(VALUES, commands=[{"name": "ping", "topic": "devices/${deviceId}/ping",
                                                "response": {"topic": "devices/${deviceId}/pong"}}]))
    run("""
  local fleet = t:group { model = "probe.json", count = 30, id = "dev-{index}" }
  fleet:start()
  fleet:wait { connected = "100%" }
  local word, numbers = "audit", { 10, 20 }
  local devices, errors = fleet:each(function(device)
    device.state.visits = (device.state.visits or 0) + 1
    device:publish("devices/" .. device.id .. "/each", { word = word, n = numbers[2] + device.index })
  end)
  t:check("all were visited", devices == 30 and errors == 0)
  devices = fleet:each(function(device) device.state.visits = device.state.visits + 1 end, { first = 10, count = 5 })
  t:check("five", devices == 5)
  t:check("state is kept", fleet:device(12):run(function(d) return d.state.visits end) == 2
    and fleet:device(20):run(function(d) return d.state.visits end) == 1)
  devices, errors = fleet:each(function(device) return device.index ~= 3 end)
  t:check("one said no", devices == 30 and errors == 1)

  local sample = fleet:sample(5)
  t:check("five of them, in order", #sample == 5 and #fleet:sample(100) == 30)
  local last = -1
  for _, device in ipairs(sample) do
    t:check("ordered", device.index > last and device.index < 30)
    last = device.index
  end
  t:log("sample %d %d %d %d %d", sample[1].index, sample[2].index, sample[3].index, sample[4].index, sample[5].index)

  local pongs = t:subscribe "devices/+/pong"
  t:check("commands", fleet:command "ping" == 30)
  t:wait_until(function() return pongs:count() == 30 end, "10s", "thirty answers")

  fleet:set("level", 7)
  fleet:device(4):set("level", 8)
  t:wait_until(function() return fleet:device(4):value "level" == 8 and fleet:device(29):value "level" == 7 end, "10s",
    "new levels")
  local ok, message = pcall(fleet.set, fleet, "lvel", 1)
  t:check("unknown attribute", not ok and tostring(message):find "did you mean")
  ok, message = pcall(fleet.set, fleet, "noise", { mni = 1 })
  t:check("unknown setting", not ok and tostring(message):find "did you mean")
  ok, message = pcall(fleet.each, fleet, function() return fleet end)
  t:check("upvalues", not ok and tostring(message):find "fleet" and tostring(message):find "x.lua")
  ok, message = pcall(fleet.device, fleet, 30)
  t:check("thirty", not ok and tostring(message):find "29")
  fleet:stop()
""", "--seed", 3).expect(0)
    each = [json.loads(m.payload) for m in observer.settle().messages if m.topic.endswith("/each")]
    assert sorted(b["n"] for b in each) == list(range(20, 50)) and {b["word"] for b in each} == {"audit"}


# ---- tasks and waits


def test_tasks(run):
    run("""
  local order = {}
  local function note(text) order[#order + 1] = text end
  local before = t:now()
  local task = t:spawn(function() t:sleep "300ms" note "slept" return "result" end, "sleeper")
  note "spawned"
  t:check("join gives the result", task:join() == "result")
  t:check("it took its time", t:now() - before >= 0.3 and order[1] == "spawned" and order[2] == "slept")
  local value, reason = t:spawn(function() t:sleep "20s" end):join "100ms"
  t:check("join gives up", value == nil and reason == "timeout")

  before = t:now()
  local results = t:parallel { function() t:sleep(0.3) return 1 end, function() t:sleep "0.3s" return 2 end }
  t:check("beside each other", results[1] == 1 and results[2] == 2 and t:now() - before < 0.6 + 2)
  local cancelled = true
  local ok, message = pcall(t.parallel, t, {
    function() t:sleep "100ms" error "burst" end,
    function() t:sleep "2s" cancelled = false end })
  t:check("the first error is raised", not ok and tostring(message):find "burst")

  local ticks, first = {}, t:now()
  local every = t:every("100ms", function(k)
    ticks[#ticks + 1] = { k = k, at = t:now() - first }
    if k == 2 then t:sleep "250ms" end
    return k < 6
  end)
  every:join "20s"
  t:check("the others were cancelled", cancelled)
  local right = ticks[#ticks].k >= 6 and #ticks < ticks[#ticks].k
  for i, tick in ipairs(ticks) do right = right and tick.at >= tick.k * 0.1 - 0.011 end
  t:check("a fixed rhythm, overrun calls left out", right)
  for _, tick in ipairs(ticks) do t:log("tick %d at %.3f", tick.k, tick.at) end

  local counting = 0
  local endless = t:every(0.05, function() counting = counting + 1 end)
  t:wait_until(function() return counting >= 3 end, "10s", "three calls")
  endless:cancel()
  local seen = counting
  t:sleep "300ms"
  t:check("cancelled", counting <= seen + 1)
  t:check("wait_until returns what was true", t:wait_until(function() return "yes" end) == "yes")
""").expect(0)


def test_a_wait_that_ends_by_its_timeout_says_what_it_waited_for(run, write):
    run('t:wait_until(function() return false end, "200ms", "Godot")').expect(
        107, r"x\.lua:5: t:wait_until: waited 200 ms for Godot")
    write("probe.json", model())
    run("""local fleet = t:group { model = "probe.json", count = 5, group = "g" }
  fleet:start { strategy = "linear", delayMs = 60000 }
  fleet:wait { connected = 1 }
  fleet:wait { connected = 3, timeout = "300ms" }""").expect(
        107, r'x\.lua:8: group "g": waited 300 ms for 3 connected, reached 1')


def test_the_error_of_a_task_ends_the_scenario(run):
    run("""
  local function burst() error "nobody joins me" end
  t:spawn(function() t:sleep "100ms" burst() end, "quiet one")
  t:sleep "20s" """).expect(107, r"x\.lua:6.*nobody joins me", r"traceback")
    run("""
  local ok, message = pcall(function() t:spawn(function() error "caught" end):join() end)
  t:check("the error came to the one who joined", not ok and tostring(message):find "caught")""").expect(0)


def test_tasks_end_with_run(run):
    before = time.monotonic()
    run('t:spawn(function() t:sleep "60s" end) t:every("10ms", function() end) t:sleep "100ms"').expect(0)
    assert time.monotonic() - before < 30


# ---- messages


def test_subscriptions(run, write, broker, observe):
    write("probe.json", VALUES)
    observe(broker)
    run("""
  local fleet = t:group { model = "probe.json", count = 2, id = "dev-{index}" }
  local all, small = t:subscribe "devices/#", t:subscribe("devices/+/telemetry", { limit = 3, qos = 0 })
  fleet:start()
  fleet:wait { connected = 2 }
  local message = all:next "10s"
  t:check("a message", message.topic:match "^devices/dev%-%d/telemetry$" and message.qos == 1 and not message.retain
    and type(message.json.timestamp) == "string" and message.at <= t:now() and message.payload:find '"deviceId"')
  local found = all:expect { match = { deviceId = "dev-1", counter = function(v) return v >= 2 end }, within = "10s" }
  t:check("the wanted one", found and found.json.counter == 2)
  t:check("by pattern", all:expect { match = '"mode":"au', within = "10s" })
  t:check("by function", all:expect { match = function(m) return m.json.level == 5 end, within = "10s" })
  local none, why = all:expect { match = { mode = "manual" }, within = "300ms" }
  t:check("says what came instead", none == nil and why:find "telemetry")
  t:check("nothing on it", t:subscribe "other/#":next "100ms" == nil)
  t:wait_until(function() return small:count() > 10 end, "10s", "messages")
  t:check("a full queue", small:pending() == 3 and small:dropped() == small:count() - 3)
  fleet:device(0):publish("marks/1", "hello", { retain = true })
  t:check("retained", t:subscribe "marks/+":next "5s".retain)
  local got = t:expect_message { topic = "marks/2", match = { n = 7 }, within = "5s",
    after = function() fleet:device(1):publish("marks/2", { n = 7, more = { 1 } }) end }
  t:check("after", got.json.more[1] == 1)
  local seen = 0
  fleet:stop()
  for _ in all:messages "300ms" do seen = seen + 1 end
  t:check("the loop ends by itself", seen > 0 and all:pending() == 0)
  all:close()
  local ok, message_ = pcall(all.next, all)
  t:check("closed", not ok and tostring(message_):find "closed")
  t:expect_message { topic = "silence/#", within = "200ms" }
""").expect(99, r"✗ message on silence/#", r"(?s)9\d? of|✓ message on marks/2")


# ---- files and options


def test_data_files(run, write):
    write("sites.csv", 'id,city,height\n1,"Köln, am ""Rhein""",37.5\r\n2,Ulm,478\n')
    write("tabs.txt", "a\tb\n1\tx\n")
    write("rows.json", {"rows": [1, 2, {"deep": True}]})
    write("bad.csv", 'a,b\n1,2,3\n')
    write("bad.json", "{")
    run("""
  local sites = t:data "sites.csv"
  t:check("rows", #sites == 2 and sites[1].city == 'Köln, am "Rhein"' and sites[2].id == "2" and sites[1].height == "37.5")
  local numbers = t:data("sites.csv", { numbers = true })
  t:check("numbers", numbers[1].height == 37.5 and numbers[2].id == 2 and numbers[2].city == "Ulm")
  t:check("separator", t:data("tabs.txt", { separator = "\\t", header = false })[2][2] == "x")
  t:check("json", t:data "rows.json".rows[3].deep == true)
  for _, name in ipairs { "bad.csv", "bad.json", "gone.csv" } do
    local ok, message = pcall(t.data, t, name)
    t:check("errors name the file", not ok and tostring(message):find(name, 1, true))
  end
""").expect(0)


def test_options_keep_the_type_of_their_default(run):
    keys = 'options = { devices = 100, hold = "30s", name = "x", fast = false },'
    body = """
  local o = t.options
  t:log("%s %s %s %s", o.devices, o.hold, o.name, tostring(o.fast))
  local ok, message = pcall(function() return o.device end)
  t:check("unknown options", not ok and tostring(message):find "devices")"""
    run(body, keys=keys).expect(0, r"100 30s x false")
    run(body, "-e", "devices=2k", "-e", "hold=1m", "-e", "name=a=b", "-e", "fast=true", keys=keys).expect(
        0, r"2000 1m a=b true")
    run(body, "-e", "hold=often", keys=keys).expect(104, r"hold.*30s.*often")
    run(body, "-e", "fast=maybe", keys=keys).expect(104, r"fast.*true or false")


def test_the_seed_repeats_random_choices_of_scripts(run, write):
    write("probe.json", VALUES)
    body = """
  local fleet = t:group { model = "probe.json", count = 40, id = "dev-{index}" }
  local picks = {}
  for _, device in ipairs(fleet:sample(4)) do picks[#picks + 1] = device.index end
  for _ = 1, 3 do picks[#picks + 1] = t:random(1000000) end
  picks[#picks + 1] = math.random(1000000)
  fleet:start() fleet:wait { connected = 40 }
  picks[#picks + 1] = fleet:device(7):run(function(d) return d:random(1000000) end)
  picks[#picks + 1] = fleet:device(8):run(function(d) return d:random(1000000) end)
  t:log("picks %s", table.concat(picks, " "))"""
    found = []
    for seed, workers in ((1, 1), (1, 3), (2, 1)):
        ended = run(body, "--seed", seed, "--workers", workers).expect(0)
        found.append(re.search(r"picks (.*)", ended.err).group(1))
    assert found[0] == found[1] != found[2]
    numbers = found[0].split()
    assert len(set(numbers[4:])) == len(numbers[4:])


# ---- metrics, events


def test_custom_metrics_of_scenarios_and_workers(run, write, tmp_path):
    write("probe.json", model(counter(50)))
    ended = run("""
  local fleet = t:group { model = "probe.json", count = 6, id = "dev-{index}" }
  orders:add() orders:add(4, { shop = "north" }) orders:add(2, { shop = "south" })
  level:add(3) level:add(9) level:add(5)
  good:add(true) good:add(false) good:add(true) good:add(true)
  for i = 1, 100 do took:add(i) end
  t:check("counter", t:metric "orders".count == 7)
  t:check("by tag", t:metric("orders", { shop = "north" }).count == 4)
  t:check("gauge", t:metric "level".value == 5)
  t:check("rate", t:metric "good".rate == 0.75)
  local trend = t:metric "took"
  t:check("trend", trend.count == 100 and trend.min == 1 and trend.max == 100 and trend.avg == 50.5
    and math.abs(trend.p95 - 95) < 2 and math.abs(trend.med - 50) < 2)
  t:check("0 before the first", t:metric "idle".count == 0)
  fleet:start() fleet:wait { connected = 6 }
  fleet:each(function() orders:add(10, { shop = "worker" }) took:add(1000) good:add(false) end)
  t:wait_until(function() return t:metric "orders".count == 67 end, "10s", "counters of workers")
  t:check("their tags", t:metric("orders", { shop = "worker" }).count == 60)
  t:wait_until(function() return t:metric "took".max == 1000 end, "10s", "trends of workers")
  t:check("trend of both", t:metric "took".count == 106 and t:metric "good".rate == 0.3)
  local ok, message = pcall(t.metric, t, "odrers")
  t:check("unknown names", not ok and tostring(message):find 'did you mean "orders"')
  ok, message = pcall(orders.add, orders, -1)
  t:check("a counter counts up", not ok)
  t:check("built in", t:metric "publish.latency".count > 0 and t:metric "devices.connected".value == 6)
  fleet:stop()
""", "--workers", 2, "--out", "json=r.json", top="""
local orders, level = iotix.metric.counter "orders", iotix.metric.gauge "level"
local good, took, idle = iotix.metric.rate "good", iotix.metric.trend "took", iotix.metric.counter "idle"
""", keys="""thresholds = { orders = "count==67", ["orders{shop:worker}"] = "count==60", level = "value==5",
  good = "rate>=29%", took = { "max==1000", "min==1ms", "p(50)<60", "avg>100ms" }, idle = "count==0" },""").expect(0)
    assert re.search(r"orders +67\n +orders\{shop:north\} +4\n", ended.out), ended.describe()
    found = {(m["name"], m["tags"].get("shop")): m for m in report(tmp_path / "r.json")["metrics"]}
    assert found["orders", "south"]["value"] == 2 and found["orders", "worker"]["value"] == 60
    assert found["took", None]["count"] == 106 and found["idle", None]["value"] == 0


def test_metrics_of_generators_and_behaviours(run, write):
    write("generators/counting.lua", """local iotix = require "iotix"
local made = iotix.metric.counter "made"
return function() return function(tick) made:add() return tick end end
""")
    write("behaviors/counting.lua", """local iotix = require "iotix"
local told = iotix.metric.trend "told"
return { on_telemetry = function(device, name, value) told:add(value, { name = name }) end }
""")
    write("probe.json", model(attribute("x", {"type": "custom", "handler": "counting"}, 100),
                              behaviors=[{"name": "b", "handler": "counting"}]))
    run("""
  local fleet = t:group { model = "probe.json", count = 4 }
  fleet:start() fleet:wait { connected = 4 }
  t:wait_until(function()
    local ok, made = pcall(t.metric, t, "made")
    return ok and made.count >= 20
  end, "10s", "twenty values")
  fleet:stop()
  fleet:wait { stopped = 4 }
  t:wait_until(function() return t:metric "told".count == t:metric "made".count end, "20s", "each value to be seen")
  t:check("and its tag", t:metric("told", { name = "x" }).count == t:metric "told".count)
""").expect(0)


def test_events_and_tags_stand_in_the_report(run, write, tmp_path):
    write("probe.json", model(counter(100)))
    run("""
  t:event("outage", { cause = "cable", rooms = { 1, 2 } })
  t:event "plain"
  local fleet = t:group { model = "probe.json", count = 2, id = "dev-{index}", tags = { site = "north" } }
  fleet:start() fleet:wait { connected = 2 }
  fleet:device(1):run(function(d) d:event("from a device", { tag = d.tags.site }) end)
  t:sleep "200ms" """, "--out", "json=r.json", keys='tags = { suite = "nightly" },').expect(0)
    found = report(tmp_path / "r.json")
    events = {e["name"]: e for e in found["events"]}
    assert events["outage"]["data"] == {"cause": "cable", "rooms": [1, 2]}
    assert "plain" in events and 0 <= events["plain"]["t"] < 5
    assert events["from a device"]["data"] == {"device": "dev-1", "data": {"tag": "north"}}
    assert found["run"]["tags"] == {"suite": "nightly"}


# ---- phases


PHASES = """setup = function(t) t:log "1 setup" %s return { word = "prepared" } end,
teardown = function(t, prepared) t:log("3 teardown %%s", prepared and prepared.word or "without") %s end,"""


def order(ended):
    return re.findall(r"(?m)^(1 setup|2 run \w+|3 teardown \w+)$", ended.err)


def test_phases_in_order_and_what_setup_prepares(run):
    ended = run('t:log("2 run %s", prepared.word) t:check("fine", true)', keys=PHASES % ("", "")).expect(0)
    assert order(ended) == ["1 setup", "2 run prepared", "3 teardown prepared"]


def test_teardown_runs_after_errors(run):
    ended = run('t:log("2 run %s", prepared.word) error "oops"', keys=PHASES % ("", "")).expect(107, r"x\.lua:\d+: oops")
    assert order(ended) == ["1 setup", "2 run prepared", "3 teardown prepared"]
    ended = run('t:log("2 run x")', keys=PHASES % ('error "no setup"', "")).expect(107, r"no setup")
    assert order(ended) == ["1 setup", "3 teardown without"]
    ended = run('t:log("2 run x") error "first"', keys=PHASES % ("", 'error "second"')).expect(
        107, r"SCRIPT ERROR[^\n]*\n +x\.lua:\d+: first", r"teardown: .*second")
    ended = run('t:log("2 run x")', keys=PHASES % ("", 'error "only teardown"')).expect(107, r"only teardown")


def test_fail_ends_the_scenario(run):
    ended = run('t:log("2 run x") t:fail "no backend" t:log("2 run further")', keys=PHASES % ("", "")).expect(
        99, r"✗ no backend")
    assert order(ended) == ["1 setup", "2 run x", "3 teardown prepared"]
    assert "traceback" not in ended.out + ended.err


def test_failed_checks_let_the_run_go_on(run):
    ended = run("""
  for i = 1, 5 do t:check("sometimes", i ~= 2 and i ~= 4) end
  t:check("returns the condition", t:check("inner", 17) == 17)
  t:log "2 run on" """).expect(99, r"✗ sometimes +3 of 5", r"✓ inner")
    assert order(ended) == ["2 run on"]


def test_teardown_runs_after_ctrl_c_and_may_wait(run, write, broker, observe, tmp_path):
    observer = observe(broker)
    write("probe.json", model(counter(100)))
    keys = PHASES % ("", 't:sleep "300ms" t:log "4 waited"')
    started = run("""
  local fleet = t:group { model = "probe.json", count = 2, id = "dev-{index}" }
  fleet:start() fleet:wait { connected = 2 }
  t:log "2 run x"
  local ok, message = pcall(t.sleep, t, "60s")
  t:sleep "100ms"
  t:log("2 cleaned %s", tostring(ok or message))
  t:sleep "100ms" """, keys=keys, wait=False)
    observer.wait_for_devices(2, 20)
    started.wait_for("2 run x")
    started.interrupt()
    started.expect(105, r"4 waited")
    assert order(started) == ["1 setup", "2 run x", "3 teardown prepared"]
    assert re.search(r"2 cleaned.*interrupted", started.err), "the wait is interrupted, clean-up after it works"

"""Bad input: the exit code, and a message that names what is wrong, where, and what to do."""

import resource
import socket

import pytest

from helpers import figure, free_port, series
from scenes import attribute, counter, model, scenario

BAD_MODEL = 104
SCRIPT_ERROR = 107
FAILED = 99


@pytest.fixture
def run(iotix, write, broker):
    """run(text, *arguments): a scenario file x.lua against a private broker."""

    def start(text, *arguments, **options):
        file = write("x.lua", text)
        return iotix("run", file.name, "--broker", broker.address, *arguments, **options)

    return start


def random_attribute(**generator):
    return model(attribute("value", {"type": "random", **generator}))


BAD_MODELS = {
    "malformed": ('{\n  "id": "x",\n  "name" "y"\n}\n', [r"probe\.json(:3|.*line 3)"]),
    "empty": ("", [r"probe\.json"]),
    "not an object": ("[1, 2]", [r"probe\.json", r"object"]),
    "no id": ({k: v for k, v in model().items() if k != "id"}, [r"probe\.json", r"\bid\b"]),
    "unknown key": (dict(model(), telemtry=[]), [r"telemtry", r"did you mean.*telemetry"]),
    "unknown nested key": (random_attribute(mim=3), [r"telemetry\[0\]\.generator\.mim", r"did you mean.*\bmin\b"]),
    "min above max": (random_attribute(min=5, max=1), [r"telemetry\[0\]\.generator", r"\b5\b", r"\b1\b"]),
    "unknown generator": (
        model(attribute("value", {"type": "randm"})), [r"telemetry\[0\]\.generator\.type", r"randm", r"did you mean.*random"]),
    "unknown handler": (
        model(attribute("value", {"type": "custom", "handler": "nowhere"})), [r"nowhere", r"telemetry\[0\]|value"]),
    "wrong type": (model(dict(counter(), intervalMs="often")), [r"telemetry\[0\]\.intervalMs", r"number|integer"]),
    "qos 3": (model(connection={"qos": 3}), [r"connection\.qos", r"0 to 2"]),
    "bad placeholder": (
        model(connection={"topicPattern": "a/${deviceld}"}), [r"connection\.topicPattern", r"deviceld", r"did you mean.*deviceId"]),
    "no replay file": (
        model(attribute("value", {"type": "replay", "dataFile": "gone.csv"})), [r"gone\.csv", r"(?i)there is no file|no such file"]),
    "no replay column": (
        model(attribute("value", {"type": "replay", "dataFile": "rows.csv", "column": "vale"})), [r"rows\.csv", r"vale\b", r"value"]),
    "replay file outside": (
        model(attribute("value", {"type": "replay", "dataFile": "../../etc/hostname"})), [r"\.\./\.\./etc/hostname"]),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_model(case, run, write):
    content, texts = BAD_MODELS[case]
    write("probe.json", content)
    write("rows.csv", "time,value\n1,2\n")
    run(scenario(2)).expect(BAD_MODEL, *texts)


@pytest.mark.parametrize("case", [c for c in BAD_MODELS if "replay" not in c and "handler" not in c])
def test_model_check_finds_it_too(case, iotix, write):
    content, texts = BAD_MODELS[case]
    write("probe.json", content)
    iotix("model", "check", "probe.json").expect(BAD_MODEL, r"probe\.json", *texts)


def test_model_check_lists_every_fault_of_every_file(iotix, write):
    write("a.json", dict(random_attribute(min=5, max=1, mim=1), typ="x"))
    write("b.json", model(connection={"qos": 7}))
    write("c.json", model())
    checked = iotix("model", "check", "a.json", "b.json", "c.json", "d.json")
    checked.expect(BAD_MODEL, r"mim", r"\btyp\b", r"connection\.qos", r"d\.json.*(?i:no such file)")


def test_unknown_model_names_similar_ones(run):
    text = scenario(2, model="environmental-sensor-v2")
    run(text).expect(BAD_MODEL, r"environmental-sensor-v2", r"environmental-sensor-v1", r"x\.lua:4")


def test_syntax_error(run):
    run('local iotix = require "iotix"\nreturn iotix.scenario {\n  name = = "x"\n}\n').expect(SCRIPT_ERROR, r"x\.lua:3")


def test_no_such_scenario(iotix):
    iotix("run", "gone.lua").expect(BAD_MODEL, r"gone\.lua", r"(?i)no such file")


def test_scenario_returns_nothing(run):
    run("local x = 1\nreturn x\n").expect(SCRIPT_ERROR, r"x\.lua", r"iotix\.scenario")


def test_runtime_error_has_a_traceback(run, write):
    write("probe.json", model())
    text = scenario(2, before="local function deeper(x) return x.y.z end\n  local function deep(x) return (deeper(x)) end",
                    body="deep({})")
    run(text).expect(SCRIPT_ERROR, r"x\.lua:3", r"(?i)traceback", r"deep", r"x\.lua:8")


def test_error_value_that_is_a_table(run, write):
    write("probe.json", model())
    run(scenario(2, "error({ code = 1 })")).expect(SCRIPT_ERROR, r"x\.lua")


def test_what_was_measured_before_an_error_is_in_the_summary(run, write, broker, observe):
    observer = observe(broker)
    write("probe.json", model(counter(100)))
    ended = run(scenario(5, 't:sleep "1s"\n  error "out of ideas"')).expect(SCRIPT_ERROR, r"x\.lua:8.*out of ideas")
    count = len(observer.settle().messages)
    assert count >= 50
    assert figure(ended, "sent") == figure(ended, "acknowledged") == count, ended.describe()


BOOM = """return function(config, device)
  return function(tick)
    if tick == 3 and device.id == "dev-1" then
      error("no more values")
    end
    return tick
  end
end
"""


def test_error_in_a_custom_generator_stops_the_device(run, write, broker, observe):
    observer = observe(broker)
    write("generators/boom.lua", BOOM)
    write("probe.json", model(attribute("value", {"type": "custom", "handler": "boom"}, 100)))
    ended = run(scenario(2, 't:sleep "1s"\n  t:check("one is left", fleet:count "error" == 1)'))
    ended.expect(0, r"boom\.lua:4", r"no more values", r"dev-1")
    counts = {key[0]: len(samples) for key, samples in series(observer.settle().messages, "value").items()}
    assert counts["dev-1"] == 3 and counts["dev-0"] >= 10


def test_error_in_a_custom_generator_ends_the_run_if_wished(run, write):
    write("generators/boom.lua", BOOM)
    write("probe.json", model(attribute("value", {"type": "custom", "handler": "boom"}, 100)))
    text = scenario(2, 't:sleep "30s"', keys='onError = "run",')
    run(text).expect(SCRIPT_ERROR, r"boom\.lua:4", r"no more values", r"dev-1")


def test_endless_loop_in_a_scenario_is_stopped(run, write):
    write("probe.json", model())
    run(scenario(2, "while true do end")).expect(SCRIPT_ERROR, r"x\.lua:7")


def failing(reason):
    """A scenario whose two devices meet this before its wait ends."""
    failed = f't:wait_until(function() return t:metric("connect.{reason}").count >= 2 end, "30s", "both to fail") '
    return scenario(2).replace("fleet:wait", failed + "fleet:wait").replace('timeout = "30s"', 'timeout = "200ms"')


def test_unreachable_broker(iotix, write):
    write("probe.json", model())
    write("x.lua", failing("failed"))
    port = free_port()
    ended = iotix("run", "x.lua", "--broker", f"127.0.0.1:{port}")
    ended.expect(SCRIPT_ERROR, rf"127\.0\.0\.1:{port}", r"(?i)connection refused", r"x\.lua:6", "--broker")


def test_unresolvable_broker(iotix, write):
    write("probe.json", model())
    write("x.lua", scenario(2))
    iotix("run", "x.lua", "--broker", "no-such-host.invalid:1883").expect(BAD_MODEL, r"no-such-host\.invalid")


def test_server_that_is_no_broker(iotix, write):
    write("probe.json", model(connection={"connectTimeoutMs": 300}))
    write("x.lua", failing("failed"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        iotix("run", "x.lua", "--broker", address).expect(SCRIPT_ERROR, r"(?i)timed? ?out")


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_wrong_password(version, start_broker, iotix, write):
    broker = start_broker(users={"fleet": "right"})
    write("probe.json", model(connection={"username": "fleet", "password": "wrong", "protocolVersion": version}))
    write("x.lua", failing("refused"))
    ended = iotix("run", "x.lua", "--broker", broker.address)
    ended.expect(SCRIPT_ERROR, r"(?i)not authori[sz]ed|bad user ?name or password", r"\b2\b",
                 r"`username` and `password`")


def test_too_few_descriptors(run, write):
    write("probe.json", model())

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    text = scenario(2000)
    run(text, "--workers", "2", limits=limit).expect(BAD_MODEL, r"(?i)descriptor|open files", r"\b64\b", r"ulimit|nofile")


def test_few_descriptors_are_enough_with_more_workers(run, write):
    write("probe.json", model(counter(100)))

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))

    run(scenario(100, 't:check("all", fleet:count "connected" == 100)'), limits=limit).expect(0)


USAGE = {
    "misspelt option": (["run", "x.lua", "--sede", "1"], [r"--sede", r"did you mean.*--seed"]),
    "misspelt command": (["rnu", "x.lua"], [r"rnu", r"did you mean.*\brun\b"]),
    "no command": ([], [r"iotix help|usage|Usage"]),
    "no file": (["run"], [r"FILE|scenario"]),
    "two files": (["run", "x.lua", "y.lua"], [r"y\.lua"]),
    "option without value": (["run", "x.lua", "--seed"], [r"--seed"]),
    "bad number": (["run", "x.lua", "--workers", "many"], [r"--workers", r"many"]),
    "no workers": (["run", "x.lua", "--workers", "0"], [r"--workers", r"0"]),
    "bad interval": (["run", "x.lua", "--interval", "1fortnight"], [r"--interval", r"1fortnight"]),
    "bad broker": (["run", "x.lua", "--broker", "127.0.0.1:99999"], [r"99999"]),
    "unknown output": (["run", "x.lua", "--out", "jsno=x"], [r"jsno"]),
    "misspelt subcommand": (["model", "chekc"], [r"chekc", r"did you mean.*check"]),
    "option without name": (["run", "x.lua", "-e", "5"], [r"-e", r"name=value"]),
    "unknown help": (["help", "rnu"], [r"rnu", r"did you mean.*\brun\b"]),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(case, iotix, write):
    arguments, texts = USAGE[case]
    write("probe.json", model())
    write("x.lua", scenario(1))
    ended = iotix(*arguments)
    assert ended.code == 104, ended.describe()
    assert ended.out == "", ended.describe()
    ended.expect(104, *texts)


def test_unknown_scenario_option(run, write):
    write("probe.json", model())
    run(scenario(2), "-e", "device=5").expect(BAD_MODEL, r"\bdevice\b", r"did you mean.*devices")


def test_scenario_option_of_the_wrong_type(run, write):
    write("probe.json", model())
    run(scenario(2), "-e", "devices=lots").expect(BAD_MODEL, r"devices", r"lots", r"number")


def test_unknown_scenario_key(run, write):
    write("probe.json", model())
    run(scenario(2, keys="thresolds = {},")).expect(BAD_MODEL, r"thresolds", r"did you mean.*thresholds", r"x\.lua:2")


def test_unknown_setting_of_a_group(run, write):
    write("probe.json", model())
    run(scenario(2).replace("count =", "cuont =")).expect(SCRIPT_ERROR, r"cuont", r"did you mean.*count", r"x\.lua:4")


def test_unknown_strategy_and_setting(run, write):
    write("probe.json", model())
    run(scenario(2, start='strategy = "linaer"')).expect(SCRIPT_ERROR, r"linaer", r"did you mean.*linear", r"x\.lua:5")
    run(scenario(2, start='strategy = "linear", delay = 3')).expect(SCRIPT_ERROR, r"delay", r"delayMs", r"x\.lua:5")


def test_io_at_the_top_level_of_a_scenario(run, write):
    write("probe.json", model())
    run('local f = io.open("probe.json")\n' + scenario(2)).expect(SCRIPT_ERROR, r"x\.lua:1")


def test_failed_check(run, write):
    write("probe.json", model())
    run(scenario(2, 't:check("pigs fly", false)')).expect(FAILED, r"pigs fly")


def test_failed_and_passed_threshold(run, write):
    write("probe.json", model(counter(100)))
    text = scenario(2, 't:sleep "300ms"', keys='thresholds = { ["messages.sent"] = "%s" },')
    run(text.replace("%s", "count>1000000")).expect(FAILED, r"messages\.sent", r"1000000")
    run(text.replace("%s", "count>=6")).expect(0)


def test_threshold_on_an_unknown_metric_and_nonsense(run, write):
    write("probe.json", model())
    text = scenario(2, keys='thresholds = { ["%s"] = "%s" },')
    run(text.replace("%s", "messages.snet", 1).replace("%s", "count>1", 1)).expect(
        BAD_MODEL, r"messages\.snet", r"did you mean.*messages\.sent")
    run(text.replace("%s", "messages.sent", 1).replace("%s", "count>>1", 1)).expect(BAD_MODEL, r"count>>1")


def test_wait_that_times_out_names_the_line(run, write):
    write("probe.json", model())
    text = scenario(2, 'fleet:wait { dropped = "100%", timeout = "300ms" }')
    run(text).expect(SCRIPT_ERROR, r"x\.lua:7", r"300")


def test_a_stack_overflow_names_the_file(run, write):
    write("probe.json", model())
    run(scenario(1, "local function f() return 1 + f() end f()")).expect(SCRIPT_ERROR, r"x\.lua.*stack overflow")


def test_compiled_lua_is_no_scenario(iotix, tmp_path):
    (tmp_path / "x.lua").write_bytes(b"\x1bLJ\x02\x00\x00")
    iotix("run", "x.lua").expect(SCRIPT_ERROR, r"x\.lua.*source")

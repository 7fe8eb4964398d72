"""The commands around run, and what run prints."""

import json
import re
import subprocess
import time

import jsonschema
import pytest

from helpers import BINARY, figure, wait_until
from scenes import UNTIL_STOPPED, attribute, counter, model, scenario


def test_version(iotix):
    ended = iotix("version").expect(0)
    assert re.fullmatch(r"iotix \d+\.\d+\.\d+\S*( .*)?\n", ended.out.splitlines(keepends=True)[0]), ended.describe()
    assert iotix("--version").expect(0).out == ended.out


def test_help_names_every_command_and_option(iotix):
    text = iotix("help").expect(0).out
    for command in ("run", "model", "lua", "version", "help"):
        assert re.search(rf"(?m)^\s*(iotix )?{command}\b", text), command
    assert iotix("--help").expect(0).out == text
    text = iotix("help", "run").expect(0).out
    for option in ("--broker", "--broker-force", "--seed", "--workers", "-e", "--quiet", "--interval", "--out"):
        assert option in text
    for code in ("99", "104", "105", "107", "111"):
        assert code in text
    assert iotix("run", "--help").expect(0).out == text


def test_model_check_accepts_good_models(iotix, write):
    write("a.json", model())
    write("b.json", model(counter(), attribute("x", {"type": "random"}), connection={"qos": 2, "keepAlive": 0}))
    iotix("model", "check", "a.json", "b.json").expect(0, r"a\.json", r"b\.json")


def test_model_schema_is_a_schema_that_agrees_with_the_check(iotix, write):
    schema = json.loads(iotix("model", "schema").expect(0).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = [model(), model(attribute("x", {"type": "random", "min": 1, "max": 2}), connection={"qos": 2})]
    bad = [
        dict(model(), type="sensr"), model(connection={"qos": 3}), dict(model(), telemtry=[]),
        model(attribute("x", {"type": "randm"})), {k: v for k, v in model().items() if k != "id"},
        model(dict(counter(), intervalMs=-5)),
    ]
    for document in good:
        assert not list(validator.iter_errors(document)), document
    for number, document in enumerate(bad):
        assert list(validator.iter_errors(document)), document
        write("bad.json", document)
        assert iotix("model", "check", "bad.json").code == 104, (number, document)


def test_lua_runs_a_file_with_the_modules(iotix, write):
    write("a.lua", 'local iotix = require "iotix"\nprint(type(iotix.scenario), ...)\n')
    assert iotix("lua", "a.lua").expect(0).out.startswith("function")
    write("b.lua", "os.exit(7)\n")
    iotix("lua", "b.lua").expect(7)
    write("c.lua", "local x\nlocal y = x.z\n")
    iotix("lua", "c.lua").expect(107, r"c\.lua:2", r"(?i)traceback")


def test_progress_goes_to_stderr_and_the_summary_to_stdout(broker, iotix, write):
    write("probe.json", model(counter(100)))
    write("x.lua", scenario(5, UNTIL_STOPPED))
    begun = time.monotonic()
    ended = iotix.start("run", "x.lua", "--broker", broker.address, "--interval", "200ms", "--seed", 42)
    wait_until(lambda: ended.err.count("5 of 5 connected") >= 4, 30, ended.describe)
    write("stop", "")
    ended.expect(0)
    lines = ended.err.splitlines()
    assert 4 <= len(lines) <= (time.monotonic() - begun) / 0.2 + 10 and "\r" not in ended.err and "\x1b" not in ended.err + ended.out, ended.describe()
    assert re.search(r"(?i)passed", ended.out) and re.search(r"seed\W+42\b", ended.out), ended.describe()
    quiet = iotix("run", "x.lua", "--broker", broker.address, "--quiet").expect(0)
    assert quiet.err == "" and "passed" in quiet.out.lower(), quiet.describe()


def test_summary_agrees_with_the_observer(broker, observe, iotix, write):
    observer = observe(broker)
    write("probe.json", model(counter(100)))
    write("x.lua", scenario(5, 't:sleep "1s"\n  t:check("five", fleet:count() == 5)'))
    ended = iotix("run", "x.lua", "--broker", broker.address).expect(0, r"five")
    count = len(observer.settle().messages)
    assert count >= 50
    for label in ("scheduled", "sent", "acknowledged"):
        assert figure(ended, label) == count, f"{count} messages came: {ended.describe()}"
    assert figure(ended, "accepted") == 5


def test_scenario_option_on_the_command_line(broker, observe, iotix, write):
    observer = observe(broker)
    write("probe.json", model())
    write("x.lua", scenario(2, 't:sleep "100ms"'))
    iotix("run", "x.lua", "--broker", broker.address, "-e", "devices=7").expect(0)
    assert len({m.topic for m in observer.settle().messages}) == 7


def test_model_beside_the_scenario_and_from_another_folder(broker, observe, iotix, write):
    observer = observe(broker)
    write("probe.json", model(id="in-file"))
    write("models/by-id.json", model(id="by-id-v1"))
    write("deep/probe.json", model(id="deep"))
    for name, model_name in (("a.lua", "probe.json"), ("b.lua", "by-id-v1"), ("deep/c.lua", "probe.json")):
        file = write(name, scenario(1, 't:sleep "100ms"', model=model_name))
        iotix("run", file, "--broker", broker.address).expect(0)
    assert len(observer.settle().messages) >= 3


@pytest.mark.parametrize("arguments", [["help"], ["version"], ["model", "schema"]])
def test_output_to_a_closed_pipe_is_no_crash(arguments, tmp_path):
    ended = subprocess.run(["bash", "-c", '"$@" | true; exit "${PIPESTATUS[0]}"', "bash", BINARY, *arguments],
                           cwd=tmp_path, capture_output=True, timeout=20, check=False)
    assert ended.returncode in (0, 104, 141) and b"Sanitizer" not in ended.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_change_nothing(broker, observe, write, tmp_path, closed):
    observer = observe(broker)
    write("probe.json", model(counter(100)))
    write("x.lua", scenario(3, 't:sleep "200ms"'))
    ended = subprocess.run(["bash", "-c", f'"$@" {closed}', "bash", BINARY, "run", "x.lua", "--broker", broker.address],
                           cwd=tmp_path, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 0, ended
    for message in observer.settle().messages:
        json.loads(message.payload)
    assert len({m.topic for m in observer.messages}) == 3


@pytest.mark.parametrize("arguments", [["help"], ["version"], ["model", "schema"]])
def test_output_that_is_lost_is_an_error(arguments, tmp_path):
    with open("/dev/full", "w", encoding="ascii") as full:
        ended = subprocess.run([BINARY, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, timeout=20,
                               check=False)
    assert ended.returncode == 104 and b"can't write the output" in ended.stderr, ended


def test_a_report_that_can_not_be_written_is_an_error_before_the_run(broker, iotix, write, tmp_path):
    write("probe.json", model())
    write("x.lua", scenario(1, 't:sleep "100ms"'))
    for file in ("missing/r.json", "."):
        ended = iotix("run", "x.lua", "--broker", broker.address, "--out", f"json={file}").expect(104, "--out json=")
        assert ended.out == "", ended.describe()
    iotix("run", "x.lua", "--broker", broker.address, "--out", "json=r.json").expect(0)
    assert json.loads((tmp_path / "r.json").read_text())


def test_a_seed_is_a_whole_number_below_2_to_64(broker, iotix, write):
    write("probe.json", model())
    write("x.lua", scenario(1, 't:sleep "100ms"'))
    for seed in ("18446744073709551616", "-1", "1.5", "x", ""):
        iotix("run", "x.lua", "--broker", broker.address, "--seed", seed).expect(104, "--seed")
    iotix("run", "x.lua", "--broker", broker.address, "--seed", "18446744073709551615").expect(
        0, r"seed +18446744073709551615")

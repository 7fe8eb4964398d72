"""The shipped scenarios run as they are, in small, and fail when what they look for does not happen."""

import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "scenarios"

SMALL = {
    "quickstart": {"devices": 50, "hold": "1s"},
    "ramp": {"devices": 40, "ramp": "1s", "plateau": "500ms"},
    "chaos": {"devices": 20, "scale": 0.005},
    "reconnect-storm": {"devices": 50, "storms": 2, "calm": "100ms"},
    "delivery": {"devices": 20, "hold": "500ms", "outages": 1, "late": "30s"},
    "commands": {"gateways": 8},
    "ecg-alert": {"monitors": 5, "quiet": "1s"},
    "gateway": {"gateways": 3},
    "replay": {"devices": 3, "rows": 2},
    "custom-generator": {"gauges": 5, "cycle": 2},
    "custom-strategy": {"devices": 50, "minutes": 0.02},
    "million": {"devices": 200, "interval": 1, "connects": 400, "hold": "1s"},
    "ci-smoke": {"devices": 20, "hold": "500ms"},
}


def run(iotix, name, broker, **options):
    arguments = [part for key, value in options.items() for part in ("-e", f"{key}={value}")]
    return iotix("run", FOLDER / f"{name}.lua", "--broker", broker.address, *arguments)


def test_every_scenario_is_tried():
    assert {file.stem for file in FOLDER.glob("*.lua")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_passes(name, broker, iotix):
    ended = run(iotix, name, broker, **SMALL[name]).expect(0, r"PASSED")
    assert "✗" not in ended.out, ended.describe()


def test_alert_that_does_not_come_fails_the_run(broker, iotix):
    run(iotix, "ecg-alert", broker, **SMALL["ecg-alert"], rate=80).expect(99, r"✗ the alert came")


def test_metrics_of_the_reference_exist(broker, iotix, write):
    reference = (FOLDER.parent / "lua" / "README.md").read_text(encoding="utf-8")
    table = reference.split("## Metrics")[1].split("## Strategies")[0]
    names = [name for row in re.findall(r"(?m)^\| (`.*?) \|", table) for name in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 30
    lines = "\n".join(f't:metric "{name}"' for name in [*names, "mqtt.publish.latency"] if name != "checks")
    write("m.lua", f'return require("iotix").scenario {{ name = "m", run = function(t)\nt:observe()\n{lines}\nend }}')
    iotix("run", "m.lua", "--broker", broker.address).expect(0)


def test_headers_name_only_options_that_exist():
    for file in FOLDER.glob("*.lua"):
        text = file.read_text(encoding="utf-8")
        header = "".join(line for line in text.splitlines(keepends=True)[:3])
        declared = re.search(r"options = \{(.*?)\}", text, re.DOTALL).group(1)
        for name in re.findall(r"-e (\w+)=", header):
            assert re.search(rf"\b{name} =", declared), f"{file.name}: no option {name}"

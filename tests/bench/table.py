"""Puts the figures of measurements into README.md, each between its two marks there:
table.py build/bench/result.json build/bench/million.json.

The files are what bench.py and million.py wrote; a younger rest.json beside bench.py's, by rest.py, becomes one more section
of it. With --print the tables go to standard output.
"""

import argparse
import json
import os
import sys

import figures

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "README.md")


def number(value, digits):
    return f"{value:,.{digits}f}"


def bounds(figure):
    if figure["target"] is None:
        return ""
    if figure["least"] is not None:
        return f"{figure['least']:g} … {figure['target']:g}"
    return f"≤ {figure['target']:,g}"


def row(figure):
    digits, (low, high) = figure["digits"], figure["quartiles"]
    value = f"{number(figure['median'], digits)} {figure['unit']}"
    spread = f"{number(low, digits)} … {number(high, digits)}"
    verdict = {None: "", "met": "met", "MISSED": "**missed**"}[figure["verdict"]]
    return f"| {figure['name']} | {value} | {spread} | {bounds(figure)} | {verdict} |"


def of_rest(rest):
    """The rounds of rest.py as a section of bench.py's."""
    asked, quiet = ([r for r in rest["rounds"] if bool(r["requests"]) == wanted] for wanted in (True, False))

    def figure(name, unit, values, digits=2, target=None):
        collected = figures.Figure(name, unit, digits, target, None)
        collected.values = list(values)
        return collected.json()

    return {"title": f"REST beside {rest['devices']:,} publishing devices, {len(asked)} rounds with requests and as many without",
            "figures": [
                figure("requests", "/s", (r["requestsPerSecond"] for r in asked), 0),
                figure("failed requests", "", (r["requests"]["failed"] for r in asked), 0, 0),
                figure("an answer's p99", "ms", (r["requests"]["p99"] for r in asked)),
                figure("messages, meanwhile", "/s", (r["messagesPerSecond"] for r in asked), 0),
                figure("p99 of lateness with requests, at most", "ms", (r["latenessP99BelowMs"] for r in asked), 2, 10),
                figure("p99 of lateness without them, at most", "ms", (r["latenessP99BelowMs"] for r in quiet)),
                figure("CPU of the serving process with requests, cores", "", (r["serviceCpu"] for r in asked))]}


def table(result):
    lines = [
        f"{result['cpus']} × {result['cpu']}, {result['memoryGiB']} GiB, Linux {result['kernel']}; {result['date']}, "
        f"{result['rounds']} rounds in {result['seconds'] / 60:.0f} minutes, load {result['load']} before.",
    ]
    for section in result["sections"]:
        lines += ["", f"**{section['title']}**", "", "| figure | median | quartiles | target | |", "|---|---|---|---|---|"]
        lines += [row(figure) for figure in section["figures"]]
    return "\n".join(lines)


def million(result):
    """A run of million.py; what it has not measured has no row."""
    memory, cpu = result.get("bytes_per_device", {}), result.get("cpu_percent_of_a_core_while_publishing", {})
    until, late = result.get("cpu_seconds_until_connected", {}), result.get("lateness_ms", {})
    devices = result["devices"]

    def each(name):  # µs of CPU for each device, until all are connected
        return until.get(name) and until[name] * 1e6 / devices

    rows = [
        ("devices", devices, "", 0, None),
        ("of these, connected at most at the same time", result["connected_at_most"], "", 0, None),
        ("workers", result.get("workers"), "", 0, None),
        ("brokers", result["brokers"], "", 0, None),
        ("planned starts a second", result.get("planned_connects_per_second"), "", 0, None),
        ("all connected after", result.get("connect_seconds"), " s", 1, 100),
        ("connects a second, on average", result.get("connects_per_second"), "", 0, None),
        ("CPU until then, for each device: iotix", each("iotix"), " µs", 0, None),
        ("CPU until then, for each device: brokers", each("brokers"), " µs", 0, None),
        ("connect time, p50", result.get("connect_ms", {}).get("p50"), " ms", 1, None),
        ("connect time, p99", result.get("connect_ms", {}).get("p99"), " ms", 1, None),
        ("lateness, connecting included, p50", late.get("p50"), " ms", 2, None),
        ("lateness, connecting included, p99", late.get("p99"), " ms", 1, 50),
        ("lateness, connecting included, at most", late.get("max"), " ms", 0, None),
        ("memory of a device: iotix", memory.get("iotix"), " B", 0, None),
        ("memory of a device: kernel, both ends", memory.get("kernel"), " B", 0, None),
        ("memory of a device: its broker", memory.get("brokers"), " B", 0, None),
        ("memory of a device: in all", memory.get("sum"), " B", 0, 9000),
        ("… as `free` counts it, with what it takes for a cache left out", memory.get("as_free_counts"), " B", 0, 9000),
        ("messages/s, all connected", result.get("messages_per_second"), "", 0, None),
        ("CPU meanwhile: iotix, of one core", cpu.get("iotix"), " %", 0, None),
        ("CPU meanwhile: brokers, of one core", cpu.get("brokers"), " %", 0, None),
        ("memory of the host still available, at least", result.get("least_memory_available_mib"), " MiB", 0, None),
    ]
    lines = [
        f"{result['cores']} × {result['cpu']}, Linux {result['kernel']}; {result['date']}, load {result['load']} before. "
        f"The run of itself: {result.get('validity', 'no verdict')}.",
        "", "| figure | | aim | |", "|---|---|---|---|",
    ]
    for name, value, unit, digits, aim in rows:
        if value is not None:
            verdict = "" if aim is None else "met" if value <= aim else "**missed**"
            lines.append(f"| {name} | {number(value, digits)}{unit} | {f'≤ {aim:,}' if aim else ''} | {verdict} |")
    caches = sorted(memory.get("kernel_caches", {}).items(), key=lambda item: -item[1])
    if caches:
        lines += ["", "Of the kernel's bytes for a device, both ends: " +
                  ", ".join(f"{name} {value:,}" for name, value in caches if value > 0) + "."]
    lines += [""] + [f"- {note}" for note in result.get("reasons", []) + result["notes"]]
    return "\n".join(lines).rstrip()


def with_rest(result, path):
    """… and what rest.py measured after it, in the same `make bench`."""
    rest = os.path.join(os.path.dirname(path), "rest.json")
    if os.path.exists(rest) and os.path.getmtime(rest) >= os.path.getmtime(path):
        with open(rest, encoding="utf-8") as file:
            result["sections"].append(of_rest(json.load(file)))
    return result


def put(readme, name, text):
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = readme.split(begin, 1)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+")
    parser.add_argument("--print", action="store_true", dest="only_print")
    arguments = parser.parse_args()
    with open(README, encoding="utf-8") as file:
        readme = file.read()
    for path in arguments.results:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
        name, text = ("figures", table(with_rest(result, path))) if "sections" in result else ("million", million(result))
        if arguments.only_print:
            print(text)
        readme = put(readme, name, text)
    if not arguments.only_print:
        with open(README, "w", encoding="utf-8") as file:
            file.write(readme)


if __name__ == "__main__":
    sys.exit(main())

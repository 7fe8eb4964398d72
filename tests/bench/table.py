"""Puts the figures of a measurement into README.md, between the two marks there: table.py build/bench/result.json.

The file is what bench.py wrote. With --print the table goes to standard output.
"""

import argparse
import json
import os
import sys

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "README.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


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


def table(result):
    lines = [
        f"{result['cpus']} × {result['cpu']}, {result['memoryGiB']} GiB, Linux {result['kernel']}; {result['date']}, "
        f"{result['rounds']} rounds in {result['seconds'] / 60:.0f} minutes, load {result['load']}.",
    ]
    for section in result["sections"]:
        lines += ["", f"**{section['title']}**", "", "| figure | median | quartiles | target | |", "|---|---|---|---|---|"]
        lines += [row(figure) for figure in section["figures"]]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result")
    parser.add_argument("--print", action="store_true", dest="only_print")
    arguments = parser.parse_args()
    with open(arguments.result, encoding="utf-8") as file:
        text = table(json.load(file))
    if arguments.only_print:
        print(text)
        return
    with open(README, encoding="utf-8") as file:
        readme = file.read()
    before, rest = readme.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(README, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())

"""Reads the reports of a folder as their users' tools do. Prints what is wrong; exit status 1 if anything is.

usage: check_reports.py FOLDER SCHEMA; the folder has NAME.junit, .json, .html, .csv and .ndjson for each NAME
"""

import csv
import html.parser
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as tree

import jsonschema

VOID = {"meta", "br", "img", "link", "input", "hr"}
KNOWN_TAGS = set(
    "html head meta title style body main header div h1 h2 h3 p span b strong small code pre ul li i table thead tbody"
    " tr th td br section figure figcaption svg g path text circle rect footer".split()
)
# The order of children and the attributes that the schemas of Ant and Jenkins share.
SUITE_CHILDREN = re.compile(r"properties (testcase )+system-out system-err $")
ATTRIBUTES = {
    "testsuites": set(),
    "testsuite": {"name", "package", "id", "hostname", "timestamp", "tests", "failures", "errors", "time"},
    "property": {"name", "value"},
    "testcase": {"classname", "name", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
}


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def check_junit(file):
    root = tree.parse(file).getroot()
    expect(root.tag == "testsuites" and len(root) == 1, "one suite in testsuites")
    for element in root.iter():
        wanted = ATTRIBUTES.get(element.tag, set())
        expect(set(element.attrib) == wanted, f"{element.tag} has {sorted(element.attrib)}")
    suite = root[0]
    expect(SUITE_CHILDREN.match("".join(f"{c.tag} " for c in suite)), "order of the suite's children")
    expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp")), suite.get("timestamp"))
    cases = suite.findall("testcase")
    for attribute, found in (
        ("tests", cases),
        ("failures", suite.findall("testcase/failure")),
        ("errors", suite.findall("testcase/error")),
    ):
        expect(int(suite.get(attribute)) == len(found), f"{attribute}: {suite.get(attribute)}, found {len(found)}")
    for case in cases:
        expect(len(case) <= 1 and float(case.get("time")) >= 0, case.get("name"))


def check_json(file, schema):
    result = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda c: expect(False, c))
    for error in jsonschema.Draft202012Validator(schema).iter_errors(result):
        expect(False, f"{error.json_path}: {error.message}")
    for trend in result["totals"]["trends"].values():
        expect(sum(count for _, count in trend["buckets"]) == trend["count"], "buckets add up")


def check_ndjson(file):
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    kinds = [line["type"] for line in lines]
    expect(kinds[0] == "run" and kinds[-1] == "summary", f"{kinds[0]} … {kinds[-1]}")
    expect(set(kinds) <= {"run", "point", "event", "check", "threshold", "summary"}, set(kinds))
    times = [line["t"] for line in lines if line["type"] in ("point", "event")]
    expect(times == sorted(times), "points and events in order of time")


def check_csv(file):
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.reader(text))
    for row in rows:
        expect(len(row) == len(rows[0]), f"{len(row)} fields under {len(rows[0])} names")
    for row in rows[1:]:
        expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row[0]), row[0])
        for field in row[1:]:
            expect(field == "" or float(field) >= 0, field)


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        expect(tag in KNOWN_TAGS, f"<{tag}> is not one of ours")
        for name, value in attrs:
            expect(not name.startswith("on") and name not in ("src", "href"), f"<{tag} {name}={value}>")
            expect("nan" not in (value or "") or name == "aria-label", f"<{tag} {name}={value}>")
            expect("inf" not in (value or ""), f"<{tag} {name}={value}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        expect(self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}")
        self.open.pop()


def check_html(file):
    page = Page()
    page.feed(file.read_text(encoding="utf-8"))
    page.close()
    expect(not page.open, f"open at the end: {page.open}")


def main(folder, schema_file):
    schema = json.loads(pathlib.Path(schema_file).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    checks = {
        ".junit": check_junit,
        ".json": lambda file: check_json(file, schema),
        ".ndjson": check_ndjson,
        ".csv": check_csv,
        ".html": check_html,
    }
    files = sorted(pathlib.Path(folder).iterdir())
    faults = 0
    for file in files:
        try:
            checks[file.suffix](file)
        except Exception as error:  # whatever a reader stumbles over is a finding
            faults += 1
            print(f"{file.name}: {type(error).__name__}: {error}")
    if {file.suffix for file in files} != set(checks):
        faults += 1
        print(f"not all formats are there: {[file.name for file in files]}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Ten million messages and 10,000 reconnects: memory and descriptors of every process stay as they are once it is warm, and
every message is accounted for. `make soak`; about four minutes on two cores.

Memory is that of a process without its program and libraries (Pss of anonymous and shared pages). It may rise by 5 % and
1 MiB; descriptors not at all."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SLACK = 1 << 20


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def look(pid):
    """{name: (bytes, descriptors)} of the controller and its workers."""
    seen = {}
    for one in [pid, *children(pid)]:
        with open(f"/proc/{one}/cmdline", "rb") as file:
            name = file.read().split(b"\0")[0].decode()
        if one == pid:
            name = "controller"
        if name != "controller" and not name.startswith("iotix-"):
            continue  # the embedded broker
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as file:
            kib = sum(int(n) for n in re.findall(r"(?m)^Pss_(?:Anon|Shmem): +(\d+) kB", file.read()))
        seen[name] = (kib * 1024, len(os.listdir(f"/proc/{one}/fd")))
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--iotix", default="build/iotix")
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--reconnects", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="iotix-soak.") as folder:
        command = [options.iotix, "run", os.path.join(HERE, "soak.lua"), "--quiet", "--broker", "embedded",
                   "--out", f"json={folder}/r.json"]
        for name in ("messages", "reconnects", "devices"):
            command += ["-e", f"{name}={getattr(options, name)}"]
        environment = dict(os.environ, XDG_STATE_HOME=os.path.join(folder, "state"))
        marks = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
            for line in run.stdout:
                words = line.split()
                if words[:1] == ["mark"]:
                    marks[words[1]] = (int(float(words[2])), int(float(words[3])), look(run.pid))
        if set(marks) != {"warm", "end"} or run.returncode not in (0, 111):
            sys.exit(f"the run ended with status {run.returncode}")
        with open(f"{folder}/r.json", encoding="utf-8") as file:
            result = json.load(file)
    sys.exit(judge(marks, result))


def judge(marks, result):
    (sent, back, early), (sent_in_all, back_in_all, late) = marks["warm"], marks["end"]
    faults = []
    print(f"{sent_in_all - sent:,} messages and {back_in_all - back:,} reconnects in {result['run']['seconds']:.0f} s")
    print(f"{'process':<16}{'warm':>12}{'end':>12}{'descriptors':>14}")
    for name, (before, few) in early.items():
        after, many = late.get(name, (0, 0))
        print(f"{name:<16}{before / 1024:>8,.0f} KiB{after / 1024:>8,.0f} KiB{few:>8} → {many}")
        if not 0 < after <= before * 1.05 + SLACK:
            faults.append(f"{name}: {before:,} bytes became {after:,}")
        if many > few:
            faults.append(f"{name}: {few} descriptors became {many}")
    books = result["totals"]["ledger"]
    never = sum(books["neverSent"].values())
    print("scheduled {scheduled:,} = sent {sent:,} + never sent {0:,}; acknowledged {acknowledged:,}, lost {lost:,}".format(
        never, **books))
    if books["scheduled"] != books["sent"] + never or books["sent"] != books["acknowledged"] + books["lost"]:
        faults.append(f"the ledger does not add up: {books}")
    if result["run"]["workerRestarts"]:
        faults.append("a worker was restarted")
    for fault in faults:
        print("FAULT", fault)
    return bool(faults)


if __name__ == "__main__":
    main()

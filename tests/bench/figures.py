"""What bench.py collects: figures in sections, each with all its values; printed with medians and quartiles, and saved."""

import json
import os
import platform
import statistics
import time


class Figure:
    """A measured quantity: all its values, and what they should be at most."""

    def __init__(self, name, unit, digits, target, least):
        self.name, self.unit, self.digits, self.target, self.least = name, unit, digits, target, least
        self.values = []

    def quartiles(self):
        if len(self.values) == 1:
            return self.values * 3
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, statistics.median(self.values), high

    def verdict(self):
        if self.target is None:
            return ""
        median = self.quartiles()[1]
        return "met" if (self.least is None or self.least <= median) and median <= self.target else "MISSED"

    def bounds(self):
        if self.target is None:
            return ""
        return f"{self.least:g} … {self.target:g}" if self.least is not None else f"≤ {self.target:,g}"

    def line(self):
        low, median, high = (f"{value:,.{self.digits}f}" for value in self.quartiles())
        text = f"  {self.name:<60}{median:>9} {self.unit:<3} {f'[{low} … {high}]':<24}{self.bounds():<14}{self.verdict()}"
        return text.rstrip()

    def json(self):
        low, median, high = self.quartiles()
        return {
            "name": self.name,
            "unit": self.unit,
            "digits": self.digits,
            "median": median,
            "quartiles": [low, high],
            "target": self.target,
            "least": self.least,
            "verdict": self.verdict() or None,
            "rounds": len(self.values),
            "values": self.values,
        }


class Figures:
    def __init__(self):
        self.sections = {}
        self.notes = {}

    def add(self, section, name, unit, value, digits=2, target=None, least=None):
        figures = self.sections.setdefault(section, {})
        figures.setdefault(name, Figure(name, unit, digits, target, least)).values.append(value)

    def print(self, head, seconds):
        print(f"{head['date']}, {head['cpus']} × {head['cpu']}, Linux {head['kernel']}, load {head['load']} before")
        print(f"{head['rounds']} rounds in {seconds:.0f} s: median [quartiles], target")
        for section, figures in self.sections.items():
            print(f"\n{section}")
            for figure in figures.values():
                print(figure.line())

    def save(self, path, head, seconds):
        sections = [
            {"title": section, "figures": [figure.json() for figure in figures.values()]}
            for section, figures in self.sections.items()
        ]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**head, "seconds": round(seconds), "sections": sections}, file, indent=2, ensure_ascii=False)
            file.write("\n")


def cpu_name():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def head(arguments):
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.readline().split()[1])
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpus": os.cpu_count(),
        "cpu": cpu_name(),
        "memoryGiB": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "rounds": arguments.rounds,
        "messagesPerSecond": arguments.rate,
        "secondsOfPublishing": arguments.seconds,
        "load": round(os.getloadavg()[1], 1),
    }

"""Requests beside a publishing fleet: 2,000 mixed GETs a second to `iotix serve` while 50,000 devices publish 5,000 messages
a second. Rounds with and without requests alternate; what counts is how late messages were sent, and that no request failed.

usage: rest.py --iotix build/iotix [--devices 50000] [--rounds 3] [--seconds 15] [--out FILE.json]
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from measure import Brokers

BROKER_CLIENTS = 17000  # a broker's descriptors, with room to spare
CONNECTIONS, DELAY_MS = 40, 20  # of wrk: 40 clients that ask once in 20 ms
INTERVAL_MS = 10000  # of each device

MODEL = {
    "id": "bench-sensor",
    "name": "Bench sensor",
    "type": "sensor",
    "protocol": "mqtt",
    "connection": {"qos": 1},
    "telemetry": [{"name": "temperature", "type": "number", "unit": "celsius", "intervalMs": INTERVAL_MS, "phase": "random",
                   "generator": {"type": "random", "min": 15, "max": 35}}],
}

SCRIPT = """
local targets = {TARGETS}
local place = 0
function request()
  place = place % #targets + 1
  return wrk.format("GET", targets[place])
end
function delay()
  return DELAY
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"seconds":%.3f,"failed":%d,"p50":%.3f,"p99":%.3f,"max":%.3f}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""


class Service:
    def __init__(self, iotix, brokers, folder):
        addresses = ",".join(f"127.0.0.1:{port}" for port in brokers.ports)
        self.log = open(os.path.join(folder, "serve.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([iotix, "serve", "device", "--ephemeral", "--port", "0", "--broker", addresses],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.url = self.wait_for(self.address, 60, "the service to listen")
        self.wait_for(lambda: self.get("/ready"), 60, "the service to be ready")

    def address(self):
        self.log.seek(0)
        found = re.search(r"http://[\w.\[\]:]+:\d+", self.log.read())
        return found and found.group()

    def wait_for(self, condition, seconds, what):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                value = condition()
            except OSError:
                value = None
            if value:
                return value
            time.sleep(0.2)
        self.log.seek(0)
        sys.exit(f"rest.py: still waiting for {what}\n{self.log.read()[-2000:]}")

    def ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, method="GET" if body is None else "POST",
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def get(self, path):
        return json.loads(self.ask(path))

    def post(self, path, body):
        return json.loads(self.ask(path, body))

    def metrics(self):
        """{sample: value} of /metrics."""
        lines = (line.rsplit(" ", 1) for line in self.ask("/metrics").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def lateness(before, after, share):
    """The bucket's bound that this share of the messages between two looks did not exceed, in ms."""
    name = "iotix_publish_lateness_seconds"
    count = after[f"{name}_count"] - before[f"{name}_count"]
    for sample, value in after.items():
        if sample.startswith(f"{name}_bucket"):
            bound = float(sample.split('"')[1].replace("+Inf", "inf"))
            if value - before[sample] >= share * count:
                return bound * 1000
    return float("inf")


def targets(devices):
    found = ["/health", "/api/v1/stats", "/api/v1/groups", "/api/v1/groups/fleet", "/api/v1/models/bench-sensor",
             "/api/v1/devices?groupId=fleet&page=3&pageSize=50", "/api/v1/strategies"]
    for i in range(1, 40):
        index = devices * i // 41
        found += [f"/api/v1/devices/fleet-{index}", f"/api/v1/devices?offset={index}&limit=20",
                  f"/api/v1/devices/fleet-{index}/metrics", "/api/v1/stats"]
    return found + ["/metrics"]


def run_wrk(url, folder, devices, seconds):
    script = os.path.join(folder, "mixed.lua")
    with open(script, "w", encoding="utf-8") as file:
        listed = ", ".join(json.dumps(target) for target in targets(devices))
        file.write(SCRIPT.replace("TARGETS", listed).replace("DELAY", str(DELAY_MS - 1)))
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", script, url],
                          capture_output=True, text=True, timeout=seconds + 60, check=True)
    return json.loads(re.search(r"RESULT (.*)", done.stdout).group(1))


def one_round(service, arguments, folder, with_requests):
    before, start = service.metrics(), time.monotonic()
    asked = run_wrk(service.url, folder, arguments.devices, arguments.seconds) if with_requests else None
    if not asked:
        time.sleep(arguments.seconds)
    after, took = service.metrics(), time.monotonic() - start
    sent = after["iotix_messages_sent_total"] - before["iotix_messages_sent_total"]
    return {
        "requests": asked,
        "requestsPerSecond": asked["requests"] / asked["seconds"] if asked else 0,
        "messagesPerSecond": sent / took,
        "latenessP99BelowMs": lateness(before, after, 0.99),
        "latenessP999BelowMs": lateness(before, after, 0.999),
        "serviceCpu": (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) / took,
    }


def launch(service, devices):
    service.post("/api/v1/models", MODEL)
    start = time.monotonic()
    service.post("/api/v1/groups", {"modelId": MODEL["id"], "count": devices, "groupId": "fleet"})
    created = time.monotonic() - start
    service.post("/api/v1/groups/fleet/start", {"strategy": "batch", "batchSize": 500, "delayMs": 250})
    service.wait_for(lambda: service.get("/api/v1/groups/fleet")["connected"] >= devices, 180, "all devices to connect")
    time.sleep(2 + INTERVAL_MS / 1000)  # each has published once
    return created


def measure(arguments, folder):
    brokers = Brokers(folder, -(-arguments.devices // BROKER_CLIENTS))
    service = None
    try:
        service = Service(arguments.iotix, brokers, folder)
        result = {"devices": arguments.devices, "brokers": len(brokers.ports), "createSeconds": launch(service, arguments.devices),
                  "workers": service.get("/api/v1/stats")["workers"], "rounds": []}
        for _ in range(arguments.rounds):
            for with_requests in (False, True):
                result["rounds"].append(one_round(service, arguments, folder, with_requests))
        return result
    finally:
        if service:
            service.close()
        brokers.stop()


def report(result):
    quiet = [r for r in result["rounds"] if not r["requests"]]
    asked = [r for r in result["rounds"] if r["requests"]]

    def median(rounds, key):
        return statistics.median(r[key] for r in rounds)

    failed = sum(r["requests"]["failed"] for r in asked)
    worst = max(r["latenessP99BelowMs"] for r in asked)
    print(f"REST beside {result['devices']:,} publishing devices ({result['brokers']} brokers)")
    print(f"  {'':<34}{'without':>12}{'with requests':>16}")
    for title, key, digits in (("requests a second", "requestsPerSecond", 0), ("messages a second", "messagesPerSecond", 0),
                               ("p99 of lateness below, ms", "latenessP99BelowMs", 2),
                               ("p99.9 of lateness below, ms", "latenessP999BelowMs", 2),
                               ("CPU of the serving process, cores", "serviceCpu", 2)):
        print(f"  {title:<34}{median(quiet, key):>12,.{digits}f}{median(asked, key):>16,.{digits}f}")
    latency = [statistics.median(r["requests"][key] for r in asked) for key in ("p50", "p99", "max")]
    print(f"  requests: p50 {latency[0]:.2f} ms, p99 {latency[1]:.2f} ms, longest {latency[2]:.1f} ms; {failed} failed")
    print(f"  target: p99 of lateness < 10 ms and no failed request: {'met' if worst <= 10 and failed == 0 else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--iotix", default="build/iotix")
    parser.add_argument("--devices", type=int, default=50000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=15, help="of each round")
    parser.add_argument("--out", help="JSON of every round")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("rest.py: wrk is not installed (make deps)")
    with tempfile.TemporaryDirectory(prefix="iotix-rest-") as folder:
        result = measure(arguments, folder)
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
    report(result)


if __name__ == "__main__":
    main()

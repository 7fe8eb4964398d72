"""The live page during a test: what was before it was opened, marks on its charts, time held and looked at closely, command
lines to take away, hostile names; an update of the service; links from elsewhere. The steps are in browser/watching.mjs."""

import socket
import subprocess

import requests
from helpers import wait_until
from page import browse, service

__all__ = ["browse", "service"]  # fixtures


def test_what_was_before_is_shown_and_what_happens_is_marked(browse):
    browse("before")


def test_time_is_held_and_looked_at_closely(browse):
    browse("time")


def test_what_buttons_do_can_be_done_in_a_shell(browse):
    def answer(question):
        line = question.removeprefix("run ")
        assert line.startswith("curl ")
        done = subprocess.run(["sh", "-c", f"{line} -sS"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.replace("\n", " ")

    browse("shell", answer)


def test_devices_without_a_broker_stand_first(browse):
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        browse("unconnected", lambda question: str(taken.getsockname()[1]))


def test_names_are_texts_whatever_is_in_them(browse):
    browse("hostile")


def test_an_update_of_the_service_is_told(browse, service):
    browse("updated", service.obey)


def test_the_documentation_is_dark_and_does_what_is_tried(browse):
    browse("darkDocumentation")


def test_the_history_is_one_column_a_series(service):
    address = f"{service.address}/api/v1/stats/history"
    wait_until(lambda: len(requests.get(address, timeout=20).json()["timeMs"]) > 2, 60, "three seconds of history")
    history = requests.get(address, params={"seconds": 2}, timeout=20).json()
    assert len(history["timeMs"]) == 2 and history["timeMs"][0] < history["timeMs"][1]
    assert all(len(values) == 2 for values in history["series"].values())
    assert history["series"]["running"] == [0, 0] and history["series"]["latencyP99"] == [None, None]
    for wrong in ("0", "901", "x"):
        answer = requests.get(address, params={"seconds": wrong}, timeout=20)
        assert answer.status_code == 400 and answer.json()["errors"][0]["path"] == "seconds", wrong


def test_a_group_has_its_own_history(service):
    for group, count in (("one", 4), ("two", 3)):
        requests.post(f"{service.address}/api/v1/groups", json={"modelId": "page-sensor", "count": count, "groupId": group},
                      timeout=20).raise_for_status()
    assert requests.get(f"{service.address}/api/v1/groups/one/history", timeout=20).json()["timeMs"] == []
    requests.post(f"{service.address}/api/v1/groups/one/start", timeout=20).raise_for_status()

    def columns():
        return requests.get(f"{service.address}/api/v1/groups/one/history", timeout=20).json()["series"]

    wait_until(lambda: 4 in columns()["running"], 60, "the launch in the group's history")
    assert len({len(values) for values in columns().values()}) == 1
    assert columns()["connected"][-1] == 4


def test_links_from_elsewhere_lead_here(service):
    """A link in a chat or a wiki is followed; what a foreign page loads by itself stays refused."""
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert requests.get(service.address, headers=followed, timeout=20).status_code == 200
    assert requests.get(f"{service.address}/docs", headers=followed, timeout=20).status_code == 200
    for refused in ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, {"Sec-Fetch-Dest": "iframe"},
                    {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"}, {"Origin": "http://elsewhere.example"}):
        assert requests.get(service.address, headers={**followed, **refused}, timeout=20).status_code == 403, refused
    assert requests.post(f"{service.address}/api/v1/groups/x/stop", headers=followed, timeout=20).status_code == 403


def test_a_page_beyond_the_end_does_not_lengthen_the_list(service):
    requests.post(f"{service.address}/api/v1/groups", json={"modelId": "page-sensor", "count": 70, "groupId": "end"},
                  timeout=20).raise_for_status()
    for filters, total in (({}, 70), ({"status": "created"}, 70), ({"status": "running"}, 0)):
        page = requests.get(f"{service.address}/api/v1/devices", params={"page": 999, "pageSize": 50, **filters}, timeout=20).json()
        assert (page["items"], page["total"], page["hasMore"]) == ([], total, False), filters

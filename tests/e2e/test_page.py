"""What people do on the live page, in headless Chromium against a real service and broker: a fleet from nothing to
half lost, models, refusals, devices, events. The steps are in browser/scenarios.mjs."""

import json

from page import browse, service

__all__ = ["browse", "service"]  # fixtures


def test_a_fleet_from_nothing_to_half_lost(browse):
    browse("fleet")


def test_faults_of_a_model_are_shown_in_place(browse):
    browse("models")


def test_refusals_are_shown_at_their_fields(browse):
    browse("refusals")


def test_devices_are_filtered_paged_and_commanded(browse, broker, observe):
    seen = observe(broker, "page/+/done")

    def answer(question):
        device = question.split()[1]
        done = seen.wait_for(1, 30, lambda message: message.topic == f"page/{device}/done")
        return json.loads(done[0].payload)["setpoint"]

    browse("devices", answer)


def test_thousands_of_events_stay_readable(browse):
    browse("events")

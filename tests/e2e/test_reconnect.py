"""What a device does after a loss or a refusal: the server counts its attempts and the time between them."""

import pytest

from doubles import FakeBroker
from helpers import wait_until
from scenes import counter, model, scenario

REFUSED = (0, 5)  # CONNACK: not authorised
ACCEPTED = (0, 0)


@pytest.fixture
def server():
    started = []

    def start(**options):
        started.append(FakeBroker(**options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def run_with(iotix, write, server, policy, body, wait='t:sleep "100ms"'):
    write("probe.json", model(counter(60000), connection={"qos": 0, "reconnect": policy}))
    write("x.lua", f"""local iotix = require "iotix"
return iotix.scenario {{ name = "reconnect", run = function(t)
  local fleet = t:group {{ model = "probe.json", count = 2, id = "dev-{{index}}" }}
  fleet:start()
  {wait}
  {body}
end }}
""")
    return iotix("run", "x.lua", "--broker", server.address)


def gaps(server, client):
    times = [a.time for a in server.attempts if a.client == client]
    return [b - a for a, b in zip(times, times[1:])]


# policy, shortest gaps in seconds after the loss of the first connection
POLICIES = {
    "none": ({"backoff": "none"}, []),
    "false": (False, []),
    "fixed": ({"backoff": "fixed", "delayMs": 200, "jitter": "none", "attempts": 3}, [0.2, 0.2, 0.2]),
    "exponential": ({"backoff": "exponential", "delayMs": 100, "maxDelayMs": 300, "base": 2, "jitter": "none",
                     "attempts": 4}, [0.1, 0.2, 0.3, 0.3]),
    "full jitter": ({"backoff": "fixed", "delayMs": 100, "jitter": "full", "attempts": 5}, [0] * 5),
    "decorrelated": ({"backoff": "exponential", "delayMs": 100, "maxDelayMs": 400, "jitter": "decorrelated",
                      "attempts": 4}, [0.1] * 4),
}


@pytest.mark.parametrize("name", POLICIES)
def test_attempts_after_a_loss(name, server, iotix, write):
    policy, expected = POLICIES[name]
    fake = server(answer=lambda attempt: ACCEPTED if attempt == 0 else None, lose=0.05)
    run_with(iotix, write, fake, policy, """fleet:wait { error = 2, timeout = "20s" }
  t:sleep "500ms"
  t:check("in error", fleet:count "error" == 2)""").expect(0)
    for client in ("dev-0", "dev-1"):
        found = gaps(fake, client)
        assert len(found) == len(expected), f"{client}: {found}"
        # The server sees a CONNECT a little after the attempt began: two late sightings may be closer than the delay.
        assert all(gap > least - 0.05 and gap < least + 1.5 for gap, least in zip(found, expected)), f"{client}: {found}"


def test_attempts_begin_anew_after_a_success(server, iotix, write):
    """`attempts` counts within one outage."""
    fake = server(answer=lambda attempt: ACCEPTED if attempt % 3 == 0 else None, lose=0.05)
    policy = {"backoff": "exponential", "delayMs": 50, "base": 4, "jitter": "none", "attempts": 3}
    run_with(iotix, write, fake, policy, """t:wait_until(function()
    return t:metric "connect.attempts".count >= 20 end, "20s", "attempts")
  t:check("none is in error", fleet:count "error" == 0)""").expect(0)
    for client in ("dev-0", "dev-1"):
        found = gaps(fake, client)
        # loss, 50 ms, 200 ms, 800 ms, accepted, loss, 50 ms …
        assert len(found) >= 6 and all(
            gap > (0.05, 0.2, 0.8)[k % 3] - 0.05 for k, gap in enumerate(found)), f"{client}: {found}"
        assert found[3] < found[2], "the delay starts anew"


def test_a_refused_device_is_in_error(server, iotix, write):
    fake = server(answer=lambda attempt: REFUSED)
    ended = run_with(iotix, write, fake, {"backoff": "fixed", "delayMs": 50, "jitter": "none"},
                     """fleet:wait { error = 2, timeout = "10s" }
  t:sleep "500ms" """)
    ended.expect(0, r"(?i)not authori[sz]ed")
    assert len(fake.attempts) == 2


def test_a_refused_device_tries_again_if_its_model_says_so(server, iotix, write):
    fake = server(answer=lambda attempt: REFUSED if attempt < 4 else ACCEPTED)
    policy = {"backoff": "fixed", "delayMs": 50, "jitter": "none", "onRefused": True}
    run_with(iotix, write, fake, policy, """fleet:wait { connected = 2, timeout = "10s" }
  t:check("counted", t:metric "connect.refused".count == 8 and t:metric "connect.accepted".count == 2)""").expect(0)
    assert [len([a for a in fake.attempts if a.client == f"dev-{i}"]) for i in (0, 1)] == [5, 5]


def test_refusals_exhaust_the_attempts_too(server, iotix, write):
    fake = server(answer=lambda attempt: REFUSED)
    policy = {"backoff": "fixed", "delayMs": 50, "jitter": "none", "onRefused": True, "attempts": 3}
    run_with(iotix, write, fake, policy, 'fleet:wait { error = 2, timeout = "10s" } t:sleep "300ms"').expect(0)
    assert len(fake.attempts) == 2 * 3


def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(server, iotix, write):
    fake = server(answer=lambda attempt: "silence" if attempt == 0 else ACCEPTED)
    write("probe.json", model(counter(60000), connection={
        "qos": 0, "connectTimeoutMs": 300, "reconnect": {"delayMs": 50, "jitter": "none"}}))
    write("x.lua", scenario(2, 't:sleep "100ms"'))
    iotix("run", "x.lua", "--broker", fake.address).expect(0)
    assert all(0.25 < gaps(fake, f"dev-{i}")[0] < 3 for i in (0, 1))


def test_losses_of_a_real_broker_are_counted_and_mended(broker, iotix, write, tmp_path):
    write("probe.json", model(counter(50), connection={"reconnect": {"delayMs": 100, "maxDelayMs": 200}}))
    file = write("x.lua", scenario(5, """io.open("up", "w"):close()
  t:wait_until(function() return t:metric "connection.lost".count >= 5 end, "20s", "the loss")
  fleet:wait { connected = 5, timeout = "20s" }
  t:check("outages are measured", t:metric "connection.outage".max > 0)"""))
    run = iotix.start("run", file, "--broker", broker.address)
    wait_until((tmp_path / "up").exists, 20, run.describe)
    broker.kill()
    broker.start()
    run.expect(0, r"back again +5\b")
    assert all(len(broker.connects()[f"dev-{i}"]) == 2 for i in range(5))

"""Observers speak TLS where the devices do: the run's broker says so, or bench's -S; and what is wrong with a certificate is
said before anything runs."""

import json
import subprocess

import pytest

from helpers import free_port
from scenes import counter, model, scenario

@pytest.fixture
def secured(start_broker, tmp_path):
    """A broker with a TLS listener; .tls_port and .ca (its certificate, which nobody else signed)."""
    key, certificate, port = tmp_path / "key.pem", tmp_path / "ca.pem", free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", key, "-out", certificate, "-subj", "/CN=broker", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True, timeout=30)
    one = start_broker(settings=[f"listener {port} 127.0.0.1", f"certfile {certificate}", f"keyfile {key}"])
    one.tls_port, one.ca = port, certificate
    return one


def pub(iotix, broker, *arguments):
    return iotix("bench", "pub", "-h", "127.0.0.1", "-p", broker.tls_port, "-S", "-c", 3, "-t", "b/%i", "-q", 1, "-I", 20,
                 "-L", 60, "--observe", "b/#", *arguments)


def delivery(path):
    total = json.loads(path.read_text(encoding="utf-8"))["delivery"]["total"]
    return total["sent"], total["delivered"], total["unwatched"]


def test_bench(secured, iotix, tmp_path):
    pub(iotix, secured, "--cacertfile", secured.ca, "--out", "json=a.json").expect(0, r"DELIVERY")
    assert delivery(tmp_path / "a.json") == (60, 60, 0)
    pub(iotix, secured, "--insecure", "--observers", 2, "--out", "json=b.json").expect(0)
    assert delivery(tmp_path / "b.json") == (60, 60, 0)
    pub(iotix, secured).expect(104, r"subscription to .b/#. was not accepted within 10 s.*certificate")


def test_run(secured, iotix, write, tmp_path):
    write("probe.json", model(counter(50), connection={"tls": {"ca": str(secured.ca)}}))
    run = write("run.lua", scenario(3, 't:expect_message { topic = "devices/#", within = "20s" }'))
    arguments = ["run", run, "--observe", "devices/#", "--out", "json=o.json", "--broker"]
    trusting = {"SSL_CERT_FILE": str(secured.ca)}
    one = iotix(*arguments, f"mqtts://127.0.0.1:{secured.tls_port}", env=trusting).expect(0)
    sent, delivered, unwatched = delivery(tmp_path / "o.json")
    assert sent == delivered >= 1 and unwatched == 0, one.describe()
    iotix(*arguments, f"127.0.0.1:{secured.tls_port}").expect(104, "was not accepted within 10 s", "mqtts://HOST:PORT")

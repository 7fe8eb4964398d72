"""How the live page is: reachable by keys, on a phone, in the dark, for everybody; through a restart of the service;
with its documentation; and how its files are served."""

import gzip
import pathlib
import re
import subprocess

import requests
from page import browse, service

__all__ = ["browse", "service"]  # fixtures

WEB = pathlib.Path(__file__).parents[2] / "runtime/api/web"


def test_keys_are_enough(browse):
    browse("keyboard")


def test_a_phone_is_wide_enough(browse):
    browse("phone")


def test_light_and_dark(browse):
    browse("colours")


def test_accessible_to_everybody(browse):
    browse("accessible")


def test_a_restart_of_the_service_is_survived(browse, service):
    browse("restart", service.obey)


def test_the_documentation_lists_every_operation(browse):
    browse("documentation")


def test_files_are_served_with_their_policy_and_from_the_cache(service):
    page = requests.get(f"{service.address}/", timeout=20)
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    addresses = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
    assert len(addresses) > 4
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)
    for address in addresses:
        file = requests.get(service.address + address, timeout=20)
        assert file.status_code == 200 and file.content, address
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable", address
        again = requests.get(service.address + address, headers={"If-None-Match": file.headers["ETag"]}, timeout=20)
        assert (again.status_code, again.content) == (304, b""), address
        plain = requests.get(service.address + address, headers={"Accept-Encoding": "identity"}, timeout=20)
        assert "Content-Encoding" not in plain.headers
        assert plain.content == file.content
    uplot = next(a for a in addresses if a.endswith("/vendor/uplot.js"))
    packed = requests.get(service.address + uplot, headers={"Accept-Encoding": "gzip"}, stream=True,
                          timeout=20)
    assert packed.headers["Content-Encoding"] == "gzip"
    raw = packed.raw.read(decode_content=False)
    assert len(gzip.decompress(raw)) > 2 * len(raw)
    for wrong in ("/assets/", "/assets/../web_files.h", "/assets/js/nothing.js", "/assets/%2e%2e/%2e%2e/etc/passwd"):
        assert requests.get(service.address + wrong, timeout=20).status_code in (400, 404), wrong


def test_a_build_without_npm_has_a_plain_page(tmp_path):
    """Its table compiles, has a page that says what is missing, and nothing that needs what is not there."""
    table = tmp_path / "web_files.c"
    subprocess.run([WEB / "embed.sh", table, tmp_path / "files"], check=True, timeout=60)
    text = table.read_text()
    assert "ix_web_has_page = false" in text
    paths = re.findall(r'^    \{"([^"]+)"', text, re.MULTILINE)
    assert paths == sorted(paths) and "/" in paths and "/docs" not in paths
    page = (WEB / "plain.html").read_text()
    assert "npm" in page and "<script" not in page
    build = next(p for p in paths if p.startswith("/assets/")).split("/")[2]
    for address in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page):
        assert address.replace("/assets/", f"/assets/{build}/") in paths
    subprocess.run(["gcc", f"-I{WEB.parent.parent}", "-c", table, "-o", tmp_path / "table.o"], check=True, timeout=60)

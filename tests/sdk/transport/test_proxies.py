"""Which servers `NO_PROXY` exempts, and what becomes of entries that cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from noetl_metrics_sdk.transport.proxies import environment_proxies
from tests.sdk.answering_server import AnsweringServer, NoetlServer

PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment without proxies, to which tests add some."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "proxies"),
    [
        ({}, {}),
        ({"HTTP_PROXY": "p:1"}, {"http://": "http://p:1"}),
        (
            {"HTTP_PROXY": "http://a", "HTTPS_PROXY": "http://b", "ALL_PROXY": "socks5://c"},
            {"http://": "http://a", "https://": "http://b", "all://": "socks5://c"},
        ),
        ({"FTP_PROXY": "http://p"}, {}),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "a.test, *"}, {}),
    ],
)
def test_each_scheme_has_its_proxy(environment, variables, proxies):
    """A proxy without a scheme speaks HTTP, and a star exempts every server."""
    for name, text in variables.items():
        environment.setenv(name, text)
    assert proxies == environment_proxies("http://metrics.test:8082")


@pytest.mark.parametrize(
    ("entry", "server"),
    [
        ("metrics.test", "http://metrics.test:8082"),
        ("METRICS.test", "http://metrics.TEST"),
        ("test", "http://metrics.test"),
        (".test", "http://metrics.test"),
        (".metrics.test", "http://metrics.test"),
        ("*.test", "http://metrics.test"),
        ("metrics.test.", "http://metrics.test"),
        ("metrics.test", "http://metrics.test."),
        ("localhost", "http://localhost:8082"),
        ("metrics.test:8082", "http://metrics.test:8082"),
        ("metrics.test:443", "https://metrics.test"),
        ("https://metrics.test", "https://metrics.test"),
        ("all://metrics.test", "https://metrics.test"),
        ("é.local", "http://a.xn--9ca.local"),
        ("10.1.2.3", "http://10.1.2.3:8082"),
        ("10.0.0.0/8", "http://10.1.2.3:8082"),
        ("10.1.2.3:8082", "http://10.1.2.3:8082"),
        ("::1", "http://[::1]:8082"),
        ("[::1]", "http://[::1]:8082"),
        ("::1/128", "http://[::1]:8082"),
        ("[::1]:80", "http://[::1]"),
        ("fe80::/10", "http://[fe80::1%25eth0]:8082"),
        ("[fe80::]/10", "http://[fe80::1]:8082"),
        ("a.test\tmetrics.test", "http://metrics.test"),
    ],
)
def test_a_server_is_exempt(environment, caplog, entry, server):
    """A name, an address or a network exempts it, with or without a port."""
    environment.setenv("ALL_PROXY", PROXY)
    environment.setenv("NO_PROXY", f"other.test,{entry}")
    assert {} == environment_proxies(server)
    assert [] == caplog.records


@pytest.mark.parametrize(
    ("entry", "server"),
    [
        ("trics.test", "http://metrics.test"),
        ("metrics.test:80", "http://metrics.test:8082"),
        ("https://metrics.test", "http://metrics.test"),
        ("0.0.1", "http://127.0.0.1"),
        ("10.0.0.0/8", "http://11.1.2.3"),
        ("::1/128", "http://127.0.0.1"),
        ("[fe80::1]:80", "http://[fe80::1]:8082"),
        ("", "http://metrics.test"),
        (" , ,", "http://metrics.test"),
    ],
)
def test_another_server_is_not_exempt(environment, caplog, entry, server):
    """Names end at a dot, and an address is never part of a name."""
    environment.setenv("ALL_PROXY", PROXY)
    environment.setenv("NO_PROXY", entry)
    assert {"all://": PROXY} == environment_proxies(server)
    assert [] == caplog.records


@pytest.mark.parametrize(
    "entry",
    ["localhost:abc", "localhost:0", "a:b:c", "a..b", "l" * 64, "10.0.0.0/99", "[::1", "a*b", "."],
)
def test_an_entry_that_cannot_be_read_has_no_effect(environment, caplog, entry):
    """The log names it, and the other entries count."""
    environment.setenv("ALL_PROXY", PROXY)
    environment.setenv("NO_PROXY", entry)
    assert {"all://": PROXY} == environment_proxies("http://localhost:8082")
    environment.setenv("NO_PROXY", f"{entry},localhost")
    assert {} == environment_proxies("http://localhost:8082")
    (first, second) = [record.getMessage() for record in caplog.records]
    assert first.startswith(f"NO_PROXY has {entry!r}, which has no effect: ")
    assert first == second


WORKER = """
import sys
from noetl_metrics_sdk import MetricsClient
with MetricsClient(sys.argv[1], "pool", system_metrics=(), self_metrics=False) as client:
    client.record("value", 1)
    client.flush(20)
    print(client.stats().samples.sent)
"""
ENTRIES = "::1/128,[::1],fe80::/10,[fe80::1]:80,localhost:abc,a:b:c,é.local,127.0.0.0/8"


def test_a_worker_delivers_whatever_no_proxy_has():
    """A real worker starts, connects directly, and warns of the two entries that mean nothing."""
    noetl = NoetlServer("/api/metrics")
    with AnsweringServer(noetl) as server:
        worker = subprocess.run(
            [sys.executable, "-c", WORKER, server.url],
            env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ENTRIES},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ("1\n", [1.0]) == (worker.stdout, noetl.values())
    warned = [line.partition(",")[0] for line in worker.stderr.splitlines()]
    assert ["NO_PROXY has 'localhost:abc'", "NO_PROXY has 'a:b:c'"] == warned

"""Connections through proxies: which requests use one, and that the deadline holds there too."""

from __future__ import annotations

import base64
import multiprocessing
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

import httpx
import pytest

from noetl_metrics_sdk.errors import ConfigurationError, RecoverableError
from noetl_metrics_sdk.testing import ManualClock
from noetl_metrics_sdk.transport.http import HttpTransport
from noetl_metrics_sdk.transport.protocol import Registration
from tests.sdk.raw_server import (
    ANSWER,
    RawServer,
    answer_each,
    dripping,
    join,
    read_request,
    tunnelling,
)

SOON = 0.3
TOO_LATE = "the request did not end in time: 5 s"
REGISTRATION = Registration("pool")
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment without proxies, to which tests add some."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def connect():
    with ExitStack() as stack:

        def make(url, context=None, **options):
            transport = HttpTransport(url, ssl_context=context, **options)
            stack.callback(transport.close)
            return transport

        yield make


def forwarding(heads):
    """Return a proxy that answers in the server's place, and keeps the requests' heads."""

    def handle(connection) -> None:
        while head := read_request(connection):
            heads.append(head)
            connection.sendall(ANSWER)

    return handle


@pytest.fixture
def loads(environment):
    """How often certificates were loaded: a list with an element for each time."""
    found: list[bool] = []
    load = httpx.create_ssl_context

    def count():
        found.append(True)
        return load()

    environment.setattr(httpx, "create_ssl_context", count)
    return found


def test_a_server_without_tls_costs_no_certificates(serve, connect, loads):
    """They are loaded for a server with TLS only, when its transport is made."""
    connect(serve(answer_each).url).register(REGISTRATION, 5)
    assert [] == loads
    connect("https://metrics.invalid")
    assert [True] == loads


def test_a_proxy_that_speaks_tls_is_checked_for_a_server_without(
    environment, certificate, serve, connect, loads
):
    """Its certificate, which no authority has signed, is refused before it gets a request."""
    heads: list[bytes] = []
    environment.setenv("HTTP_PROXY", serve(forwarding(heads), certificate.server).url)
    transport = connect("http://metrics.invalid:8082")
    assert [True] == loads
    with pytest.raises(RecoverableError, match="CERTIFICATE_VERIFY_FAILED"):
        transport.register(REGISTRATION, 5)
    assert [] == heads


@pytest.mark.parametrize("settings", [{}, {"SSL_CERT_DIR": "/etc/ssl/certs"}])
def test_certificates_that_are_loaded_late_import_no_module(settings):
    """The delivery thread loads them then: a child that is forked meanwhile could never import a
    module that the thread is importing."""
    program = (
        "import sys, httpx\n"
        "from noetl_metrics_sdk.transport.http import HttpTransport\n"
        "HttpTransport('http://127.0.0.1:1')\n"
        "before = set(sys.modules)\n"
        "httpx.create_ssl_context()\n"
        "print(sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    own = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT_")}
    answer = subprocess.run(
        command, env=own | settings, capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == answer.stdout.strip()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy_of_the_environment(environment, serve, connect, name):
    """The proxy gets the full URL with the server's name, which this host cannot resolve."""
    heads: list[bytes] = []
    proxy = serve(forwarding(heads))
    environment.setenv(name, proxy.url)
    transport = connect("http://metrics.invalid:8082")
    for _ in range(2):
        assert "7" == transport.register(REGISTRATION, 5)
    line = b"POST http://metrics.invalid:8082/api/worker/pool/register HTTP/1.1"
    assert [line, line] == [head.split(b"\r\n")[0] for head in heads]
    assert 1 == proxy.connections


def test_a_proxy_without_a_scheme_speaks_http_and_gets_its_password(environment, serve, connect):
    """`name:password@host:port` is enough."""
    heads: list[bytes] = []
    proxy = serve(forwarding(heads))
    environment.setenv("HTTP_PROXY", f"me:hid%20den@127.0.0.1:{proxy.port}")
    connect("http://metrics.invalid").register(REGISTRATION, 5)
    credentials = base64.b64encode(b"me:hid den")
    assert b"Proxy-Authorization: Basic " + credentials in heads[0].split(b"\r\n")


@pytest.mark.parametrize(
    "exempt",
    [
        "127.0.0.1", "other.test, 127.0.0.1", "*", "http://127.0.0.1", "127.0.0.0/8",
        "[::1]:80 127.0.0.1",
    ],
)  # fmt: skip
def test_no_proxy_is_heeded(environment, serve, connect, exempt):
    """The client connects directly to a server that NO_PROXY names."""
    proxy, server = serve(answer_each), serve(answer_each)
    environment.setenv("HTTP_PROXY", proxy.url)
    environment.setenv("NO_PROXY", exempt)
    connect(server.url).register(REGISTRATION, 5)
    assert (0, 1) == (proxy.connections, server.connections)


def test_the_proxy_of_another_scheme_is_not_used(environment, serve, connect):
    """HTTPS_PROXY does not apply to a server with an http URL."""
    proxy, server = serve(answer_each), serve(answer_each)
    environment.setenv("HTTPS_PROXY", proxy.url)
    connect(server.url).register(REGISTRATION, 5)
    assert (0, 1) == (proxy.connections, server.connections)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_keeps_the_proxies_and_no_connection(environment, serve, connect):
    """A child keeps the chosen proxies, but only the process that opened a connection uses it."""
    proxy, server = serve(answer_each), serve(answer_each)
    environment.setenv("HTTP_PROXY", proxy.url)
    transport = connect(server.url)
    environment.delenv("HTTP_PROXY")
    assert "7" == transport.register(REGISTRATION, 5)
    child = multiprocessing.get_context("fork").Process(
        target=transport.register, args=(REGISTRATION, 5)
    )
    child.start()
    child.join(timeout=30)
    assert 0 == child.exitcode
    assert "7" == transport.register(REGISTRATION, 5)
    assert (2, 0) == (proxy.connections, server.connections)


@pytest.mark.parametrize("proxy_speaks", ["http", "TLS"])
def test_a_server_that_speaks_tls_is_reached_through_a_tunnel(
    environment, certificate, serve, connect, proxy_speaks
):
    """The proxy, with TLS of its own or without, sees only the address of the tunnel's end."""
    heads: list[bytes] = []
    server = serve(answer_each, certificate.server)
    proxy = serve(tunnelling(heads), certificate.server if proxy_speaks == "TLS" else None)
    environment.setenv("HTTPS_PROXY", proxy.url)
    transport = connect(server.url, certificate.client)
    large = Registration("x" * 1_000_000)
    assert ["7", "7"] == [transport.register(each, 30) for each in (REGISTRATION, large)]
    line = f"CONNECT 127.0.0.1:{server.port} HTTP/1.1".encode()
    assert [line] == [head.split(b"\r\n")[0] for head in heads]


def test_a_proxy_that_refuses_a_tunnel_is_named_as_the_reason(
    environment, certificate, serve, connect
):
    """The error says that the proxy refused, and why."""

    def refuse(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")

    environment.setenv("HTTPS_PROXY", serve(refuse).url)
    with pytest.raises(RecoverableError, match="ProxyError: 407 Who are you"):
        connect("https://metrics.invalid", certificate.client).register(REGISTRATION, 5)


@pytest.mark.parametrize("proxy_speaks", ["http", "TLS"])
def test_an_answer_that_drips_through_a_tunnel_ends_at_the_deadline(
    environment, certificate, serve, connect, proxy_speaks
):
    """Each layer of TLS has bounded reads."""
    clock = ManualClock()
    server = serve(dripping(clock, b"HTTP/1.1 200 OK\r\nX-Long: "), certificate.server)
    proxy = serve(tunnelling([]), certificate.server if proxy_speaks == "TLS" else None)
    environment.setenv("HTTPS_PROXY", proxy.url)
    transport = connect(server.url, certificate.client, monotonic=clock.monotonic)
    with pytest.raises(RecoverableError, match=f"ReadTimeout: {TOO_LATE}"):
        transport.register(REGISTRATION, timeout=5)


def test_a_proxy_whose_answer_drips_ends_at_the_deadline(environment, certificate, serve, connect):
    """The request to open a tunnel shares the deadline of the whole request."""
    clock = ManualClock()
    proxy = serve(dripping(clock, b"HTTP/1.1 200 OK\r\nX-Long: "))
    environment.setenv("HTTPS_PROXY", proxy.url)
    transport = connect("https://metrics.invalid", certificate.client, monotonic=clock.monotonic)
    with pytest.raises(RecoverableError, match=f"ReadTimeout: {TOO_LATE}"):
        transport.register(REGISTRATION, timeout=5)


def test_a_handshake_that_drips_inside_tls_ends_at_the_deadline(
    environment, certificate, serve, connect
):
    """A TLS record inside TLS that comes byte by byte is waited for once, not per byte."""
    clock = ManualClock()

    def drip(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        connection.recv(65_536)
        connection.sendall(b"\x16\x03\x03\x40\x00")  # the head of a record of 16 KiB
        for _ in range(1000):
            connection.sendall(b"\x02")
            clock.advance(1)
        connection.recv(1)

    environment.setenv("HTTPS_PROXY", serve(drip, certificate.server).url)
    transport = connect("https://metrics.invalid", certificate.client, monotonic=clock.monotonic)
    with pytest.raises(RecoverableError, match=f"ConnectTimeout: {TOO_LATE}"):
        transport.register(REGISTRATION, timeout=5)


@pytest.mark.parametrize("after", [b"", b"\x15\x03\x03\x00\x02\x02\x28"], ids=["end", "alert"])
def test_a_handshake_that_fails_inside_tls_is_a_connection_error(
    environment, certificate, serve, connect, after
):
    """If a server behind the proxy ends the connection, or refuses, the client may try again."""

    def refuse(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        connection.recv(65_536)
        connection.sendall(after)
        with suppress(ValueError):  # the test is over, and the server has shut the connection down
            connection.unwrap()

    environment.setenv("HTTPS_PROXY", serve(refuse, certificate.server).url)
    with pytest.raises(RecoverableError, match="ConnectError: "):
        connect("https://metrics.invalid", certificate.client).register(REGISTRATION, 30)


def socks(connection) -> None:
    """Act as a SOCKS5 proxy without a password (RFC 1928)."""
    assert b"\x05\x01\x00" == connection.recv(3)
    connection.sendall(b"\x05\x00")
    assert b"\x05\x01\x00\x01" == connection.recv(4)
    host = socket.inet_ntoa(connection.recv(4))
    port = int.from_bytes(connection.recv(2))
    connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
    with socket.create_connection((host, port)) as target:
        join(connection, target)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_used(environment, serve, connect, scheme):
    """With the package that httpx[socks] installs, SOCKS proxies work."""
    server, proxy = serve(answer_each), serve(socks)
    environment.setenv("ALL_PROXY", proxy.url.replace("http", scheme))
    assert "7" == connect(server.url).register(REGISTRATION, 5)
    assert 1 == proxy.connections


def test_a_socks_proxy_that_says_nothing_ends_at_the_deadline(environment, serve, connect):
    """httpcore gives these reads no time-out at all; the deadline bounds them."""
    proxy: RawServer = serve(lambda _: proxy.ended.wait())
    environment.setenv("ALL_PROXY", proxy.url.replace("http", "socks5"))
    with pytest.raises(RecoverableError, match="ReadTimeout: the request did not end in time"):
        connect("http://127.0.0.1:1").register(REGISTRATION, SOON)


def test_a_socks_proxy_without_its_package_says_what_to_install(environment, connect):
    """The error comes when the client is made, and hides the proxy's password."""
    environment.setitem(sys.modules, "socksio", None)
    environment.setenv("ALL_PROXY", "socks5://me:hidden@127.0.0.1:1080")
    with pytest.raises(ConfigurationError, match=r"pip install 'httpx\[socks\]'") as raised:
        connect("http://metrics.invalid")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "socks4://me:hidden@127.0.0.1:1080",
        "http://me:hidden@h:port",
        "http://me:hidden@a..b:3128",
        f"http://me:hidden@{'l' * 64}.test",
    ],
)
def test_a_proxy_that_is_not_valid_is_a_mistake_in_the_configuration(environment, connect, url):
    """The error comes when the client is made, and hides the proxy's password."""
    environment.setenv("HTTP_PROXY", url)
    with pytest.raises(ConfigurationError, match="proxy that is not valid") as raised:
        connect("http://metrics.invalid")
    assert "hidden" not in str(raised.value)

"""One deadline bounds a whole request, whatever the server does with its connection.

Where time has to pass, the servers here move the clock that the transport reads. A wait without end
is cut short after a fraction of a real second.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from contextlib import ExitStack

import httpcore
import pytest

from noetl_metrics_sdk.errors import RecoverableError
from noetl_metrics_sdk.testing import ManualClock
from noetl_metrics_sdk.transport.deadline import Deadline
from noetl_metrics_sdk.transport.http import HttpTransport
from noetl_metrics_sdk.transport.protocol import Registration
from tests.sdk.raw_server import ANSWER, RawServer, answer_each, dripping, read_request

SOON = 1.0
TOO_LATE = "the request did not end in time: 5 s"
OF_A_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REGISTRATION = Registration("pool")
# More than the system buffers for a server that does not read.
LARGE = Registration("x" * 16_000_000)


@pytest.fixture(params=["plain", "TLS"])
def contexts(request):
    """Return the TLS contexts of a server and of its client, or None."""
    if request.param == "plain":
        return None, None
    certificate = request.getfixturevalue("certificate")
    return certificate.server, certificate.client


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def connect():
    """Return a transport to a URL, without the environment's proxies."""
    with ExitStack() as stack:

        def make(url, context=None, **options):
            transport = HttpTransport(url, ssl_context=context, proxies={}, **options)
            stack.callback(transport.close)
            return transport

        yield make


def test_nothing_is_left_before_a_request_has_started(clock):
    """Even before a request has started, an operation has a bound."""
    deadline = Deadline(clock.monotonic)
    with pytest.raises(TimeoutError):
        deadline.left()


def test_an_operation_has_what_is_left_or_its_own_time_out(clock):
    """The shorter of the two times counts; after the deadline no time is left."""
    deadline = Deadline(clock.monotonic)
    deadline.start(5)
    assert (5, 5, 2) == (deadline.left(), deadline.left(7), deadline.left(2))
    clock.advance(4)
    assert (1, 1) == (deadline.left(), deadline.left(2))
    clock.advance(1)
    with pytest.raises(TimeoutError, match=TOO_LATE):
        deadline.left(2)


@pytest.mark.parametrize(
    ("error", "text"),
    [(TimeoutError("timed out"), TOO_LATE), (TimeoutError(110, "no ACK"), r"\[Errno 110\] no ACK")],
)
def test_a_time_out_of_the_systems_own_keeps_its_text(clock, error, text):
    """TCP gives up a connection by itself, and not at the client's deadline."""
    deadline = Deadline(clock.monotonic)
    deadline.start(5)
    with (
        pytest.raises(httpcore.ReadTimeout, match=text),
        deadline.raising(httpcore.ReadTimeout, httpcore.ReadError),
    ):
        raise error


def until_it_goes(connection) -> None:
    """Send nothing until the client closes the connection."""
    while connection.recv(65_536):
        pass


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 ", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OF_A_LENGTH, b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
    ],
    ids=["status line", "headers", "interim answers", "body", "chunks"],
)
def test_an_answer_that_drips_ends_at_the_deadline(clock, contexts, serve, connect, head, part):
    """However little of an answer comes at a time, the whole answer has one time-out."""
    server = serve(dripping(clock, head, part), contexts[0])
    transport = connect(server.url, contexts[1], monotonic=clock.monotonic)
    with pytest.raises(RecoverableError, match=TOO_LATE):
        transport.register(REGISTRATION, timeout=5)


def test_a_body_that_is_taken_slowly_ends_at_the_deadline(clock, contexts, serve, connect):
    """However little of a request the server reads at a time, all of it has one time-out."""
    received = []

    def take_slowly(connection):
        while part := connection.recv(65_536):
            received.append(len(part))
            clock.advance(1)

    server = serve(take_slowly, contexts[0])
    transport = connect(server.url, contexts[1], monotonic=clock.monotonic)
    with pytest.raises(RecoverableError, match=f"WriteTimeout: {TOO_LATE}"):
        transport.register(LARGE, timeout=5)
    transport.close()
    assert sum(received) < len(LARGE.name)


def test_a_body_that_is_not_taken_ends_at_the_deadline(contexts, serve, connect):
    """A server that stops reading holds the client no longer than the time-out."""
    server: RawServer = serve(lambda _: server.ended.wait(), contexts[0])
    with pytest.raises(RecoverableError, match="WriteTimeout: the request did not end in time"):
        connect(server.url, contexts[1]).register(LARGE, SOON)


def test_a_large_body_arrives_whole(contexts, serve, connect):
    """A body that the socket takes in parts is sent completely and in order."""
    received = bytearray()

    def keep(connection):
        while not received.endswith(b"}}"):
            received.extend(connection.recv(65_536))
        connection.sendall(ANSWER)

    registration = Registration("".join(f"{n:07}" for n in range(1_000_000)), meta={"a": "b"})
    # The last field of the body is an object.
    server = serve(keep, contexts[0])
    assert "7" == connect(server.url, contexts[1]).register(registration, 60)
    assert registration.name.encode() in received


def test_a_server_that_never_answers_is_left_at_the_deadline(contexts, serve, connect):
    """The error names the server, the phase and the time-out."""
    server = serve(until_it_goes, contexts[0])
    with pytest.raises(RecoverableError) as raised:
        connect(server.url, contexts[1]).register(REGISTRATION, SOON)
    expected = f"POST {server.url}/api/worker/pool/register: ReadTimeout: the request did not end"
    assert str(raised.value) == f"{expected} in time: 1 s"


def test_a_handshake_that_is_not_answered_ends_at_the_deadline(certificate, serve, connect):
    """A port that takes connections and speaks no TLS holds the client no longer."""
    server = serve(until_it_goes)
    url = server.url.replace("http:", "https:")
    with pytest.raises(RecoverableError, match="ConnectTimeout: the request did not end in time"):
        connect(url, certificate.client).register(REGISTRATION, SOON)


def test_a_certificate_that_is_not_trusted_is_refused(certificate, serve, connect):
    """The given context checks TLS, or httpx's if none is given."""
    server = serve(answer_each, certificate.server)
    with pytest.raises(RecoverableError, match=r"ConnectError: .*certificate verify failed"):
        connect(server.url).register(REGISTRATION, 5)


@pytest.fixture
def deaf_port():
    """A port of 127.0.0.1 whose queue is full: it answers no connection."""
    if sys.platform != "linux":
        pytest.skip("other systems refuse a connection that finds the queue full")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
            if not select.select([], [waiting], [], 0.1)[1]:
                break
        yield listener.getsockname()[1]


def test_a_connection_that_is_not_answered_ends_at_the_deadline(deaf_port, connect):
    """A host that drops packets holds the client no longer than the time-out."""
    with pytest.raises(RecoverableError, match="ConnectTimeout: the request did not end in time"):
        connect(f"http://127.0.0.1:{deaf_port}").register(REGISTRATION, SOON)


@pytest.fixture
def resolve(monkeypatch):
    """Let a name stand for addresses."""
    system = socket.getaddrinfo

    def add(name, addresses):
        def getaddrinfo(host, port, *arguments, **options):
            hosts = addresses if host == name else [host]
            return [a for each in hosts for a in system(each, port, *arguments, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return add


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    deaf_port, resolve, serve, connect
):
    """If one of a name's addresses is dead, the request goes on to the next one."""
    server = serve(answer_each, address=("127.0.0.2", deaf_port))
    resolve("metrics.test", ["127.0.0.1", "127.0.0.2"])
    assert "7" == connect(f"http://metrics.test:{server.port}").register(REGISTRATION, 2)


def test_of_addresses_that_all_refuse_the_last_one_is_told_of(resolve, connect):
    """If every address of a name refuses, the request raises a connection error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    resolve("metrics.test", ["127.0.0.1", "127.0.0.2"])
    with pytest.raises(RecoverableError, match=r"ConnectError: .*[Rr]efused"):
        connect(f"http://metrics.test:{port}").register(REGISTRATION, 5)


def test_a_name_that_nobody_knows_may_be_tried_again(monkeypatch, connect):
    """A resolver's error is a connection error."""

    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The resolvers of some networks answer for every name.
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(RecoverableError, match=r"ConnectError: .*not known"):
        connect("http://metrics.invalid").register(REGISTRATION, 5)


def test_a_connection_is_kept_and_each_request_has_the_whole_time(clock, contexts, serve, connect):
    """A past deadline does not affect the next request on the same connection."""
    server = serve(answer_each, contexts[0])
    transport = connect(server.url, contexts[1], monotonic=clock.monotonic)
    for _ in range(3):
        assert "7" == transport.register(REGISTRATION, 5)
        clock.advance(1000)
    assert 1 == server.connections


def test_a_connection_that_the_server_has_closed_is_replaced(contexts, serve, connect):
    """If a server closes a connection between two requests, no attempt fails."""
    closed = threading.Event()

    def answer_once(connection):
        read_request(connection)
        connection.sendall(ANSWER)
        connection.close()
        closed.set()

    server = serve(answer_once, contexts[0])
    transport = connect(server.url, contexts[1])
    for number in range(1, 3):
        assert "7" == transport.register(REGISTRATION, 5)
        assert closed.wait(30)
        closed.clear()
        assert number == server.connections


def test_after_a_time_out_a_request_begins_on_a_new_connection(clock, serve, connect):
    """The rest of a late answer does not become the answer of the next request."""
    answers = iter([dripping(clock, b"HTTP/1.1 200 OK\r\nX-Long: "), answer_each])

    def answer_next(connection):
        next(answers)(connection)

    server = serve(answer_next)
    transport = connect(server.url, monotonic=clock.monotonic)
    with pytest.raises(RecoverableError, match=f"ReadTimeout: {TOO_LATE}"):
        transport.register(REGISTRATION, timeout=5)
    assert "7" == transport.register(REGISTRATION, timeout=5)
    assert 2 == server.connections


def test_a_server_that_answers_before_it_has_read_everything_is_heard(serve, connect):
    """A refusal of a body that is too large arrives, although the server does not read the rest."""

    def refuse(connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        until_it_goes(connection)

    with pytest.raises(RecoverableError) as raised:
        connect(serve(refuse).url).register(LARGE, 30)
    assert (503, 7.0) == (raised.value.status, raised.value.retry_after)

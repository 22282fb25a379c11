"""Requests to a server, and what becomes of those that fail."""

from __future__ import annotations

import pytest

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.errors import FAILED, UNREACHABLE, CommandError
from tests.sdk.raw_server import RawServer, read_request

pytestmark = pytest.mark.once


def answer(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


def serving(*answers: bytes):
    """Return a server that gives one of these answers for each connection, and then closes it."""
    left = list(answers)

    def handle(connection) -> None:
        read_request(connection)
        if left:
            connection.sendall(left.pop(0))

    return RawServer(handle)


def test_a_question_is_asked_again_if_its_connection_was_closed():
    """A server may close a connection at the moment at which it is used once more."""
    with serving(b"", answer("200 OK", b"[1]")) as server, connected(server.url, {}) as connection:
        assert [1] == connection.get("/api/x")
        assert 2 == server.connections


def test_what_changes_something_is_not_sent_again():
    """Such a request may have been carried out; the code says that it may work later."""
    with serving(b"") as server, connected(server.url, {}) as connection:
        with pytest.raises(CommandError, match="does not answer") as caught:
            connection.send("DELETE", "/api/runtime/1")
        assert (1, UNREACHABLE) == (server.connections, caught.value.exit_code)


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        ("401 Unauthorized", b'{"detail": "no token"}', "a token belongs in NOETL_", FAILED),
        ("404 Not Found", b'{"detail": "there is no route"}', "is too old for GET /api/x", FAILED),
        ("403 Forbidden", b'{"detail": "two\\nlines"}', "answers 403: two lines$", FAILED),
        ("503 Service Unavailable", b"<html>", "answers 503: Service Unavailable$", UNREACHABLE),
        ("200 OK", b"<html>", "answers /api/x without JSON: is it a metrics server", FAILED),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_what_to_do(status, body, message, code):
    """It has what the server says, and the code tells whether the same request may work later."""
    with serving(answer(status, body)) as server, connected(server.url, {}) as connection:
        with pytest.raises(CommandError, match=message) as caught:
            connection.get("/api/x")
        assert code == caught.value.exit_code
        assert "\n" not in str(caught.value)


def test_a_request_has_the_token_and_the_headers_of_a_client():
    """They come from the client's environment variables, and the flag names the server."""
    heads: list[bytes] = []

    def handle(connection) -> None:
        heads.append(read_request(connection))
        connection.sendall(answer("200 OK", b"{}"))

    environment = {
        "NOETL_SERVER_URL": "http://localhost:1",
        "NOETL_METRICS_TOKEN": "secret",
        "NOETL_METRICS_HEADERS": "X-Site=a",
    }
    with RawServer(handle) as server, connected(server.url, environment) as connection:
        connection.get("/api/x", a="b", left_out=None)
    (head,) = [one.decode().lower().split("\r\n") for one in heads]
    assert "get /api/x?a=b http/1.1" == head[0]
    assert {"authorization: bearer secret", "x-site: a"} <= set(head)

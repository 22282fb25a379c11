"""Uvicorn's connection, with bounds on how many there are and how long each waits for its client.

Uvicorn itself bounds the time between two requests, and gives a client any time within one.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import h11
import uvloop
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from server_stub.serving.connection_counts import WorkerConnections


KEEP_ALIVE_SECONDS = 75
"""How long a connection stays open between two requests: longer than a worker's, which sends every
ten seconds and gives its connections up after a minute."""


def _whole_answer(status: HTTPStatus, detail: str, *headers: str) -> bytes:
    body = json.dumps({"detail": detail})
    lines = [
        f"HTTP/1.1 {int(status)} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", body]).encode()


_TOO_MANY = _whole_answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "the server has as many connections as it takes: try again later",
    "Retry-After: 1",
)
_NOT_HTTP = _whole_answer(
    HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request: send one as of RFC 9112"
)


class ConnectionLimits(NamedTuple):
    """How long a client may take."""

    header_seconds_max: float
    body_seconds_max: float


class Connection(H11Protocol):
    """A connection that ends if its client is too slow.

    It ends in three cases. The headers are not complete in time, counted from the connection's
    opening or from their first byte. The request is answered, and its body still comes after that
    time. The client does not read an answer. The application bounds the body of a request that is
    not answered yet (`web.body_bounds.BodyTimeout`).

    A client that shuts its writing side down after a request gets its answer, and then the
    connection ends.
    """

    limits: ClassVar[ConnectionLimits]
    counted: ClassVar[WorkerConnections]
    _is_counted = False
    _has_ended_writing = False
    _waiting: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it when there are too many."""
        super().connection_made(transport)
        self._is_counted = self.counted.try_add()
        if not self._is_counted:
            self.logger.warning(
                "refused a connection: there are %d, the most there may be",
                self.counted.counts.connections_max,
            )
            transport.write(_TOO_MANY)
            transport.close()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        if self._is_counted:
            self._is_counted = False
            self.counted.remove()
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self.transport.is_closing():  # TLS still hands on the bytes that were on their way
            return
        unread = self._unread_body()
        super().data_received(data)
        if unread is not None and unread is not self._unread_body():
            self._stop_waiting()  # the wait was for the rest of a body; headers get the full time
        if self._is_client_behind():
            self._wait()
        else:
            self._stop_waiting()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Stay open until a request is answered whose client has shut its writing side down.

        TLS does not know such a side: there, this is the end of the connection.
        """
        self._has_ended_writing = True
        has_tls = self.transport.get_extra_info("sslcontext") is not None
        return not has_tls and self._is_answering()

    def on_response_complete(self) -> None:
        """End a request."""
        super().on_response_complete()
        if self._has_ended_writing and not self._is_answering():
            self.transport.close()
        # Between two requests uvicorn's own time-out runs.
        is_between_requests = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if self.transport.is_closing() or (self._is_client_behind() and not is_between_requests):
            self._wait()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection between two requests, even if the last answer is never read."""
        super().timeout_keep_alive_handler()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, unless an answer has begun already."""
        del msg
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(_NOT_HTTP)
        self.transport.close()

    def pause_writing(self) -> None:
        """Wait for a client that does not read, but not for ever."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self._after(self.limits.body_seconds_max, "did not read an answer")

    def resume_writing(self) -> None:
        """Go on writing."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    def _is_answering(self) -> bool:
        """Return whether there is a whole request without a whole answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None until the first request
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _unread_body(self) -> RequestResponseCycle | None:
        """Return the request whose body is still to come, or None."""
        return self.cycle if self.conn.their_state is h11.SEND_BODY else None

    def _is_client_behind(self) -> bool:
        if self.conn.their_state is h11.SEND_BODY:
            return self.cycle.response_complete
        return self.conn.their_state is h11.IDLE

    def _wait(self) -> None:
        # The time does not begin anew with each byte: a slow client would like just that.
        if self._waiting is None:
            self._waiting = self._after(
                self.limits.header_seconds_max, "neither completed its request nor closed"
            )

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _after(self, seconds: float, why: str) -> asyncio.TimerHandle:
        def cut_off() -> None:
            self.logger.info("cut off a connection whose client %s within %g s", why, seconds)
            self.transport.abort()

        return self.loop.call_later(seconds, cut_off)


def connection_class(limits: ConnectionLimits, counted: WorkerConnections) -> type[Connection]:
    """Return the class of which uvicorn makes connections with these limits.

    Args:
        limits: how long a client may take.
        counted: counts the connections of this worker process, and bounds those of all of them.
    """
    return type("LimitedConnection", (Connection,), {"limits": limits, "counted": counted})


def loop_factory(limits: ConnectionLimits) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a maker of uvloop's event loops whose servers bound a TLS handshake too.

    Uvicorn leaves that bound at a minute, and gets a connection only after the handshake. Why
    uvloop: docs/decisions/ingest.md.
    """

    class Loop(uvloop.Loop):
        async def create_server(self, *arguments: Any, **options: Any) -> Any:
            if options.get("ssl") is not None:
                options["ssl_handshake_timeout"] = limits.header_seconds_max
            return await super().create_server(*arguments, **options)

    return Loop

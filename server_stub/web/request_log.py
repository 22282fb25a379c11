"""Each request's id, and its line in the log."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from server_stub.serving.log_format import FIELDS
from server_stub.serving.request_id import begin_request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHOD_LENGTH_MAX = 20
"""A client may invent a method as long as all headers."""

_logger = logging.getLogger("server_stub.access")


class RequestLog:
    """Gives every request an id, which its answer has as `X-Request-ID`, and logs its outcome.

    Args:
        app: the application behind it.
        is_logging: whether the log gets a line for each request.
    """

    def __init__(self, app: ASGIApp, *, is_logging: bool) -> None:
        self._app = app
        self._is_logging = is_logging

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        presented = [value for name, value in scope["headers"] if name == b"x-request-id"]
        request_id = begin_request(presented[0].decode("latin-1") if presented else None)
        # If no answer begins, the client gets the server's own error answer.
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        bytes_received = bytes_sent = 0

        async def receive_counted() -> Message:
            nonlocal bytes_received
            message = await receive()
            bytes_received += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            nonlocal status, bytes_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            bytes_sent += len(message.get("body", b""))
            await send(message)

        started_at = time.perf_counter()
        try:
            await self._app(scope, receive_counted, send_counted)
        finally:
            if self._is_logging:
                seconds = time.perf_counter() - started_at
                _log(scope, status, seconds, bytes_received, bytes_sent)


def _log(
    scope: Scope, status: int, duration_seconds: float, bytes_received: int, bytes_sent: int
) -> None:
    caller = scope.get("caller")
    fields = {
        "method": scope["method"][:METHOD_LENGTH_MAX],
        # The template: a path, and a query above all, may hold what a log must not show.
        "route": getattr(scope.get("route"), "path", None) or "unmatched",
        "status": status,
        "duration_seconds": round(duration_seconds, 6),
        "bytes_received": bytes_received,
        "bytes_sent": bytes_sent,
        "token": None if caller is None else caller.name,
    }
    _logger.info(
        "%(method)s %(route)s %(status)d in %(duration_seconds).6f s, %(bytes_received)d bytes in, "
        "%(bytes_sent)d out, token %(token)s",
        fields,
        extra={FIELDS: fields},
    )

"""Around every request: the limit on its body, what it took, and what encodings are taken."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from server_stub.compression import ACCEPTED_ENCODING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from server_stub.statistics import Statistics

INGEST_PATHS = frozenset({"/api/metrics", "/api/metrics/report"})
"""Where compressed bodies are taken."""


class BodyLimit:
    """Refuses a body that is too large while it comes in, rather than once it is in memory.

    Args:
        app: the application behind it.
        bytes_max: the largest body.
    """

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bytes_received = 0

        async def receive_limited() -> Message:
            nonlocal bytes_received
            message = await receive()
            bytes_received += len(message.get("body", b""))
            if max(bytes_received, self._bytes_announced(scope)) > self._bytes_max:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body exceeds {self._bytes_max} bytes: send smaller batches",
                )
            return message

        await self._app(scope, receive_limited, send)

    @staticmethod
    def _bytes_announced(scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0


class Observation:
    """Counts and times every request, and says that compressed bodies are taken (RFC 7694).

    Args:
        app: the application behind it.
        statistics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, statistics: Statistics) -> None:
        self._app = app
        self._statistics = statistics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        says_encoding = method == "POST" and scope["path"] in INGEST_PATHS
        # Unless an answer begins, the server's own error answer is what the client gets.
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if says_encoding:
                    MutableHeaders(scope=message)["Accept-Encoding"] = ACCEPTED_ENCODING
            await send(message)

        started_at = time.perf_counter()
        try:
            await self._app(scope, receive, send_observed)
        finally:
            # The template and not the path, which clients choose: series must stay few.
            endpoint = getattr(scope.get("route"), "path", None) or "unmatched"
            self._statistics.requests.labels(endpoint, method, str(status)).inc()
            self._statistics.request_duration.labels(endpoint, method).observe(
                time.perf_counter() - started_at
            )

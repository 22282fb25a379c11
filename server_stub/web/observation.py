"""Around every request: counts it, times it, and names the encodings that the server takes."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from server_stub.statistics import Statistics

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})
"""The methods of the routes. A client may invent others, which count as one."""

OTHER_METHOD = "other"

INGEST_PATHS = frozenset({"/api/metrics", "/api/metrics/report"})
"""The paths where the server takes compressed bodies."""


class Observation:
    """Counts and times every request, and says that the server takes compressed bodies (RFC 7694).

    Args:
        app: the application behind it.
        accepted_encoding: the encodings of bodies that the server takes, for `Accept-Encoding`.
        statistics: counts and times the requests.
    """

    def __init__(self, app: ASGIApp, accepted_encoding: str, statistics: Statistics) -> None:
        self._app = app
        self._accepted_encoding = accepted_encoding
        self._statistics = statistics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        says_encoding = method == "POST" and scope["path"] in INGEST_PATHS
        # If no answer begins, the client gets the server's own error answer.
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if says_encoding:
                    MutableHeaders(scope=message)["Accept-Encoding"] = self._accepted_encoding
            await send(message)

        started_at = time.perf_counter()
        try:
            await self._app(scope, receive, send_observed)
        finally:
            # Clients choose paths and methods, and series must stay few: the labels are of a closed
            # set, the templates of the routes and their methods.
            endpoint = getattr(scope.get("route"), "path", None) or "unmatched"
            counted = method if method in METHODS else OTHER_METHOD
            self._statistics.requests.labels(endpoint, counted, str(status)).inc()
            self._statistics.request_duration.labels(endpoint, counted).observe(
                time.perf_counter() - started_at
            )

"""Redirects that hold behind a proxy which has put a prefix before the paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RelativeRedirects:
    """Redirects a path with a slash at its end relative to itself.

    Starlette names the whole URL, as the server sees it. The server does not know what a proxy has
    taken off the beginning of the path, and the client keeps that with a relative redirect.

    Args:
        app: the application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].endswith("/"):
            await self._app(scope, receive, send)
            return

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                location = headers.get("location")
                # A route that leads elsewhere itself says so relative to its own path.
                if location is not None and "://" in location.partition("?")[0]:
                    # From `/api/metrics/?a=b`, `../metrics?a=b` leads to `/api/metrics?a=b`.
                    headers["location"] = "../" + location.rpartition("/")[2]
            await send(message)

        await self._app(scope, receive, send_relative)

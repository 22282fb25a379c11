"""Refuses a request that says in two ways where its body ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.errors import BodyMalformedError
from server_stub.web.responses import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Framing:
    """Refuses a Content-Length beside a Transfer-Encoding, and closes the connection.

    A proxy in front may take the end of the body for another place than this server does. What
    follows there would be a request of someone else's (RFC 9112, section 6.3).

    Args:
        app: the application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        names = {name for name, _ in scope.get("headers", ())}
        if scope["type"] == "http" and names >= {b"content-length", b"transfer-encoding"}:
            answer = error_response(
                BodyMalformedError(
                    "the request has a Content-Length and a Transfer-Encoding: send one of them"
                )
            )
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

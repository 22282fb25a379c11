"""Around every request: how large its body may be, and how long it may take.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Refuses a body that is too large while it arrives, before all of it is in memory.

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


class BodyTimeout:
    """Gives up on a body that is not complete in time, even if it keeps arriving slowly.

    Args:
        app: the application behind it.
        seconds_max: how long the whole body may take after the application first asks for it.
    """

    def __init__(self, app: ASGIApp, seconds_max: float) -> None:
        self._app = app
        self._seconds_max = seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline: float | None = None
        is_complete = False

        async def receive_in_time() -> Message:
            nonlocal deadline, is_complete
            if is_complete:  # the next message says that the client has gone
                return await receive()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self._seconds_max
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the body was not complete within {self._seconds_max:g} s: "
                    "send smaller batches, or over a faster connection",
                    # The server would take the rest of the body for the next request.
                    headers={"Connection": "close"},
                ) from None
            is_complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)

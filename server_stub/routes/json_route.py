"""Routes whose body is one small JSON object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.routing import APIRoute

from server_stub.errors import BodyTooLargeError
from server_stub.ingest.body_values import has_more_values
from server_stub.ingest.compression import decode_body

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi.responses import Response
    from starlette.types import Message

OBJECT_BYTES_MAX = 512 * 1024
"""A registration has four documents of 64 Ki characters at most."""

VALUES_MAX = 50_000
"""How many values such an object may have: to read and check them takes some 20 ms at once."""


class JsonRoute(APIRoute):
    """A route that takes its body as `POST /api/metrics` does.

    The body is JSON whatever its Content-Type says, as `curl -d` sends another one, and may be
    compressed. It is bounded before anything is made of it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request of this route."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            return await handle(await _as_plain_json(request))

        return handle_json


async def _as_plain_json(request: Request) -> Request:
    parts: list[bytes] = []
    bytes_received = 0
    async for part in request.stream():
        bytes_received += len(part)
        if bytes_received > OBJECT_BYTES_MAX:
            raise BodyTooLargeError(
                f"the body exceeds {OBJECT_BYTES_MAX} bytes: send shorter labels, capabilities, "
                "meta and runtime"
            )
        parts.append(part)
    encoding = request.headers.get("content-encoding", "")
    body = decode_body(b"".join(parts), encoding, OBJECT_BYTES_MAX)
    # In a thread, because that goes through the brackets and commas one by one. A shorter body has
    # fewer bytes than it may have values.
    if len(body) > VALUES_MAX and await asyncio.to_thread(has_more_values, body, VALUES_MAX):
        raise BodyTooLargeError(
            f"the body has more than {VALUES_MAX} values: send smaller labels, capabilities, meta "
            "and runtime"
        )
    headers = [
        (name, value)
        for name, value in request.scope["headers"]
        if name not in {b"content-type", b"content-encoding", b"content-length"}
    ]
    scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)

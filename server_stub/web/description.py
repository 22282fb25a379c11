"""The application, whose OpenAPI description says which token each route needs.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from server_stub.auth.rule import required_scope

if TYPE_CHECKING:
    from fastapi import Request, Response

_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the server's token file",
}


class DescribedApplication(FastAPI):
    """A FastAPI application that describes who may call what, by the rule that decides it.

    Args:
        needs_tokens: whether it asks for tokens; if not, it never gives the answers 401 and 403,
            and does not describe them.
        options: FastAPI's own arguments.
    """

    def __init__(self, *, needs_tokens: bool, **options: Any) -> None:
        # The paths in the description are relative to its own: a proxy may have put a prefix before
        # all of them, of which the server does not know.
        super().__init__(
            docs_url=None, redoc_url=None, openapi_url=None, servers=[{"url": "."}], **options
        )
        self._needs_tokens = needs_tokens
        self._describing = asyncio.Lock()
        self.add_route("/openapi.json", self._answer_description, include_in_schema=False)

    def prepare_routes(self) -> None:
        """Make now what FastAPI makes when it looks for a route for the first time.

        It would do so on the event loop, and keep it from all other requests for 40 ms or more.
        """
        for route in self.routes:
            route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})

    def openapi(self) -> dict[str, Any]:
        """Return the description."""
        described = super().openapi()
        components = described.setdefault("components", {})
        # FastAPI keeps the description, so this is done once.
        if not self._needs_tokens or "securitySchemes" in components:
            return described
        components["securitySchemes"] = {"bearer": _SCHEME}
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                scope = required_scope(method.upper(), path)
                if scope is not None:
                    _close(operation, scope)
        return described

    async def _answer_description(self, _: Request) -> Response:
        # The first description takes a tenth of a second, so a thread makes it, and only one does.
        async with self._describing:
            return await asyncio.to_thread(lambda: JSONResponse(self.openapi()))


def _close(operation: dict[str, Any], scope: str) -> None:
    operation["security"] = [{"bearer": [scope]}]
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"] |= {
        str(int(HTTPStatus.UNAUTHORIZED)): {
            "description": "There is no token, or it is not known",
            "content": content,
            "headers": {"WWW-Authenticate": {"schema": {"type": "string", "example": "Bearer"}}},
        },
        str(int(HTTPStatus.FORBIDDEN)): {
            "description": f"The token has not the scope {scope}, or is bound to another component",
            "content": content,
        },
    }

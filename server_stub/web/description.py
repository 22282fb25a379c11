"""The application, whose OpenAPI description says which token each route needs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from server_stub.auth.rule import required_scope

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
        super().__init__(docs_url=None, redoc_url=None, servers=[{"url": "."}], **options)
        self._needs_tokens = needs_tokens

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

"""Who may do what: the scope that a request needs, and the scopes that a caller has.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from server_stub.auth.tokens import BoundComponent, Scope
from server_stub.errors import ForbiddenError

if TYPE_CHECKING:
    from server_stub.auth.tokens import Token

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json", "/", "/ui"})
"""The paths that need no token: probes have none, and the API's description is no secret."""

OPEN_FOLDER = "/ui/"
"""Below it are the files of the page, which has no data of its own. They need no token either."""

WRITE_PATHS = frozenset(
    {
        "/api/metrics",
        "/api/metrics/report",
        "/api/worker/pool/register",
        "/api/worker/pool/heartbeat",
        "/api/worker/pool/goodbye",
        "/api/worker/pool/deregister",
        "/api/runtime/register",
        "/api/runtime/deregister",
    }
)
"""The paths that a worker sends to, by any method except GET and HEAD."""


def required_scope(method: str, path: str) -> Scope | None:
    """Return the scope that a request needs, or None if it needs no token.

    A request that only reads needs `read`, whatever its route. A path that this module does not
    name needs `admin`, so a route that a developer adds is closed until this module names it.
    """
    if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
        return None
    if method in {"GET", "HEAD"}:
        return Scope.READ
    return Scope.WRITE if path in WRITE_PATHS else Scope.ADMIN


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    `token` is None if the server asks for none: it has no tokens, or the route is open.
    """

    token: Token | None = None

    @property
    def name(self) -> str | None:
        """The name of the token."""
        return None if self.token is None else self.token.name

    @property
    def bound_to(self) -> BoundComponent | None:
        """The only component that the caller may write for, or None if it may write for all."""
        return None if self.token is None else self.token.bound_to

    def check_scope(self, scope: Scope) -> None:
        """Refuse a request that the token is not for.

        Raises:
            ForbiddenError: the token has neither this scope nor `admin`.
        """
        if self.token is None or {scope, Scope.ADMIN} & self.token.scopes:
            return
        raise ForbiddenError(
            f"the token {self.name!r} has the scope {','.join(sorted(self.token.scopes))} and this "
            f"needs {scope}: use a token that has it"
        )

    def check_component(self, component_type: str, name: str) -> None:
        """Refuse to write for a component that the token is not for.

        Raises:
            ForbiddenError: the token is bound to another component.
        """
        bound_to = self.bound_to
        if bound_to is not None and bound_to != BoundComponent(component_type, name):
            raise ForbiddenError(
                f"the token {self.name!r} is bound to {str(bound_to)[:200]!r} and this is "
                f"{f'{component_type}/{name}'[:200]!r}: use the token of that component"
            )


async def caller_of(request: Request) -> Caller:
    """Return the sender of a request, which `Authentication` has found out."""
    # This is a coroutine, because FastAPI runs plain functions in a thread.
    return cast("Caller", request.scope["caller"])


Authenticated = Annotated[Caller, Depends(caller_of)]
"""The parameter that tells a route its caller."""

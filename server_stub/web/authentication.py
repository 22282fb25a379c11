"""The server asks every request for its token before it does anything else with it.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from server_stub.auth.rule import Caller, required_scope
from server_stub.auth.tokens import find_token
from server_stub.errors import ForbiddenError, TokenInvalidError
from server_stub.web.responses import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from server_stub.auth.token_source import TokenSource

_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)  # RFC 6750, 2.1


class Authentication:
    """Lets a request in if its token has the scope that it needs, and notes its caller.

    It comes before routing, so a stranger learns of no route. It comes before the body, so the
    server reads no stranger's body.

    Args:
        app: the application behind it.
        tokens: the tokens that are let in; if there are none, every request is.
    """

    def __init__(self, app: ASGIApp, tokens: TokenSource) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            try:
                scope["caller"] = self._admit(scope)
            except (TokenInvalidError, ForbiddenError) as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> Caller:
        needed = required_scope(scope["method"], scope["path"])
        if needed is None or not self._tokens.is_configured:
            return Caller()
        token = find_token(_presented(scope), self._tokens.current())
        if token is None:
            raise TokenInvalidError(
                "this token is not known: it may have been replaced; ask the operator for one"
            )
        caller = Caller(token)
        scope["caller"] = caller  # for the log, if the request is refused
        caller.check_scope(needed)
        return caller


def _presented(scope: Scope) -> str:
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    if not headers:
        raise TokenInvalidError("a token is needed: send it as 'Authorization: Bearer TOKEN'")
    found = _BEARER.fullmatch(headers[0].decode("latin-1")) if len(headers) == 1 else None
    if found is None:
        raise TokenInvalidError(
            "the Authorization header is not valid: send one, 'Authorization: Bearer TOKEN'"
        )
    return found[1]

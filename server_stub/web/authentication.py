"""Who is it? Every request is asked for its token before anything else is made of it."""

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
    """Lets in who has a token that is for what they want, and says who they are.

    It comes before routing, so that a stranger learns of no route, and before the body, so that
    nobody has to read one.

    Args:
        app: the application behind it.
        tokens: those that are let in; anybody is where there are none.
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
        scope["caller"] = caller  # for the log, should it be refused
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

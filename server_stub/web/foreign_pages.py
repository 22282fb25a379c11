"""Without tokens: refuses what a browser sends for a web page that is not the server's own.

A server without tokens listens on the loopback address. The browser of a user of that machine
reaches it too, and runs pages of strangers.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from server_stub.auth.rule import required_scope
from server_stub.errors import ForbiddenError
from server_stub.web.responses import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_OWN_SITES = frozenset({"same-origin", "none"})
_QUOTED_LENGTH_MAX = 100


class ForeignPages:
    """Lets a request in if no page of another origin has a browser send it.

    Programs send neither `Origin` nor `Sec-Fetch-Site`, so they are let in.

    Args:
        app: the application behind it.
        own_host: the name by which the server listens, or None if a proxy in front of it gives it
            other names. Otherwise a `Host` has to be this name, or one of the loopback address.
    """

    def __init__(self, app: ASGIApp, own_host: str | None) -> None:
        self._app = app
        self._own_host = own_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and required_scope(scope["method"], scope["path"]) is not None:
            try:
                self._check(scope["method"], Headers(scope=scope))
            except ForbiddenError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if self._own_host is not None and host and not _is_local(host, self._own_host):
            raise ForbiddenError(
                f"this server has no tokens, and is not called {host[:_QUOTED_LENGTH_MAX]!r}: ask "
                "for localhost, give it tokens, or, behind a proxy that authenticates, say "
                "--allow-anonymous=yes"
            )
        if method in _SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate":
            return  # a link, whose answer the page with the link cannot read
        site = headers.get("sec-fetch-site")
        origin = headers.get("origin")
        if site is None:
            # Browsers that do not say the site, as over http to another machine, say the origin.
            is_foreign = origin is not None and origin.partition("://")[2] != host
        else:
            is_foreign = site not in _OWN_SITES
        if is_foreign:
            raise ForbiddenError(
                f"a page of another origin ({(origin or site or '')[:_QUOTED_LENGTH_MAX]!r}) asks "
                "for this, and this server has no tokens: give it tokens"
            )


def _is_local(host: str, own_host: str) -> bool:
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower().rstrip(".")
    if name in {"localhost", own_host.lower()} or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

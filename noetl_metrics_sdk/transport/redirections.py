"""Where a server sends a request on to, and whether the client follows. Pure.

307 and 308 say that the same request has to go to another URL, with its method and its body (RFC
9110, 15.4). An ingress that wants TLS answers so. The client follows on the same host only: the
credentials of its requests are for that host, and never go from TLS to a connection in the clear.
The other redirections turn a POST into a GET, or may do so, and a GET delivers nothing.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from noetl_metrics_sdk.errors import RecoverableError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_logger = logging.getLogger("noetl_metrics_sdk")

REDIRECTIONS_MAX: Final = 3
"""How often a request is sent on at most."""

_TEMPORARY, _PERMANENT = 307, 308


class Redirections:
    """Remembers where the server's routes are, so that a body is not sent twice each time."""

    def __init__(self) -> None:
        self._base_url = ""
        self._told_of = ""

    def url_of(self, path: str) -> str:
        """Return the URL of a route: its path alone, if the server has sent no request on."""
        return self._base_url + path

    def forget(self) -> None:
        """Begin again at the server's own address, as the other one does not do."""
        self._base_url = ""

    def next_url(self, path: str, asked: str, status: int, location: str | None) -> str | None:
        """Return the URL to which a request has to go next, or None if it is not sent on.

        Args:
            path: the path of the route.
            asked: the whole URL that was asked.
            status: the status of the answer.
            location: the answer's header `Location`, or None.
        """
        if status not in {_TEMPORARY, _PERMANENT} or not location:
            return None
        target = _joined(asked, location)
        if target is None or not _may_follow(urlsplit(asked), target):
            return None
        # The user name and password of the server's URL are for this host, those of the answer
        # for no one.
        user = urlsplit(asked).netloc.rpartition("@")[0]
        host = target.netloc.rpartition("@")[2]
        url = target._replace(netloc=f"{user}@{host}" if user else host, fragment="").geturl()
        if url.endswith(path):
            self._base_url = url.removesuffix(path)
        shown = _shown(target)
        if shown != self._told_of:
            self._told_of = shown
            _logger.warning(
                "the server sends requests on to %s: set server_url to that address, which saves "
                "a request each time", shown,
            )  # fmt: skip
        return url


def error_of_redirection(request: str, asked: str, status: int, location: str) -> RecoverableError:
    """Return the error for a redirection that the client does not follow.

    Args:
        request: the method and the URL of the request, for the message.
        asked: the whole URL that was asked.
        status: the status of the answer.
        location: the answer's header `Location`.
    """
    target = _joined(asked, location)
    leads_to = "it leads to no URL" if target is None else f"it leads to {_shown(target)}"
    return RecoverableError(
        f"{request}: {status}: {leads_to}. The client follows 307 and 308 on the same host only: "
        "set server_url to the address of the metrics server itself",
        status,
    )


def _may_follow(asked: SplitResult, target: SplitResult) -> bool:
    if target.scheme not in {"http", "https"} or target.hostname != asked.hostname:
        return False
    return target.scheme == "https" or asked.scheme == "http"


def _joined(asked: str, location: str) -> SplitResult | None:
    try:
        target = urlsplit(urljoin(asked, location))
        _ = target.port  # raises for one that is no number
    except ValueError:
        return None
    return target


def _shown(target: SplitResult) -> str:
    """Return a URL for the log: without credentials, which a query may hold too."""
    host = target.netloc.rpartition("@")[2]
    return target._replace(netloc=host, query="", fragment="").geturl()

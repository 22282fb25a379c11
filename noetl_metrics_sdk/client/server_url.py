"""Read a server's address as an operator may write it."""

from __future__ import annotations

from urllib.parse import urlsplit

from noetl_metrics_sdk.transport.urls import is_http_url

_ROUTES = ("/api/metrics/report", "/api/metrics", "/api")
"""What an address may end in: `NOETL_SERVER_URL` is written with and without `/api`."""


_EXAMPLE = "give a URL like http://localhost:8082"


def server_base_url(url: str) -> str:
    """Return the address before which every route stands, without white space and `/api`.

    Raises:
        ValueError: the text is no such address; the message names the address that may be meant.
    """
    stripped = url.strip()
    if "://" not in stripped:
        meant = f"http://{stripped.lstrip('/')}"
        if is_http_url(meant):
            raise ValueError(f"{_EXAMPLE}; is {shown_url(_base(meant))} meant?")
    if not is_http_url(stripped):
        raise ValueError(_EXAMPLE)
    base = _base(stripped)
    parts = urlsplit(stripped)
    if parts.query or parts.fragment:
        raise ValueError(
            "a server's address has no query and no fragment, as the routes come after it; "
            f"is {shown_url(base)} meant?"
        )
    return base


def has_credentials(url: str) -> bool:
    """Return whether an address has a user name or a password in it."""
    return urlsplit(url).username is not None


def shown_url(url: str) -> str:
    """Return an address, or a text that should be one, without the credentials in it."""
    before, at, place = url.rpartition("@")
    scheme, separator, _ = before.partition("://")
    return f"{scheme + separator if separator else ''}…@{place}" if at else url


def _base(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=_without_route(parts.path), query="", fragment="").geturl()


def _without_route(path: str) -> str:
    path = path.rstrip("/")
    for route in _ROUTES:
        if path.endswith(route):
            return _without_route(path.removesuffix(route))
    return path

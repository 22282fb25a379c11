"""Read a server's address as an operator may write it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_ROUTES = ("/api/metrics/report", "/api/metrics", "/api")
"""What an address may end in: `NOETL_SERVER_URL` is written with and without `/api`."""


def server_base_url(url: str) -> str:
    """Return the address before which every route stands, without white space and `/api`.

    Raises:
        ValueError: the text is no such address; the message names the address that may be meant.
    """
    stripped = url.strip()
    if stripped and "://" not in stripped and _is_http_url(f"http://{stripped}"):
        raise ValueError(f"give a URL like http://localhost:8082; is http://{stripped} meant?")
    if not _is_http_url(stripped):
        raise ValueError("give a URL like http://localhost:8082")
    parts = urlsplit(stripped)
    base = parts._replace(path=_without_route(parts.path), query="", fragment="").geturl()
    if parts.query or parts.fragment:
        raise ValueError(
            "a server's address has no query and no fragment, as the routes come after it; "
            f"is {base} meant?"
        )
    return base


def _without_route(path: str) -> str:
    path = path.rstrip("/")
    for route in _ROUTES:
        if path.endswith(route):
            return _without_route(path.removesuffix(route))
    return path


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:  # the port is no number up to 65535
        return False
    has_host = url.isprintable() and bool(_HOST.fullmatch(parts.hostname or ""))
    return has_host and has_port and parts.scheme in {"http", "https"}

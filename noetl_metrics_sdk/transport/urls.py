"""Which texts are URLs of a server, and which names a host can have. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[A-Za-z0-9._:%-]+")
_LABEL_CHARACTERS_MAX = 63
_NAME_CHARACTERS_MAX = 253


def is_http_url(text: str) -> bool:
    """Return whether a text is the URL of a server that may exist."""
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError:  # the port is no number up to 65535
        return False
    has_scheme = parts.scheme in {"http", "https"}
    is_printable = text.isprintable() and " " not in text
    return is_printable and has_scheme and has_port and is_host(parts.hostname or "")


def is_host(host: str) -> bool:
    """Return whether a host may have this name or address, an IPv6 address without its brackets.

    Each label of a name has 1 to 63 characters (RFC 1035, 2.3.4). The system's resolver is never
    asked for another name: Python refuses to encode it, by an error that is no `OSError`.
    """
    if not _HOST.fullmatch(host):
        return False
    if ":" in host:
        return True
    labels = host.removesuffix(".").split(".")
    return len(host) <= _NAME_CHARACTERS_MAX and all(
        0 < len(label) <= _LABEL_CHARACTERS_MAX for label in labels
    )

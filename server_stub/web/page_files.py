"""The files of the pages for browsers, with headers that keep a page from loading anything else.

Why so: docs/decisions/page.md.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

_TEXT = "; charset=utf-8"
MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css" + _TEXT,
    ".html": "text/html" + _TEXT,
    ".js": "text/javascript" + _TEXT,
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain" + _TEXT,
    ".md": "text/plain" + _TEXT,
    "": "text/plain" + _TEXT,  # a LICENSE
}
"""The type of a file by its ending. What the machine knows of types differs from one to another.
A file with another ending is not served."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A browser asks each time whether its copy is still right, so it never mixes two versions.
    "Cache-Control": "no-cache",
}


class _File(NamedTuple):
    content: bytes
    media_type: str
    etag: str


class PageFiles:
    """The files of the folder `page`, as they were at the start, in memory.

    A request chooses among their names, and reaches no other file.
    """

    def __init__(self) -> None:
        self._by_path = dict(_files_below(files("server_stub") / "page", PurePosixPath()))

    @property
    def paths(self) -> frozenset[str]:
        """The paths of the files, below the folder."""
        return frozenset(self._by_path)

    def answer(self, path: str, if_none_match: str | None) -> Response | None:
        """Return the answer to a request for a file; None if there is no such file.

        Args:
            path: the path of the file below the folder.
            if_none_match: the request's header If-None-Match, with which a browser names the copies
                that it has.
        """
        found = self._by_path.get(path)
        if found is None:
            return None
        headers = {**_HEADERS, "ETag": found.etag}
        if _names(if_none_match or "", found.etag):
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type=found.media_type)


def _files_below(folder: Traversable, place: PurePosixPath) -> Iterator[tuple[str, _File]]:
    for entry in folder.iterdir():
        path = place / entry.name
        if entry.is_dir():
            yield from _files_below(entry, path)
        elif path.suffix in MEDIA_TYPES:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            yield str(path), _File(content, MEDIA_TYPES[path.suffix], etag)


def _names(if_none_match: str, etag: str) -> bool:
    """Return whether the header names the tag: RFC 9110, section 13.1.2.

    A proxy that has compressed a file makes its tag a weak one.
    """
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in named or "*" in named

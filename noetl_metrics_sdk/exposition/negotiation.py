"""Choose a page's format and encoding by the scraper's `Accept` and `Accept-Encoding`. Pure.

RFC 9110, sections 12.5.1 and 12.5.3: of the ranges in a header that match a format, the most
specific one says how welcome the format is. A scraper that welcomes neither format gets the text
format all the same, as from every exporter.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from noetl_metrics_sdk.exposition.samples import PageFormat

VARY = "Accept, Accept-Encoding"

GZIP_BYTES_MIN = 1_400
"""A smaller answer is one packet, compressed or not."""

GZIP_LEVEL = 6
"""Level 9 takes four times as long and saves 4 %. With level 1 there is three quarters more to
send."""

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
# Quoted strings may have commas and semicolons too.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)')
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_VERSIONS = {
    PageFormat.TEXT: ("text/plain", "0.0.4"),
    PageFormat.OPENMETRICS: ("application/openmetrics-text", "1.0.0"),
}


class _Range(NamedTuple):
    """One element of a header."""

    name: str
    parameters: dict[str, str]
    quality: float


def choose_format(accept: str | None) -> PageFormat:
    """Return the format that a scraper prefers, or the text format if it prefers none.

    Args:
        accept: the request's `Accept`; several headers are joined by commas.
    """
    ranges = _ranges(accept or "*/*")
    welcome = {page_format: _welcome(page_format, ranges) for page_format in PageFormat}
    if welcome[PageFormat.OPENMETRICS] > welcome[PageFormat.TEXT]:
        return PageFormat.OPENMETRICS
    return PageFormat.TEXT


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Return whether gzip is at least as welcome to a scraper as an answer without compression.

    Args:
        accept_encoding: the request's `Accept-Encoding`; several headers are joined by commas.
    """
    qualities = {found.name: found.quality for found in _ranges(accept_encoding or "")}
    anything = qualities.get("*", 0.0)
    gzip = qualities.get("gzip", qualities.get("x-gzip", anything))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def encoded(page: str, accept_encoding: str | None) -> tuple[bytes, dict[str, str]]:
    """Return the body of an answer, and the headers that its encoding adds.

    Args:
        page: the text of the page.
        accept_encoding: the same as for `accepts_gzip`.
    """
    body = page.encode()
    headers = {"Vary": VARY}
    if len(body) >= GZIP_BYTES_MIN and accepts_gzip(accept_encoding):
        headers["Content-Encoding"] = "gzip"
        body = zlib.compress(body, GZIP_LEVEL, _GZIP_WINDOW_BITS)
    return body, headers


def _welcome(page_format: PageFormat, ranges: list[_Range]) -> tuple[float, int]:
    """Return how welcome a format is, and how specific the range is that decides it."""
    name, version = _VERSIONS[page_format]
    own = {"version": version, "charset": "utf-8"}
    best = (-1, 0.0)
    for found in ranges:
        if found.name == name:
            if any(own.get(key, text) != text.lower() for key, text in found.parameters.items()):
                continue
            specificity = 2 + len(found.parameters)
        elif found.name == name.partition("/")[0] + "/*":
            specificity = 1
        elif found.name == "*/*":
            specificity = 0
        else:
            continue
        best = max(best, (specificity, found.quality))
    specificity, quality = best
    # Of two equally welcome formats, the one that a more specific range names comes first.
    return quality, specificity if quality else 0


def _ranges(header: str) -> list[_Range]:
    ranges: list[_Range] = []
    for element in _ELEMENT.findall(header):
        name = element.partition(";")[0].strip().lower()
        parameters = {key.lower(): text.strip('"') for key, text in _PARAMETER.findall(element)}
        quality = parameters.pop("q", "1")
        if name and _QUALITY.fullmatch(quality):
            ranges.append(_Range(name, parameters, float(quality)))
    return ranges

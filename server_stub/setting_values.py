"""Parsers of the texts of flags and environment variables; each refuses an invalid text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

# A field name is a token (RFC 9110, section 5.6.2). A value has only characters that every client
# can send.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]+)")
_NAME_PATTERN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\*?")


def text(value: str) -> str:
    """Return a text that is not empty.

    Raises:
        ValueError: it is empty.
    """
    if not value.strip() or "\x00" in value:
        raise ValueError("must not be empty")
    return value


def postgresql_url(value: str) -> str:
    """Return the URL of a PostgreSQL.

    Raises:
        ValueError: it is no such URL.
    """
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL like postgresql://user:password@host:5432/database")
    return value


def http_url(value: str) -> str:
    """Return the URL of an HTTP server.

    Raises:
        ValueError: it is no such URL.
    """
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        is_valid = False
    if not is_valid:
        raise ValueError("must be a URL like http://localhost:8428")
    return value


def headers(value: str) -> dict[str, str]:
    """Return HTTP headers: lines `Name: value`, separated by semicolons or line breaks.

    Raises:
        ValueError: a line is not of that form; the message has the line's number but not its text.
    """
    found: dict[str, str] = {}
    lines = [line.strip() for line in value.replace("\n", ";").split(";")]
    for number, line in enumerate(filter(None, lines), 1):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ValueError(f"header {number} must be like 'X-Scope-OrgID: tenant-1'")
        found[match[1]] = match[2]
    return found


def switch(value: str) -> bool:
    """Return whether a text says yes.

    Raises:
        ValueError: it says neither yes nor no.
    """
    if value not in {"yes", "no"}:
        raise ValueError("must be yes or no")
    return value == "yes"


def choice(*choices: str) -> Callable[[str], str]:
    """Return a parser that takes one of these texts."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return parse


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def days_by_name(least: int, most: int) -> Callable[[str], dict[str, int]]:
    """Return a parser of `NAME=DAYS,BEGINNING*=DAYS`, with days within bounds."""
    days_of = integer(least, most)

    def parse(value: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in value.split(","):
            pattern, _, days = (part.strip() for part in entry.partition("="))
            if not _NAME_PATTERN.fullmatch(pattern):
                raise ValueError(
                    f"{entry.strip()!r} must be like jobs_total=30 or billing_*=365: a metric's "
                    "name, or the beginning of names and a *"
                )
            if pattern in found:
                raise ValueError(f"{pattern!r} must be there once")
            try:
                found[pattern] = days_of(days)
            except ValueError as error:
                raise ValueError(f"the days of {pattern!r} are {days!r}: {error}") from None
        return found

    return parse


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of durations within bounds."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:  # a NaN is not
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return number

    return parse

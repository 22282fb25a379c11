"""Parsers of the texts of flags and environment variables; each refuses an invalid text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from noetl_metrics_sdk.transport.urls import is_http_url

if TYPE_CHECKING:
    from collections.abc import Callable

# A field name is a token (RFC 9110, section 5.6.2). A value has only characters that every client
# can send.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]+)")
_NAME_CHARACTERS_MAX = 255
_PORT_MAX = 65_535
_NAME_PATTERN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\*?")


def text(value: str) -> str:
    """Return a text that is not empty.

    Raises:
        ValueError: it is empty.
    """
    if not value.strip() or "\x00" in value:
        raise ValueError("must not be empty")
    return value


def registered_name(value: str) -> str:
    """Return the name of a component.

    Raises:
        ValueError: it is blank or too long.
    """
    name = text(value)
    if len(name) > _NAME_CHARACTERS_MAX:
        raise ValueError(f"must have at most {_NAME_CHARACTERS_MAX} characters")
    return name


def postgresql_url(value: str) -> str:
    """Return the URL of a PostgreSQL.

    Raises:
        ValueError: it is no such URL. The message has nothing of the URL but its port, as it may
            have a password.
    """
    url = value.strip()
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL like postgresql://user:password@host:5432/database")
    for port in _ports_of(url):
        # libpq, which has the last word, would call it an unknown host.
        if not (port.isascii() and port.isdecimal() and 0 < int(port) <= _PORT_MAX):
            raise ValueError(
                f"has the port {port!r}: it must be a number from 1 to {_PORT_MAX}, as in "
                "postgresql://user:password@host:5432/database; in a user name or a password "
                "write %3A for a colon, %40 for an @ and %2F for a /"
            )
    return url


def _ports_of(url: str) -> list[str]:
    """Return the ports that a URL names: it may name several hosts, or have parameters of libpq.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    place, _, query = url.partition("://")[2].partition("?")
    hosts = place.partition("/")[0].rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    parameters = [parameter.partition("=") for parameter in query.split("&")]
    for name, _, text_of_ports in parameters:
        if name == "port":
            ports += text_of_ports.split(",")
    return [port for port in ports if port]


def http_url(value: str) -> str:
    """Return the URL of an HTTP server, without white space around it.

    Raises:
        ValueError: it is no such URL.
    """
    url = value.strip()
    if not is_http_url(url):
        raise ValueError("must be a URL like http://localhost:8428")
    return url


def query_api_url(value: str) -> str:
    """Return the URL before which the routes of Prometheus' query API stand.

    Raises:
        ValueError: it is no URL, or has a query.
    """
    url = http_url(value)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("must end before /api/v1, without a query: http://localhost:8428")
    path = parts.path.rstrip("/")
    for route in ("/api/v1/query", "/api/v1"):
        path = path.removesuffix(route)
    return parts._replace(path=path).geturl()


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

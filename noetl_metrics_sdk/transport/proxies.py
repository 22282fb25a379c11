"""Choose the proxy for a server's address by the variables of the environment, as curl reads them.

The variables are `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case.
If there are none of them, the system's settings count on macOS and Windows. An entry of `NO_PROXY`
is a name, which stands for itself and for all names below it, an address, or a network of addresses
(`10.0.0.0/8`, `::1/128`); `*` is every server. Each may have a port.

httpx makes a pattern of URLs of each entry, and raises an error for those that are no part of a
URL. An entry that this module cannot read has no effect, and the log names it.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

_logger = logging.getLogger("noetl_metrics_sdk")

_BRACKETED = re.compile(r"\[(?P<address>[^]]+)\](?P<prefix>/\d+)?(?::(?P<port>\d+))?")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PORTS = {"http": 80, "https": 443}
_PORT_MAX = 65_535


class _Server(NamedTuple):
    """What `NO_PROXY` is compared with."""

    scheme: str
    name: str
    address: IPv4Address | IPv6Address | None
    port: int | None


def environment_proxies(server_url: str) -> dict[str, str]:
    """Return the proxies for a server, by the pattern of URLs under which httpx mounts them.

    Args:
        server_url: the server's address. Its scheme may change in a redirection, so the answer has
            the proxy of each scheme.

    Returns:
        The proxy's URL by pattern: `http://`, `https://`, `all://`. Nothing if `NO_PROXY` has the
        server.
    """
    found = getproxies()
    server = _server_of(server_url)
    entries = filter(None, re.split(r"[,\s]+", found.get("no", "")))
    # Every entry is read, so that the log names all that have no effect.
    exempting = [entry for entry in entries if _exempts(entry, server)]
    if exempting:
        return {}
    return {
        f"{scheme}://": url if "://" in url else f"http://{url}"
        for scheme in ("http", "https", "all")
        if (url := found.get(scheme))
    }


def _server_of(url: str) -> _Server:
    parts = urlsplit(url)
    name = (parts.hostname or "").rstrip(".")
    return _Server(parts.scheme, name, _address(name), parts.port or _PORTS.get(parts.scheme))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])  # without the zone of a link-local address
    except ValueError:
        return None


def _exempts(entry: str, server: _Server) -> bool:
    """Return whether an entry of `NO_PROXY` is about the server."""
    if entry == "*":
        return True
    scheme, _, place = entry.rpartition("://")
    try:
        host, port = _host_and_port(place)
    except ValueError as error:
        _logger.warning("NO_PROXY has %r, which has no effect: %s", entry, error)
        return False
    if scheme.lower() not in {"", "all", server.scheme} or port not in {None, server.port}:
        return False
    if isinstance(host, str):
        return server.address is None and f".{server.name}".endswith(f".{host}")
    return server.address in host if server.address is not None else False


def _host_and_port(place: str) -> tuple[str | IPv4Network | IPv6Network, int | None]:
    """Return what an entry stands for: a name or a network, and a port if it has one.

    Raises:
        ValueError: it is nothing of the kind.
    """
    bracketed = _BRACKETED.fullmatch(place)
    if bracketed is not None:
        network = ip_network(bracketed["address"] + (bracketed["prefix"] or ""), strict=False)
        return network, _port(bracketed["port"])
    with suppress(ValueError):
        return ip_network(place, strict=False), None
    host, colon, port = place.partition(":")
    with suppress(ValueError):
        return ip_network(host, strict=False), _port(port)
    # As in curl, a dot before a name changes nothing; other programs write a star before it.
    name = host.removeprefix("*").strip(".").encode("idna").decode("ascii").lower()
    if not _NAME.fullmatch(name):
        raise ValueError("write a name, an address or a network, like example.com or 10.0.0.0/8")
    return name, _port(port if colon else None)


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _PORT_MAX):
        raise ValueError(f"the port {text!r} is no number from 1 to {_PORT_MAX}")
    return int(text)

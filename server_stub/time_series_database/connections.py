"""Connections to the time-series database, through the proxy that the environment names for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from noetl_metrics_sdk.transport.proxies import environment_proxies
from server_stub.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


def database_client(
    url: str,
    headers: Mapping[str, str],
    timeout_seconds: float,
    transport: httpx.AsyncBaseTransport | None = None,
    limits: httpx.Limits = _DEFAULT_LIMITS,
) -> httpx.AsyncClient:
    """Return a client for requests to the time-series database.

    Args:
        url: where the database is.
        headers: sent with every request.
        timeout_seconds: how long the server waits for an answer.
        transport: used in place of the network, in tests.
        limits: how many connections there are at once, and how long they are kept.

    Raises:
        StartupError: the environment names a proxy that cannot be used.
    """
    mounts: dict[str, httpx.AsyncHTTPTransport] = {}
    if transport is None:
        # httpx itself would raise for an entry of NO_PROXY that is no part of a URL.
        transport = httpx.AsyncHTTPTransport(limits=limits)
        for pattern, proxy in environment_proxies(url).items():
            try:
                mounts[pattern] = httpx.AsyncHTTPTransport(proxy=proxy, limits=limits)
            except (ValueError, httpx.InvalidURL, ImportError) as error:
                raise StartupError(
                    f"the environment names a proxy that cannot be used: {error}"
                ) from error
    return httpx.AsyncClient(
        headers={"User-Agent": "noetl-metrics-server", **headers},
        timeout=timeout_seconds,
        transport=transport,
        mounts=mounts,
    )

"""The client of a process that needs only one: `init()`, `flush()`, `shutdown()`."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from noetl_metrics_sdk.client.client import MetricsClient
from noetl_metrics_sdk.client.statistics import FlushResult
from noetl_metrics_sdk.errors import ConfigurationError, StartError
from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from noetl_metrics_sdk.client.config import Settings
    from noetl_metrics_sdk.transport.protocol import Transport


_logger = logging.getLogger("noetl_metrics_sdk")


class _ProcessClient:
    """Holds the client of this process; a forked child has the same client, started afresh."""

    def __init__(self) -> None:
        self.is_asked_for = False  # by init(), or by a call that came before it and was logged
        # Guards `client`. Taken before the client's own lock.
        self.lock = threading.RLock()
        self.client: MetricsClient | None = None
        self.is_inherited = False
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def to_flush(self) -> MetricsClient | None:
        """Return the client; log, once, if there was no `init()` before."""
        if not self.is_asked_for:
            self.is_asked_for = True
            _logger.warning(
                "flush() was called before init(), so there is no client, and nothing is sent"
            )
        return self.client

    def take(self) -> MetricsClient | None:
        with self.lock:
            client, self.client = self.client, None
        return client

    def _reset_after_fork(self) -> None:
        self.lock = threading.RLock()
        self.is_inherited = True


_process = _ProcessClient()
_NOTHING = FlushResult(0, 0, 0, timed_out=False)


def init(
    server_url: str | None = None,
    component_name: str | None = None,
    *,
    runtime_id: str | int | None = None,
    labels: Mapping[str, str] | None = None,
    registry: Registry = REGISTRY,
    transport: Transport | None = None,
    **settings: Unpack[Settings],
) -> MetricsClient:
    """Make and start the client of this process.

    Without `server_url`, `component_name`, `runtime_id`, `labels` and further settings, the
    settings come from environment variables. The arguments are those of `MetricsClient`. In a
    forked child the call replaces the client that the child has inherited.

    Raises:
        ConfigurationError: a setting is not valid, or this process has made its client already.
        StartError: the process can have no thread for the client; `init()` may be called again.
    """
    with _process.lock:
        _process.is_asked_for = True
        if _process.client is not None and _process.is_inherited:
            # A pool's initializer does not know whether its process was forked. If it was, the
            # inherited client has just started afresh here, and makes room for the new one.
            _process.client.shutdown(timeout=0)
            _process.client = None
        if _process.client is not None:
            raise ConfigurationError(
                "init() was called before: use the client that it gave, or call shutdown() first"
            )
        named = (server_url, component_name, runtime_id, labels)
        if all(argument is None for argument in named) and not settings:
            client = MetricsClient.from_env(registry=registry, transport=transport)
        else:
            client = MetricsClient(
                server_url,
                component_name,
                runtime_id=runtime_id,
                labels=labels,
                registry=registry,
                transport=transport,
                **settings,
            )
        try:
            client.start()
        except StartError:
            client.discard()  # the next client is to report what the instruments count
            raise
        _process.client = client
        _process.is_inherited = False
        return client


def flush(timeout: float = 10.0) -> FlushResult:
    """Flush the client of this process; see `MetricsClient.flush`.

    Without a client, do nothing; before `init()` the log has a warning, once.
    """
    client = _process.to_flush()
    return client.flush(timeout) if client is not None else _NOTHING


def shutdown(timeout: float | None = None) -> FlushResult:
    """Shut the client of this process down; afterwards `init()` may make another one.

    See `MetricsClient.shutdown`. Without a client, do nothing.
    """
    client = _process.take()
    return client.shutdown(timeout) if client is not None else _NOTHING


async def aflush(timeout: float = 10.0) -> FlushResult:  # noqa: ASYNC109 - flush()'s own
    """Flush the client of this process; see `MetricsClient.aflush`.

    Without a client, do nothing; before `init()` the log has a warning, once.
    """
    client = _process.to_flush()
    return await client.aflush(timeout) if client is not None else _NOTHING


async def aclose(timeout: float | None = None) -> FlushResult:  # noqa: ASYNC109 - shutdown()'s
    """Shut the client of this process down; afterwards `init()` may make another one.

    See `MetricsClient.aclose`. Without a client, do nothing.
    """
    client = _process.take()
    return await client.aclose(timeout) if client is not None else _NOTHING

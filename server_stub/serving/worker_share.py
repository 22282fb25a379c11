"""Each worker's share of what is bounded for the whole server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server_stub.settings import Settings

CONNECTIONS_PER_WORKER_MIN = 2
"""While maintenance or a query uses one connection, batches have the other."""


def share_of(settings: Settings) -> Settings:
    """Return the settings of one worker, with its share of the bounds of the whole server."""
    if settings.workers == 1:
        return settings
    return replace(
        settings,
        pool_size=max(settings.pool_size // settings.workers, CONNECTIONS_PER_WORKER_MIN),
        # A worker takes one body at least, however large.
        ingest_bytes_max=max(settings.ingest_bytes_max // settings.workers, 1024),
    )

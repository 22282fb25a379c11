"""The time-series database beside or instead of PostgreSQL, as the settings want it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from server_stub.time_series_database.history import History
from server_stub.time_series_database.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from server_stub.settings import Settings

CONNECTIONS_MAX = 16
"""How many batches are written to it at once, where they are written by requests."""


class TimeSeriesDatabase(NamedTuple):
    """What reads and writes it; None for what the settings do not want."""

    history: History | None
    receiver: Receiver | None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Close its connections at the end of the block."""
        try:
            yield
        finally:
            if self.history is not None:
                await self.history.close()
            if self.receiver is not None:
                await self.receiver.close()


def time_series_database(settings: Settings) -> TimeSeriesDatabase:
    """Return what requests need of it.

    Args:
        settings: where it is read and written.
    """
    history = receiver = None
    if settings.history_url is not None:
        history = History(
            settings.history_url, settings.receiver_headers, settings.statement_timeout_seconds
        )
    if settings.storage == "remote-write" and settings.remote_write_url is not None:
        receiver = Receiver(
            settings.remote_write_url,
            settings.receiver_headers,
            settings.remote_write_version,
            connections_max=CONNECTIONS_MAX,
        )
    return TimeSeriesDatabase(history, receiver)

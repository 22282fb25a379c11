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
"""How many batches are written to it at once, if requests write them."""


class TimeSeriesDatabase(NamedTuple):
    """The reader and the writer of the database; None for one that the settings do not want."""

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
    """Return the reader and the writer that requests need.

    Args:
        settings: where the database is read and written.
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

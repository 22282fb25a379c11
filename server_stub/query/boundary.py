"""The boundary in time between a time-series database and PostgreSQL. Pure.

The server reads the samples taken before the boundary from the time-series database, and all others
from PostgreSQL. So a sample that is in both is in an answer once. The boundary lies within the
retention, so both sides of it stay readable while a client turns pages.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.timestamps import (
    format_timestamp,
    from_epoch_microseconds,
    to_epoch_microseconds,
)

if TYPE_CHECKING:
    from datetime import datetime

    from server_stub.settings import Settings

OVERLAP = timedelta(minutes=10)
"""How long before a row leaves PostgreSQL the server reads it from the time-series database."""


class Boundary(NamedTuple):
    """Where the history ends.

    The reader wants the history from `history_from` on. PostgreSQL takes over at `ends_at`. Both
    are whole milliseconds. `has_recent` says whether PostgreSQL has samples at all.
    """

    history_from: datetime
    ends_at: datetime
    has_recent: bool

    def end_milliseconds(self, end_time: datetime | None) -> int:
        """Return where the history of a query ends, which may itself end earlier."""
        if end_time is None or end_time >= self.ends_at:
            return milliseconds(self.ends_at)
        return milliseconds(end_time + timedelta(microseconds=999))  # rounded up

    def sources(self, end_time: datetime | None) -> list[dict[str, Any]]:
        """Return the `sources` of an answer: which part of it came from which database."""
        history_end = self.ends_at if end_time is None else min(end_time, self.ends_at)
        if not self.has_recent:
            return [_source("history", self.history_from, end_time)]
        parts = [_source("history", self.history_from, history_end)]
        if end_time is None or end_time > self.ends_at:
            parts.append(_source("postgresql", self.ends_at, end_time))
        return parts


RECENT_ONLY: list[dict[str, Any]] = [{"source": "postgresql", "start_time": None, "end_time": None}]
"""The sources of an answer that has no history."""


class Boundaries:
    """Draws boundaries.

    Args:
        settings: whether there is a time-series database to read, and whether it has all samples.
    """

    def __init__(self, settings: Settings) -> None:
        self._has_history = settings.history_url is not None
        self._has_recent = settings.storage == "postgresql"
        self._retention = timedelta(days=settings.retention_days)
        self._sample_ahead = timedelta(seconds=settings.sample_ahead_seconds)

    def draw(
        self, start_time: datetime | None, now: datetime, drawn: datetime | None = None
    ) -> Boundary | None:
        """Return the boundary of a query; None if PostgreSQL alone answers it.

        Args:
            start_time: where the range of the query begins; None for the retention.
            now: the time.
            drawn: where the history of the page before ended. It stays there for as long as
                PostgreSQL still has the rows that follow it.
        """
        if not self._has_history:
            return None
        if not self._has_recent:
            start = now - self._retention if start_time is None else start_time
            return Boundary(_whole(start), _whole(now + self._sample_ahead), has_recent=False)
        ends_at = _whole(now - self._retention + OVERLAP)
        if drawn is not None and drawn > now - self._retention:
            ends_at = drawn
        if start_time is None or start_time >= ends_at:
            return None
        return Boundary(_whole(start_time), ends_at, has_recent=True)


def milliseconds(moment: datetime) -> int:
    """Return a point in time as milliseconds since the epoch, rounded down."""
    return to_epoch_microseconds(moment) // 1000


def from_milliseconds(number: int) -> datetime:
    """Return the point in time of milliseconds since the epoch, in UTC."""
    return from_epoch_microseconds(number * 1000)


def _whole(moment: datetime) -> datetime:
    return from_milliseconds(milliseconds(moment))


def _source(name: str, start_time: datetime, end_time: datetime | None) -> dict[str, Any]:
    return {
        "source": name,
        "start_time": format_timestamp(start_time),
        "end_time": None if end_time is None else format_timestamp(end_time),
    }

"""Reads portions: the one that is next, and the one after it while the receiver takes the first.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from server_stub.export.portion import (
    LONG_ROWS_MAX,
    TEXT_BYTES_MAX,
    Portion,
    PortionSize,
    portion_of,
)
from server_stub.time_series_database.assembly import Assembly

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from server_stub.export.position import ExportPosition, Progress

UNBOUNDED = 2**62


class _ReadAhead(NamedTuple):
    """The rows after a position, read before it was their turn. Rows do not change."""

    position: int
    portion: Portion


class PortionReader:
    """Reads the rows of each turn, and makes series of them.

    Args:
        ahead_seconds_max: how far ahead of their arrival the times of rows may be.
    """

    def __init__(self, ahead_seconds_max: float) -> None:
        self.size = PortionSize()
        self._ahead_seconds_max = ahead_seconds_max
        self._assembly = Assembly()
        self._ahead: _ReadAhead | None = None

    async def next(self, position: ExportPosition, progress: Progress, horizon: int) -> Portion:
        """Return the rows to send next.

        Args:
            position: in the transaction that has claimed the export.
            progress: how far the export has come.
            horizon: the id up to which every row is known.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.position == progress.position:
            return ahead.portion
        # Rows that were acknowledged before are sent apart: the receiver may refuse them as known.
        is_repeat = progress.position < progress.acknowledged
        end = progress.acknowledged if is_repeat else horizon
        return await self._read(position, progress.position, end, progress.acknowledged)

    @asynccontextmanager
    async def reading_ahead(
        self, position: ExportPosition, portion: Portion, horizon: int
    ) -> AsyncGenerator[None]:
        """Read the portion after another one while the block runs, if it is sure to be the next.

        When the block ends the portion is read; if the block fails, it is given up.

        Args:
            position: in the transaction that has claimed the export. The block must not use it.
            portion: the portion before.
            horizon: the id up to which every row is known.
        """
        if portion.is_last or portion.is_repeat or self.size.is_narrow:
            yield
            return
        reading = asyncio.create_task(self._read(position, portion.reached, horizon, 0))
        try:
            yield
            self._ahead = _ReadAhead(portion.reached, await reading)
        finally:
            # The connection is to be free again before its transaction ends.
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def forget_ahead(self) -> None:
        """Forget the portion that was read ahead: the turn has failed."""
        self._ahead = None

    async def _read(
        self, position: ExportPosition, after: int, end: int, acknowledged: int
    ) -> Portion:
        """Return the first rows with ids after one, up to another."""
        row_limit = self.size.row_limit
        found = await position.records(after, end, row_limit, TEXT_BYTES_MAX)
        if found and found[0] is None:
            row_limit = min(row_limit, LONG_ROWS_MAX)
            found = await position.records(after, end, row_limit, UNBOUNDED)
        elif None in found:
            row_limit = found.index(None)
            found = found[:row_limit]
        # In a thread, because thousands of new series take longer than requests should wait.
        return await asyncio.to_thread(
            portion_of,
            cast("list[bytes]", found),
            row_limit,
            end,
            acknowledged,
            self._assembly,
            self._ahead_seconds_max,
        )

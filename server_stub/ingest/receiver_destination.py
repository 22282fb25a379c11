"""Writes a batch to a time-series database, instead of `noetl.metric`.

The server takes the batch only if that database has acknowledged it.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import TYPE_CHECKING, Any

from server_stub.errors import ReceiverRefusedError, ReceiverUnavailableError, StoreUnavailableError
from server_stub.ingest.body import Reject
from server_stub.ingest.rejection import RejectKind
from server_stub.time_series_database.assembly import Assembly
from server_stub.time_series_database.families import WrittenFamilies, write_families
from server_stub.time_series_database.refusals import (
    LATE_SECONDS,
    Refusal,
    out_of_bounds_advice,
    refusal_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from server_stub.ingest.body import ParsedBody
    from server_stub.ingest.owners import Owners
    from server_stub.ingest.row_encoding import RowEncoder
    from server_stub.statistics import ExportStatistics
    from server_stub.time_series_database.assembly import Assembled
    from server_stub.time_series_database.known_series import Family, Row
    from server_stub.time_series_database.receiver import Receiver

REQUESTS_MAX = 64
"""How many requests the search for refused samples may take. After these the server rejects all
samples of a refused request."""

ROWS_CHECKED_AT_ONCE = 200
"""To reject as many takes some milliseconds."""

_Positioned = tuple[int, "Row"]

_logger = logging.getLogger(__name__)


class ReceiverDestination:
    """Writes batches to a time-series database.

    Args:
        receiver: the time-series database.
        statistics: counts the samples that the database has no place for.
    """

    def __init__(self, receiver: Receiver, statistics: ExportStatistics) -> None:
        self._receiver = receiver
        self._statistics = statistics
        self._assembly = Assembly()
        self._assembling = asyncio.Lock()
        self._families = WrittenFamilies()
        # Whether the database has refused a sample that came in time since it took one.
        self._is_out_of_bounds = False

    async def write(
        self,
        connection: AsyncConnection[Any],
        parsed: ParsedBody,
        encoder: RowEncoder,
        owners: Owners,
    ) -> Sequence[Family]:
        """Write the samples of a batch; return when they have been acknowledged.

        Args:
            connection: in the transaction that claims the batch.
            parsed: the batch.
            encoder: checks the samples; gets the rejects of the time-series database too.
            owners: the components.

        Returns:
            The families that are in the table once the transaction is committed.

        Raises:
            StoreUnavailableError: the time-series database is away or busy.
        """
        rows: list[_Positioned] = []
        samples = zip(parsed.positions, parsed.samples, strict=True)
        while some := list(islice(samples, ROWS_CHECKED_AT_ONCE)):
            rows += encoder.rows(some, owners.components)
            await asyncio.sleep(0)  # other requests get their turn
        assembled = await self._assembled(rows)
        families = self._families.missing(assembled)
        try:
            await self._write(rows, assembled, families, encoder, _Budget(REQUESTS_MAX))
        except ReceiverUnavailableError as error:
            raise StoreUnavailableError(
                f"the time-series database does not take samples now ({error}): try again later",
                max(1, round(error.retry_after_seconds or 1)),
            ) from error
        if assembled.merged:
            self._statistics.samples_dropped.labels("same_millisecond").inc(assembled.merged)
        await write_families(connection, families)
        return families

    def note_committed(self, families: Sequence[Family]) -> None:
        """Note that families are in the table, so that later batches need not write them."""
        self._families.note_committed(families)

    async def _write(
        self,
        rows: Sequence[_Positioned],
        assembled: Assembled,
        families: Sequence[Family],
        encoder: RowEncoder,
        budget: _Budget,
    ) -> None:
        if not rows:
            return
        budget.requests_left -= 1
        try:
            await self._receiver.write(assembled, families)
        except ReceiverRefusedError as error:
            if len(rows) == 1 or budget.requests_left <= 0:
                self._check_bounds(rows, error)
                reason = f"the time-series database refuses it: {error}"
                encoder.rejects += [
                    Reject(position, reason, RejectKind.REFUSED_BY_RECEIVER) for position, _ in rows
                ]
                return
            half = len(rows) // 2
            for part in (rows[:half], rows[half:]):
                fewer = await self._assembled(part)
                await self._write(part, fewer, families, encoder, budget)
        else:
            if self._is_out_of_bounds and _has_timely(rows):
                self._is_out_of_bounds = False
                _logger.info("the time-series database takes samples of the present again")

    async def _assembled(self, rows: Sequence[_Positioned]) -> Assembled:
        # Ten thousand new series take a third of a second. The lock is for what the assembly keeps.
        async with self._assembling:
            return await asyncio.to_thread(self._assembly.assemble, [row for _, row in rows])

    def _check_bounds(self, rows: Sequence[_Positioned], error: ReceiverRefusedError) -> None:
        """Raise if samples may not be rejected, because the database takes them once it is mended.

        While it refuses samples that came in time, late samples may be some that clients have kept
        because of that.

        Raises:
            ReceiverUnavailableError: it is so.
        """
        if refusal_of(error) is not Refusal.OUT_OF_BOUNDS:
            return
        if _has_timely(rows) and not self._is_out_of_bounds:
            self._is_out_of_bounds = True
            _logger.warning("batches are answered 503: %s", out_of_bounds_advice(error))
        if self._is_out_of_bounds:
            self._statistics.out_of_bounds.inc(len(rows))
            raise ReceiverUnavailableError(out_of_bounds_advice(error)) from error


def _has_timely(rows: Sequence[_Positioned]) -> bool:
    return any(row.late_ms <= 1000 * LATE_SECONDS for _, row in rows)


class _Budget:
    def __init__(self, requests_left: int) -> None:
        self.requests_left = requests_left

"""The export: every row of `noetl.metric` to a time-series database, once and in order.

A turn is one transaction, in which nobody else exports: some rows are read, sent, and the position
moves on once the receiver has acknowledged them. A server that dies in the middle leaves the
position where it was, and another takes over at once; what was sent by then is sent again, as the
same samples.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from server_stub.errors import (
    ReceiverRefusedError,
    ReceiverUnavailableError,
    StoreUnavailableError,
)
from server_stub.export_store import ExportStore
from server_stub.remote_write import Assembly

if TYPE_CHECKING:
    from server_stub.database import Database
    from server_stub.export_statistics import ExportStatistics
    from server_stub.receiver import Receiver
    from server_stub.remote_write import Assembled, Family
    from server_stub.settings import Settings

ROWS_MAX = 5_000
"""Rows in a turn: what receivers like in one request, and some 50 ms of work."""

HORIZON_SECONDS = 5.0
"""How long transactions that insert are waited for in a turn."""

PAUSE_SECONDS_MAX = 30.0
"""The longest pause after a failure, unless the receiver asks for more."""

_logger = logging.getLogger(__name__)


class Export:
    """Exports.

    Args:
        database: a pool of its own, so that requests never wait for a connection because of it.
        receiver: where metrics go.
        settings: the pause between turns, and how long rows are held.
        statistics: counts what happens to them.
    """

    def __init__(
        self,
        database: Database,
        receiver: Receiver,
        settings: Settings,
        statistics: ExportStatistics,
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._settings = settings
        self._statistics = statistics
        self._assembly = Assembly()
        self._rows_max = ROWS_MAX
        # Up to it all rows can be seen, and no later one can come between.
        self._horizon = 0
        self._families: dict[str, Family] = {}

    async def run_forever(self) -> None:
        """Export until cancelled."""
        failures = 0
        while True:
            pause_seconds = self._settings.export_interval_seconds
            try:
                if await self.take_turn():
                    pause_seconds = 0.0
                if failures:
                    _logger.info("the export goes on")
                failures = 0
            except (ReceiverUnavailableError, StoreUnavailableError) as error:
                failures += 1
                pause_seconds = _pause_seconds(failures, error)
                self._statistics.failures.inc()
                log = _logger.warning if failures == 1 else _logger.info
                log("the export waits for %.1f s: %s", pause_seconds, error)
            except Exception:  # the loop must outlive what nobody foresaw
                failures += 1
                pause_seconds = PAUSE_SECONDS_MAX
                self._statistics.failures.inc()
                _logger.exception("the export failed, next try in %g s", pause_seconds)
            await asyncio.sleep(pause_seconds)

    async def take_turn(self) -> bool:
        """Export some rows, unless another server does.

        Returns:
            Whether there are more.

        Raises:
            ReceiverUnavailableError: the receiver takes nothing now; the position is as it was.
            StoreUnavailableError: the database is away or busy; likewise.
        """
        async with self._database.transaction() as connection:
            store = ExportStore(connection, self._settings.export_hold_days)
            position = await store.try_claim()
            if position is None:
                return False
            backlog = await store.read_backlog()
            self._statistics.lag.set(backlog.lag_seconds)
            self._statistics.loss_in.set(backlog.loss_in_seconds)
            if self._horizon - position < self._rows_max:
                horizon = await store.final_horizon(HORIZON_SECONDS)
                if horizon is None:
                    _logger.info("a transaction has been inserting for long, and is waited for")
                    return False
                self._horizon = horizon
            rows = await store.rows(position, self._horizon, self._rows_max)
            is_last = len(rows) < self._rows_max
            assembled = self._assembly.assemble(rows)
            families = self._new_families(assembled)
            refused = await self._try_write(assembled, families, len(rows))
            if refused is None:
                return True
            await store.remember_families(families)
            reached = self._horizon if is_last else rows[-1].metric_id
            if reached > position:
                await store.advance(reached)
        self._families.update({family.metric_name: family for family in families})
        self._count(assembled, refused)
        self._rows_max = min(ROWS_MAX, self._rows_max * 2)
        return not is_last

    async def _try_write(
        self, assembled: Assembled, families: list[Family], row_count: int
    ) -> int | None:
        """Return how many samples are refused for good; None to try fewer first."""
        if not assembled.series:
            return 0
        try:
            await self._receiver.write(assembled, families)
        except ReceiverRefusedError as error:
            if row_count > 1:
                # One bad sample has a receiver refuse all that come with it.
                self._rows_max = row_count // 2
                return None
            series, samples = assembled.series[0]
            _logger.warning("the receiver refuses %s %s: %s", dict(series.labels), samples, error)
            return 1
        return 0

    def _new_families(self, assembled: Assembled) -> list[Family]:
        known = self._families
        found = {series.family.metric_name: series.family for series, _ in assembled.series}
        return [family for name, family in found.items() if known.get(name) != family]

    def _count(self, assembled: Assembled, refused: int) -> None:
        self._statistics.samples.inc(assembled.samples - refused)
        dropped = {
            "refused": refused,
            "invalid": assembled.invalid,
            "same_millisecond": assembled.merged,
        }
        for reason, count in dropped.items():
            if count:
                self._statistics.samples_dropped.labels(reason).inc(count)


def _pause_seconds(failures: int, error: ReceiverUnavailableError | StoreUnavailableError) -> float:
    """Return how long to wait after failures in a row, with full jitter.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    pause = random.uniform(0.1, min(PAUSE_SECONDS_MAX, 2.0 ** min(failures, 10)))
    if isinstance(error, ReceiverUnavailableError) and error.retry_after_seconds is not None:
        return max(pause, min(error.retry_after_seconds, PAUSE_SECONDS_MAX))
    return pause

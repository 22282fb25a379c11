"""The export: every row of `noetl.metric` to a time-series database, once and in order.

A turn is one transaction, in which no other server exports. The server reads some rows and sends
them, and moves the position on once the receiver has acknowledged them. If the server dies in the
middle, the position stays where it was, and another server takes over at once. It sends again what
the first one has sent by then, as the same samples.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from server_stub.errors import ReceiverRefusedError, ReceiverUnavailableError, StoreUnavailableError
from server_stub.export.outcome import RefusalLog, count_portion
from server_stub.export.portion import ROWS_MAX
from server_stub.export.position import ExportPosition, Progress
from server_stub.export.reading import PortionReader
from server_stub.statistics import ExportGauges
from server_stub.time_series_database.families import WrittenFamilies, write_families
from server_stub.time_series_database.refusals import Refusal, out_of_bounds_advice, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.export.pacing import Pacing
    from server_stub.export.state import ExportReport
    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics
    from server_stub.time_series_database.assembly import Assembled
    from server_stub.time_series_database.known_series import Family
    from server_stub.time_series_database.receiver import Receiver

HORIZON_SECONDS = 5.0
"""How long a turn waits for transactions that insert."""

PAUSE_SECONDS_MAX = 30.0
"""The longest pause after a failure, unless the receiver asks for more."""

_AS_OLD = frozenset({Refusal.OUT_OF_ORDER, Refusal.OUT_OF_BOUNDS})

_logger = logging.getLogger(__name__)


class Exporter:
    """Exports, turn by turn.

    Args:
        database: a pool of its own, so that requests never wait for a connection because of it.
        receiver: the time-series database that the samples are written to.
        settings: the pause between turns, and how long rows are held.
        statistics: counts what happens to the samples.
        report: gets what an operator may ask for.
        monotonic: returns the seconds of the monotonic clock.
        pacing: tells the pause between turns while there is more to export.
    """

    def __init__(
        self,
        database: Database,
        receiver: Receiver,
        settings: Settings,
        statistics: Statistics,
        report: ExportReport,
        monotonic: Callable[[], float],
        pacing: Pacing,
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._settings = settings
        self._statistics = statistics.export
        self._gauges = ExportGauges(statistics.registry)
        self._report = report
        self._reader = PortionReader(settings.sample_ahead_seconds)
        self._loss_in_seconds = 0.0
        # How far this server has seen the export come. Only for noticing that the database forgot.
        self._reached = 0
        self._has_adopted = False
        self._families = WrittenFamilies(monotonic)
        self._interruptions_handled = 0
        self._pacing = pacing
        self._refusal_log = RefusalLog(monotonic)
        self._refused_by = ReceiverRefusedError("nothing yet")

    async def run_forever(self) -> None:
        """Export until cancelled."""
        failures = 0
        while True:
            pause_seconds = self._settings.export_interval_seconds
            try:
                self._pacing.begin_turn()
                if await self.take_turn():
                    pause_seconds = self._pacing.pause_seconds(self._loss_in_seconds)
                if failures:
                    _logger.info("the export goes on")
                failures = 0
                self._report.note_success()
            except (ReceiverUnavailableError, StoreUnavailableError) as error:
                failures += 1
                self._reader.forget_ahead()
                pause_seconds = _pause_seconds(failures, error)
                self._statistics.failures.inc()
                self._report.note_failure(error)
                log = _logger.warning if failures == 1 else _logger.info
                log("the export waits for %.1f s: %s", pause_seconds, error)
            except Exception as error:  # the loop must outlive an unforeseen error
                failures += 1
                self._reader.forget_ahead()
                self._report.note_failure(error)
                pause_seconds = PAUSE_SECONDS_MAX
                self._statistics.failures.inc()
                _logger.exception("the export failed, next try in %g s", pause_seconds)
            await asyncio.sleep(pause_seconds)

    async def take_turn(self) -> bool:
        """Export some rows, unless another server does.

        While the receiver takes them, the server reads those of the next turn.

        Returns:
            Whether there are more.

        Raises:
            ReceiverUnavailableError: the receiver takes nothing now; the position is as it was.
            StoreUnavailableError: the database is away or busy; the position is as it was.
        """
        async with self._database.transaction() as connection:
            position = ExportPosition(connection, self._settings)
            progress = await position.try_claim()
            if progress is None:
                return False
            self._note_reached(progress.acknowledged)
            await self._set_gauges(position)
            horizon = await self._horizon(position, progress)
            if horizon is None:
                return False
            portion = await self._reader.next(position, progress, horizon)
            families = self._families.missing(portion.assembled)
            # A request without samples asks whether the receiver may have been restarted.
            is_asked = bool(portion.assembled.series) or progress.settled < progress.acknowledged
            async with self._reader.reading_ahead(position, portion, horizon):
                refusal = await self._try_write(portion.assembled, families) if is_asked else None
            reached = portion.reached
            if refusal in _AS_OLD and portion.is_repeat:
                # The receiver takes no samples that are older than those that it has. So it has
                # lost nothing.
                reached = progress.acknowledged
            elif refusal is not None and portion.row_count > 1:
                # Because of one bad sample, a receiver refuses all that come with it.
                self._reader.size.narrow(portion.row_count)
                return True
            elif refusal is Refusal.OUT_OF_BOUNDS:
                # The receiver takes the sample once its own state is mended, and no later one
                # before.
                if not portion.is_late:
                    self._statistics.out_of_bounds.inc()
                    raise ReceiverUnavailableError(out_of_bounds_advice(self._refused_by))
                refusal = Refusal.OUT_OF_ORDER
            await write_families(connection, families)
            if reached > progress.settled:
                await position.advance(reached, horizon)
            interruptions = self._receiver.interruptions
            is_rewound = (
                interruptions > self._interruptions_handled
                and refusal is None
                and progress.settled < progress.position
            )
            if is_rewound:
                await position.rewind()
        self._reached = max(self._reached, reached)
        if is_asked:
            self._interruptions_handled = interruptions
        self._families.note_committed(families)
        count_portion(self._statistics, portion, refusal)
        self._reader.size.widen(portion.byte_count / max(portion.row_count, 1))
        return not portion.is_last or portion.is_repeat or is_rewound

    async def _set_gauges(self, position: ExportPosition) -> None:
        backlog = await position.read_backlog()
        self._gauges.lag.set(backlog.lag_seconds)
        self._gauges.loss_in.set(backlog.loss_in_seconds)
        self._loss_in_seconds = backlog.loss_in_seconds
        self._report.note_backlog(backlog)

    def _note_reached(self, acknowledged: int) -> None:
        """Notice that the database has forgotten how far the export had come."""
        if acknowledged < self._reached:
            _logger.error(
                "the database was set back, to a backup or to a standby that lacked the last "
                "transactions: the export had come to row %d, and goes on after row %d. The "
                "time-series database keeps what was exported and is in PostgreSQL no more",
                self._reached,
                acknowledged,
            )
        self._reached = acknowledged

    async def _horizon(self, position: ExportPosition, progress: Progress) -> int | None:
        """Return up to which id every row is known; None if the export has to wait to know it.

        The database remembers it beside the position: what a server remembered would outlive a
        database that is set back.
        """
        if progress.position < progress.acknowledged:
            return progress.horizon  # it is not needed yet
        if progress.horizon - progress.position >= self._reader.size.row_limit:
            return progress.horizon
        await self._adopt(position)
        horizon = await position.final_horizon(HORIZON_SECONDS)
        if horizon is not None and horizon < progress.acknowledged:
            _logger.error("the ids of noetl.metric have begun anew, and so does the export")
            await position.begin_anew()
            self._reached = 0
            return None
        return horizon

    async def _adopt(self, position: ExportPosition) -> None:
        adopted = await position.adopt(ROWS_MAX)
        if adopted and not self._has_adopted:
            self._has_adopted = True
            _logger.warning(
                "another program inserts into noetl.metric with ids that are not of its sequence; "
                "the export gives these rows new ids, %d now",
                adopted,
            )

    async def _try_write(self, assembled: Assembled, families: list[Family]) -> Refusal | None:
        """Return why the receiver refuses the samples for good; None if it has taken them."""
        try:
            await self._receiver.write(assembled, families)
        except ReceiverRefusedError as error:
            if assembled.samples == 1:
                self._refusal_log.note(assembled, error)
            self._refused_by = error
            return refusal_of(error)
        return None


def _pause_seconds(failures: int, error: ReceiverUnavailableError | StoreUnavailableError) -> float:
    """Return how long to wait after failures in a row, with full jitter.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    pause = random.uniform(0.1, min(PAUSE_SECONDS_MAX, 2.0 ** min(failures, 10)))
    if isinstance(error, ReceiverUnavailableError) and error.retry_after_seconds is not None:
        return max(pause, min(error.retry_after_seconds, PAUSE_SECONDS_MAX))
    return pause

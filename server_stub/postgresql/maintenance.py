"""Makes partitions ahead, and drops or rebuilds expired ones, in the background.

Why so: docs/decisions/partitions.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from server_stub.errors import DatabaseAwayError, StoreUnavailableError
from server_stub.postgresql.partitions import Attempt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from server_stub.postgresql.partition_making import Made
    from server_stub.postgresql.partitions import Partitions
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics

DROP_ATTEMPTS = 5
DROP_PAUSE_SECONDS = 0.5
"""The pause between two attempts to drop a partition: inserts that waited for the first go on."""

RETRY_SECONDS = 10.0
"""How soon the server repeats a failed run, unless the interval is shorter."""

_logger = logging.getLogger(__name__)


class Expired(NamedTuple):
    """What became of the expired partitions.

    Some were dropped. The rebuilt ones keep some of their rows. The skipped ones are as they were:
    they are in use, or something stands in the way, which the log names.
    """

    dropped: list[str]
    rebuilt: list[str]
    skipped: list[str]


class Maintenance:
    """Makes, drops and rebuilds partitions as the settings want it.

    Args:
        partitions: the database's partitions.
        settings: the interval, and how many days ahead partitions are made.
        statistics: counts partitions and failures.
    """

    def __init__(self, partitions: Partitions, settings: Settings, statistics: Statistics) -> None:
        self._partitions = partitions
        self._settings = settings
        self._statistics = statistics
        self._pause_seconds = settings.maintenance_interval_seconds

    async def start(self) -> None:
        """Prepare the database before the server takes requests, as far as the database allows it.

        Whatever fails is logged and tried again: the server starts, and `GET /readyz` says what is
        missing.
        """
        # Every server does this, and not only if it is its turn: when it says that it is ready,
        # there are partitions.
        await self._attempt(self._initialize)
        await self._attempt(self.run_once)

    async def _initialize(self) -> None:
        self._note_made(
            await self._partitions.initialize_partitions(self._settings.partitions_days_ahead)
        )

    async def run_once(self) -> None:
        """Make the partitions that are needed, clean up the expired ones, forget old batches.

        While another server or worker process of the database does this, the run sets the retention
        and does nothing else.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        failure: StoreUnavailableError | None = None
        try:
            await self._partitions.set_retention()
        except DatabaseAwayError:
            raise
        except StoreUnavailableError as error:
            failure = error
        made = await self._partitions.try_maintain(self._settings.partitions_days_ahead)
        if made is not None:
            self._note_made(made)
        if failure is not None:
            # By the retention that the database still has, a day may be dropped too early.
            raise failure
        if made is not None:
            await self.clean_up_partitions()
            self._statistics.rows_unreadable.set(await self._partitions.count_unreadable())
            for partition_name in await self._partitions.detaching_partitions():
                _logger.warning(
                    "noetl.%s is being detached: it takes no rows, and does not expire. If the "
                    "detachment was interrupted, complete it by ALTER TABLE noetl.metric DETACH "
                    "PARTITION noetl.%s FINALIZE",
                    partition_name,
                    partition_name,
                )

    def _note_made(self, made: Made) -> None:
        self._statistics.partitions_created.inc(len(made.created))
        self._statistics.maintenance_failures.inc(made.blocked)

    async def clean_up_partitions(self) -> Expired:
        """Drop the expired partitions, or the expired rows in them; return their names.

        Each partition has a transaction of its own. If a partition is in use during all attempts,
        or if something stands in its way, it is left for the next time, and the others go.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        expired = Expired([], [], [])
        for partition_name in await self._partitions.list_expired_partitions():
            attempt = await self._clean_up(partition_name, expired)
            if attempt is Attempt.IN_USE:
                _logger.warning("%s is in use and is cleaned up next time", partition_name)
            if attempt in {Attempt.IN_USE, Attempt.REFUSED}:
                self._statistics.maintenance_failures.inc()
                expired.skipped.append(partition_name)
        return expired

    async def _clean_up(self, partition_name: str, expired: Expired) -> Attempt:
        unexported = await self._partitions.count_unexported(partition_name)
        if unexported is None:
            return Attempt.REFUSED
        attempt = await self._drop(partition_name)
        if attempt is Attempt.DONE:
            _logger.info("dropped %s", partition_name)
            expired.dropped.append(partition_name)
            self._statistics.partitions_dropped.inc()
            self._count_unexported(partition_name, unexported)
        elif attempt is Attempt.NOT_DUE:
            attempt = await self._rebuild(partition_name, unexported, expired)
        return attempt

    async def _rebuild(self, partition_name: str, unexported: int, expired: Expired) -> Attempt:
        attempt = await self._partitions.try_rebuild_expired_partition(
            partition_name, DROP_ATTEMPTS, DROP_PAUSE_SECONDS
        )
        if attempt is Attempt.DONE:
            _logger.info("rebuilt %s of the rows that live longer", partition_name)
            expired.rebuilt.append(partition_name)
            self._statistics.partitions_rebuilt.inc()
            left = await self._partitions.count_unexported(partition_name)
            if left is not None:
                self._count_unexported(partition_name, unexported - left)
        return attempt

    def _count_unexported(self, partition_name: str, unexported: int) -> None:
        if unexported:
            self._statistics.export.samples_dropped.labels("expired").inc(unexported)
            _logger.error(
                "%d samples of %s were not exported within --export-hold-days",
                unexported,
                partition_name,
            )

    async def _drop(self, partition_name: str) -> Attempt:
        for _ in range(DROP_ATTEMPTS):
            attempt = await self._partitions.try_drop_expired_partition(partition_name)
            if attempt is not Attempt.IN_USE:
                return attempt
            await asyncio.sleep(DROP_PAUSE_SECONDS)
        return Attempt.IN_USE

    async def run_forever(self) -> None:
        """Run once every interval, and sooner again after a failure, until cancelled."""
        while True:
            await asyncio.sleep(self._pause_seconds)
            await self._attempt(self.run_once)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work; if it fails, count that, and have the next run come sooner."""
        interval_seconds = self._settings.maintenance_interval_seconds
        retry_seconds = min(RETRY_SECONDS, interval_seconds)
        try:
            await work()
        except StoreUnavailableError as error:
            self._statistics.maintenance_failures.inc()
            self._pause_seconds = retry_seconds
            _logger.warning("maintenance failed, next try in %g s: %s", retry_seconds, error)
        except Exception:  # the loop must outlive an unforeseen error
            self._statistics.maintenance_failures.inc()
            self._pause_seconds = retry_seconds
            _logger.exception("maintenance failed, next try in %g s", retry_seconds)
        else:
            self._pause_seconds = interval_seconds

"""Makes partitions ahead, and drops or rebuilds expired ones, in the background.

Why so: docs/decisions/partitions.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from server_stub.errors import PartitionBlockedError, StoreUnavailableError
from server_stub.postgresql.partitions import Attempt

if TYPE_CHECKING:
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
    """The partitions that were dropped, and the rebuilt ones, which keep some of their rows."""

    dropped: list[str]
    rebuilt: list[str]


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

    async def start(self) -> None:
        """Prepare the database before the server takes requests, and then do a first run.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        try:
            await self._partitions.set_retention()
        except StoreUnavailableError as error:  # the next run tries again
            self._statistics.maintenance_failures.inc()
            _logger.warning("the retention is not changed yet: %s", error)
        try:
            # Every server does this, and not only if it is its turn: when it says that it is ready,
            # there are partitions.
            created = await self._partitions.initialize_partitions(
                self._settings.partitions_days_ahead
            )
            self._statistics.partitions_created.inc(len(created))
            await self._take_turn()
        except PartitionBlockedError:  # logged; the days that have a partition are served
            self._statistics.maintenance_failures.inc()

    async def run_once(self) -> None:
        """Make the partitions that are needed, clean up the expired ones, forget old batches.

        While another server or worker process of the database does this, the run sets the retention
        and does nothing else.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        await self._partitions.set_retention()
        await self._take_turn()

    async def _take_turn(self) -> None:
        created = await self._partitions.try_maintain(self._settings.partitions_days_ahead)
        if created is None:
            return
        self._statistics.partitions_created.inc(len(created))
        await self.clean_up_partitions()

    async def clean_up_partitions(self) -> Expired:
        """Drop the expired partitions, or the expired rows in them; return their names.

        Each partition has a transaction of its own. If a partition is in use during all attempts,
        it is left for the next time.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        expired = Expired([], [])
        for partition_name in await self._partitions.list_expired_partitions():
            unexported = await self._partitions.count_unexported(partition_name)
            attempt = await self._drop(partition_name)
            if attempt is Attempt.DONE:
                _logger.info("dropped %s", partition_name)
                expired.dropped.append(partition_name)
                self._statistics.partitions_dropped.inc()
                self._count_unexported(partition_name, unexported)
            elif attempt is Attempt.NOT_DUE:
                attempt = await self._rebuild(partition_name, unexported, expired)
            if attempt is Attempt.IN_USE:
                self._statistics.maintenance_failures.inc()
                _logger.warning("%s is in use and is cleaned up next time", partition_name)
        return expired

    async def _rebuild(self, partition_name: str, unexported: int, expired: Expired) -> Attempt:
        attempt = await self._partitions.try_rebuild_expired_partition(
            partition_name, DROP_ATTEMPTS, DROP_PAUSE_SECONDS
        )
        if attempt is Attempt.DONE:
            _logger.info("rebuilt %s of the rows that live longer", partition_name)
            expired.rebuilt.append(partition_name)
            self._statistics.partitions_rebuilt.inc()
            left = await self._partitions.count_unexported(partition_name)
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
        interval_seconds = self._settings.maintenance_interval_seconds
        pause_seconds = interval_seconds
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self.run_once()
            except StoreUnavailableError as error:
                self._statistics.maintenance_failures.inc()
                pause_seconds = min(RETRY_SECONDS, interval_seconds)
                _logger.warning("maintenance failed, next try in %g s: %s", pause_seconds, error)
            except Exception:  # the loop must outlive an unforeseen error
                self._statistics.maintenance_failures.inc()
                pause_seconds = min(RETRY_SECONDS, interval_seconds)
                _logger.exception("maintenance failed, next try in %g s", pause_seconds)
            else:
                pause_seconds = interval_seconds

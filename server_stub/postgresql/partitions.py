"""The partitions of `noetl.metric`: made, found, rebuilt and dropped, all by the database's clock.

Every method raises `StoreUnavailableError` if the database is away or busy. A method that makes
partitions raises `PartitionBlockedError` if an operator has to make room for one first.

Why so: docs/decisions/partitions.md.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, DatabaseError, errors

from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.database import adapted, scalars_in
from server_stub.postgresql.partition_making import Made, explained, initialize
from server_stub.postgresql.session import TimeOuts

if TYPE_CHECKING:
    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings

REBUILD_TIME_OUTS = TimeOuts(lock_seconds=5.0, statement_seconds=3600.0)
"""The copy of the kept rows may take long: no query and no insert of today's rows waits for it."""

_logger = logging.getLogger(__name__)

_IN_USE = (errors.LockNotAvailable, errors.DeadlockDetected)

_OF_ONE_PARTITION = (
    TimeoutError,
    errors.InsufficientPrivilege,
    errors.QueryCanceled,
    errors.UndefinedTable,
)
"""What makes the whole database unavailable to a request, but not to the maintenance."""


class Attempt(Enum):
    """How an attempt to drop or rebuild a partition has ended."""

    DONE = auto()
    NOT_DUE = auto()
    """Some rows of the partition live longer, or another server was faster."""
    IN_USE = auto()
    """The attempt gave up, rather than hold up the inserts that wait behind it."""
    REFUSED = auto()
    """PostgreSQL does not do it, or takes too long. That is about this partition, and is logged."""


class Partitions:
    """Makes and drops partitions.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention, and the retention by name.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = timedelta(days=settings.retention_days)
        self._days_by_pattern = dict(settings.metric_retention_days)

    async def set_retention(self) -> None:
        """Write the configured retention into the database."""
        rules = {"retention": self._retention, "days_by_pattern": self._days_by_pattern}
        await self._database.scalars("partitions/set_retention.sql", adapted(rules))

    async def initialize_partitions(self, days_ahead: int) -> Made:
        """Make the partitions from yesterday on that are needed."""
        async with self._database.transaction() as connection:
            return await initialize(connection, days_ahead)

    async def create_partitions_ahead(self, days_ahead: int) -> list[str]:
        """Make partitions from tomorrow on; return the names of those made."""
        with explained():
            (created,) = await self._database.scalars(
                "partitions/create_partitions_ahead.sql", {"days_ahead": days_ahead}
            )
        return list(created)

    async def create_partition_now(self) -> int:
        """Make today's partition, if it is missing; return how many were made."""
        with explained():
            created = await self._database.scalars(
                "partitions/create_partition.sql", {"day_offset": 0}
            )
        return sum(name is not None for name in created)

    async def missing_partitions(self) -> list[str]:
        """Return which of today's and tomorrow's partitions are missing."""
        return await self._database.scalars("partitions/missing_partitions.sql")

    async def detaching_partitions(self) -> list[str]:
        """Return the partitions whose concurrent detachment has not ended: they get no rows."""
        return await self._database.scalars("partitions/detaching_partitions.sql")

    async def count_unreadable(self) -> int:
        """Return how many rows have a time that no answer can hold: another program made them."""
        return int(sum(await self._database.scalars("partitions/count_unreadable.sql")))

    async def list_expired_partitions(self) -> list[str]:
        """Return the partitions of which all or some rows have expired, oldest first."""
        return await self._database.scalars("partitions/list_expired_partitions.sql")

    async def count_unexported(self, partition_name: str) -> int | None:
        """Return how many rows the export loses if a partition is dropped now.

        The count may take long, as no request waits for it. None if it cannot be counted.
        """
        parameters = {"partition_name": partition_name}
        try:
            async with self._database.transaction(REBUILD_TIME_OUTS) as connection:
                counts = await scalars_in(connection, "partitions/count_unexported.sql", parameters)
        except (StoreUnavailableError, DatabaseError) as error:
            _refusal(partition_name, error)
            return None
        return int(sum(counts))

    async def try_drop_expired_partition(self, partition_name: str) -> Attempt:
        """Drop a partition in a transaction of its own, unless some of its rows live longer."""
        parameters = {"partition_name": partition_name}
        try:
            (dropped,) = await self._database.scalars(
                "partitions/drop_expired_partition.sql", parameters
            )
        except (StoreUnavailableError, DatabaseError) as error:
            return _refusal(partition_name, error)
        return Attempt.DONE if dropped else Attempt.NOT_DUE

    async def try_rebuild_expired_partition(
        self, partition_name: str, attempts: int, pause_seconds: float
    ) -> Attempt:
        """Replace a partition by one that has only the rows which live longer.

        PostgreSQL copies these rows once. The copy then takes the partition's place, in several
        attempts if need be. All this is one transaction: if anything breaks it off, the partition
        stays as it was.

        Args:
            partition_name: a partition of which some rows have expired.
            attempts: the most attempts to put the copy in the partition's place.
            pause_seconds: the pause between two attempts, in which inserts that waited go on.
        """
        parameters = {"partition_name": partition_name}
        try:
            async with self._database.transaction(REBUILD_TIME_OUTS) as connection:
                (rebuilt_name,) = await scalars_in(
                    connection, "partitions/copy_kept_metrics.sql", parameters
                )
                if rebuilt_name is None:
                    return Attempt.NOT_DUE
                parameters["rebuilt_name"] = rebuilt_name
                for _ in range(attempts - 1):
                    if await _try_swap(connection, parameters):
                        return Attempt.DONE
                    await asyncio.sleep(pause_seconds)
                await scalars_in(connection, "partitions/swap_kept_metrics.sql", parameters)
        except (StoreUnavailableError, DatabaseError) as error:
            return _refusal(partition_name, error)
        return Attempt.DONE

    async def try_maintain(self, days_ahead: int) -> Made | None:
        """Make the partitions that are needed, and forget old batches, unless another server does.

        Returns:
            The partitions made; None if it is another server's turn.
        """
        # All is one transaction: behind a pgbouncer, a lock can last no longer.
        async with self._database.transaction() as connection:
            if await scalars_in(connection, "partitions/try_maintenance_turn.sql") == [False]:
                return None
            made = await initialize(connection, days_ahead)
            await scalars_in(connection, "partitions/forget_batches.sql")
        return made


def _refusal(partition_name: str, error: StoreUnavailableError | DatabaseError) -> Attempt:
    """Return how an attempt has ended that failed; raise the error if it is not about a partition.

    Args:
        partition_name: the partition.
        error: why it failed.
    """
    cause = error.__cause__ if isinstance(error, StoreUnavailableError) else error
    if isinstance(cause, _IN_USE):
        return Attempt.IN_USE
    if isinstance(error, StoreUnavailableError) and not isinstance(cause, _OF_ONE_PARTITION):
        raise error
    reason = "; ".join(str(cause or error).split("\n"))
    _logger.warning("noetl.%s has expired and cannot be cleaned up: %s", partition_name, reason)
    return Attempt.REFUSED


async def _try_swap(connection: AsyncConnection[Any], parameters: dict[str, str]) -> bool:
    try:
        # This is a savepoint: if the swap fails, its locks are free again, and the copy stays.
        async with connection.transaction():
            await scalars_in(connection, "partitions/swap_kept_metrics.sql", parameters)
    except _IN_USE:
        return False
    return True

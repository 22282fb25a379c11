"""The partitions of `noetl.metric`: made, found, rebuilt and dropped, all by the database's clock.

Every method raises `StoreUnavailableError` when the database is away or busy, and those that make
partitions `PartitionBlockedError` when that takes an operator.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, DatabaseError, OperationalError, errors

from server_stub.errors import PartitionBlockedError, StoreUnavailableError
from server_stub.postgresql.database import TimeOuts, adapted, scalars_in

if TYPE_CHECKING:
    from collections.abc import Generator

    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings

RETRY_AFTER_SECONDS = 60
"""When to send again what an operator has to make room for."""

REBUILD_TIME_OUTS = TimeOuts(lock_seconds=5.0, statement_seconds=3600.0)
"""Nobody waits for the copy of the rows that are kept, however many they are."""

_logger = logging.getLogger(__name__)

_IN_USE = (errors.LockNotAvailable, errors.DeadlockDetected)


class PartitionStore:
    """Makes and drops partitions.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention, and that of names.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = timedelta(days=settings.retention_days)
        self._days_by_pattern = dict(settings.metric_retention_days)

    async def set_retention(self) -> None:
        """Make the configured retention the database's own."""
        rules = {"retention": self._retention, "days_by_pattern": self._days_by_pattern}
        await self._database.scalars("set_retention", adapted(rules))

    async def initialize_partitions(self, days_ahead: int) -> list[str]:
        """Make the partitions that are needed; return the names of those made."""
        return await self._create("initialize_partitions", days_ahead)

    async def create_partitions_ahead(self, days_ahead: int) -> list[str]:
        """Make partitions from tomorrow on; return the names of those made."""
        return await self._create("create_partitions_ahead", days_ahead)

    async def _create(self, query: str, days_ahead: int) -> list[str]:
        with _explained():
            (created,) = await self._database.scalars(query, {"days_ahead": days_ahead})
        return list(created)

    async def create_partition_now(self) -> int:
        """Make today's partition, if it is missing; return how many were made."""
        with _explained():
            created = await self._database.scalars("create_partition_now")
        return sum(name is not None for name in created)

    async def missing_partitions(self) -> list[str]:
        """Return which of today's and tomorrow's partitions are not there."""
        return await self._database.scalars("missing_partitions")

    async def list_expired_partitions(self) -> list[str]:
        """Return the partitions that have something to expire, whole or in part, oldest first."""
        return await self._database.scalars("list_expired_partitions")

    async def count_unexported(self, partition_name: str) -> int:
        """Return how many rows of a partition are lost to the export if it is dropped now."""
        parameters = {"partition_name": partition_name}
        return int(sum(await self._database.scalars("count_unexported", parameters)))

    async def try_drop_expired_partition(self, partition_name: str) -> bool | None:
        """Drop a partition in a transaction of its own.

        Returns:
            Whether it was dropped, which it is not while some of its rows live longer; None when
            it is in use, and the drop gave up rather than hold up the inserts that wait behind it.
        """
        parameters = {"partition_name": partition_name}
        try:
            (dropped,) = await self._database.scalars("drop_expired_partition", parameters)
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, _IN_USE):
                return None
            raise
        return bool(dropped)

    async def try_rebuild_expired_partition(
        self, partition_name: str, attempts: int, pause_seconds: float
    ) -> bool | None:
        """Replace a partition by one that has only the rows which live longer.

        They are copied once, and the copy is put in its place in as many attempts as that takes,
        all in one transaction: whatever breaks it off leaves the partition as it was.

        Args:
            partition_name: one of which some rows have expired.
            attempts: how often to try for the place, at most.
            pause_seconds: how long inserts that waited behind an attempt go on before the next.

        Returns:
            Whether it was replaced, which it is not if there is nothing to do or another server
            does it; None when it is in use.
        """
        parameters = {"partition_name": partition_name}
        try:
            async with self._database.transaction(REBUILD_TIME_OUTS) as connection:
                (rebuilt_name,) = await scalars_in(connection, "copy_kept_metrics", parameters)
                if rebuilt_name is None:
                    return False
                parameters["rebuilt_name"] = rebuilt_name
                for _ in range(attempts - 1):
                    if await _try_swap(connection, parameters):
                        return True
                    await asyncio.sleep(pause_seconds)
                await scalars_in(connection, "swap_kept_metrics", parameters)
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, _IN_USE):
                return None
            raise
        return True

    async def try_maintain(self, days_ahead: int) -> list[str] | None:
        """Make the partitions that are needed, and forget old batches, unless another server does.

        Returns:
            The names of the partitions made; None when it is another server's turn.
        """
        with _explained():
            # One transaction, which is all that a lock can last for behind a pgbouncer.
            async with self._database.transaction() as connection:
                if await scalars_in(connection, "try_maintenance_turn") == [False]:
                    return None
                (created,) = await scalars_in(
                    connection, "initialize_partitions", {"days_ahead": days_ahead}
                )
                await scalars_in(connection, "forget_batches")
        return list(created)


async def _try_swap(connection: AsyncConnection[Any], parameters: dict[str, str]) -> bool:
    try:
        # A savepoint: what it has locked is free again, and the copy is still there.
        async with connection.transaction():
            await scalars_in(connection, "swap_kept_metrics", parameters)
    except _IN_USE:
        return False
    return True


@contextmanager
def _explained() -> Generator[None]:
    """Say which table or bound stands in a partition's way: that is for an operator to change."""
    try:
        yield
    except OperationalError:
        raise
    except DatabaseError as error:
        _logger.error(  # noqa: TRY400 - the message is the database's, the traceback nobody's
            "a partition of noetl.metric cannot be made: %s", error
        )
        raise PartitionBlockedError(
            "a partition of noetl.metric is missing and cannot be made; the server's log says what "
            "stands in its way. Try again later",
            RETRY_AFTER_SECONDS,
        ) from error

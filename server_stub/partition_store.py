"""The partitions of `noetl.metric`: made, found and dropped, all by the database's clock.

Every method raises `StoreUnavailableError` when the database is away or busy, and those that make
partitions `PartitionBlockedError` when that takes an operator.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg import DatabaseError, OperationalError, errors

from server_stub.database import scalars_in
from server_stub.errors import PartitionBlockedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator

    from server_stub.database import Database
    from server_stub.settings import Settings

RETRY_AFTER_SECONDS = 60
"""When to send again what an operator has to make room for."""

_logger = logging.getLogger(__name__)


class PartitionStore:
    """Makes and drops partitions.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = timedelta(days=settings.retention_days)

    async def set_retention(self) -> None:
        """Make the configured retention the database's own."""
        await self._database.scalars("set_retention", {"retention": self._retention})

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
        """Return the partitions that are to be dropped, oldest first."""
        return await self._database.scalars("list_expired_partitions")

    async def count_unexported(self, partition_name: str) -> int:
        """Return how many rows of a partition are lost to the export if it is dropped now."""
        parameters = {"partition_name": partition_name}
        return int(sum(await self._database.scalars("count_unexported", parameters)))

    async def try_drop_expired_partition(self, partition_name: str) -> bool | None:
        """Drop a partition in a transaction of its own.

        Returns:
            Whether it was dropped; None when it is in use, and the drop gave up rather than
            hold up the inserts that wait behind it.
        """
        parameters = {"partition_name": partition_name}
        try:
            (dropped,) = await self._database.scalars("drop_expired_partition", parameters)
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
                return None
            raise
        return bool(dropped)

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

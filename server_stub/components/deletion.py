"""Deletes a component and its metrics, in portions that hold up no insert of others.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from server_stub.errors import ComponentNotFoundError
from server_stub.postgresql.created import DAYS_AT_ONCE, created_since, database_time
from server_stub.postgresql.database import scalars_in
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from server_stub.postgresql.database import Database

ROWS_DELETED_AT_ONCE = 5_000
"""The most rows that one transaction deletes: some hundredths of a second."""

INSERTED_BESIDE = timedelta(days=1)
"""How long before a deletion a row may say that it was inserted, if it came beside the deletion and
is counted in the answer. PostgreSQL deletes older ones with the component, uncounted."""

_logger = logging.getLogger(__name__)


class Deleted(NamedTuple):
    """A component that is gone, and how many rows of `noetl.metric` went with it."""

    component_type: str
    name: str
    metrics: int


class Deletions:
    """Deletes components.

    Args:
        database: the pool of connections.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # PostgreSQL looks for rows of the component in all partitions once more, by the foreign
        # key, and has the locks of all of them meanwhile. One deletion at a time comes to that.
        self._ending = asyncio.Semaphore(1)

    async def delete(self, runtime_id: int) -> Deleted:
        """Delete a component, its processes and its metrics; return when all of it is gone.

        If the deletion breaks off, the component stays as one that is being deleted: it takes no
        more batches, and another call goes on where this one has ended.

        Args:
            runtime_id: the component's id.

        Raises:
            ComponentNotFoundError: no component has this id.
            StoreUnavailableError: the database is away or busy; some rows may be gone.
        """
        wanted = {"runtime_id": runtime_id}
        if not await self._database.scalars("components/mark_deleting.sql", wanted):
            raise ComponentNotFoundError(f"no runtime {runtime_id} is registered")
        async with self._database.transaction() as connection:
            found = await connection.execute(read_sql("components/set_aside.sql"), wanted)
            row = await found.fetchone()
            began_at = await database_time(connection)
        if row is None:
            raise ComponentNotFoundError(f"no runtime {runtime_id} is registered any more")
        name, component_type = row
        metrics = await self._delete_metrics(runtime_id)
        beside = created_since(began_at, began_at - INSERTED_BESIDE).parameters()
        async with self._ending, self._database.transaction() as connection:
            # Locked first: no other program inserts between the last look and the end.
            await scalars_in(connection, "components/hold_by_id.sql", wanted)
            (remaining,) = await scalars_in(
                connection, "components/delete_remaining.sql", wanted | beside
            )
            await scalars_in(connection, "components/delete.sql", wanted)
        metrics += remaining
        _logger.info("deleted %s/%s with %d metrics", component_type, name[:200], metrics)
        return Deleted(component_type, name, metrics)

    async def _delete_metrics(self, runtime_id: int) -> int:
        """Delete a component's rows from all partitions; return how many they were."""
        names = await self._database.scalars("components/list_partitions.sql")
        metrics = 0
        for first in range(0, len(names), DAYS_AT_ONCE.days):
            some = {
                "runtime_id": runtime_id,
                "partition_names": names[first : first + DAYS_AT_ONCE.days],
            }
            for partition_name in await self._database.scalars(
                "components/partitions_of.sql", some
            ):
                metrics += await _delete_from(self._database, partition_name, runtime_id)
        return metrics


async def _delete_from(database: Database, partition_name: str, runtime_id: int) -> int:
    """Delete a component's rows from a partition; return how many they were."""
    after_name: object = ""
    after_time: object = "-infinity"
    metrics = 0
    while True:
        portion = {
            "partition_name": partition_name,
            "runtime_id": runtime_id,
            "after_name": after_name,
            "after_time": after_time,
            "rows_max": ROWS_DELETED_AT_ONCE,
        }
        async with database.transaction() as connection:
            found = await connection.execute(read_sql("components/delete_metrics.sql"), portion)
            row = await found.fetchone()
        assert row is not None
        deleted, after_name, after_time = row
        metrics += int(deleted)
        if deleted < ROWS_DELETED_AT_ONCE:
            return metrics

"""What the server keeps and finds in the table `noetl.metric`, and its partitions.

Every method raises `StoreUnavailableError` when the database is away or busy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import errors
from psycopg.rows import namedtuple_row

from server_stub.database import adapted
from server_stub.errors import StoreUnavailableError
from server_stub.exposition import LatestSample
from server_stub.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from server_stub.cursor import Position
    from server_stub.database import Database
    from server_stub.settings import Settings


class Store:
    """Reads and writes `noetl.metric`.

    Args:
        database: the pool of connections; the schema must be there.
        settings: retention, lookback, and how far ahead samples may be.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = timedelta(days=settings.retention_days)
        self._sample_ahead = timedelta(seconds=settings.sample_ahead_seconds_max)
        self._lookback = timedelta(seconds=settings.exposition_lookback_seconds)

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> list[Any]:
        """Return metrics within the retention, as named tuples.

        Args:
            filters: filter to value, of those in `sql/filters/`, and the `limit`; `position` is
                the row after which to begin.
            order: `asc` or `desc`, by time and, at one time, by `metric_id`.
        """
        query = select_metrics_query(filters, order)
        parameters = select_metrics_parameters(filters) | {
            "retention": self._retention,
            "sample_ahead": self._sample_ahead,
        }
        async with self._database.transaction() as connection:
            if is_of_a_series(filters):
                await connection.execute(read_sql("queries/plan_in_order.sql"))
            cursor = connection.cursor(row_factory=namedtuple_row)
            await cursor.execute(query, parameters)
            return list(await cursor.fetchall())

    async def latest_samples(self) -> list[LatestSample]:
        """Return the latest sample of each series within the lookback."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                read_sql("queries/latest_samples.sql"), {"lookback": self._lookback}
            )
            return [LatestSample._make(row) for row in await cursor.fetchall()]

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
        (created,) = await self._database.scalars(query, {"days_ahead": days_ahead})
        return list(created)

    async def missing_partitions(self) -> list[str]:
        """Return which of today's and tomorrow's partitions are not there."""
        return await self._database.scalars("missing_partitions")

    async def list_expired_partitions(self) -> list[str]:
        """Return the partitions that are to be dropped, oldest first."""
        return await self._database.scalars("list_expired_partitions")

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

    async def forget_batches(self) -> None:
        """Forget the batches of processes that have not been heard of for a week."""
        await self._database.scalars("forget_batches")


def select_metrics_query(filters: Collection[str], order: str) -> LiteralString:
    """Return the query of `select_metrics`, composed of the files of `sql/` only.

    Args:
        filters: the names of the filters.
        order: `asc` or `desc`.
    """
    parts: list[LiteralString] = [read_sql("queries/select_metrics.sql")]
    for name in sorted(set(filters) - {"limit"}):
        file_name = f"position_{order}" if name == "position" else name
        parts.append(read_sql(f"filters/{file_name}.sql"))
    parts.append(read_sql(f"filters/order_{order}.sql"))
    return "".join(parts)


def is_of_a_series(filters: Collection[str]) -> bool:
    """Return whether filters ask for what idx_metrics_runtime_name has in the order of a page.

    Args:
        filters: the names of the filters.
    """
    return {"runtime_id", "metric_name"} <= set(filters)


def select_metrics_parameters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `select_metrics_query` that come from the filters.

    Args:
        filters: as `Store.select_metrics` takes them.
    """
    parameters = adapted({name: value for name, value in filters.items() if name != "position"})
    position: Position | None = filters.get("position")
    if position is not None:
        parameters["position_timestamp"] = position.timestamp
        parameters["position_metric_id"] = position.metric_id
    return parameters

"""What the server keeps and finds in the table `noetl.metric`, and its partitions.

Every method raises `StoreUnavailableError` when the database is away or busy.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from psycopg import errors
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from server_stub.database import adapted
from server_stub.errors import RuntimeNotFoundError, StoreUnavailableError
from server_stub.exposition import LatestSample
from server_stub.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from psycopg import AsyncConnection

    from server_stub.batch_key import BatchKey
    from server_stub.database import Database
    from server_stub.ingest import Row
    from server_stub.settings import Settings

INSERT_ATTEMPTS = 3
"""Once to find the partition missing, once to insert, once more when midnight comes between."""

_logger = logging.getLogger(__name__)


class Inserted(NamedTuple):
    """The outcome of an insert.

    `duplicate_of` is None for a batch that is new; for a repeat it is the first answer, or {}
    where a later batch's answer has taken its place.
    """

    duplicate_of: dict[str, Any] | None
    partitions_created: int


class Store:
    """Reads and writes `noetl.metric`.

    Args:
        database: the pool of connections; the schema must be there.
        settings: retention and lookback.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = timedelta(days=settings.retention_days)
        self._lookback = timedelta(seconds=settings.exposition_lookback_seconds)

    async def insert(
        self,
        rows: Sequence[Row],
        runtime_id: int | None,
        key: BatchKey | None,
        answer: Mapping[str, object],
    ) -> Inserted:
        """Insert rows in one transaction, once for each key.

        Args:
            rows: the rows.
            runtime_id: the runtime of rows that have none of their own.
            key: what names the batch, if the client named it.
            answer: what to answer a repeat of the batch.

        Raises:
            RuntimeNotFoundError: a runtime went away since it was looked up.
        """
        partitions_created = 0
        for attempt in range(1, INSERT_ATTEMPTS + 1):
            try:
                duplicate_of = await self._try_insert(rows, runtime_id, key, answer)
            except errors.CheckViolation as error:
                # The table's own checks have names; a missing partition has none.
                if error.diag.constraint_name is not None or attempt == INSERT_ATTEMPTS:
                    raise
                _logger.warning("today's partition is missing and is made for an insert")
                created = await self._database.scalars("create_partition_now")
                partitions_created += sum(name is not None for name in created)
            else:
                return Inserted(duplicate_of, partitions_created)
        raise AssertionError("the last attempt returns or raises")

    async def _try_insert(
        self,
        rows: Sequence[Row],
        runtime_id: int | None,
        key: BatchKey | None,
        answer: Mapping[str, object],
    ) -> dict[str, Any] | None:
        async with self._database.transaction() as connection:
            if key is not None:
                claimed = await connection.execute(
                    read_sql("queries/claim_batch.sql"), key._asdict() | {"answer": Jsonb(answer)}
                )
                if await claimed.fetchone() is None:
                    return await _answer_of_first(connection, key)
            if rows:
                await _copy(connection, rows, runtime_id)
        return None

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> list[Any]:
        """Return metrics within the retention, as named tuples.

        Args:
            filters: filter to value, of those in `sql/filters/`, and the `limit`; `position` is
                the `metric_id` after which to begin.
            order: `asc` or `desc`, by `metric_id`.
        """
        query = select_metrics_query(filters, order)
        parameters = adapted(filters) | {"retention": self._retention}
        async with self._database.transaction() as connection:
            cursor = connection.cursor(row_factory=namedtuple_row)
            await cursor.execute(query, parameters)
            return list(await cursor.fetchall())

    async def latest_samples(self) -> list[LatestSample]:
        """Return the latest sample of each series within the lookback."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                read_sql("queries/latest_samples.sql"), {"lookback": self._lookback}
            )
            return [LatestSample(*row) async for row in cursor]

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


async def _copy(
    connection: AsyncConnection[Any], rows: Sequence[Row], runtime_id: int | None
) -> None:
    try:
        async with (
            connection.cursor() as cursor,
            cursor.copy(read_sql("queries/copy_metrics.sql")) as copy,
        ):
            for row in rows:
                owner = runtime_id if row.runtime_id is None else row.runtime_id
                await copy.write_row((owner, *row[2:]))
    except errors.ForeignKeyViolation as error:
        raise RuntimeNotFoundError(
            "a runtime was removed while its metrics were inserted: register it again"
        ) from error


async def _answer_of_first(connection: AsyncConnection[Any], key: BatchKey) -> dict[str, Any]:
    cursor = await connection.execute(read_sql("queries/last_batch.sql"), {"boot_id": key.boot_id})
    found = await cursor.fetchone()
    if found is None or found[0] != key.sequence:
        return {}
    answer: dict[str, Any] = found[1]
    return answer

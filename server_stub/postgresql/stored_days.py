"""What is stored, by day: the partitions, their sizes, and when they go. No row is counted.

Why so: docs/decisions/partitions.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import dict_row

from server_stub.postgresql.database import fetch_all, scalars_in
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server_stub.postgresql.database import Database

PARTITIONS_MAX = 10_000
"""The most partitions of an answer: the longest retention has 3,650 days."""

SIZES_MAX = 64
"""Of how many days, from today's back, the sizes are those of the files."""


class StoredDays(NamedTuple):
    """The partitions and the retention of a database.

    `partitions` has a row of `sql/partitions/list.sql` for each. `retention_seconds` is the
    retention of all names, and `retentions` that of the names by pattern which are kept longer.
    `missing` has those of today's and tomorrow's partitions that are not there, and `detaching`
    those that an operator has begun to detach.
    """

    partitions: list[dict[str, Any]]
    retention_seconds: float
    retentions: Mapping[str, float]
    missing: list[str]
    detaching: list[str]


class StoredDaysReader:
    """Reads what is stored by day: one look for all who ask meanwhile.

    Args:
        database: the pool of connections; the schema must be there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._look: asyncio.Task[StoredDays] | None = None

    async def read(self) -> StoredDays:
        """Return what is stored by day.

        With ten years of days a look takes a second, and pages of several operators ask again and
        again.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        if self._look is None:
            self._look = asyncio.create_task(_read(self._database))
            self._look.add_done_callback(self._forget)
        # A client that leaves does not end the look of the others.
        return await asyncio.shield(self._look)

    def _forget(self, _: asyncio.Task[StoredDays]) -> None:
        self._look = None


async def _read(database: Database) -> StoredDays:
    async with database.query() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(
            read_sql("partitions/list.sql"),
            {"partitions_max": PARTITIONS_MAX, "sizes_max": SIZES_MAX},
        )
        partitions = await fetch_all(cursor)
        found = await connection.execute(read_sql("partitions/retention.sql"))
        row = await found.fetchone()
        assert row is not None
        missing = await scalars_in(connection, "partitions/missing_partitions.sql")
        detaching = await scalars_in(connection, "partitions/detaching_partitions.sql")
    return StoredDays(partitions, row[0], row[1], missing, detaching)

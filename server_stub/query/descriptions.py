"""Which metrics there are, and what they have: for notes beside an answer that is empty or odd.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from server_stub.postgresql.created import DAYS_AT_ONCE, created_since, database_time
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.retention import Retention

if TYPE_CHECKING:
    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings

NAMES_MAX = 1_000
"""How many names are looked at; each is a look into the index."""


class Described(NamedTuple):
    """The types that a metric has, and the names of its labels; none if there is no such metric."""

    types: list[str]
    label_names: list[str]


class Descriptions:
    """Reads which metrics there are, within the retention and the last 32 days.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._age_max = min(Retention(settings).longest, DAYS_AT_ONCE)

    async def describe(self, metric_name: str) -> Described:
        """Return what a metric's latest samples have.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        async with self._database.query() as connection:
            now = await database_time(connection)
            bounds = created_since(now, now - self._age_max).parameters()
            found = await connection.execute(
                read_sql("query/describe_metric.sql"), {"metric_name": metric_name, **bounds}
            )
            row = await found.fetchone()
        assert row is not None
        return Described._make(row)

    async def names(self) -> list[str]:
        """Return the names of the metrics, at most `NAMES_MAX` of the table.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        async with self._database.query() as connection:
            now = await database_time(connection)
            bounds = created_since(now, now - self._age_max).parameters()
            found = await connection.execute(
                read_sql("query/metric_names.sql"), {"names_max": NAMES_MAX, **bounds}
            )
            return [row[0] for row in await found.fetchall()]

"""The families of exported names: PostgreSQL keeps them, and a time-series database does not.

A *family* is the type, the help text and the unit of a metric's name.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg import AsyncConnection

    from server_stub.postgresql.database import Database
    from server_stub.time_series_database.assembly import Assembled
    from server_stub.time_series_database.known_series import Family

REMEMBERED_SECONDS = 600.0
"""How long the server takes it for granted that the table still has what it wrote."""

UNKNOWN_FAMILY: dict[str, Any] = {"metric_type": "gauge", "help_text": None, "unit": None}
"""The family of a name that was never exported from this database."""


KEPT_BYTES_MAX = 16 * 1024 * 1024
"""How many bytes the families take that are known to be in the table."""

FAMILY_OVERHEAD_BYTES = 300


class KnownFamilies:
    """Reads the families of names.

    Args:
        database: the pool of connections; the schema must be there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, filters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the family of each name, in the form of `UNKNOWN_FAMILY`.

        Args:
            filters: the filters, of which only `metric_name` and `metric_type` count.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        name = filters.get("metric_name")
        # The type of a name that was never exported is unknown, so `chosen_names` judges it.
        metric_type = None if name else filters.get("metric_type")
        parameters = {"metric_name": name, "metric_type": metric_type}
        async with self._database.query() as connection:
            cursor = await connection.execute(
                read_sql("time_series_database/read_families.sql"), parameters
            )
            return {
                row[0]: dict(zip(UNKNOWN_FAMILY, row[1:], strict=True))
                for row in await cursor.fetchall()
            }


def chosen_names(
    filters: Mapping[str, Any], families: Mapping[str, Mapping[str, Any]]
) -> set[str] | None:
    """Return the names that filters of name and type choose; None for all names.

    Args:
        filters: the filters, of which only `metric_name` and `metric_type` count.
        families: as `KnownFamilies.read` returns them for the same filters.
    """
    name, metric_type = filters.get("metric_name"), filters.get("metric_type")
    if name is None:
        return None if metric_type is None else set(families)
    known_type = families.get(name, UNKNOWN_FAMILY)["metric_type"]
    return {name} if metric_type in {None, known_type} else set()


class WrittenFamilies:
    """The families that are in the table by now; the server does not write them again for a while.

    Beyond `KEPT_BYTES_MAX` it forgets them, and then writes once more what it meets again.

    Only for a while, because the database may be set back: to a backup, or to a standby that takes
    over and lacks the last transactions.

    Args:
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._by_name: dict[str, Family] = {}
        self._kept_bytes = 0
        self._since = monotonic()

    def missing(self, assembled: Assembled) -> list[Family]:
        """Return the families of samples that the table may not have, or has otherwise."""
        now = self._monotonic()
        if now - self._since >= REMEMBERED_SECONDS:
            self._by_name.clear()
            self._kept_bytes = 0
            self._since = now
        found = {series.family.metric_name: series.family for series in assembled.series}
        return [family for name, family in found.items() if self._by_name.get(name) != family]

    def note_committed(self, families: Sequence[Family]) -> None:
        """Note that families are in the table: their transaction has been committed."""
        if self._kept_bytes > KEPT_BYTES_MAX:
            self._by_name.clear()
            self._kept_bytes = 0
        for family in families:
            self._by_name[family.metric_name] = family
            self._kept_bytes += FAMILY_OVERHEAD_BYTES + sum(len(text or "") for text in family)


async def write_families(connection: AsyncConnection[Any], families: Sequence[Family]) -> None:
    """Put families into the table.

    Args:
        connection: in a transaction.
        families: at most one of each name.
    """
    if families:
        columns = {
            name: [getattr(family, name) for family in families]
            for name in ("metric_name", "metric_type", "help_text", "unit")
        }
        await connection.execute(read_sql("time_series_database/remember_families.sql"), columns)

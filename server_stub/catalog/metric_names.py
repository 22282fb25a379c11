"""The names of metrics, each with its type, help text and unit, for who chooses one.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.postgresql.created import DAYS_AT_ONCE, created_since, database_time
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.page_bytes import PAGE_BYTES_MAX, RowSize, bounds
from server_stub.query.retention import Retention
from server_stub.time_series_database.known_series import Family
from server_stub.time_series_database.requests import family_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings

NAMES_WALKED_MAX = 20_000
"""How many names are looked at; each is a look into the index of each day."""

WALK = timedelta(seconds=2)
"""How long names are looked at."""

RECENTLY = timedelta(days=1)
"""Where a name's latest sample is looked for first."""

ROWS_OF_A_FAMILY_MAX = 4
"""How many names of rows one name stands for: a summary's own, `_sum`, `_count`, `_bucket`."""

NAME_ROW = RowSize(300, 1)


class FoundNames(NamedTuple):
    """The families of metrics, sorted by name, and whether there may be others."""

    families: list[Family]
    is_cut: bool


class MetricNames:
    """Reads the names of the metrics within the retention and the last 32 days, or in the history.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention, and whether there is a history.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._age_max = min(Retention(settings).longest, DAYS_AT_ONCE)
        self._has_history = settings.history_url is not None

    async def find(self, search: str, limit: int) -> FoundNames:
        """Return the metrics whose names hold a text, in any case.

        The rows of a histogram or summary are one metric, under the name that they have in common.

        Args:
            search: the text; an empty one finds all.
            limit: the most metrics.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        rows_max = ROWS_OF_A_FAMILY_MAX * (limit + 1)
        async with self._database.query() as connection:
            now = await database_time(connection)
            parameters: dict[str, Any] = {
                **created_since(now, now - self._age_max).parameters(),
                **bounds(PAGE_BYTES_MAX, NAME_ROW),
                "created_recently": now - RECENTLY,
                "search": search,
                "names_max": NAMES_WALKED_MAX,
                "walk": WALK,
                "rows_max": rows_max,
                "has_history": self._has_history,
            }
            found = await connection.execute(read_sql("catalog/metric_names.sql"), parameters)
            rows = await found.fetchall()
        is_cut, rows_found = rows[0][:2]
        read = [Family._make(row[2:]) for row in rows if row[2] is not None]
        families = _by_common_name(read, search)
        # Rows beyond the bytes of an answer were not read.
        is_cut = is_cut or len(read) == rows_max or len(read) < (rows_found or 0)
        return FoundNames(families[:limit], is_cut or len(families) > limit)


def _by_common_name(rows: Iterable[Family], search: str) -> list[Family]:
    """Return one family for the rows that have a name in common, if that holds the text."""
    families: dict[str, Family] = {}
    for row in rows:
        name = family_name(row)
        if search.lower() in name.lower():
            families.setdefault(name, row._replace(metric_name=name))
    return [families[name] for name in sorted(families)]

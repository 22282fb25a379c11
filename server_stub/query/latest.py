"""The latest sample of each series, for a page for Prometheus.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from server_stub.components.store import with_component_id
from server_stub.errors import ParameterInvalidError
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.created import created_since, database_time
from server_stub.query.exposition import LatestSample
from server_stub.time_series_database.families import UNKNOWN_FAMILY
from server_stub.time_series_database.history import selector_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncServerCursor

    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings
    from server_stub.time_series_database.families import KnownFamilies
    from server_stub.time_series_database.history import History


PAGE_BYTES_MAX = 128 * 1024 * 1024
"""How much memory the rows of a page may take: those of some 250,000 series."""

ROWS_AT_ONCE = 5_000
_ROW_OVERHEAD_BYTES = 300


class LatestSamples:
    """Reads the latest samples from `noetl.metric`, or from the history if no samples are there.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the lookback, and whether samples are only in a time-series database.
        history: that time-series database.
        families: the families of the names in it.
        bytes_max: how much of `noetl.metric` a page may take.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        history: History | None,
        families: KnownFamilies,
        bytes_max: int = PAGE_BYTES_MAX,
    ) -> None:
        self._bytes_max = bytes_max
        self._database = database
        self._history = history if settings.storage == "remote-write" else None
        self._families = families
        self._lookback = timedelta(seconds=settings.exposition_lookback_seconds)

    async def read(self, filters: Mapping[str, Any]) -> list[LatestSample]:
        """Return the latest sample of each series within the lookback.

        Args:
            filters: `runtime_id` and `component_name`, or neither.

        Raises:
            ParameterInvalidError: there are too many for a page.
            StoreUnavailableError: a database is away or busy.
        """
        if self._history is not None:
            return await self._latest_of_history(self._history, filters)
        async with self._database.transaction() as connection:
            filters = await with_component_id(connection, filters)
            now = await database_time(connection)
            created = created_since(now, now - self._lookback)
            parameters = {**filters, "lookback": self._lookback, **created.parameters()}
            # PostgreSQL keeps the rows, so that the server has no more of them than it may.
            async with connection.cursor("latest_samples") as cursor:
                await cursor.execute(latest_samples_query(filters), parameters)
                return await self._rows_of(cursor)

    async def _rows_of(self, cursor: AsyncServerCursor[Any]) -> list[LatestSample]:
        found: list[LatestSample] = []
        size = 0
        while rows := await cursor.fetchmany(ROWS_AT_ONCE):
            portion = [LatestSample._make(row) for row in rows]
            size += sum(map(_size_of, portion))
            if size > self._bytes_max:
                raise ParameterInvalidError(
                    f"the page would have more than {len(found):,} series, of more than "
                    f"{self._bytes_max >> 20} MiB: ask for fewer components by component_name or "
                    "runtime_id, one page for each"
                )
            found += portion
        return found

    async def _latest_of_history(
        self, history: History, filters: Mapping[str, Any]
    ) -> list[LatestSample]:
        families = await self._families.read({})
        selector = selector_of(filters, None)
        assert selector is not None  # no name is asked for
        found = await history.latest(selector, self._lookback.total_seconds())
        return [
            LatestSample(
                series.runtime_id,
                series.component_name,
                series.component_type,
                series.metric_name,
                family["metric_type"],
                series.samples[-1][1],
                json.dumps(series.labels),
                family["help_text"],
                family["unit"],
            )
            for series in found
            for family in (families.get(series.metric_name, UNKNOWN_FAMILY),)
        ]


def _size_of(sample: LatestSample) -> int:
    return _ROW_OVERHEAD_BYTES + len(sample.labels or "") + len(sample.help_text or "")


def latest_samples_query(filters: Collection[str]) -> LiteralString:
    """Return the query of `LatestSamples`, composed of the files of `sql/` only.

    Args:
        filters: the names of the filters.
    """
    parts: list[LiteralString] = [
        read_sql("query/latest_samples.sql"), read_sql("filters/created.sql")
    ]  # fmt: skip
    for name in sorted(filters):
        parts.append(read_sql(f"filters/{name}.sql"))  # noqa: PERF401 - keeps its type
    parts.append(read_sql("filters/order_latest.sql"))
    return "".join(parts)

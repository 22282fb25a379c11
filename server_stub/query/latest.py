"""The latest sample of each series, for a page for Prometheus.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from server_stub.components.store import with_component_id
from server_stub.postgresql.created import created_since, database_time
from server_stub.postgresql.database import fetch_all
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.exposition import LatestSample
from server_stub.query.page_bytes import SERIES_ROW, bounded_latest_query, bounds
from server_stub.time_series_database.families import UNKNOWN_FAMILY
from server_stub.time_series_database.history import selector_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings
    from server_stub.time_series_database.families import KnownFamilies
    from server_stub.time_series_database.history import History


LONG_SERIES_BYTES = 4096
"""As `sql/query/latest_end.sql` has it."""


class SeriesOfName(NamedTuple):
    """The latest samples of the series of one name, as PostgreSQL sends them.

    What is one after the other in the bytes is in the same order in all of them. A series of more
    than `LONG_SERIES_BYTES` is by itself, beside the others of its name.
    """

    series_count: int
    metric_name: str
    series: bytes
    """What never changes of each series; `exposition/series_rows.py` says what is in it."""
    lengths: bytes
    """How many bytes each series has, in four bytes each, the highest first."""
    values: bytes
    """The values, in eight bytes each, the highest first."""
    times: bytes
    """When each sample was taken, in seconds since the epoch, in the form of the values; NaN for
    all samples but those of histograms, whose parts have to be of one moment."""


class LatestPage(NamedTuple):
    """The latest samples, and how many series were left out because of their size.

    The samples are those of the table by their names, and one by one those of the history.
    """

    names: list[SeriesOfName]
    samples: list[LatestSample]
    omitted_count: int


class LatestSamples:
    """Reads the latest samples from `noetl.metric`, or from the history if no samples are there.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the lookback, and whether samples are only in a time-series database.
        history: that time-series database.
        families: the families of the names in it.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        history: History | None,
        families: KnownFamilies,
    ) -> None:
        self._database = database
        self._history = history if settings.storage == "remote-write" else None
        self._families = families
        self._bytes_max = settings.exposition_bytes_max
        self._lookback = timedelta(seconds=settings.exposition_lookback_seconds)

    async def read(self, filters: Mapping[str, Any]) -> LatestPage:
        """Return the latest sample of each series within the lookback.

        If the series are too large together, the largest are left out.

        Args:
            filters: `runtime_id` and `component_name`, or neither.

        Raises:
            ParameterInvalidError: there are too many for a page.
            StoreUnavailableError: a database is away or busy.
        """
        if self._history is not None:
            return await self._latest_of_history(self._history, filters)
        async with self._database.query() as connection:
            filters = await with_component_id(connection, filters)
            now = await database_time(connection)
            query = bounded_latest_query(latest_samples_query(filters))
            parameters = {
                **filters,
                "lookback": self._lookback,
                **created_since(now, now - self._lookback).parameters(),
                **bounds(self._bytes_max, SERIES_ROW),
            }
            cursor = connection.cursor(binary=True)
            await cursor.execute(query, parameters)
            found = await fetch_all(cursor)
        return _page_of(found)

    async def _latest_of_history(self, history: History, filters: Mapping[str, Any]) -> LatestPage:
        families = await self._families.read({})
        selector = selector_of(filters, None)
        assert selector is not None  # no name is asked for
        found = await history.latest(selector, self._lookback.total_seconds())
        samples = [
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
        return _bounded(samples, self._bytes_max)


def _page_of(rows: list[tuple[Any, ...]]) -> LatestPage:
    # The first column is the number of all series. If none fits, the others are NULL.
    names = [SeriesOfName._make(row[1:]) for row in rows if row[1] is not None]
    return LatestPage(names, [], rows[0][0] - sum(found.series_count for found in names))


def _bounded(samples: list[LatestSample], bytes_max: int) -> LatestPage:
    """Leave out the largest series, as `sql/query/latest_end.sql` does."""

    def size(sample: LatestSample) -> int:
        return SERIES_ROW.size(sample.labels, sample.help_text, sample.unit)

    if sum(map(size, samples)) <= bytes_max:
        return LatestPage([], samples, 0)
    bytes_through = 0
    fitting: list[LatestSample] = []
    for sample in sorted(samples, key=size):
        bytes_through += size(sample)
        if bytes_through > bytes_max:
            break
        fitting.append(sample)
    return LatestPage([], fitting, len(samples) - len(fitting))


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

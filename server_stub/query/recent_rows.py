"""Rows of the table `noetl.metric`, by filters and in order, for pages.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from psycopg.rows import namedtuple_row

from server_stub.components.store import with_component_id
from server_stub.postgresql.created import created_since, database_time
from server_stub.postgresql.database import adapted, fetch_all
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.page_bytes import (
    PAGE_BYTES_MAX,
    SAMPLE_ROW,
    bounded_page_query,
    bounds,
)
from server_stub.query.retention import Retention
from server_stub.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from psycopg import AsyncConnection

    from server_stub.postgresql.created import Created
    from server_stub.postgresql.database import Database
    from server_stub.query.cursor import Position
    from server_stub.settings import Settings


class RowsRead(NamedTuple):
    """Rows in the order of a page.

    `is_cut` says whether more would be there but for their bytes; `size_bytes`, how many bytes they
    have at most.
    """

    rows: list[Any]
    is_cut: bool
    size_bytes: int


class RecentRows:
    """Reads pages of `noetl.metric`.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention, and how far ahead samples may be.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = Retention(settings)
        # Days cost little, and the limit may have been larger when the rows came.
        self._sample_ahead = max(
            timedelta(seconds=settings.sample_ahead_seconds), timedelta(days=1)
        )

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> RowsRead:
        """Return metrics within the retention of their names, as named tuples; labels as JSON.

        If that is many days, the server reads them in portions, each in a transaction of its own,
        so that no transaction has the locks of all days. From the newest rows on, it ends once no
        older portion can have rows of the page. The oldest rows may be in every portion, because
        they may have come late.

        Args:
            filters: the value of each filter, by its name in `sql/filters/`, and the `limit`. The
                rows begin after the one at `position`.
            order: `asc` or `desc`, by time and, at one time, by `metric_id`.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        visibility, time_bounds = select_visibility(self._retention, filters.get("metric_name"))
        time_bounds["sample_ahead"] = self._sample_ahead
        page = _Merging(filters["limit"], newest_first=order == "desc")
        # Most pages have one portion: it is read in the transaction that asks for the time.
        async with self._database.query() as connection:
            filters = await with_component_id(connection, filters)
            created = self._created(await database_time(connection), time_bounds, filters)
            query = bounded_page_query(select_metrics_query(filters, order, visibility))
            parameters = {
                **select_metrics_parameters(filters),
                **time_bounds,
                **bounds(PAGE_BYTES_MAX, SAMPLE_ROW),
            }
            first, *others = [*created.portions(newest_first=page.newest_first)] or [created]
            page.add(await _select(connection, query, parameters | first.parameters(), filters))
        reached = first
        for portion in others:
            # No sample is further ahead of its insertion.
            if page.ends_after(format_timestamp(reached.after + self._sample_ahead)):
                break
            async with self._database.query() as connection:
                rows = await _select(connection, query, parameters | portion.parameters(), filters)
            page.add(rows)
            reached = portion
        return RowsRead(page.rows, page.is_cut, page.size_bytes)

    def _created(
        self, now: datetime, time_bounds: Mapping[str, Any], filters: Mapping[str, Any]
    ) -> Created:
        after = now - time_bounds["retention"]
        start_time = filters.get("start_time")
        if start_time is not None and start_time > after:
            after = max(after, start_time - self._sample_ahead)
        return created_since(now, after)


async def _select(
    connection: AsyncConnection[Any],
    query: LiteralString,
    parameters: Mapping[str, Any],
    filters: Collection[str],
) -> list[Any]:
    if is_of_a_series(filters):
        await connection.execute(read_sql("query/plan_in_order.sql"))
    cursor = connection.cursor(row_factory=namedtuple_row)
    await cursor.execute(query, parameters)
    return await fetch_all(cursor)


class _Merging:
    """The first rows of all portions in the order of the page, as many as its bytes allow.

    Args:
        limit: the most rows.
        newest_first: whether the newest row comes first.
    """

    def __init__(self, limit: int, *, newest_first: bool) -> None:
        self._limit = limit
        self.newest_first = newest_first
        self.rows: list[Any] = []
        self.is_cut = False
        self.size_bytes = 0

    def add(self, portion: list[Any]) -> None:
        """Merge the rows of one more portion."""
        is_short = bool(portion) and portion[-1].has_next
        if not is_short and not self.is_cut and not self.rows:
            self.rows = portion
            self.size_bytes = portion[-1].bytes_before + _size_bytes(portion[-1]) if portion else 0
            return
        merged = sorted([*self.rows, *portion], key=_place, reverse=self.newest_first)
        # Behind the last row of what was cut there are others that were not read.
        ends = [
            rows[-1] for rows, is_cut in ((self.rows, self.is_cut), (portion, is_short)) if is_cut
        ]
        fitting = len(merged)
        if ends:
            end = (max if self.newest_first else min)(ends, key=_place)
            fitting = merged.index(end) + 1
            self.is_cut = True
        size_bytes = 0
        for number, row in enumerate(merged[:fitting]):
            if size_bytes >= PAGE_BYTES_MAX:
                fitting, self.is_cut = number, True
                break
            size_bytes += _size_bytes(row)
        self.rows = merged[: min(fitting, self._limit)]
        self.size_bytes = size_bytes

    def ends_after(self, timestamp: str) -> bool:
        """Return whether the page has no room for rows that are no newer than a time."""
        is_full = self.is_cut or len(self.rows) == self._limit
        return self.newest_first and is_full and self.rows[-1].timestamp > timestamp


def _size_bytes(row: Any) -> int:
    return SAMPLE_ROW.size_bytes(row.labels, row.help_text, row.unit)


def _place(row: Any) -> tuple[str, int]:
    # Every text of a time has the same length, so they are in the order of the times.
    return row.timestamp, row.metric_id


def select_visibility(
    retention: Retention, metric_name: str | None
) -> tuple[str | None, dict[str, Any]]:
    """Return the file of `sql/filters/` that leaves out expired rows, or None, and its parameters.

    The retention that is in force counts, and not `expires_at`, which has what was in force when
    the row was inserted.

    Args:
        retention: the retention of every name.
        metric_name: the only name that the query asks for, or None.
    """
    if not retention.by_pattern:
        return None, {"retention": retention.unless_named}
    if metric_name is not None:
        own_retention = retention.by_name(metric_name)
        return None, {"retention": own_retention or retention.unless_named}
    return "unexpired_by_name", {
        "retention": retention.longest,
        "retention_unless_named": retention.unless_named,
        "name_patterns": list(retention.by_pattern),
        "name_retentions": list(retention.by_pattern.values()),
    }


def select_metrics_query(
    filters: Collection[str], order: str, visibility: str | None = None
) -> LiteralString:
    """Return the query of `select_metrics`, composed of the files of `sql/` only.

    Args:
        filters: the names of the filters.
        order: `asc` or `desc`.
        visibility: as `select_visibility` returns it.
    """
    parts: list[LiteralString] = [
        read_sql("query/select_metrics.sql"), read_sql("filters/created.sql")
    ]  # fmt: skip
    if visibility is not None:
        parts.append(read_sql(f"filters/{visibility}.sql"))
    for name in sorted(set(filters) - {"limit"}):
        file_name = f"position_{order}" if name == "position" else name
        parts.append(read_sql(f"filters/{file_name}.sql"))
    parts.append(read_sql(f"filters/order_{order}.sql"))
    return "".join(parts)


def is_of_a_series(filters: Collection[str]) -> bool:
    """Return whether idx_metrics_runtime_name has the rows of filters in the order of a page.

    Args:
        filters: the names of the filters.
    """
    return {"runtime_id", "metric_name"} <= set(filters)


def select_metrics_parameters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `select_metrics_query` that come from the filters.

    Args:
        filters: as `RecentRows.select_metrics` takes them.
    """
    parameters = adapted({name: value for name, value in filters.items() if name != "position"})
    position: Position | None = filters.get("position")
    if position is not None:
        parameters["position_timestamp"] = position.timestamp
        parameters["position_metric_id"] = position.metric_id
    return parameters

"""Rows of the table `noetl.metric`, by filters and in order, for pages.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.rows import namedtuple_row

from server_stub.components.store import with_component_id
from server_stub.postgresql.database import adapted
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.created import created_since, database_time
from server_stub.query.retention import Retention
from server_stub.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from server_stub.postgresql.database import Database
    from server_stub.query.created import Created
    from server_stub.query.cursor import Position
    from server_stub.settings import Settings


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

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> list[Any]:
        """Return metrics within the retention of their names, as named tuples.

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
        visibility, bounds = select_visibility(self._retention, filters.get("metric_name"))
        bounds["sample_ahead"] = self._sample_ahead
        async with self._database.transaction() as connection:
            filters = await with_component_id(connection, filters)
            now = await database_time(connection)
        after = now - bounds["retention"]
        start_time = filters.get("start_time")
        if start_time is not None and start_time > after:
            after = max(after, start_time - self._sample_ahead)
        newest_first = order == "desc"
        found: list[Any] = []
        for created in created_since(now, after).portions(newest_first=newest_first):
            found += await self._select(filters, order, visibility, bounds, created)
            found.sort(key=_place, reverse=newest_first)
            del found[filters["limit"] :]
            if newest_first and len(found) == filters["limit"]:
                # No sample is further ahead of its insertion.
                older = format_timestamp(created.after + self._sample_ahead)
                if found[-1].timestamp > older:
                    break
        return found

    async def _select(
        self,
        filters: Mapping[str, Any],
        order: str,
        visibility: str | None,
        bounds: Mapping[str, Any],
        created: Created,
    ) -> list[Any]:
        async with self._database.transaction() as connection:
            query = select_metrics_query(filters, order, visibility)
            parameters = {
                **select_metrics_parameters(filters), **bounds, **created.parameters()
            }  # fmt: skip
            if is_of_a_series(filters):
                await connection.execute(read_sql("query/plan_in_order.sql"))
            cursor = connection.cursor(row_factory=namedtuple_row)
            await cursor.execute(query, parameters)
            return list(await cursor.fetchall())


def _place(row: Any) -> tuple[str, int]:
    # Every text of a time has the same length, so they are in the order of the times.
    return row.timestamp, row.metric_id


def select_visibility(
    retention: Retention, metric_name: str | None
) -> tuple[str | None, dict[str, Any]]:
    """Return the file of `sql/filters/` that leaves out expired rows, or None, and its parameters.

    Args:
        retention: the retention of every name.
        metric_name: the only name that the query asks for, or None.
    """
    if not retention.by_pattern:
        return "unexpired", {"retention": retention.unless_named}
    if metric_name is not None:
        own_retention = retention.by_name(metric_name)
        if own_retention is None:
            return "unexpired", {"retention": retention.unless_named}
        return None, {"retention": own_retention}
    return "unexpired_by_name", {
        "retention": retention.longest,
        "retention_unless_named": retention.unless_named,
        "name_patterns": list(retention.by_pattern),
        "name_retentions": list(retention.by_pattern.values()),
    }


def select_metrics_query(
    filters: Collection[str], order: str, visibility: str | None = "unexpired"
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

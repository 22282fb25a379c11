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
from server_stub.query.retention import Retention

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from server_stub.postgresql.database import Database
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
        self._sample_ahead = timedelta(seconds=settings.sample_ahead_seconds)

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> list[Any]:
        """Return metrics within the retention of their names, as named tuples.

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
            query = select_metrics_query(filters, order, visibility)
            parameters = select_metrics_parameters(filters) | bounds
            if is_of_a_series(filters):
                await connection.execute(read_sql("query/plan_in_order.sql"))
            cursor = connection.cursor(row_factory=namedtuple_row)
            await cursor.execute(query, parameters)
            return list(await cursor.fetchall())


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
    parts: list[LiteralString] = [read_sql("query/select_metrics.sql")]
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

"""What the server finds in the table `noetl.metric`.

Every method raises `StoreUnavailableError` when the database is away or busy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.rows import namedtuple_row

from server_stub.database import adapted
from server_stub.exposition import LatestSample
from server_stub.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncConnection

    from server_stub.cursor import Position
    from server_stub.database import Database
    from server_stub.settings import Settings


class Store:
    """Reads `noetl.metric`.

    Args:
        database: the pool of connections; the schema must be there.
        settings: retention, lookback, and how far ahead samples may be.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention = timedelta(days=settings.retention_days)
        self._sample_ahead = timedelta(seconds=settings.sample_ahead_seconds_max)
        self._lookback = timedelta(seconds=settings.exposition_lookback_seconds)

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> list[Any]:
        """Return metrics within the retention, as named tuples.

        Args:
            filters: filter to value, of those in `sql/filters/`, and the `limit`; `position` is
                the row after which to begin.
            order: `asc` or `desc`, by time and, at one time, by `metric_id`.
        """
        bounds = {"retention": self._retention, "sample_ahead": self._sample_ahead}
        async with self._database.transaction() as connection:
            filters = await _narrowed(connection, filters)
            query = select_metrics_query(filters, order)
            parameters = select_metrics_parameters(filters) | bounds
            if is_of_a_series(filters):
                await connection.execute(read_sql("queries/plan_in_order.sql"))
            cursor = connection.cursor(row_factory=namedtuple_row)
            await cursor.execute(query, parameters)
            return list(await cursor.fetchall())

    async def latest_samples(self, filters: Mapping[str, Any]) -> list[LatestSample]:
        """Return the latest sample of each series within the lookback.

        Args:
            filters: `runtime_id` and `component_name`, or neither.
        """
        async with self._database.transaction() as connection:
            filters = await _narrowed(connection, filters)
            parameters = {**filters, "lookback": self._lookback}
            cursor = await connection.execute(latest_samples_query(filters), parameters)
            return [LatestSample._make(row) for row in await cursor.fetchall()]


async def _narrowed(
    connection: AsyncConnection[Any], filters: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return filters with a component's name replaced by its id, where only one has that name.

    The indexes have the id, and the planner knows what to expect of it.
    """
    if "component_name" not in filters or "runtime_id" in filters:
        return filters
    wanted = {"component_name": filters["component_name"]}
    named = await connection.execute(read_sql("queries/runtimes_named.sql"), wanted)
    found = await named.fetchall()
    if len(found) != 1:
        return filters
    others = {name: value for name, value in filters.items() if name != "component_name"}
    return others | {"runtime_id": found[0][0]}


def latest_samples_query(filters: Collection[str]) -> LiteralString:
    """Return the query of `latest_samples`, composed of the files of `sql/` only.

    Args:
        filters: the names of the filters.
    """
    parts: list[LiteralString] = [read_sql("queries/latest_samples.sql")]
    for name in sorted(filters):
        parts.append(read_sql(f"filters/{name}.sql"))  # noqa: PERF401 - keeps its type
    parts.append(read_sql("filters/order_latest.sql"))
    return "".join(parts)


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


def is_of_a_series(filters: Collection[str]) -> bool:
    """Return whether filters ask for what idx_metrics_runtime_name has in the order of a page.

    Args:
        filters: the names of the filters.
    """
    return {"runtime_id", "metric_name"} <= set(filters)


def select_metrics_parameters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `select_metrics_query` that come from the filters.

    Args:
        filters: as `Store.select_metrics` takes them.
    """
    parameters = adapted({name: value for name, value in filters.items() if name != "position"})
    position: Position | None = filters.get("position")
    if position is not None:
        parameters["position_timestamp"] = position.timestamp
        parameters["position_metric_id"] = position.metric_id
    return parameters

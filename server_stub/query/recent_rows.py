"""What the server finds in the table `noetl.metric`.

Every method raises `StoreUnavailableError` when the database is away or busy.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.rows import namedtuple_row

from server_stub.postgresql.database import adapted
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.exposition import LatestSample
from server_stub.query.retention import Retention
from server_stub.time_series_database.history import selector_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncConnection

    from server_stub.postgresql.database import Database
    from server_stub.query.cursor import Position
    from server_stub.settings import Settings
    from server_stub.time_series_database.history import History


UNKNOWN_FAMILY: dict[str, Any] = {"metric_type": "gauge", "help_text": None, "unit": None}
"""What is said of a name that was never exported from here."""


class Store:
    """Reads `noetl.metric`.

    Args:
        database: the pool of connections; the schema must be there.
        settings: retention, lookback, and how far ahead samples may be; whether samples are in a
            time-series database only.
        history: that time-series database.
    """

    def __init__(
        self, database: Database, settings: Settings, history: History | None = None
    ) -> None:
        self._database = database
        self._history = history if settings.storage == "remote-write" else None
        self._retention = Retention(settings)
        self._sample_ahead = timedelta(seconds=settings.sample_ahead_seconds_max)
        self._lookback = timedelta(seconds=settings.exposition_lookback_seconds)

    async def select_metrics(self, filters: Mapping[str, Any], order: str) -> list[Any]:
        """Return metrics within the retention of their names, as named tuples.

        Args:
            filters: filter to value, of those in `sql/filters/`, and the `limit`; `position` is
                the row after which to begin.
            order: `asc` or `desc`, by time and, at one time, by `metric_id`.
        """
        visibility, bounds = select_visibility(self._retention, filters.get("metric_name"))
        bounds["sample_ahead"] = self._sample_ahead
        async with self._database.transaction() as connection:
            filters = await _narrowed(connection, filters)
            query = select_metrics_query(filters, order, visibility)
            parameters = select_metrics_parameters(filters) | bounds
            if is_of_a_series(filters):
                await connection.execute(read_sql("queries/plan_in_order.sql"))
            cursor = connection.cursor(row_factory=namedtuple_row)
            await cursor.execute(query, parameters)
            return list(await cursor.fetchall())

    async def history_names(
        self, filters: Mapping[str, Any]
    ) -> tuple[dict[str, dict[str, Any]], set[str] | None]:
        """Return what was exported, as far as filters of name and type choose it.

        Args:
            filters: of which `metric_name` and `metric_type` are looked at.

        Returns:
            By name what is said of it, as `UNKNOWN_FAMILY`; and the names that the filters
            choose, or None for all there are.
        """
        name, metric_type = filters.get("metric_name"), filters.get("metric_type")
        parameters = {"metric_name": name, "metric_type": None if name else metric_type}
        async with self._database.transaction() as connection:
            cursor = await connection.execute(read_sql("queries/families.sql"), parameters)
            families = {
                row[0]: dict(zip(UNKNOWN_FAMILY, row[1:], strict=True))
                for row in await cursor.fetchall()
            }
        if name is None:
            return families, None if metric_type is None else set(families)
        known_type = families.get(name, UNKNOWN_FAMILY)["metric_type"]
        return families, {name} if metric_type in {None, known_type} else set()

    async def latest_samples(self, filters: Mapping[str, Any]) -> list[LatestSample]:
        """Return the latest sample of each series within the lookback.

        Args:
            filters: `runtime_id` and `component_name`, or neither.
        """
        if self._history is not None:
            return await self._latest_of_history(self._history, filters)
        async with self._database.transaction() as connection:
            filters = await _narrowed(connection, filters)
            parameters = {**filters, "lookback": self._lookback}
            cursor = await connection.execute(latest_samples_query(filters), parameters)
            return [LatestSample._make(row) for row in await cursor.fetchall()]

    async def _latest_of_history(
        self, history: History, filters: Mapping[str, Any]
    ) -> list[LatestSample]:
        families, _ = await self.history_names({})
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


def select_visibility(
    retention: Retention, metric_name: str | None
) -> tuple[str | None, dict[str, Any]]:
    """Return which file of `sql/filters/` leaves out what has expired, if any, and its parameters.

    Args:
        retention: the retention of every name.
        metric_name: the only name that is asked for, or None.
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


def select_metrics_query(
    filters: Collection[str], order: str, visibility: str | None = "unexpired"
) -> LiteralString:
    """Return the query of `select_metrics`, composed of the files of `sql/` only.

    Args:
        filters: the names of the filters.
        order: `asc` or `desc`.
        visibility: as `select_visibility` has it.
    """
    parts: list[LiteralString] = [read_sql("queries/select_metrics.sql")]
    if visibility is not None:
        parts.append(read_sql(f"filters/{visibility}.sql"))
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

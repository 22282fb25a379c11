"""One metric over time, from the table `noetl.metric`, for charts.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from psycopg import errors

from server_stub.errors import ParameterInvalidError
from server_stub.postgresql.created import ANY_TIME, DAYS_AT_ONCE, created_since, database_time
from server_stub.postgresql.database import adapted, fetch_all
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.boundary import RECENT_ONLY
from server_stub.query.retention import Retention

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from server_stub.postgresql.created import Created
    from server_stub.postgresql.database import Database
    from server_stub.query.history_samples import HistorySamples
    from server_stub.query.time_buckets import TimeBuckets
    from server_stub.settings import Settings

SERIES_MAX = 10_000
"""The most series of an answer."""

POINTS_IN_ALL_MAX = 500_000
"""The most points of all series of an answer together."""

CURVES_FETCHED_AT_ONCE = 8
"""Each may have as many points as `time_buckets.POINTS_MAX`."""

FILTERS = ("runtime_id", "component_name", "metric_type", "labels", "labels_absent")
_LOOKING_BACK = frozenset({"sum", "increase"})


class Curve(NamedTuple):
    """One series of an answer.

    `group_values` has the value of each label that the answer is grouped by, in their order, and an
    empty text for a missing one. `times` has the starts of buckets, in seconds since the epoch,
    rising.
    """

    group_values: Sequence[str]
    times: Sequence[float]
    values: Sequence[float]


class Chart(NamedTuple):
    """The series of an answer, and which part of them came from which database.

    `omitted` counts the series that were left out, because their labels are no object.
    """

    curves: list[Curve]
    sources: list[dict[str, Any]]
    omitted: int = 0


class SeriesReader:
    """Reads series from `noetl.metric`.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention, the lookback, and how far ahead samples may be.
        history: reads older samples.
    """

    def __init__(self, database: Database, settings: Settings, history: HistorySamples) -> None:
        self._database = database
        self._history = history
        self._retention = Retention(settings)
        # As in RecentRows.
        self._sample_ahead_seconds = max(settings.sample_ahead_seconds, 86_400.0)
        # A chart over many days has the locks of all of them.
        self._wide = asyncio.Semaphore(1)
        self._lookback_seconds = settings.exposition_lookback_seconds

    async def select_series(
        self,
        metric_name: str,
        aggregation: str,
        buckets: TimeBuckets,
        group_by: Sequence[str],
        filters: Mapping[str, Any],
        now: datetime,
    ) -> Chart:
        """Return a metric by bucket and group.

        Args:
            metric_name: the metric.
            aggregation: how the samples of a bucket become one value; a file of `sql/series/`.
            buckets: the buckets.
            group_by: the labels that make the groups.
            filters: the value of each filter, by its name in `FILTERS`.
            now: the time.

        Raises:
            ParameterInvalidError: the answer would have too many series or points, or a value
                that no double holds.
            StoreUnavailableError: the database is away or busy.
        """
        parameters = self.parameters(metric_name, aggregation, buckets, group_by, filters)
        looking_back = timedelta(seconds=parameters["looking_back_seconds"])
        past = await self._history.read(
            metric_name, filters, buckets.start_time - looking_back, buckets.end_time, now
        )
        if past is not None:
            parameters |= past.parameters() | {"boundary": past.boundary.ends_at}
        query = series_query(aggregation, has_history=past is not None)
        is_wide = now - parameters["start_time"] > DAYS_AT_ONCE
        async with (
            self._wide if is_wide else contextlib.nullcontext(),
            self._database.query() as connection,
        ):
            parameters |= self._created(await database_time(connection), parameters).parameters()
            await connection.execute(read_sql("query/plan_by_metric.sql"))
            try:
                cursor = await connection.execute(query, parameters)
            except errors.NumericValueOutOfRange:
                raise ParameterInvalidError(
                    f"the {aggregation} of {metric_name[:100]!r} exceeds what a number can hold: "
                    "choose fewer series by a filter, or another aggregation"
                ) from None
            rows = await fetch_all(cursor, CURVES_FETCHED_AT_ONCE)
        curves = [Curve._make(row[:3]) for row in rows]
        _check_size(curves)
        sources = RECENT_ONLY if past is None else past.boundary.sources(buckets.end_time)
        return Chart(curves, sources, rows[0][3] if rows else 0)

    def _created(self, now: datetime, parameters: Mapping[str, Any]) -> Created:
        seconds = parameters["looking_back_seconds"] + parameters["sample_ahead_seconds"]
        after = now - parameters["retention"]
        if parameters["start_time"] > after:
            after = max(after, parameters["start_time"] - timedelta(seconds=seconds))
        return created_since(now, after)

    def parameters(
        self,
        metric_name: str,
        aggregation: str,
        buckets: TimeBuckets,
        group_by: Sequence[str],
        filters: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the parameters of `series_query`.

        Args:
            metric_name: as for `select_series`, like all other arguments.
            aggregation: the aggregation.
            buckets: the buckets.
            group_by: the labels.
            filters: the filters.
        """
        looking_back_seconds = (
            max(buckets.step_seconds, self._lookback_seconds)
            if aggregation in _LOOKING_BACK
            else 0.0
        )
        own_retention = self._retention.by_name(metric_name)
        return {
            **adapted({name: filters.get(name) for name in FILTERS}),
            "metric_name": metric_name,
            "group_by": list(group_by),
            **buckets._asdict(),
            "looking_back_seconds": looking_back_seconds,
            "lookback_seconds": self._lookback_seconds,
            "sample_ahead_seconds": self._sample_ahead_seconds,
            "retention": own_retention or self._retention.unless_named,
            "points_max": POINTS_IN_ALL_MAX,
            "boundary": None,
            **ANY_TIME,
        }


def series_query(aggregation: str, *, has_history: bool = False) -> LiteralString:
    """Return the query of `select_series`, composed of the files of `sql/series/` only.

    Args:
        aggregation: the name of one of them.
        has_history: whether the query gets samples of a time-series database.
    """
    return (
        read_sql("series/samples.sql")
        + (read_sql("series/history.sql") if has_history else "")
        + read_sql("series/numbering.sql")
        + read_sql(f"series/{aggregation}.sql")
        + read_sql("series/answer.sql")
    )


def _check_size(curves: Sequence[Curve]) -> None:
    advice = "group by fewer labels, choose fewer series by a filter, or a longer step"
    if len(curves) > SERIES_MAX:
        raise ParameterInvalidError(
            f"the answer would have more than {SERIES_MAX:,} series: {advice}"
        )
    if sum(len(curve.times) for curve in curves) > POINTS_IN_ALL_MAX:
        raise ParameterInvalidError(
            f"the answer would have more than {POINTS_IN_ALL_MAX:,} points: {advice}"
        )

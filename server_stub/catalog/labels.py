"""The labels of a metric, by which a chart can group it, and their values.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.names import check_label_name
from server_stub.components.store import with_component_id
from server_stub.postgresql.created import DAYS_AT_ONCE, Created, created_since, database_time
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.page_bytes import PAGE_BYTES_MAX, RowSize, bounds
from server_stub.query.retention import Retention

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server_stub.catalog.label_history import LabelHistory
    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings

LABELS_MAX = 1_000
VALUES_OF_A_LABEL_MAX = 100
"""How many values of each label the answer shows that has all labels."""

NEWEST_SAMPLES_MAX = 20_000
SLICES = 16
SAMPLES_OF_A_SLICE_MAX = 2_000
"""If there are more samples than `NEWEST_SAMPLES_MAX`, these of each slice of the range too."""

LOOK = timedelta(seconds=2)
"""No slice is begun later."""

PAIR_ROW = RowSize(100, 1)

_FIRST_TIME = datetime.min.replace(tzinfo=UTC)

COUNT_SUFFIX = "_count"
OF_A_FAMILY = ("histogram", "summary")
"""The types whose rows have this ending, among others, behind the metric's name."""


class Label(NamedTuple):
    """A label: its first values, and how many were found."""

    name: str
    value_count: int
    values: Sequence[str]


class FoundLabels(NamedTuple):
    """The labels of a metric by name, and whether there may be others, or other values."""

    labels: list[Label]
    is_cut: bool


class FoundValues(NamedTuple):
    """The values of a label, sorted, and whether there may be others."""

    values: list[str]
    is_cut: bool


class Labels:
    """Reads the labels of the samples of a metric, of 32 days at most.

    Args:
        database: the pool of connections; the schema must be there.
        settings: the retention, and how far ahead samples may be.
        history: reads older samples.
    """

    def __init__(self, database: Database, settings: Settings, history: LabelHistory) -> None:
        self._database = database
        self._history = history
        self._retention = Retention(settings)
        # As in RecentRows.
        self._sample_ahead = max(
            timedelta(seconds=settings.sample_ahead_seconds), timedelta(days=1)
        )

    async def find(self, metric_name: str, filters: Mapping[str, Any]) -> FoundLabels:
        """Return the labels of a metric.

        A histogram or summary that has no samples of its own name has the labels of its `_count`.

        Args:
            metric_name: the metric.
            filters: `runtime_id`, `component_name`, `start_time` and `end_time`, as far as given.

        Raises:
            StoreUnavailableError: a database is away or busy.
        """
        parameters = {**bounds(PAGE_BYTES_MAX, PAIR_ROW), "values_max": VALUES_OF_A_LABEL_MAX}
        rows, is_cut = await self._read("catalog/label_names.sql", metric_name, filters, parameters)
        labels = [Label._make(row) for row in rows if _can_be_grouped_by(row[0])]
        return FoundLabels(labels[:LABELS_MAX], is_cut or len(labels) > LABELS_MAX)

    async def find_values(
        self,
        metric_name: str,
        label_name: str,
        search: str,
        limit: int,
        filters: Mapping[str, Any],
    ) -> FoundValues:
        """Return the values of a label that hold a text, in any case.

        Args:
            metric_name: as for `find`.
            label_name: the label.
            search: the text; an empty one finds all.
            limit: the most values.
            filters: as for `find`.

        Raises:
            StoreUnavailableError: a database is away or busy.
        """
        parameters = {
            **bounds(PAGE_BYTES_MAX, PAIR_ROW),
            "label_name": label_name,
            "search": search,
            "limit": limit,
        }
        rows, is_cut = await self._read(
            "catalog/label_values.sql", metric_name, filters, parameters
        )
        values = [row[0] for row in rows]
        return FoundValues(values[:limit], is_cut or len(values) > limit)

    async def _read(
        self,
        answer: LiteralString,
        metric_name: str,
        filters: Mapping[str, Any],
        parameters: Mapping[str, Any],
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the rows of an answer about a metric, and whether something was left out."""
        rows, is_cut = await self._read_of(answer, metric_name, None, filters, parameters)
        if rows:
            return rows, is_cut
        count_name = metric_name + COUNT_SUFFIX
        rows, is_count_cut = await self._read_of(
            answer, count_name, OF_A_FAMILY, filters, parameters
        )
        return rows, is_cut or is_count_cut

    async def _read_of(
        self,
        answer: LiteralString,
        row_name: str,
        metric_types: Sequence[str] | None,
        filters: Mapping[str, Any],
        parameters: Mapping[str, Any],
    ) -> tuple[list[tuple[Any, ...]], bool]:
        retention = self._retention.by_name(row_name) or self._retention.unless_named
        async with self._database.query() as connection:
            now = await database_time(connection)
            filters = await with_component_id(connection, filters)
        end: datetime = filters.get("end_time", now + self._sample_ahead)
        wanted_start: datetime = filters.get("start_time", now - retention)
        start = max(wanted_start, end - min(DAYS_AT_ONCE, end - _FIRST_TIME))
        from_history = start if "start_time" in filters else None
        past = await self._history.read(row_name, metric_types, filters, from_history, end, now)
        shown = {
            **parameters,
            "metric_name": row_name,
            "metric_types": None if metric_types is None else list(metric_types),
            "runtime_id": filters.get("runtime_id"),
            "component_name": filters.get("component_name"),
            "retention": retention,
            **past.parameters(),
            **_slices(start if past.ends_at is None else max(start, past.ends_at), end),
            **self._created(now, min(max(start, now - retention), now)).parameters(),
        }
        async with self._database.query() as connection:
            # PostgreSQL reads the newest rows by an index, whatever the planner expects.
            await connection.execute(read_sql("query/plan_in_order.sql"))
            found = await connection.execute(_label_pairs_query() + read_sql(answer), shown)
            rows = await found.fetchall()
        is_cut = wanted_start < start or past.is_cut or rows[0][0]
        return [row[1:] for row in rows if row[1] is not None], is_cut

    def _created(self, now: datetime, start: datetime) -> Created:
        # No sample is further ahead of its insertion. At the end of a long range, samples are not
        # found that came more than a day late; their labels are mostly those of others.
        after = start - self._sample_ahead
        until = after + DAYS_AT_ONCE + 2 * self._sample_ahead
        return Created(after, min(until, created_since(now, after).until))


def _slices(start: datetime, end: datetime) -> dict[str, Any]:
    start = min(start, end)
    return {
        "start_time": start,
        "end_time": end,
        "newest_max": NEWEST_SAMPLES_MAX,
        "slices": SLICES,
        "slice": (end - start) / SLICES,
        "slice_rows_max": SAMPLES_OF_A_SLICE_MAX,
        "look": LOOK,
    }


def _label_pairs_query() -> LiteralString:
    """Return the beginning of both answers, composed of the files of `sql/catalog/`."""
    samples = read_sql("catalog/part_samples.sql")
    return (
        read_sql("catalog/label_pairs_newest.sql")
        + samples
        + read_sql("catalog/label_pairs_slices.sql")
        + samples
        + read_sql("catalog/label_pairs_end.sql")
    )


def _can_be_grouped_by(label_name: str) -> bool:
    """Return whether a chart takes the name; the rows of other programs may have any."""
    try:
        check_label_name(label_name)
    except InvalidMetricError:
        return False
    return True

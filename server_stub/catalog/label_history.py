"""The labels of a metric's series that are older than the samples in PostgreSQL.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.query.boundary import milliseconds
from server_stub.time_series_database.families import UNKNOWN_FAMILY, chosen_names
from server_stub.time_series_database.history import selector_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from server_stub.query.boundary import Boundaries
    from server_stub.time_series_database.families import KnownFamilies
    from server_stub.time_series_database.history import History, HistorySeries

SERIES_MAX = 10_000
"""The most series whose labels are taken from the history."""


class PastLabels(NamedTuple):
    """Series of the history; PostgreSQL takes over at `ends_at`, or has all if that is None."""

    ends_at: datetime | None
    series: Sequence[HistorySeries]
    is_cut: bool

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of `sql/catalog/label_pairs_end.sql`."""
        return {
            "history_runtime_ids": [one.runtime_id for one in self.series],
            "history_labels": [json.dumps(one.labels) for one in self.series],
        }


class LabelHistory:
    """Reads the labels of series from the history.

    Args:
        families: the families of the names in the history.
        history: the time-series database, or None.
        boundaries: tells which samples are read from it.
    """

    def __init__(
        self, families: KnownFamilies, history: History | None, boundaries: Boundaries
    ) -> None:
        self._families = families
        self._history = history
        self._boundaries = boundaries

    async def read(
        self,
        row_name: str,
        metric_types: Collection[str] | None,
        filters: Mapping[str, Any],
        start_time: datetime | None,
        end_time: datetime,
        now: datetime,
    ) -> PastLabels:
        """Return the series of a name that are read from the history.

        Args:
            row_name: the name of the samples.
            metric_types: the types that the name may have, or None for any.
            filters: `runtime_id` and `component_name`, as far as given.
            start_time: where the range begins; None for the retention.
            end_time: the end of the range, which does not belong to it.
            now: the time.

        Raises:
            HistoryUnavailableError: the time-series database does not answer.
        """
        boundary = self._boundaries.draw(start_time, now)
        if boundary is None or self._history is None:
            return PastLabels(None, (), is_cut=False)
        named = {"metric_name": row_name}
        families = await self._families.read(named)
        metric_type = families.get(row_name, UNKNOWN_FAMILY)["metric_type"]
        selector = selector_of(filters, chosen_names(named, families))
        start_ms = milliseconds(boundary.history_from)
        end_ms = boundary.end_milliseconds(end_time)
        is_other = metric_types is not None and metric_type not in metric_types
        if selector is None or is_other or start_ms >= end_ms:
            return PastLabels(boundary.ends_at, (), is_cut=False)
        series = await self._history.latest(selector, (end_ms - start_ms) / 1000, end_ms - 1)
        return PastLabels(boundary.ends_at, series[:SERIES_MAX], len(series) > SERIES_MAX)

"""The samples of a chart that are older than the samples in PostgreSQL.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.query.boundary import milliseconds
from server_stub.time_series_database.families import chosen_names
from server_stub.time_series_database.history import SAMPLES_MAX, selector_of, too_many_samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from server_stub.query.boundary import Boundaries, Boundary
    from server_stub.time_series_database.families import KnownFamilies
    from server_stub.time_series_database.history import History, HistorySeries


class Past(NamedTuple):
    """The part of a chart before a boundary."""

    boundary: Boundary
    series: Sequence[HistorySeries]

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of `sql/series/history.sql`: series, and samples of them."""
        return {
            "history_runtime_ids": [one.runtime_id for one in self.series],
            "history_labels": [json.dumps(one.labels) for one in self.series],
            "history_series_numbers": [
                number for number, one in enumerate(self.series, 1) for _ in one.samples
            ],
            "history_milliseconds": [at for one in self.series for at, _ in one.samples],
            "history_values": [value for one in self.series for _, value in one.samples],
        }


class HistorySamples:
    """Reads the samples that a chart needs from the history.

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
        metric_name: str,
        filters: Mapping[str, Any],
        start_time: datetime,
        end_time: datetime,
        now: datetime,
    ) -> Past | None:
        """Return the samples of a metric that are read from the history; None without a history.

        Args:
            metric_name: the metric.
            filters: as `SeriesReader.select_series` takes them.
            start_time: where the range begins.
            end_time: the end of the range, which does not belong to it.
            now: the time.

        Raises:
            ParameterInvalidError: there are too many samples.
            HistoryUnavailableError: the time-series database does not answer.
        """
        boundary = self._boundaries.draw(start_time, now)
        if boundary is None or self._history is None:
            return None
        named = {**filters, "metric_name": metric_name}
        names = chosen_names(named, await self._families.read(named))
        end_ms = boundary.end_milliseconds(end_time)
        start_ms = milliseconds(boundary.history_from)
        selector = selector_of(filters, names)
        if selector is None or start_ms >= end_ms:
            return Past(boundary, ())
        if await self._history.count(selector, start_ms, end_ms) > SAMPLES_MAX:
            raise too_many_samples()
        return Past(boundary, await self._history.read(selector, start_ms, end_ms))

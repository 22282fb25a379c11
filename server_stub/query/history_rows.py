"""Reads a page of the history: window by window, in the direction of the page, until it is full.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.time_series_database.history import SAMPLES_MAX, HistorySeries, too_many_samples
from server_stub.timestamps import format_timestamp, from_epoch_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server_stub.time_series_database.history import History

WINDOW_MS = 60_000
"""The length of the first window. Each next one is longer while a page would need many of them."""

WINDOW_GROWTH = 8
WINDOW_SAMPLES_MAX = 50_000
"""A window with more samples is read in shorter windows."""


class Range(NamedTuple):
    """From `start_ms` until before `end_ms`, in milliseconds since the epoch."""

    start_ms: int
    end_ms: int


class HistoryRow(NamedTuple):
    """A sample of the history in the place of a row; `metric_id` stands for its series."""

    timestamp_ms: int
    metric_id: int
    series: HistorySeries
    value: float


async def read_page(
    history: History,
    selector: str,
    within: Range,
    limit: int,
    position: tuple[int, int] | None,
    *,
    newest_first: bool,
) -> list[HistoryRow]:
    """Return the first samples of a range, in order of time, and of `metric_id` at one time.

    Args:
        history: the time-series database.
        selector: the selector of the series.
        within: the range.
        limit: how many samples.
        position: the time and the id after which to begin.
        newest_first: whether the newest samples come first.

    Raises:
        ParameterInvalidError: there are too many samples in one millisecond.
        HistoryUnavailableError: the database is away or does not answer.
    """
    start, end = within
    if position is not None:
        # A sample of the same millisecond may come before the position or after it.
        if newest_first:
            end = min(end, position[0] + 1)
        else:
            start = max(start, position[0])
    rows: list[HistoryRow] = []
    window_ms = WINDOW_MS
    while start < end and len(rows) < limit:
        if newest_first:
            window = Range(max(start, end - window_ms), end)
        else:
            window = Range(start, min(end, start + window_ms))
        count = await history.count(selector, *window)
        if count > WINDOW_SAMPLES_MAX and window.end_ms - window.start_ms > 1:
            window_ms = max(1, (window.end_ms - window.start_ms) // WINDOW_GROWTH)
            continue
        if count > SAMPLES_MAX:
            raise too_many_samples()
        if count < limit - len(rows):
            # The window has few samples, so the next one may be longer.
            window_ms *= WINDOW_GROWTH
        if count:
            found = _rows_of(await history.read(selector, *window))
            found.sort(key=_place, reverse=newest_first)
            rows += [row for row in found if _is_after(row, position, newest_first=newest_first)]
        if newest_first:
            end = window.start_ms
        else:
            start = window.end_ms
    return rows[:limit]


def as_row(row: HistoryRow, family: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample in the form in which the server answers the table's rows.

    Args:
        row: the sample.
        family: the `metric_type`, `help_text` and `unit` of its name.
    """
    series = row.series
    return {
        "metric_id": None,
        "runtime_id": series.runtime_id,
        "component_name": series.component_name,
        "component_type": series.component_type,
        "metric_name": series.metric_name,
        "metric_value": row.value,
        "labels": series.labels,
        "timestamp": format_timestamp(from_epoch_microseconds(row.timestamp_ms * 1000)),
        "created_at": None,
        **family,
    }


def _rows_of(found: list[HistorySeries]) -> list[HistoryRow]:
    rows: list[HistoryRow] = []
    for series in found:
        metric_id = _id_of(series)
        rows += [HistoryRow(at, metric_id, series, value) for at, value in series.samples]
    return rows


def _id_of(series: HistorySeries) -> int:
    """Return a negative number that stands for a series."""
    text = json.dumps([series.metric_name, series.runtime_id, sorted(series.labels.items())])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest) >> 1)


def _place(row: HistoryRow) -> tuple[int, int]:
    return row.timestamp_ms, row.metric_id


def _is_after(row: HistoryRow, position: tuple[int, int] | None, *, newest_first: bool) -> bool:
    if position is None:
        return True
    return _place(row) < position if newest_first else _place(row) > position

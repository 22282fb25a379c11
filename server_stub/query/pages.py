"""Pages of samples: recent ones from PostgreSQL, and older ones from a time-series database.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.errors import ParameterInvalidError
from server_stub.postgresql.connections import json_document
from server_stub.query.boundary import RECENT_ONLY, from_milliseconds, milliseconds
from server_stub.query.cursor import Position
from server_stub.query.history_rows import HistoryRow, Range, as_row, read_page
from server_stub.query.page_bytes import PAGE_BYTES_MAX, SAMPLE_ROW
from server_stub.time_series_database.families import UNKNOWN_FAMILY, chosen_names
from server_stub.time_series_database.history import selector_of
from server_stub.timestamps import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from server_stub.query.boundary import Boundaries, Boundary
    from server_stub.query.recent_rows import RecentRows, RowsRead
    from server_stub.time_series_database.families import KnownFamilies
    from server_stub.time_series_database.history import History


_COUNTS = 2
"""How many columns at the end of a row are not part of its sample: `has_next`, `bytes_before`."""

SMALL_ROWS_MAX = 200
SMALL_BYTES_MAX = 128 * 1024
"""A page of so many rows and bytes is a quarter of a millisecond of work, and needs no thread."""


class Page(NamedTuple):
    """The rows of an answer, the place of the last one if more rows follow, and the sources.

    `omitted` counts the rows that were left out, because their labels are no object: another
    program has inserted them. `is_small` says that an answer of it takes no thread.
    """

    rows: list[dict[str, Any]]
    next_position: Position | None
    sources: list[dict[str, Any]]
    omitted: int
    is_small: bool


class _Placed(NamedTuple):
    row: dict[str, Any]
    metric_id: int
    boundary_ms: int

    def position(self) -> Position:
        """Return the row's place; only the last row of a page is asked for it."""
        return Position(parse_timestamp(self.row["timestamp"]), self.metric_id, self.boundary_ms)


class _Part(NamedTuple):
    """Rows of one database, and whether there are more that their bytes have left no room for."""

    rows: list[_Placed]
    is_cut: bool
    is_small: bool = False


class _Database(Enum):
    HISTORY = auto()
    POSTGRESQL = auto()


class Pages:
    """Reads pages.

    Args:
        recent: the rows of PostgreSQL.
        history: the time-series database, or None.
        families: the families of the names in it.
        boundaries: tells which samples are read from which database.
    """

    def __init__(
        self,
        recent: RecentRows,
        history: History | None,
        families: KnownFamilies,
        boundaries: Boundaries,
    ) -> None:
        self._recent_rows = recent
        self._history = history
        self._families = families
        self._boundaries = boundaries

    async def read(self, filters: Mapping[str, Any], order: str, limit: int, now: datetime) -> Page:
        """Return a page.

        Args:
            filters: as `RecentRows.select_metrics` takes them, without the `limit`.
            order: `asc` or `desc`.
            limit: the most rows.
            now: the time.

        Raises:
            ParameterInvalidError: the history has too many samples for a page, or the cursor is of
                rows that the server no longer reads from PostgreSQL.
            StoreUnavailableError: a database is away or busy.
        """
        position: Position | None = filters.get("position")
        drawn = (
            from_milliseconds(position.boundary_ms) if position and position.boundary_ms else None
        )
        boundary = self._boundaries.draw(filters.get("start_time"), now, drawn)
        if boundary is not None and position is not None:
            _check_age(position, boundary)
        # One row more than the client asked for tells whether there is a next page.
        if boundary is None:
            found, is_cut, is_small = await self._recent(filters, order, limit + 1, None)
        else:
            found, is_cut, is_small = await self._across(boundary, filters, order, limit + 1)
        page = found[:limit]
        rows = [placed.row for placed in page if isinstance(placed.row["labels"], dict | None)]
        return Page(
            rows,
            page[-1].position() if is_cut or len(found) > limit else None,
            RECENT_ONLY if boundary is None else boundary.sources(filters.get("end_time")),
            len(page) - len(rows),
            is_small,
        )

    async def _across(
        self, boundary: Boundary, filters: Mapping[str, Any], order: str, limit: int
    ) -> _Part:
        """Return rows of both databases in the page's order: first one database, then the other."""
        databases = [_Database.HISTORY, _Database.POSTGRESQL]
        if order == "desc":
            databases.reverse()
        position: Position | None = filters.get("position")
        reached = None if position is None else _database_of(position)
        if reached is databases[1]:
            databases = databases[1:]  # the pages before have read all of the first one
        without_position = {name: filters[name] for name in filters if name != "position"}
        found: list[_Placed] = []
        for database in databases:
            chosen = filters if database is reached else without_position
            read = self._past if database is _Database.HISTORY else self._recent
            part = await read(chosen, order, limit - len(found), boundary)
            found += part.rows
            if part.is_cut:
                return _Part(found, is_cut=True)
            if len(found) >= limit:
                break
        return _Part(found, is_cut=False)

    async def _recent(
        self, filters: Mapping[str, Any], order: str, limit: int, boundary: Boundary | None
    ) -> _Part:
        boundary_ms = 0
        if boundary is not None:
            end_time = filters.get("end_time")
            if not boundary.has_recent or (end_time is not None and end_time <= boundary.ends_at):
                return _Part([], is_cut=False)
            start_time = max(boundary.ends_at, filters.get("start_time", boundary.ends_at))
            filters = {**filters, "start_time": start_time}
            boundary_ms = milliseconds(boundary.ends_at)
        read = await self._recent_rows.select_metrics({**filters, "limit": limit}, order)
        if len(read.rows) <= SMALL_ROWS_MAX and read.size_bytes <= SMALL_BYTES_MAX:
            return _placed(read, boundary_ms)._replace(is_small=True)
        return await asyncio.to_thread(_placed, read, boundary_ms)

    async def _past(
        self, filters: Mapping[str, Any], order: str, limit: int, boundary: Boundary
    ) -> _Part:
        assert self._history is not None
        families = await self._families.read(filters)
        selector = selector_of(filters, chosen_names(filters, families))
        if selector is None:
            return _Part([], is_cut=False)
        end = boundary.end_milliseconds(filters.get("end_time"))
        position: Position | None = filters.get("position")
        rows = await read_page(
            self._history,
            selector,
            Range(milliseconds(boundary.history_from), end),
            limit,
            None if position is None else (milliseconds(position.timestamp), position.metric_id),
            newest_first=order == "desc",
        )
        boundary_ms = milliseconds(boundary.ends_at)
        fitting = _count_fitting(rows, families)
        placed = [
            _Placed(
                as_row(row, families.get(row.series.metric_name, UNKNOWN_FAMILY)),
                row.metric_id,
                boundary_ms,
            )
            for row in rows[:fitting]
        ]
        return _Part(placed, is_cut=fitting < len(rows))


def _placed(read: RowsRead, boundary_ms: int) -> _Part:
    """Return rows of `RecentRows` with their places."""
    if not read.rows:
        return _Part([], read.is_cut)
    columns = read.rows[0]._fields[:-_COUNTS]
    labels_of: dict[str | None, Any] = {None: None}
    placed: list[_Placed] = []
    for row in read.rows:
        sample = dict(zip(columns, row, strict=False))
        text = row.labels
        if text not in labels_of:
            # A JSON null is no object, and must not be taken for a row without labels.
            labels = json_document(text)
            labels_of[text] = text if labels is None else labels
        sample["labels"] = labels_of[text]
        placed.append(_Placed(sample, row.metric_id, boundary_ms))
    return _Part(placed, read.is_cut)


def _count_fitting(rows: list[HistoryRow], families: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how many rows the bytes of a page have room for; the first always fits."""
    bytes_before = 0
    for place, row in enumerate(rows):
        if bytes_before >= PAGE_BYTES_MAX:
            return place
        series = row.series
        family = families.get(series.metric_name, UNKNOWN_FAMILY)
        bytes_before += SAMPLE_ROW.size(
            *series.labels, *series.labels.values(), family["help_text"], family["unit"]
        )
    return len(rows)


def _database_of(position: Position) -> _Database:
    """Return the database of a position's row: rows of the history have negative ids."""
    return _Database.HISTORY if position.metric_id < 0 else _Database.POSTGRESQL


def _check_age(position: Position, boundary: Boundary) -> None:
    # The time-series database has rows of one millisecond in another order than PostgreSQL.
    if _database_of(position) is _Database.POSTGRESQL and position.timestamp < boundary.ends_at:
        raise ParameterInvalidError(
            "the cursor is of a page that was read long ago, whose rows are read from the "
            f"time-series database by now: begin anew, at {format_timestamp(position.timestamp)}"
        )

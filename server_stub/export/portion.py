"""The rows that the export sends in one turn, and how many. Pure: no I/O, no clock.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from server_stub.time_series_database.refusals import LATE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.time_series_database.requests import Assembled, Assembly, Row

ROWS_MAX = 5_000
"""The most rows of a turn: as many as receivers like in one request."""


class Portion(NamedTuple):
    """Rows that are sent together.

    `reached` is the id up to which the receiver has every row once it has taken these. `is_last`
    says that no row follows yet. `is_repeat` says that the receiver has acknowledged these rows
    before. `ahead` counts the rows that are not sent, because their times are further ahead of
    their arrival than samples may be. `is_late` says that all of them were late when they arrived.
    """

    assembled: Assembled
    ahead: int
    row_count: int
    reached: int
    is_last: bool
    is_repeat: bool
    is_late: bool


class PortionSize:
    """How many rows a turn takes: fewer while it searches for a row that the receiver refuses."""

    def __init__(self) -> None:
        self.row_limit = ROWS_MAX

    def narrow(self, row_count: int) -> None:
        """Take half of the rows next time: the receiver has refused all because of one of them."""
        self.row_limit = row_count // 2

    def widen(self) -> None:
        """Take twice as many rows next time, up to `ROWS_MAX`."""
        self.row_limit = min(ROWS_MAX, self.row_limit * 2)


def portion_of(
    rows: Sequence[Row],
    row_limit: int,
    horizon: int,
    acknowledged: int,
    assembly: Assembly,
    ahead_seconds_max: float,
) -> Portion:
    """Return rows as a portion.

    Args:
        rows: the rows up to the horizon, at most `row_limit` of them.
        row_limit: how many were asked for.
        horizon: an id. Every row up to it can be seen, and no other will ever come.
        acknowledged: the id up to which the receiver has acknowledged rows before.
        assembly: makes series of the rows.
        ahead_seconds_max: how far ahead of their arrival the times of rows may be. One sample of
            the future makes Prometheus refuse all samples of the present.
    """
    is_last = len(rows) < row_limit
    reached = horizon if is_last else rows[-1].metric_id
    is_repeat = bool(rows) and reached <= acknowledged
    sent = [row for row in rows if row.late_ms >= -1000 * ahead_seconds_max]
    is_late = all(row.late_ms > 1000 * LATE_SECONDS for row in sent)
    return Portion(
        assembly.assemble(sent),
        len(rows) - len(sent),
        len(rows),
        reached,
        is_last,
        is_repeat,
        is_late,
    )

"""What the export sends in one turn, and how much that is. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.time_series_database.requests import Assembled, Assembly, Row

ROWS_MAX = 5_000
"""Rows in a turn: what receivers like in one request, and some 50 ms of work."""


class Portion(NamedTuple):
    """Rows that are sent together.

    `reached` is the id up to which the receiver has everything once it has taken them; `is_last`
    says that no row follows yet, and `is_repeat` that the receiver has acknowledged them before.
    """

    assembled: Assembled
    row_count: int
    reached: int
    is_last: bool
    is_repeat: bool


class PortionSize:
    """How many rows a turn takes: fewer while a row is searched for that the receiver refuses."""

    def __init__(self) -> None:
        self.row_limit = ROWS_MAX

    def narrow(self, row_count: int) -> None:
        """Take half of the rows next time: one of them has had all of them refused."""
        self.row_limit = row_count // 2

    def widen(self) -> None:
        """Take twice as many rows next time, up to what a turn takes at most."""
        self.row_limit = min(ROWS_MAX, self.row_limit * 2)


def portion_of(
    rows: Sequence[Row], row_limit: int, horizon: int, acknowledged: int, assembly: Assembly
) -> Portion:
    """Return rows as a portion.

    Args:
        rows: the rows up to the horizon, at most `row_limit` of them.
        row_limit: how many were asked for.
        horizon: an id up to which every row that there will ever be can be seen.
        acknowledged: the id up to which the receiver has acknowledged rows before.
        assembly: makes series of the rows.
    """
    is_last = len(rows) < row_limit
    reached = horizon if is_last else rows[-1].metric_id
    is_repeat = bool(rows) and reached <= acknowledged
    return Portion(assembly.assemble(rows), len(rows), reached, is_last, is_repeat)

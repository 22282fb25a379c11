"""The rows that the export sends in one turn, and how many. Pure: no I/O, no clock.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from server_stub.export.records import (
    id_of,
    moment_of,
    series_of,
    series_row,
    times_of,
    value_of,
)
from server_stub.time_series_database.refusals import LATE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.time_series_database.assembly import Assembled, Assembly

ROWS_MAX = 20_000
"""The most rows of a turn, which are sent in one request."""

FIRST_ROWS = 5_000
"""The most rows of the first turn: how many bytes they have is not known yet."""

PORTION_BYTES_MAX = 8 * 1024 * 1024
"""How many bytes the records of a turn take, about: receivers take 32 MiB in one request."""

TEXT_BYTES_MAX = 2048
"""How many bytes of labels and help text a row may have to be read together with so many others."""

LONG_ROWS_MAX = 64
"""The most rows of a turn that begins with a row that has more."""


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
    byte_count: int
    reached: int
    is_last: bool
    is_repeat: bool
    is_late: bool


class PortionSize:
    """How many rows a turn takes: fewer while it searches for a row that the receiver refuses.

    `is_narrow` says that it searches, or has found it just now.
    """

    def __init__(self) -> None:
        self.row_limit = min(FIRST_ROWS, ROWS_MAX)
        self.is_narrow = False

    def narrow(self, row_count: int) -> None:
        """Take half of the rows next time: the receiver has refused all because of one of them."""
        self.row_limit = row_count // 2
        self.is_narrow = True

    def widen(self, row_bytes: float) -> None:
        """Take twice as many rows next time, as far as the bounds allow.

        Args:
            row_bytes: how many bytes a row of this turn has had on average.
        """
        fitting = round(PORTION_BYTES_MAX / max(row_bytes, 1.0))
        limit_max = max(1, min(ROWS_MAX, fitting))
        self.row_limit = min(limit_max, self.row_limit * 2)
        self.is_narrow = self.is_narrow and self.row_limit < limit_max


def portion_of(
    records: Sequence[bytes],
    row_limit: int,
    horizon: int,
    acknowledged: int,
    assembly: Assembly,
    ahead_seconds_max: float,
) -> Portion:
    """Return rows as a portion.

    Args:
        records: the rows up to the horizon, at most `row_limit` of them, as PostgreSQL sends them.
        row_limit: how many were asked for.
        horizon: an id. Every row up to it can be seen, and no other will ever come.
        acknowledged: the id up to which the receiver has acknowledged rows before.
        assembly: makes series of the rows.
        ahead_seconds_max: how far ahead of their arrival the times of rows may be. One sample of
            the future makes Prometheus refuse all samples of the present.
    """
    is_last = len(records) < row_limit
    reached = horizon if is_last else id_of(records[-1])
    is_repeat = bool(records) and reached <= acknowledged
    times = list(map(times_of, records))
    moments = {both: moment_of(both) for both in set(times)}
    ahead = {both for both, one in moments.items() if one.late_ms < -1000 * ahead_seconds_max}
    is_late = all(
        one.late_ms > 1000 * LATE_SECONDS for both, one in moments.items() if both not in ahead
    )
    sent = records
    if ahead:
        sent = [record for record, both in zip(records, times, strict=True) if both not in ahead]
        times = [both for both in times if both not in ahead]
    times_ms = {both: one.time_ms for both, one in moments.items()}
    assembled = assembly.group(
        list(map(series_of, sent)),
        list(map(times_ms.__getitem__, times)),
        list(map(value_of, sent)),
        lambda place: series_row(series_of(sent[place])),
    )
    return Portion(
        assembled,
        len(records) - len(sent),
        len(records),
        sum(map(len, records)),
        reached,
        is_last,
        is_repeat,
        is_late,
    )

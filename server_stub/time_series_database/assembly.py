"""Rows as series of samples, as a time-series database has them. Pure: no I/O, no clock.

Times are in milliseconds, because the protocol has these. Of two samples of one series in one
millisecond, the later one counts.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple, cast

from server_stub.time_series_database.known_series import INVALID, KnownSeries
from server_stub.time_series_database.wire import double_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from server_stub.time_series_database.known_series import Row, WrittenSeries


class Assembled(NamedTuple):
    """Samples by series, and in the order of time within each, as columns.

    Each series has a place in `series` and in `ends`. Its samples have places in `times_ms` and
    `values`: from the end of the series before it up to its own end. A time is in milliseconds, and
    a value is as `double_bytes` gives it. `invalid` counts the rows with a name, labels or a time
    that the protocol does not have. `merged` counts the rows whose series has a later one in the
    same millisecond.
    """

    series: Sequence[WrittenSeries]
    ends: Sequence[int]
    times_ms: Sequence[int]
    values: Sequence[bytes]
    invalid: int
    merged: int

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.values)


class Assembly:
    """Makes series of rows; keeps the part of them that never changes."""

    def __init__(self) -> None:
        self._known = KnownSeries()

    def assemble(self, rows: Sequence[Row]) -> Assembled:
        """Return the rows by series.

        Args:
            rows: in the order in which they were inserted.
        """
        return self.group(
            [(row[1:4], row[6:11]) for row in rows],
            [row.timestamp_ms for row in rows],
            [double_bytes(row.metric_value) for row in rows],
            rows.__getitem__,
        )

    def group(
        self,
        keys: Sequence[Hashable],
        times_ms: Sequence[int | None],
        values: Sequence[bytes],
        row_at: Callable[[int], Row],
    ) -> Assembled:
        """Return rows by series, of which only those of new series are looked into.

        Args:
            keys: of each row, what only the rows of its series have.
            times_ms: of each row, the time in milliseconds; None if it is infinite.
            values: of each row, the value, as `double_bytes` gives it.
            row_at: returns the row of a place; its time and value do not count.
        """
        numbers = self._known.numbers(keys, row_at)
        places: Sequence[int] = range(len(keys))
        if INVALID in numbers or None in times_ms:
            places = [
                place
                for place, number, time_ms in zip(places, numbers, times_ms, strict=True)
                if number != INVALID and time_ms is not None
            ]
        series_of = self._known.first_numbers(numbers)
        times = cast("Sequence[int]", times_ms)  # nothing looks at those of other places
        # The sort is stable: what was inserted later stays behind.
        order = sorted(places, key=series_of.__getitem__)
        ends = _ends(order, series_of)
        # If the rows say different things of a series, the first one counts.
        firsts = [numbers[order[begin]] for begin in [0, *ends][: len(ends)]]
        ordered_times = list(map(times.__getitem__, order))
        if not _is_ascending(ordered_times, ends):
            order = _latest_in_order(places, series_of, times)
            ends = _ends(order, series_of)
            ordered_times = list(map(times.__getitem__, order))
        return Assembled(
            list(map(self._known.written, firsts)),
            ends,
            ordered_times,
            list(map(values.__getitem__, order)),
            len(keys) - len(places),
            len(places) - len(order),
        )


def _ends(order: Sequence[int], series_of: Sequence[int]) -> list[int]:
    """Return behind which of the places in `order` each series ends."""
    return list(accumulate(Counter(map(series_of.__getitem__, order)).values()))


def _is_ascending(times: Sequence[int], ends: Sequence[int]) -> bool:
    """Return whether times go up within each series."""
    falls = {place for place, (one, other) in enumerate(pairwise(times), 1) if one >= other}
    return falls.issubset(ends)


def _latest_in_order(
    places: Sequence[int], series_of: Sequence[int], times: Sequence[int]
) -> list[int]:
    """Return places by series and time, and of a series' millisecond only the last one."""
    by_time = sorted(places, key=times.__getitem__)
    order = sorted(by_time, key=series_of.__getitem__)
    return [
        one
        for one, other in pairwise(order)
        if series_of[one] != series_of[other] or times[one] != times[other]
    ] + order[-1:]

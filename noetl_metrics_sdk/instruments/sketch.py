"""Estimate quantiles with a stated relative error, over a sliding window, in bounded memory.

DDSketch: Masson, Rim, Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", PVLDB 12(12), 2019. The sketch counts a value in the bin of its
logarithm to the base gamma = (1 + a) / (1 - a). The middle of the bin is then within the relative
error a of every value in it.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from itertools import accumulate
from math import ceil, exp, floor, inf, log, log2, nan
from typing import TYPE_CHECKING, Final, final

from noetl_metrics_sdk.instruments.locking import COMPILED

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS_MAX: Final = 65_536
"""How many bins a sketch has at most on each side of zero, however small the relative error."""

POWERS_OF_TEN: Final = 18
"""How many powers of ten below the highest value the bins reach, if `BINS_MAX` bins are enough.

The lowest bin counts all values that are further away.
"""

_LOG_MAX: Final = log(sys.float_info.max)
_LOG_MIN: Final = log(5e-324)  # of the least float above zero


@final
class Bins:
    """A list of counts, from the lowest index to the highest.

    A signal handler or a finalizer may count while its own thread runs this code. It can run only
    after a call has returned. So the code makes no call between reading a count and writing it, nor
    between the steps that other code must see together.

    Args:
        size_max: how many bins there are at most.
    """

    __slots__ = ("counts", "lowest", "size_max")

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.lowest = 0
        self.counts: list[int] = []

    def add(self, index: int, count: int) -> None:
        """Raise the count of an index.

        If the index is too far below the highest one, the lowest bin counts it.
        """
        while True:
            size = len(self.counts)
            position = index - self.lowest
            if position < 0 and size >= self.size_max:
                position = 0
            if 0 <= position < size:
                self.counts[position] += count
                return
            self._make_room(index)

    def copy(self) -> Bins:
        """Return an independent copy of these bins."""
        twin = Bins(self.size_max)
        counts = self.counts.copy()
        twin.lowest = self.lowest
        twin.counts = counts
        return twin

    def _make_room(self, index: int) -> None:
        counts = self.counts
        if not counts:
            self.lowest = index
            counts.append(0)
        elif index < self.lowest:
            zeros = [0] * min(self.lowest - index, self.size_max - len(counts))
            added = len(zeros)
            counts[0:0] = zeros
            self.lowest -= added
        else:
            while self.lowest <= index - self.size_max:
                if len(counts) == 1:
                    self.lowest = index - self.size_max + 1
                else:
                    counts[1] += counts[0]
                    del counts[0]
                    self.lowest += 1
            counts.extend([0] * (index + 1 - self.lowest - len(counts)))


@final
class QuantileSketch:
    """Counts of values by logarithmic bin.

    Args:
        relative_error: how far an estimate may be from the true value, as a part of that value.
    """

    __slots__ = (
        "_gamma",
        "_negative",
        "_relative_error",
        "_zeros",
        "bins_per_log",
        "ceiling",
        "index_of_ceiling",
        "positive",
    )  # fmt: skip

    def __init__(self, relative_error: float) -> None:
        self._relative_error = relative_error
        self._gamma = (1 + relative_error) / (1 - relative_error)
        self.bins_per_log = 1 / _logarithm(self._gamma)
        # A whole number above every index of compiled code. It is no greater than it has to be, so
        # a difference to it is exact to a thousand-millionth of a bin.
        self.index_of_ceiling = 1 << ceil(log2(-_LOG_MIN * self.bins_per_log))
        self.ceiling = float(self.index_of_ceiling)
        size_max = min(BINS_MAX, ceil(POWERS_OF_TEN * _logarithm(10) * self.bins_per_log))
        self.positive = Bins(size_max)
        self._negative = Bins(size_max)
        self._zeros = 0

    def add(self, value: float) -> None:
        """Count one value.

        Raises:
            ArithmeticError: the value is NaN or infinite.
        """
        if value > 0.0:
            bins = self.positive
            # The same as _logarithm(), without the call. Compiled, int() takes less time than
            # ceil(): counted downwards from the ceiling, the rest that it cuts off rounds up.
            if COMPILED:
                below_ceiling = int(self.ceiling - log(value) * self.bins_per_log)
                index = self.index_of_ceiling - below_ceiling
            else:
                index = ceil(log2(value) * self.bins_per_log)
        elif value < 0.0:
            bins = self._negative
            index = ceil(_logarithm(-value) * self.bins_per_log)
        elif value == 0.0:
            self._zeros += 1
            return
        else:
            raise ArithmeticError("NaN has no place among values that are in order")
        # The same as Bins.add() in all but the rarest cases, without the call.
        counts = bins.counts
        position = index - bins.lowest
        if position >= 0:
            try:
                # Compiled, a count in a variable of its own is a plain integer of the machine.
                count = counts[position]
                counts[position] = count + 1
            except IndexError:
                pass
            else:
                return
        bins.add(index, 1)

    @property
    def count(self) -> int:
        """How many values were counted."""
        return self._zeros + sum(self.positive.counts) + sum(self._negative.counts)

    def is_empty(self) -> bool:
        """Return whether nothing was counted yet."""
        return not (self._zeros or self.positive.counts or self._negative.counts)

    def merge(self, other: QuantileSketch) -> None:
        """Add all that another sketch of the same relative error has counted."""
        _merge_bins(self.positive, other.positive)
        _merge_bins(self._negative, other._negative)
        self._zeros += other._zeros

    def copy(self) -> QuantileSketch:
        """Return an independent copy of this sketch."""
        twin = QuantileSketch(self._relative_error)
        twin.positive = self.positive.copy()
        twin._negative = self._negative.copy()
        twin._zeros = self._zeros
        return twin

    def quantiles(self, quantiles: Sequence[float]) -> list[float]:
        """Return an estimate for each quantile, or NaN for each if no value was counted.

        The estimate for q is within the relative error of the value at rank floor(q * (n - 1))
        of the n sorted values.

        Args:
            quantiles: the quantiles, each between 0 and 1.
        """
        negative = self._negative.copy()
        positive = self.positive.copy()
        below_zero = len(negative.counts)
        counts = negative.counts[::-1]
        counts.append(self._zeros)
        counts.extend(positive.counts)
        up_to = list(accumulate(counts))
        total = up_to[-1]
        if not total:
            return [nan] * len(quantiles)
        estimates: list[float] = []
        for quantile in quantiles:
            rank = floor(quantile * (total - 1))
            position = bisect_right(up_to, rank)
            if position < below_zero:
                estimates.append(-self._middle(negative.lowest + below_zero - 1 - position))
            elif position == below_zero:
                estimates.append(0.0)
            else:
                estimates.append(self._middle(positive.lowest + position - below_zero - 1))
        return estimates

    def _middle(self, index: int) -> float:
        # The bin holds gamma^(index - 1) < value <= gamma^index. This point is equally far from
        # both ends in relative terms. It is computed from its logarithm, as gamma^index may
        # overflow. In the last bin that holds floats, even the middle may be greater than the
        # greatest float.
        exponent = index * log(self._gamma) - log((self._gamma + 1) / 2)
        return exp(min(exponent, _LOG_MAX))


@final
class SlidingWindowSketch:
    """A row of sketches, one for each slice of the window; the oldest is dropped as time goes on.

    To count a value, add it to `newest`, after a call of `move_on()` if the time `slice_ends_at`
    has come.

    Args:
        relative_error: as for `QuantileSketch`.
        window_seconds: how far back the quantiles look, in seconds.
        slices: how many slices the window has. It moves on by `window_seconds / slices` at a time.
    """

    __slots__ = (
        "_relative_error", "_slice_seconds", "_slices", "_slices_max", "newest", "slice_ends_at",
    )  # fmt: skip

    def __init__(self, relative_error: float, window_seconds: float, slices: int) -> None:
        self._relative_error = relative_error
        self._slice_seconds = window_seconds / slices
        self._slices_max = slices
        self.newest = QuantileSketch(relative_error)
        self._slices = [self.newest]
        self.slice_ends_at = -inf

    def add(self, value: float, now: float) -> None:
        """Count one finite value.

        Args:
            value: the observed value.
            now: the current time of a monotonic clock, in seconds.
        """
        if now >= self.slice_ends_at:
            self.move_on(now)
        self.newest.add(value)

    def snapshot(self, now: float) -> list[QuantileSketch]:
        """Return copies of the sketches in the window; this is fast enough to do under a lock.

        Args:
            now: the current time of a monotonic clock, in seconds.
        """
        if now >= self.slice_ends_at:
            self.move_on(now)
        return [sketch.copy() for sketch in self._slices if not sketch.is_empty()]

    def move_on(self, now: float) -> None:
        """Begin a new slice, and drop the slices that are too old.

        Args:
            now: the current time of a monotonic clock, in seconds.
        """
        if self.slice_ends_at == -inf:
            self.slice_ends_at = now + self._slice_seconds
            return
        passed = 1 + int((now - self.slice_ends_at) / self._slice_seconds)
        self.slice_ends_at += passed * self._slice_seconds
        for _ in range(min(passed, self._slices_max)):
            newest = QuantileSketch(self._relative_error)
            self._slices.append(newest)
            self.newest = newest
        del self._slices[: -self._slices_max]


def _logarithm(value: float) -> float:
    # The base cancels out, so the faster function is used. mypyc compiles log() to a call of the C
    # function. In interpreted code log2() takes a third of the time of log(), which Python before
    # 3.13 calls the slow way.
    return log(value) if COMPILED else log2(value)


def merged_quantiles(
    sketches: Sequence[QuantileSketch], relative_error: float, quantiles: Sequence[float]
) -> list[float]:
    """Return the quantiles of all values that several sketches have counted.

    Args:
        sketches: sketches with the same relative error.
        relative_error: the relative error of the sketches.
        quantiles: the quantiles, each between 0 and 1.
    """
    merged = QuantileSketch(relative_error)
    for sketch in sketches:
        merged.merge(sketch)
    return merged.quantiles(quantiles)


def _merge_bins(bins: Bins, others: Bins) -> None:
    index = others.lowest
    for count in others.counts:
        if count:
            bins.add(index, count)
        index += 1

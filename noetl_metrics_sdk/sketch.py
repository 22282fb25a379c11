"""Quantiles with a stated relative error, over a sliding window, in bounded memory.

DDSketch: Masson, Rim, Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", PVLDB 12(12), 2019. A value is counted in the bin of its logarithm
to the base gamma = (1 + a) / (1 - a); the middle of the bin is then within the relative error
a of every value in it.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS_MAX = 2048
"""At 1 % this covers nearly 18 powers of ten before the lowest bins are folded together."""

_LOG_MAX = math.log(sys.float_info.max)


class QuantileSketch:
    """Counts of values by logarithmic bin.

    Args:
        relative_error: how far an estimate may be from the true value, as a part of it.
    """

    __slots__ = ("_gamma", "_negative", "_per_log", "_positive", "_zeros", "count")

    def __init__(self, relative_error: float) -> None:
        self._gamma = (1 + relative_error) / (1 - relative_error)
        self._per_log = 1 / math.log(self._gamma)
        self._positive: dict[int, int] = {}
        self._negative: dict[int, int] = {}
        self._zeros = 0
        self.count = 0

    def add(self, value: float) -> None:
        """Count one finite value."""
        if value > 0.0:
            bins = self._positive
            index = math.ceil(math.log(value) * self._per_log)
        elif value < 0.0:
            bins = self._negative
            index = math.ceil(math.log(-value) * self._per_log)
        else:
            self._zeros += 1
            self.count += 1
            return
        _increase(bins, index, 1)
        self.count += 1
        if len(bins) > BINS_MAX:
            _fold_lowest(bins)

    def merge(self, other: QuantileSketch) -> None:
        """Add all that another sketch of the same relative error has counted."""
        for bins, others in (
            (self._positive, other._positive),
            (self._negative, other._negative),
        ):
            for index, count in others.items():
                bins[index] = bins.get(index, 0) + count
        self._zeros += other._zeros
        self.count += other.count

    def copy(self) -> QuantileSketch:
        """Return a sketch that has counted the same and changes on its own."""
        twin = QuantileSketch.__new__(QuantileSketch)
        twin._gamma = self._gamma
        twin._per_log = self._per_log
        twin._positive = dict(self._positive)
        twin._negative = dict(self._negative)
        twin._zeros = self._zeros
        twin.count = self.count
        return twin

    def quantiles(self, quantiles: Sequence[float]) -> list[float]:
        """Return an estimate for each quantile; NaN for each if nothing was counted.

        The estimate for q is within the relative error of the value at rank floor(q * (n - 1))
        of the n sorted values.

        Args:
            quantiles: between 0 and 1.
        """
        negative = sorted(self._negative, reverse=True)
        positive = sorted(self._positive)
        counts = [self._negative[index] for index in negative]
        counts.append(self._zeros)
        counts += [self._positive[index] for index in positive]
        up_to = list(accumulate(counts))
        # Not `self.count`: a signal handler may have observed between the two.
        total = up_to[-1]
        if not total:
            return [math.nan] * len(quantiles)
        estimates: list[float] = []
        for quantile in quantiles:
            rank = math.floor(quantile * (total - 1))
            position = bisect_right(up_to, rank)
            if position < len(negative):
                estimates.append(-self._middle(negative[position]))
            elif position == len(negative):
                estimates.append(0.0)
            else:
                estimates.append(self._middle(positive[position - len(negative) - 1]))
        return estimates

    def _middle(self, index: int) -> float:
        # The bin holds gamma^(index - 1) < value <= gamma^index; this point is equally far from
        # both ends in relative terms. By way of the logarithm, as gamma^index may overflow.
        # Of the last bin that holds floats, even the middle may be greater than the greatest.
        exponent = index / self._per_log - math.log((self._gamma + 1) / 2)
        return math.exp(min(exponent, _LOG_MAX))


class SlidingWindowSketch:
    """A ring of sketches, of which the oldest is dropped as time goes on.

    Args:
        relative_error: as for `QuantileSketch`.
        window_seconds: how far back the quantiles look.
        slices: into how many sketches the window is divided: it moves on by
            `window_seconds / slices` at a time.
    """

    __slots__ = ("_relative_error", "_slice_ends_at", "_slice_seconds", "_slices", "_slices_max")

    def __init__(self, relative_error: float, window_seconds: float, slices: int) -> None:
        self._relative_error = relative_error
        self._slice_seconds = window_seconds / slices
        self._slices_max = slices
        self._slices = [QuantileSketch(relative_error)]
        self._slice_ends_at = -math.inf

    def add(self, value: float, now: float) -> None:
        """Count one finite value.

        Args:
            value: what was observed.
            now: a monotonic clock's reading, in seconds.
        """
        if now >= self._slice_ends_at:
            self._move_on(now)
        self._slices[-1].add(value)

    def snapshot(self, now: float) -> list[QuantileSketch]:
        """Return copies of the sketches in the window; cheap enough to call under a lock."""
        if now >= self._slice_ends_at:
            self._move_on(now)
        return [sketch.copy() for sketch in self._slices if sketch.count]

    def clear(self) -> None:
        """Forget everything."""
        self._slices = [QuantileSketch(self._relative_error)]
        self._slice_ends_at = -math.inf

    def _move_on(self, now: float) -> None:
        if self._slice_ends_at == -math.inf:
            self._slice_ends_at = now + self._slice_seconds
            return
        passed = 1 + int((now - self._slice_ends_at) / self._slice_seconds)
        self._slice_ends_at += passed * self._slice_seconds
        for _ in range(min(passed, self._slices_max)):
            self._slices.append(QuantileSketch(self._relative_error))
        del self._slices[: -self._slices_max]


def merged_quantiles(
    sketches: Sequence[QuantileSketch], relative_error: float, quantiles: Sequence[float]
) -> list[float]:
    """Return the quantiles of all that several sketches have counted."""
    merged = QuantileSketch(relative_error)
    for sketch in sketches:
        merged.merge(sketch)
    return merged.quantiles(quantiles)


def _fold_lowest(bins: dict[int, int]) -> None:
    # An eighth at a time, so that a stream of ever new bins does not sort at every value.
    *lowest, highest_of_them = sorted(bins)[: BINS_MAX // 8]
    # With a default, as a signal handler that observes may have folded some of them meanwhile.
    _increase(bins, highest_of_them, sum([bins.pop(index, 0) for index in lowest]))


def _increase(bins: dict[int, int], index: int, count: int) -> None:
    # There is no call between reading and writing: after one, a signal handler or a finalizer
    # could observe, and its count would be overwritten.
    try:
        bins[index] += count
    except KeyError:
        bins[index] = count

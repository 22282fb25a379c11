"""Histogram and Summary: counts of observations, and how they are distributed.

Like the other instruments they are prometheus_client's, with what would spoil a sum for ever
refused where it is written.
"""

from __future__ import annotations

import math
import sys
import time
from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.labelled import SERIES_MAX, Instrument, not_a_number, warn_of_exemplar
from noetl_metrics_sdk.model import MetricType, Sample, Series
from noetl_metrics_sdk.registry import REGISTRY, Registry
from noetl_metrics_sdk.sketch import SlidingWindowSketch, merged_quantiles
from noetl_metrics_sdk.timing import Timer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

INFINITY = math.inf


class Histogram(Instrument):
    """Counts observations in buckets: durations and sizes whose quantiles add up over workers.

    Args:
        buckets: the upper bounds, ascending; `+Inf` is added if it is missing.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_bounds", "_bucket_counts", "_sum")
    _type = MetricType.HISTOGRAM
    _reserved_label_names = ("le",)
    _bucket_counts: list[int]
    _sum: float

    DEFAULT_BUCKETS = (
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, INFINITY,
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        buckets: Sequence[float | str] = DEFAULT_BUCKETS,
        *,
        max_series: int = SERIES_MAX,
    ) -> None:
        self._bounds = _check_buckets(buckets)
        super().__init__(
            name,
            documentation,
            labelnames,
            namespace,
            subsystem,
            unit,
            registry,
            max_series=max_series,
        )

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count an observation.

        Args:
            amount: a finite number.
            exemplar: accepted for prometheus_client's sake, and not kept.

        Raises:
            InvalidMetricError: the amount is NaN or infinite, or labels are missing.
            TypeError: the amount is no number.
        """
        if self._children is not None:
            self._check_has_value()
        try:
            if -INFINITY < amount < INFINITY:
                bucket = bisect_left(self._bounds, amount)
                with self._lock:
                    self._sum += amount
                    self._bucket_counts[bucket] += 1
                if exemplar is not None:
                    warn_of_exemplar()
                return
        except TypeError as error:
            raise not_a_number(self, amount) from error
        except ArithmeticError:  # an integer beyond what a float holds, or Decimal's NaN
            pass
        raise _not_finite(self, amount)

    def time(self) -> Timer:
        """Return a context manager and decorator that observes the duration in seconds."""
        return Timer(self, "observe")

    def _zero(self) -> None:
        self._bucket_counts = [0] * len(self._bounds)
        self._sum = 0.0

    def _make_series(self, labels: dict[str, str]) -> tuple[Series, ...]:
        buckets = [
            self._one_series("_bucket", labels, {"le": format_bound(bound)})
            for bound in self._bounds
        ]
        return (*buckets, self._one_series("_sum", labels), self._one_series("_count", labels))

    def _samples(self) -> list[Sample]:
        with self._lock:
            counts = self._bucket_counts.copy()
            total = self._sum
        cumulative = list(accumulate(counts))
        values = [*cumulative, total, cumulative[-1]]
        return [
            Sample(series, float(value))
            for series, value in zip(self._own_series(), values, strict=True)
        ]


class Summary(Instrument):
    """Counts observations and estimates their quantiles over a sliding window.

    Each estimate is within `relative_error` of the true quantile of the window (DDSketch; see
    `noetl_metrics_sdk.sketch`). Quantiles of several workers do not add up: where that is
    wanted, use a `Histogram`.

    Args:
        quantiles: which quantiles are reported, between 0 and 1.
        max_age_seconds: how far back the quantiles look; sum and count are cumulative.
        age_buckets: in how many steps the window moves on.
        relative_error: how far an estimate may be off, as a part of the true value.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_count", "_quantiles", "_relative_error", "_sum", "_window", "_window_form")
    _type = MetricType.SUMMARY
    _reserved_label_names = ("quantile",)
    _count: int
    _sum: float
    _window: SlidingWindowSketch

    DEFAULT_QUANTILES = (0.5, 0.9, 0.95, 0.99)

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
        *,
        max_age_seconds: float = 600.0,
        age_buckets: int = 5,
        relative_error: float = 0.01,
        max_series: int = SERIES_MAX,
    ) -> None:
        self._quantiles = _check_quantiles(quantiles)
        self._relative_error = _check_relative_error(relative_error)
        self._window_form = _check_window(max_age_seconds, age_buckets)
        super().__init__(
            name,
            documentation,
            labelnames,
            namespace,
            subsystem,
            unit,
            registry,
            max_series=max_series,
        )

    def observe(self, amount: float) -> None:
        """Count an observation.

        Args:
            amount: a finite number.

        Raises:
            InvalidMetricError: the amount is NaN or infinite, or labels are missing.
            TypeError: the amount is no number.
        """
        if self._children is not None:
            self._check_has_value()
        try:
            if -INFINITY < amount < INFINITY:
                value = amount + 0.0
                now = time.monotonic()
                with self._lock:
                    self._sum += value
                    self._count += 1
                    self._window.add(value, now)
                return
        except TypeError as error:
            raise not_a_number(self, amount) from error
        except ArithmeticError:  # an integer beyond what a float holds, or Decimal's NaN
            pass
        raise _not_finite(self, amount)

    def time(self) -> Timer:
        """Return a context manager and decorator that observes the duration in seconds."""
        return Timer(self, "observe")

    def _zero(self) -> None:
        self._sum = 0.0
        self._count = 0
        self._window = SlidingWindowSketch(self._relative_error, *self._window_form)

    def _make_series(self, labels: dict[str, str]) -> tuple[Series, ...]:
        quantiles = [
            self._one_series("", labels, {"quantile": repr(quantile)})
            for quantile in self._quantiles
        ]
        return (*quantiles, self._one_series("_sum", labels), self._one_series("_count", labels))

    def _samples(self) -> list[Sample]:
        now = time.monotonic()
        with self._lock:
            sketches = self._window.snapshot(now)
            total, count = self._sum, self._count
        estimates = merged_quantiles(sketches, self._relative_error, self._quantiles)
        values = [*estimates, total, float(count)]
        return [
            Sample(series, value) for series, value in zip(self._own_series(), values, strict=True)
        ]


def format_bound(bound: float) -> str:
    """Return a bucket's bound as the label `le` has it, in prometheus_client's notation."""
    if math.isinf(bound):
        return "+Inf" if bound > 0 else "-Inf"
    digits = repr(bound)
    point = digits.find(".")
    # Go, and with it every Prometheus client, turns to exponents from a million on.
    if bound > 0 and "e" not in digits and point > 6:  # noqa: PLR2004
        mantissa = f"{digits[0]}.{digits[1:point]}{digits[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02}"
    return digits


def _check_buckets(buckets: Sequence[float | str]) -> list[float]:
    try:
        bounds = [float(bound) for bound in buckets]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidMetricError(f"buckets {buckets!r}: each must be a number") from error
    if any(math.isnan(bound) for bound in bounds):
        raise InvalidMetricError(f"buckets {buckets!r} hold NaN: each must be a number")
    if any(lower >= upper for lower, upper in pairwise(bounds)):
        raise InvalidMetricError(f"buckets {buckets!r} must ascend, each bound once")
    if not bounds or bounds[-1] != INFINITY:
        bounds.append(INFINITY)
    if len(bounds) == 1:
        raise InvalidMetricError(f"buckets {buckets!r}: at least one finite bound is needed")
    return bounds


def _check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    if not all(_is_between(quantile, 0.0, 1.0) for quantile in quantiles):
        raise InvalidMetricError(f"quantiles {quantiles!r}: each must be between 0 and 1")
    return tuple(sorted({float(quantile) for quantile in quantiles}))


def _check_relative_error(relative_error: float) -> float:
    if not _is_between(relative_error, 0.0001, 0.5):
        raise InvalidMetricError(
            f"relative_error is {relative_error!r}: it must be between 0.0001 and 0.5"
        )
    return relative_error


def _check_window(max_age_seconds: float, age_buckets: int) -> tuple[float, int]:
    if not _is_between(max_age_seconds, 0.0, sys.float_info.max) or not max_age_seconds:
        raise InvalidMetricError(
            f"max_age_seconds is {max_age_seconds!r}: it must be a number above 0"
        )
    if not isinstance(age_buckets, int) or age_buckets < 1:
        raise InvalidMetricError(
            f"age_buckets is {age_buckets!r}: it must be a whole number, at least 1"
        )
    return max_age_seconds, age_buckets


def _is_between(value: object, lowest: float, highest: float) -> bool:
    return isinstance(value, (int, float)) and lowest <= value <= highest


def _not_finite(instrument: Instrument, amount: float) -> InvalidMetricError:
    return InvalidMetricError(
        f"{instrument}.observe({amount!r}): an observation is a finite number; "
        "this one would spoil the sum for ever"
    )

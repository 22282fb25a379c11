"""Histogram and Summary: counts of observations, and how they are distributed.

Like the other instruments they are prometheus_client's, with what would spoil a sum for ever
refused where it is written.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, isnan, log, log2
from typing import TYPE_CHECKING, Any, ClassVar, Final, SupportsFloat, final

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.instrument import (
    INFINITY,
    MINUS_INFINITY,
    SERIES_MAX,
    Instrument,
    as_float,
    warn_of_exemplar,
)
from noetl_metrics_sdk.instruments.locking import COMPILED
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.instruments.sketch import BINS_MAX, SlidingWindowSketch, merged_quantiles
from noetl_metrics_sdk.instruments.timing import Timer
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from noetl_metrics_sdk.model.stamped_sample import SampleForm

# Outside of the classes, as the compiler does not know a class's names in its own signatures.
_DEFAULT_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, INFINITY,
)  # fmt: skip
_DEFAULT_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


@final
class Histogram(Instrument):
    """Counts observations in buckets: durations and sizes whose quantiles add up over workers.

    Args:
        buckets: the upper bounds, ascending; `+Inf` is added if it is missing.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_bounds", "_bucket_counts", "_sum")
    _type = MetricType.HISTOGRAM
    _reserved_label_names = ("le",)
    _bounds: list[float]

    DEFAULT_BUCKETS: ClassVar[Sequence[float]] = _DEFAULT_BUCKETS

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        buckets: Sequence[float | str] = _DEFAULT_BUCKETS,
        *,
        max_series: int = SERIES_MAX,
        _parent: Histogram | None = None,
    ) -> None:
        self._bounds = _check_buckets(buckets) if _parent is None else _parent._bounds
        super().__init__(
            name,
            documentation,
            labelnames,
            namespace,
            subsystem,
            unit,
            registry,
            max_series=max_series,
            _parent=_parent,
        )

    def observe(self, amount: SupportsFloat, exemplar: Mapping[str, str] | None = None) -> None:
        """Count an observation.

        Args:
            amount: a finite number.
            exemplar: accepted for prometheus_client's sake, and not kept.

        Raises:
            InvalidMetricError: the amount is NaN or infinite, or labels are missing.
            TypeError: the amount is no number.
        """
        value = amount if type(amount) is float else as_float(self, amount)
        if not MINUS_INFINITY < value < INFINITY:
            raise _not_finite(self, amount)
        self._take(value)
        if exemplar is not None:
            warn_of_exemplar()

    def time(self) -> Timer:
        """Return a context manager and decorator that observes the duration in seconds."""
        return Timer(self)

    def _zero(self) -> None:
        self._sum = 0.0
        self._bucket_counts = [0] * len(self._bounds)

    def _make_forms(self) -> list[SampleForm]:
        definition = self._definition
        return [
            *[definition.form("_bucket", ("le", format_bound(bound))) for bound in self._bounds],
            definition.form("_sum"),
            definition.form("_count"),
        ]

    def _new_child(self) -> Histogram:
        return Histogram("", "", _parent=self)

    def _take(self, value: float) -> None:
        # bisect_left(), written out: compiled, the call would cost more than the search.
        bounds = self._bounds
        low = 0
        high = len(bounds) - 1
        while low < high:
            middle = (low + high) >> 1
            if bounds[middle] < value:
                low = middle + 1
            else:
                high = middle
        if self._direct:
            self._sum += value
            self._bucket_counts[low] += 1
        else:
            if self._children is not None:
                self._check_has_value()
            with self._definition.lock:
                self._sum += value
                self._bucket_counts[low] += 1

    def _values(self) -> list[float]:
        if self._direct:
            # In this order: making the copy may run a finalizer, which may observe; from the
            # moment when it is filled, nothing comes in between.
            counts = self._bucket_counts.copy()
            total = self._sum
        else:
            with self._definition.lock:
                counts = self._bucket_counts.copy()
                total = self._sum
        values: list[float] = []
        cumulative = 0
        for count in counts:
            cumulative += count
            values.append(float(cumulative))
        values.append(total)
        values.append(float(cumulative))
        return values


@final
class Summary(Instrument):
    """Counts observations and estimates their quantiles over a sliding window.

    Each estimate is within `relative_error` of the true quantile of the window, unless that is
    more than 18 powers of ten below the greatest value (DDSketch; see `sketch.py`). Quantiles of
    several workers do not add up: where that is wanted, use a `Histogram`.

    Args:
        quantiles: which quantiles are reported, between 0 and 1.
        max_age_seconds: how far back the quantiles look; sum and count are cumulative.
        age_buckets: in how many steps the window moves on.
        relative_error: how far an estimate may be off, as a part of the true value. Below
            0.0006 the 18 powers of ten become fewer, so that memory stays bounded.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_count", "_quantiles", "_relative_error", "_sum", "_window", "_window_form")
    _type = MetricType.SUMMARY
    _reserved_label_names = ("quantile",)
    _quantiles: tuple[float, ...]
    _relative_error: float
    _window_form: tuple[float, int]

    DEFAULT_QUANTILES: ClassVar[Sequence[float]] = _DEFAULT_QUANTILES

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        quantiles: Sequence[float] = _DEFAULT_QUANTILES,
        *,
        max_age_seconds: float = 600.0,
        age_buckets: int = 5,
        relative_error: float = 0.01,
        max_series: int = SERIES_MAX,
        _parent: Summary | None = None,
    ) -> None:
        if _parent is None:
            self._quantiles = _check_quantiles(quantiles)
            self._relative_error = _check_relative_error(relative_error)
            self._window_form = _check_window(max_age_seconds, age_buckets)
        else:
            self._quantiles = _parent._quantiles
            self._relative_error = _parent._relative_error
            self._window_form = _parent._window_form
        super().__init__(
            name,
            documentation,
            labelnames,
            namespace,
            subsystem,
            unit,
            registry,
            max_series=max_series,
            _parent=_parent,
        )

    def observe(self, amount: SupportsFloat) -> None:
        """Count an observation.

        Args:
            amount: a finite number.

        Raises:
            InvalidMetricError: the amount is NaN or infinite, or labels are missing.
            TypeError: the amount is no number.
        """
        value = amount if type(amount) is float else as_float(self, amount)
        try:
            if self._direct:
                window = self._window
                now = MEASURING_CLOCK.monotonic()
                if now >= window.slice_ends_at:
                    window.move_on(now)
                window.newest.add(value)
                self._sum += value
                self._count += 1
            else:
                with self._definition.lock:
                    window = self._window
                    # Not called as a method: interpreted, that takes longer.
                    monotonic = MEASURING_CLOCK.monotonic
                    now = monotonic()
                    if now >= window.slice_ends_at:
                        self._check_has_value()  # the window of a parent never begins
                        window.move_on(now)
                    # What newest.add() does with nearly every value: interpreted, the call itself
                    # would make this slower than prometheus_client's, which has no quantiles.
                    sketch = window.newest
                    bins = sketch.positive
                    position = -1
                    if value > 0.0:
                        logarithm = log(value) if COMPILED else log2(value)
                        position = ceil(logarithm * sketch.bins_per_log) - bins.lowest
                    try:
                        # A negative one would be counted from the end.
                        bins.counts[position if position >= 0 else BINS_MAX] += 1
                    except IndexError:
                        sketch.add(value)
                    self._sum += value
                    self._count += 1
        except ArithmeticError as error:
            raise _not_finite(self, amount) from error

    def time(self) -> Timer:
        """Return a context manager and decorator that observes the duration in seconds."""
        return Timer(self)

    def _zero(self) -> None:
        window = SlidingWindowSketch(
            self._relative_error, self._window_form[0], self._window_form[1]
        )
        self._window = window
        self._sum = 0.0
        self._count = 0

    def _make_forms(self) -> list[SampleForm]:
        definition = self._definition
        return [
            *[definition.form("", ("quantile", repr(quantile))) for quantile in self._quantiles],
            definition.form("_sum"),
            definition.form("_count"),
        ]

    def _new_child(self) -> Summary:
        return Summary("", "", _parent=self)

    def _take(self, value: float) -> None:
        self.observe(value)

    def _values(self) -> list[float]:
        now = MEASURING_CLOCK.monotonic()
        if self._direct:
            sketches = self._window.snapshot(now)
            total = self._sum
            count = self._count
        else:
            with self._definition.lock:
                sketches = self._window.snapshot(now)
                total = self._sum
                count = self._count
        values = merged_quantiles(sketches, self._relative_error, self._quantiles)
        values.append(total)
        values.append(float(count))
        return values


def format_bound(bound: float) -> str:
    """Return a bucket's bound as the label `le` has it, in prometheus_client's notation."""
    if bound in (INFINITY, -INFINITY):
        return "+Inf" if bound > 0 else "-Inf"
    digits = repr(bound)
    point = digits.find(".")
    # Go, and with it every Prometheus client, turns to exponents from a million on.
    if bound > 0 and "e" not in digits and point > 6:  # noqa: PLR2004
        mantissa = f"{digits[0]}.{digits[1:point]}{digits[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02}"
    return digits


def _check_buckets(buckets: Iterable[Any]) -> list[float]:
    try:
        bounds = [float(bound) for bound in buckets]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidMetricError(f"buckets {buckets!r}: each must be a number") from error
    if any(isnan(bound) for bound in bounds):
        raise InvalidMetricError(f"buckets {buckets!r} hold NaN: each must be a number")
    if any(lower >= upper for lower, upper in pairwise(bounds)):
        raise InvalidMetricError(f"buckets {buckets!r} must ascend, each bound once")
    if not bounds or bounds[-1] != INFINITY:
        bounds.append(INFINITY)
    if len(bounds) == 1:
        raise InvalidMetricError(f"buckets {buckets!r}: at least one finite bound is needed")
    return bounds


def _check_quantiles(quantiles: Iterable[Any]) -> tuple[float, ...]:
    checked = tuple(quantiles)
    if not all(isinstance(q, (int, float)) and 0.0 <= q <= 1.0 for q in checked):
        raise InvalidMetricError(f"quantiles {checked!r}: each must be between 0 and 1")
    return tuple(sorted({float(quantile) for quantile in checked}))


# The compiler's own check of an argument's type is a TypeError too, before these are called.


def _check_relative_error(relative_error: float) -> float:
    if not isinstance(relative_error, (int, float)):
        raise TypeError(f"relative_error is {relative_error!r}: it must be a number, like 0.01")
    if not 0.0001 <= relative_error <= 0.5:  # noqa: PLR2004 - as the message says
        raise InvalidMetricError(
            f"relative_error is {relative_error!r}: it must be between 0.0001 and 0.5"
        )
    return relative_error


def _check_window(max_age_seconds: float, age_buckets: int) -> tuple[float, int]:
    if not isinstance(max_age_seconds, (int, float)):
        raise TypeError(f"max_age_seconds is {max_age_seconds!r}: it must be a number, like 600")
    if not isinstance(age_buckets, int):
        raise TypeError(f"age_buckets is {age_buckets!r}: it must be a whole number, like 5")
    if not 0.0 < max_age_seconds < INFINITY:
        raise InvalidMetricError(
            f"max_age_seconds is {max_age_seconds!r}: it must be a number above 0"
        )
    if age_buckets < 1:
        raise InvalidMetricError(
            f"age_buckets is {age_buckets!r}: it must be a whole number, at least 1"
        )
    return max_age_seconds, age_buckets


def _not_finite(instrument: Instrument, amount: SupportsFloat) -> InvalidMetricError:
    return InvalidMetricError(
        f"{instrument}.observe({amount!r}): an observation is a finite number; "
        "this one would spoil the sum for ever"
    )

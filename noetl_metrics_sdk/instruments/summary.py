"""Summary: counts of observations, and their quantiles over a sliding window.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from math import ceil, isnan, log, log2
from typing import TYPE_CHECKING, Any, ClassVar, Final, SupportsFloat, final

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.amounts import INFINITY, as_float
from noetl_metrics_sdk.instruments.instrument import SERIES_MAX, Instrument
from noetl_metrics_sdk.instruments.locking import COMPILED
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.instruments.sketch import BINS_MAX, SlidingWindowSketch, merged_quantiles
from noetl_metrics_sdk.instruments.timing import Timer
from noetl_metrics_sdk.instruments.unfit_data import leave_out
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from noetl_metrics_sdk.model.stamped_sample import SampleForm

_DEFAULT_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


@final
class Summary(Instrument):
    """Counts observations and estimates their quantiles over a sliding window.

    Each estimate is within `relative_error` of the true quantile of the window, unless the quantile
    is more than 18 powers of ten below the greatest value (DDSketch; see `sketch.py`). Quantiles of
    several workers do not add up. For a quantile over all workers, use a `Histogram`.

    Args:
        quantiles: which quantiles are reported, each between 0 and 1.
        max_age_seconds: how far back the quantiles look, in seconds; sum and count are cumulative.
        age_buckets: in how many steps the window moves on.
        relative_error: how far an estimate may be off, as a part of the true value. Below 0.00032
            the estimates reach fewer than 18 powers of ten down, because memory is bounded.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_count", "_sum", "_window", "quantiles", "relative_error", "window_form")
    _type = MetricType.SUMMARY
    _reserved_label_names = ("quantile",)
    quantiles: tuple[float, ...]
    relative_error: float
    window_form: tuple[float, int]

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
            self.quantiles = _check_quantiles(quantiles)
            self.relative_error = _check_relative_error(relative_error)
            self.window_form = _check_window(max_age_seconds, age_buckets)
        else:
            self.quantiles = _parent.quantiles
            self.relative_error = _parent.relative_error
            self.window_form = _parent.window_form
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
            amount: a number. An infinite one counts, and makes the sum infinite, as in
                prometheus_client; the quantiles are those of the finite ones. NaN is left out, and
                `amounts_left_out` counts it.

        Raises:
            InvalidMetricError: labels are missing.
            TypeError: the amount is no number.
        """
        value = amount if type(amount) is float else as_float(self, amount)
        try:
            if self._direct:
                window = self._window
                now = MEASURING_CLOCK.monotonic()
                if now >= window.slice_ends_at:
                    window.move_on(now)
                # The same as newest.add() does with nearly every value, without the call.
                sketch = window.newest
                bins = sketch.positive
                counts = bins.counts
                position = -1
                if value > 0.0:
                    below_ceiling = int(sketch.ceiling - log(value) * sketch.bins_per_log)
                    position = sketch.index_of_ceiling - below_ceiling - bins.lowest
                if 0 <= position < len(counts):
                    count = counts[position]
                    counts[position] = count + 1
                else:
                    sketch.add(value)
                self._sum += value
                self._count += 1
            else:
                with self.definition.lock:
                    window = self._window
                    # In interpreted code a call as a method would take longer.
                    monotonic = MEASURING_CLOCK.monotonic
                    now = monotonic()
                    if now >= window.slice_ends_at:
                        self._check_has_value()  # the window of a parent never begins
                        window.move_on(now)
                    # The same as newest.add() does with nearly every value. In interpreted code
                    # the call itself would make this slower than prometheus_client's Summary, which
                    # has no quantiles.
                    sketch = window.newest
                    bins = sketch.positive
                    position = -1
                    if value > 0.0:
                        logarithm = log(value) if COMPILED else log2(value)
                        position = ceil(logarithm * sketch.bins_per_log) - bins.lowest
                    try:
                        # A negative position would count from the end of the list. BINS_MAX raises
                        # IndexError instead.
                        bins.counts[position if position >= 0 else BINS_MAX] += 1
                    except IndexError:
                        sketch.add(value)
                    self._sum += value
                    self._count += 1
        except ArithmeticError:
            self._take_without_quantiles(value)

    def time(self) -> Timer:
        """Return a context manager and decorator that observes the duration in seconds."""
        return Timer(self)

    def settings(self) -> dict[str, object]:
        """Return what two summaries of one name have in common if they are the same."""
        return {
            **super().settings(),
            "quantiles": self.quantiles,
            "relative_error": self.relative_error,
            "max_age_seconds": self.window_form[0],
            "age_buckets": self.window_form[1],
        }

    def set_to_zero(self) -> None:
        """Forget every observation; the caller holds the lock or owns the object."""
        window = SlidingWindowSketch(self.relative_error, self.window_form[0], self.window_form[1])
        self._window = window
        self._sum = 0.0
        self._count = 0

    def _take_without_quantiles(self, value: float) -> None:
        self._check_has_value()
        if isnan(value):
            leave_out(self, self.definition, "observe", value)
        elif self._direct:
            self._sum += value
            self._count += 1
        else:
            with self.definition.lock:
                self._sum += value
                self._count += 1

    def _make_forms(self) -> list[SampleForm]:
        definition = self.definition
        return [
            *[definition.form("", ("quantile", repr(quantile))) for quantile in self.quantiles],
            definition.form("_sum"),
            definition.form("_count"),
        ]

    def _new_child(self) -> Summary:
        return Summary("", "", _parent=self)

    def take(self, value: float) -> None:
        """Count the duration that a timer has measured."""
        self.observe(value)

    def values(self) -> list[float]:
        """Return the value of each form, all read at one moment."""
        now = MEASURING_CLOCK.monotonic()
        if self._direct:
            sketches = self._window.snapshot(now)
            total = self._sum
            count = self._count
        else:
            with self.definition.lock:
                sketches = self._window.snapshot(now)
                total = self._sum
                count = self._count
        values = merged_quantiles(sketches, self.relative_error, self.quantiles)
        values.append(total)
        values.append(float(count))
        return values


def _check_quantiles(quantiles: Iterable[Any]) -> tuple[float, ...]:
    checked = tuple(quantiles)
    if not all(isinstance(q, (int, float)) and 0.0 <= q <= 1.0 for q in checked):
        raise InvalidMetricError(f"quantiles {checked!r}: each must be between 0 and 1")
    return tuple(sorted({float(quantile) for quantile in checked}))


# In compiled code the compiler checks the types of these arguments, and raises TypeError too,
# before it calls the functions.


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

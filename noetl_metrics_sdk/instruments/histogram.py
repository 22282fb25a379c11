"""Histogram: counts of observations in buckets, which add up over workers."""

from __future__ import annotations

from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING, Any, ClassVar, Final, SupportsFloat, final

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.amounts import (
    INFINITY,
    MINUS_INFINITY,
    as_float,
    warn_of_exemplar,
)
from noetl_metrics_sdk.instruments.instrument import SERIES_MAX, Instrument
from noetl_metrics_sdk.instruments.timing import Timer
from noetl_metrics_sdk.instruments.unfit_data import leave_out
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.model.numbers import format_bound
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from noetl_metrics_sdk.model.stamped_sample import SampleForm

# Not in the class: in the signatures of its methods the compiler does not know the class's names.
_DEFAULT_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, INFINITY,
)  # fmt: skip


@final
class Histogram(Instrument):
    """Counts observations in buckets: durations, or sizes.

    The buckets of several workers add up, so a query can compute a quantile over all of them.

    Args:
        buckets: the upper bounds in ascending order; `+Inf` is added if it is missing.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_bucket_counts", "_sum", "bounds")
    _type = MetricType.HISTOGRAM
    _reserved_label_names = ("le",)
    bounds: list[float]

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
        self.bounds = _check_buckets(buckets) if _parent is None else _parent.bounds
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
            amount: a number. After an infinite one the sum is infinite too, as in
                prometheus_client. NaN is left out, and `amounts_left_out` counts it.
            exemplar: accepted because prometheus_client has it, and not kept.

        Raises:
            InvalidMetricError: labels are missing.
            TypeError: the amount is no number.
        """
        value = amount if type(amount) is float else as_float(self, amount)
        if not MINUS_INFINITY < value < INFINITY and isnan(value):
            self._check_has_value()
            leave_out(self, self.definition, "observe", value)
            return
        self.take(value)
        if exemplar is not None:
            warn_of_exemplar()

    def time(self) -> Timer:
        """Return a context manager and decorator that observes the duration in seconds."""
        return Timer(self)

    def settings(self) -> dict[str, object]:
        """Return what two histograms of one name have in common if they are the same."""
        return {**super().settings(), "buckets": self.bounds}

    def set_to_zero(self) -> None:
        """Forget every observation; the caller holds the lock or owns the object."""
        self._sum = 0.0
        self._bucket_counts = [0] * len(self.bounds)

    def _make_forms(self) -> list[SampleForm]:
        definition = self.definition
        return [
            *[definition.form("_bucket", ("le", format_bound(bound))) for bound in self.bounds],
            definition.form("_sum"),
            definition.form("_count"),
        ]

    def _new_child(self) -> Histogram:
        return Histogram("", "", _parent=self)

    def take(self, value: float) -> None:
        """Count an observation that is not NaN, as `observe()` has checked."""
        # This is bisect_left(), written out: in compiled code the call would cost more than the
        # search.
        bounds = self.bounds
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
            counts = self._bucket_counts
            count = counts[low]  # as a variable of its own, a plain integer of the machine
            counts[low] = count + 1
        else:
            if self._children is not None:
                self._check_has_value()
            with self.definition.lock:
                self._sum += value
                self._bucket_counts[low] += 1

    def values(self) -> list[float]:
        """Return the value of each form, all read at one moment."""
        if self._direct:
            # The order matters: making the copy may run a finalizer, which may observe. From the
            # moment when the copy is filled, no other code runs until the sum is read.
            counts = self._bucket_counts.copy()
            total = self._sum
        else:
            with self.definition.lock:
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

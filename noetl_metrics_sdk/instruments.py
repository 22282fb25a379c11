"""Counter and Gauge: one value a series.

The constructors and methods are those of prometheus_client, so that changing the import is
enough. An amount that would spoil a total for ever (NaN, infinity, a negative increment of a
counter) is refused where it is written.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.labelled import SERIES_MAX, Instrument, not_a_number, warn_of_exemplar
from noetl_metrics_sdk.model import MetricType, Sample, Series
from noetl_metrics_sdk.registry import REGISTRY, Registry
from noetl_metrics_sdk.timing import ExceptionCounter, InProgressTracker, Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from noetl_metrics_sdk.timing import ExceptionTypes

INFINITY = math.inf

_logger = logging.getLogger("noetl_metrics_sdk")


class Counter(Instrument):
    """A total that only goes up: jobs done, bytes read, errors.

    It is reported with the suffix `_total`. The arguments are those of `Instrument`.
    """

    __slots__ = ("_value",)
    _type = MetricType.COUNTER
    _value: float

    def inc(self, amount: float = 1.0, exemplar: Mapping[str, str] | None = None) -> None:
        """Add to the total.

        Args:
            amount: a finite number, not negative.
            exemplar: accepted for prometheus_client's sake, and not kept: `noetl.metric` has
                no place for it.

        Raises:
            InvalidMetricError: the amount is negative, NaN or infinite, or labels are missing.
            TypeError: the amount is no number.
        """
        if self._children is not None:
            self._check_has_value()
        try:
            if 0.0 <= amount < INFINITY:
                with self._lock:
                    self._value += amount
                if exemplar is not None:
                    warn_of_exemplar()
                return
        except TypeError as error:
            raise not_a_number(self, amount) from error
        except ArithmeticError:  # an integer beyond what a float holds, or Decimal's NaN
            pass
        raise InvalidMetricError(
            f"{self}.inc({amount!r}): a counter goes up by a finite number that is not negative"
        )

    def count_exceptions(self, exception: ExceptionTypes = Exception) -> ExceptionCounter:
        """Return a context manager and decorator that counts the exceptions passing through.

        Args:
            exception: the exception class, or a tuple of classes, that counts.
        """
        self._check_has_value()
        return ExceptionCounter(self, exception)

    def _zero(self) -> None:
        self._value = 0.0

    def _make_series(self, labels: dict[str, str]) -> tuple[Series, ...]:
        return (self._one_series("_total", labels),)

    def _samples(self) -> list[Sample]:
        (series,) = self._own_series()
        return [Sample(series, self._value)]


class Gauge(Instrument):
    """A value that goes up and down: jobs in progress, queue length, temperature.

    Args:
        multiprocess_mode: accepted for prometheus_client's sake; here each process is a set of
            series of its own, told apart by the label `worker_id`.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_function", "_function_fails", "_value")
    _type = MetricType.GAUGE
    _value: float

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        multiprocess_mode: str = "all",
        *,
        max_series: int = SERIES_MAX,
    ) -> None:
        del multiprocess_mode
        self._function: Callable[[], float] | None = None
        self._function_fails = False
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

    def inc(self, amount: float = 1.0) -> None:
        """Raise the value.

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
                with self._lock:
                    self._value += amount
                return
        except TypeError as error:
            raise not_a_number(self, amount) from error
        except ArithmeticError:  # an integer beyond what a float holds, or Decimal's NaN
            pass
        raise InvalidMetricError(
            f"{self}.inc({amount!r}): a gauge goes up or down by a finite number; "
            "set() takes any value"
        )

    def dec(self, amount: float = 1.0) -> None:
        """Lower the value; like `inc()` with the amount negated."""
        try:
            negated = -amount
        except TypeError as error:
            raise not_a_number(self, amount) from error
        self.inc(negated)

    def set(self, value: float) -> None:
        """Set the value.

        Args:
            value: any number, NaN and the infinities too.

        Raises:
            InvalidMetricError: labels are missing.
            TypeError: the value is no number.
        """
        if self._children is not None:
            self._check_has_value()
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise not_a_number(self, value) from error
        # Under the lock, or inc() in another thread could write over it what it read before.
        with self._lock:
            self._value = number

    def set_to_current_time(self) -> None:
        """Set the value to the seconds since the epoch."""
        self.set(time.time())

    def set_function(self, f: Callable[[], float]) -> None:
        """Have a function called for the value at every collection.

        While the function raises, this series is left out; the first time is logged with its
        traceback.

        Args:
            f: takes nothing and returns a number; called from the collecting thread.
        """
        self._check_has_value()
        self._function = f

    def track_inprogress(self) -> InProgressTracker:
        """Return a context manager and decorator that raises the gauge by one while it runs."""
        self._check_has_value()
        return InProgressTracker(self)

    def time(self) -> Timer:
        """Return a context manager and decorator that sets the gauge to the duration."""
        return Timer(self, "set")

    def _zero(self) -> None:
        self._value = 0.0

    def _make_series(self, labels: dict[str, str]) -> tuple[Series, ...]:
        return (self._one_series("", labels),)

    def _samples(self) -> list[Sample]:
        (series,) = self._own_series()
        if self._function is None:
            return [Sample(series, self._value)]
        try:
            value = float(self._function())
        except Exception:  # the worker's own code: whatever it raises must not end the collection
            if not self._function_fails:
                _logger.exception("%r is left out while its function raises", self)
            self._function_fails = True
            return []
        self._function_fails = False
        return [Sample(series, value)]

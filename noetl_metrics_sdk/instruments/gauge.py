"""Gauge: a value that goes up and down, is set, or is read from a function at every collection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, SupportsFloat, final

from noetl_metrics_sdk.instruments.amounts import (
    INFINITY,
    MINUS_INFINITY,
    ONE,
    as_float,
    not_a_number,
)
from noetl_metrics_sdk.instruments.instrument import SERIES_MAX, ScalarInstrument
from noetl_metrics_sdk.instruments.timing import InProgressTracker, Timer
from noetl_metrics_sdk.instruments.unfit_data import leave_out
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noetl_metrics_sdk.model.stamped_sample import SampleForm


@final
class Gauge(ScalarInstrument):
    """A value that goes up and down: jobs in progress, queue length, temperature.

    Args:
        multiprocess_mode: accepted because prometheus_client has it, and ignored. Here each process
            has series of its own, which the label `worker_id` tells apart.

    The other arguments are those of `Instrument`.
    """

    __slots__ = ("_function", "_function_fails")
    _type = MetricType.GAUGE

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
        _parent: Gauge | None = None,
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
            _parent=_parent,
        )

    def inc(self, amount: SupportsFloat = 1) -> None:
        """Raise the value.

        Args:
            amount: a number. NaN and infinity, which no later amount could take back, are left
                out, and `amounts_left_out` counts them.

        Raises:
            InvalidMetricError: labels are missing.
            TypeError: the amount is no number.
        """
        if amount is ONE:
            if self._direct:
                self.value += 1.0
                return
            value = 1.0
        elif type(amount) is float:
            value = amount
        else:
            value = as_float(self, amount)
        if not MINUS_INFINITY < value < INFINITY:
            self._check_has_value()
            leave_out(self, self.definition, "inc", value)
            return
        if self._direct:
            self.value += value
        else:
            if self._children is not None:
                self._check_has_value()
            with self.definition.lock:
                self.value += value

    def dec(self, amount: SupportsFloat = 1) -> None:
        """Lower the value, like `inc()` with the negated amount."""
        value = amount if type(amount) is float else as_float(self, amount)
        if not MINUS_INFINITY < value < INFINITY:
            self._check_has_value()
            leave_out(self, self.definition, "dec", value)
            return
        self.inc(-value)

    def set(self, value: SupportsFloat) -> None:
        """Set the value.

        Args:
            value: any number; it may be NaN or infinite. A whole number that is too large for a
                float is infinite.

        Raises:
            InvalidMetricError: labels are missing.
            TypeError: the value is no number.
        """
        if type(value) is float and self._direct:
            self.value = value
            return
        if self._children is not None:
            self._check_has_value()
        try:
            number = float(value)
        except OverflowError:
            number = as_float(self, value)
        except (TypeError, ValueError) as error:
            raise not_a_number(self, value) from error
        if self._direct:
            self.value = number
        else:
            # Without the lock, inc() in another thread could read the value before this line and
            # write its result over the new value.
            with self.definition.lock:
                self.value = number

    def set_to_current_time(self) -> None:
        """Set the value to the seconds since the epoch."""
        self.set(time.time())

    def set_function(self, f: Callable[[], float]) -> None:
        """Take the value from a function, which the collecting thread calls at every collection.

        While the function raises, this series is left out. The first error is logged, with its
        traceback.

        Args:
            f: a function without arguments that returns a number.
        """
        self._check_has_value()
        self._function = f

    def track_inprogress(self) -> InProgressTracker:
        """Return a context manager and decorator: the gauge is higher by one while a block runs."""
        self._check_has_value()
        return InProgressTracker(self)

    def time(self) -> Timer:
        """Return a context manager and decorator that sets the gauge to the duration in seconds."""
        return Timer(self)

    def _make_forms(self) -> list[SampleForm]:
        return [self.definition.form("")]

    def _new_child(self) -> Gauge:
        return Gauge("", "", _parent=self)

    def take(self, value: float) -> None:
        """Set the value to the duration that a timer has measured."""
        self.set(value)

    def bring_up_to_date(self) -> bool:
        """Take the value from the function, if there is one; return False if that raises."""
        if self._function is None:
            return True
        try:
            self.value = as_float(self, self._function())
        except Exception as error:  # noqa: BLE001 - the worker's own code, whatever it raises
            if not self._function_fails:
                self._function_fails = True
                _log_failing_function(self, error)
            return False
        self._function_fails = False
        return True


def _log_failing_function(gauge: Gauge, error: Exception) -> None:
    import logging  # noqa: PLC0415 - making instruments does not load it

    logging.getLogger("noetl_metrics_sdk").error(
        "%r is left out while its function raises", gauge, exc_info=error
    )

"""Counter: a total that only goes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsFloat, final

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.amounts import INFINITY, ONE, as_float, warn_of_exemplar
from noetl_metrics_sdk.instruments.instrument import ScalarInstrument
from noetl_metrics_sdk.instruments.timing import ExceptionCounter, check_exception_types
from noetl_metrics_sdk.instruments.unfit_data import leave_out
from noetl_metrics_sdk.model.metric import MetricType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.instruments.timing import ExceptionTypes
    from noetl_metrics_sdk.model.stamped_sample import SampleForm


@final
class Counter(ScalarInstrument):
    """A total that only goes up: jobs done, bytes read, errors.

    Its sample has the suffix `_total`. The arguments are those of `Instrument`.
    """

    __slots__ = ()
    _type = MetricType.COUNTER

    def inc(self, amount: SupportsFloat = 1, exemplar: Mapping[str, str] | None = None) -> None:
        """Add to the total.

        Args:
            amount: a number that is not negative. NaN and infinity would spoil the total for ever:
                they are left out, and `amounts_left_out` counts them.
            exemplar: accepted because prometheus_client has it, and not kept, because
                `noetl.metric` has no place for it.

        Raises:
            InvalidMetricError: the amount is negative, or labels are missing.
            TypeError: the amount is no number.
        """
        if amount is ONE:
            if self._direct and exemplar is None:
                self.value += 1.0
                return
            value = 1.0
        else:
            value = amount if type(amount) is float else as_float(self, amount)
            if not 0.0 <= value < INFINITY:
                self._refuse_or_leave_out(value)
                return
        if self._direct:
            self.value += value
        else:
            if self._children is not None:
                self._check_has_value()
            with self.definition.lock:
                self.value += value
        if exemplar is not None:
            warn_of_exemplar()

    def count_exceptions(self, exception: ExceptionTypes = Exception) -> ExceptionCounter:
        """Return a context manager and decorator that counts the exceptions that pass through it.

        Args:
            exception: the exception class to count, or a tuple of classes.

        Raises:
            InvalidMetricError: labels are missing.
            TypeError: it is no exception class, as in a decorator without brackets.
        """
        self._check_has_value()
        check_exception_types(self, exception)
        return ExceptionCounter(self, exception)

    def _refuse_or_leave_out(self, value: float) -> None:
        self._check_has_value()
        if value < 0.0:
            raise InvalidMetricError(
                f"{self}.inc({value!r}): a counter goes up by a number that is not negative"
            )
        leave_out(self, self.definition, "inc", value)

    def _make_forms(self) -> list[SampleForm]:
        return [self.definition.form("_total")]

    def _new_child(self) -> Counter:
        return Counter("", "", _parent=self)

"""Context managers and decorators that time a block, count its exceptions, or track its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from noetl_metrics_sdk.instruments.decoration import Function, decorate
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.model.compilation import mypyc_attr

if TYPE_CHECKING:
    from types import TracebackType

    from noetl_metrics_sdk.instruments.instrument import Instrument

    ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


class _Incremented(Protocol):
    def inc(self) -> None: ...


class _Tracked(_Incremented, Protocol):
    def dec(self) -> None: ...


# Compiled, a new timer takes the memory of the timer that ended last, if it is free: to get and to
# give back memory was a fifth of the cost of a timed block. A timer is not marked as acyclic. The
# compiler's code for such a class breaks the memory where an object ends inside of fifty others.
@final
@mypyc_attr(free_list_len=1)
class Timer:
    """Reports how long a block or a call took, in seconds.

    Args:
        instrument: the instrument that gets the duration. It may be a parent, if the block calls
            `labels()` of the timer.
    """

    __slots__ = ("_instrument", "_seconds", "_started_at")

    def __init__(self, instrument: Instrument) -> None:
        self._started_at = 0.0
        self._seconds = -1.0
        # Set last: then a timer that ends gives it up last, too. A finalizer that runs because of
        # that may already begin a new timer in the same memory.
        self._instrument = instrument

    @property
    def duration(self) -> float | None:
        """The duration of the block that ended last, in seconds; None before one has ended."""
        return None if self._seconds < 0.0 else self._seconds

    def labels(self, *values: object, **labels: object) -> None:
        """Choose the label values within the block, if they become known only there."""
        self._instrument = self._instrument.labels(*values, **labels)

    def __enter__(self) -> Timer:
        self._started_at = MEASURING_CLOCK.perf_counter()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._seconds = MEASURING_CLOCK.perf_counter() - self._started_at
        self._instrument.take(self._seconds)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function or (asynchronous) generator function."""
        return decorate(function, lambda: Timer(self._instrument))


@final
class ExceptionCounter:
    """Counts the exceptions that leave a block or a call.

    Args:
        counter: the counter that is incremented.
        exception_types: the class, or the classes, of the exceptions that count.
    """

    __slots__ = ("_counter", "_exception_types")

    def __init__(self, counter: _Incremented, exception_types: ExceptionTypes) -> None:
        self._counter = counter
        self._exception_types = exception_types

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exception, self._exception_types):
            self._counter.inc()

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function or (asynchronous) generator function."""
        return decorate(function, lambda: self)


def check_exception_types(counter: object, exception_types: object) -> None:
    """Check what `count_exceptions()` got: in a decorator without brackets, it is the function.

    Raises:
        TypeError: it is no exception class, and no tuple of classes.
    """
    try:
        isinstance(None, exception_types)  # type: ignore[arg-type] # a trial of any object
        is_class_of_others = isinstance(exception_types, type) and not issubclass(
            exception_types, BaseException
        )
    except TypeError:
        is_class_of_others = True
    if is_class_of_others:
        raise TypeError(
            f"{counter}.count_exceptions({exception_types!r}): give an exception class or a tuple "
            "of classes; without one, a decorator has empty brackets: @….count_exceptions()"
        )


@final
class InProgressTracker:
    """Raises a gauge by one while a block or a call runs.

    Args:
        gauge: the gauge that is raised and lowered.
    """

    __slots__ = ("_gauge",)

    def __init__(self, gauge: _Tracked) -> None:
        self._gauge = gauge

    def __enter__(self) -> None:
        self._gauge.inc()

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._gauge.dec()

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function or (asynchronous) generator function."""
        return decorate(function, lambda: self)

"""Context managers that are decorators too: time a block, count its exceptions, track it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol, Self

from noetl_metrics_sdk.decoration import Function, decorate

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]


class _Timed(Protocol):
    def labels(self, *values: object, **labels: object) -> Self: ...


class _Incremented(Protocol):
    def inc(self) -> None: ...


class _Tracked(_Incremented, Protocol):
    def dec(self) -> None: ...


class Timer:
    """Reports how long a block or a call took, in seconds.

    Args:
        instrument: what is timed; may still lack its label values, if `labels()` is called in
            the block.
        method: the name of the instrument's method that takes the duration.

    `duration` is how long the block took that ended last, or None.
    """

    __slots__ = ("_instrument", "_method", "_started_at", "duration")

    def __init__(self, instrument: _Timed, method: str) -> None:
        self._instrument = instrument
        self._method = method
        self._started_at = 0.0
        self.duration: float | None = None

    def labels(self, *values: object, **labels: object) -> None:
        """Choose the label values from within the block, when they are known at last."""
        self._instrument = self._instrument.labels(*values, **labels)

    def __enter__(self) -> Self:
        self._started_at = perf_counter()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.duration = perf_counter() - self._started_at
        report: Callable[[float], None] = getattr(self._instrument, self._method)
        report(self.duration)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function or (asynchronous) generator function."""
        return decorate(function, lambda: Timer(self._instrument, self._method))


class ExceptionCounter:
    """Counts the exceptions that leave a block or a call.

    Args:
        counter: what is incremented.
        exception_types: which exceptions count.
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


class InProgressTracker:
    """Raises a gauge by one while a block or a call runs.

    Args:
        gauge: what is raised and lowered.
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

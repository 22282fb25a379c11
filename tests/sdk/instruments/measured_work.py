"""Functions that are timed, counted and tracked, on a clock that their own work moves."""

from __future__ import annotations

from typing import Any

from noetl_metrics_sdk import Counter, Gauge, Histogram, Registry


class Instruments:
    """An instrument for each of the three decorators, and a clock that the work moves."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._seconds = Histogram("seconds", "d", registry=self.registry)
        self._errors = Counter("errors", "d", registry=self.registry)
        self._running = Gauge("running", "d", registry=self.registry)
        self.now = 1_000.0

    def around(self, function: Any) -> Any:
        decorated = self._running.track_inprogress()(function)
        return self._seconds.time()(self._errors.count_exceptions()(decorated))

    def work(self, seconds: float, error: BaseException | None = None) -> str:
        self.now += seconds
        if error is not None:
            raise error
        return "done"

    def measured(self) -> list[float | None]:
        """Return the number of runs, their seconds, their errors, and how many still run."""
        names = ("seconds_count", "seconds_sum", "errors_total", "running")
        return [self.registry.get_sample_value(name) for name in names]

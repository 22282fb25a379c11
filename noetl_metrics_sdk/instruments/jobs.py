"""`track_job`: measures how many jobs run, how long they take, and how they end.

| metric | type | labels |
|---|---|---|
| `noetl_jobs_in_progress` | gauge | `job_type`, yours |
| `noetl_job_duration_seconds` | histogram | `job_type`, yours |
| `noetl_jobs_processed_total` | counter | `job_type`, `status`, `exception`, yours |

`status` is `completed`, `failed` or `cancelled`. `exception` is the name of the exception class
that a failed job raised, and is empty otherwise. "yours" stands for the labels that the caller
gives.
"""

from __future__ import annotations

import sys
import threading
import weakref
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Self

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.counter import Counter
from noetl_metrics_sdk.instruments.decoration import Function, decorate
from noetl_metrics_sdk.instruments.gauge import Gauge
from noetl_metrics_sdk.instruments.histogram import Histogram
from noetl_metrics_sdk.instruments.instrument import Instrument
from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from types import TracebackType

    from noetl_metrics_sdk.model.metric import MetricFamily
    from noetl_metrics_sdk.registry import Collector

JOB_DURATION_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0, 300.0, 900.0, 3600.0,
)  # fmt: skip
"""Jobs take from milliseconds to an hour. The default buckets, which are for requests, reach less
far."""

_OWN_LABELS = ("job_type", "status", "exception")


class _Instruments(NamedTuple):
    in_progress: Gauge
    duration: Histogram
    processed: Counter


class JobCollector:
    """The job metrics of one registry: three families, for jobs with any labels.

    An instrument has one set of label names. So each set of label names gets instruments of its
    own, and the series of all of them are in the same three families.
    """

    def __init__(self) -> None:
        # Guards the dictionary only.
        self._lock = threading.RLock()
        self._instruments: dict[tuple[str, ...], _Instruments] = {(): _make_instruments(())}
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def instruments(self, label_names: tuple[str, ...]) -> _Instruments:
        """Return the instruments for these additional label names."""
        found = self._instruments.get(label_names)
        if found is None:
            with self._lock:
                found = self._instruments.get(label_names)
                if found is None:
                    # This does not overwrite: a signal handler may have made the same instruments
                    # meanwhile.
                    made = _make_instruments(label_names)
                    found = self._instruments.setdefault(label_names, made)
        return found

    def all_instruments(self) -> list[Instrument]:
        """Return the instruments of all sets of label names."""
        with self._lock:
            groups = list(self._instruments.values())
        return [instrument for group in groups for instrument in group]

    @property
    def overflowed(self) -> int:
        """How many calls of `labels()` met an overflow series, as `max_series` was reached."""
        return sum(one.overflowed for group in self._instruments.values() for one in group)

    def collect(self) -> list[MetricFamily]:
        """Return the three families."""
        with self._lock:
            groups = list(self._instruments.values())
        families: list[MetricFamily] = []
        for same_family in zip(*groups, strict=True):
            (family,) = same_family[0].collect()
            for instrument in same_family[1:]:
                family.samples.extend(instrument.collect()[0].samples)
            families.append(family)
        return families

    def describe(self) -> list[MetricFamily]:
        """Return the three families without samples."""
        return [family for instrument in self._instruments[()] for family in instrument.describe()]

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()


class _JobCollectors:
    """Has the job collector of each registry, and makes it when the first job is tracked."""

    def __init__(self) -> None:
        # Guards the dictionary, so a registry gets only one collector. Taken before the registry's
        # own lock.
        self._lock = threading.RLock()
        self._by_registry: weakref.WeakKeyDictionary[Registry, JobCollector] = (
            weakref.WeakKeyDictionary()
        )
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def of(self, registry: Registry) -> JobCollector:
        collector = self._by_registry.get(registry)
        if collector is None:
            with self._lock:
                collector = self._by_registry.get(registry)
                if collector is None:
                    collector = JobCollector()
                    registry.register(collector)
                    self._by_registry[registry] = collector
        return collector

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()


_job_collectors = _JobCollectors()


class track_job:  # noqa: N801 - used like a function, as contextlib's classes are
    """Track one job, as a context manager, as an asynchronous one, or as a decorator.

    It decorates functions, coroutine functions, generators and asynchronous generators. Each call
    is a job. Write `with track_job(…)` anew for each job, because one object holds the time of one
    job.

    Args:
        job_type: the kind of the job: `http`, `sql`, `python`.
        registry: the registry with which the metrics are registered.
        labels: further labels. Use the same names wherever possible, because each set of names
            costs three instruments.

    Raises:
        InvalidMetricError: a label is not valid, or the metrics have a label of this name
            themselves.
    """

    __slots__ = ("_instruments", "_started_at", "label_values")

    def __init__(self, job_type: str, *, registry: Registry = REGISTRY, **labels: object) -> None:
        if not isinstance(job_type, str):
            raise InvalidMetricError(
                f"job_type is {job_type!r}: give a string, as in @track_job(job_type='sql')"
            )
        clash = sorted(set(labels) & set(_OWN_LABELS))
        if clash:
            raise InvalidMetricError(
                f"label {clash[0]!r} is track_job's own: give yours another name"
            )
        names = tuple(sorted(labels))
        self._instruments = _job_collectors.of(registry).instruments(names)
        self.label_values = (job_type, *[labels[name] for name in names])
        # A label value that is not valid raises here, before the job begins.
        self._instruments.in_progress.labels(*self.label_values)
        self._started_at = 0.0

    def __enter__(self) -> Self:
        self._instruments.in_progress.labels(*self.label_values).inc()
        self._started_at = perf_counter()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_seconds = perf_counter() - self._started_at
        status, exception_name = _outcome(exception_type)
        job_type, *others = self.label_values
        in_progress, duration, processed = self._instruments
        in_progress.labels(*self.label_values).dec()
        duration.labels(*self.label_values).observe(duration_seconds)
        processed.labels(job_type, status, exception_name, *others).inc()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exception_type, exception, traceback)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function or (asynchronous) generator function."""
        return decorate(function, self._another)

    def _another(self) -> track_job:
        job = object.__new__(track_job)
        job._instruments = self._instruments
        job.label_values = self.label_values
        job._started_at = 0.0
        return job


def _outcome(exception_type: type[BaseException] | None) -> tuple[str, str]:
    if exception_type is None:
        return "completed", ""
    if _is_cancellation(exception_type):
        return "cancelled", ""
    return "failed", exception_type.__name__


def _is_cancellation(exception_type: type[BaseException]) -> bool:
    # Closing a generator early counts as cancelling it, as does cancelling a task or a future.
    if issubclass(exception_type, GeneratorExit):
        return True
    # If a job raises one of these, the program has loaded its module already. Importing asyncio
    # here would take longer than importing all the rest of this package.
    for name in ("asyncio", "concurrent.futures"):
        cancelled = getattr(sys.modules.get(name), "CancelledError", None)
        if cancelled is not None and issubclass(exception_type, cancelled):
            return True
    return False


def _make_instruments(label_names: tuple[str, ...]) -> _Instruments:
    names = ("job_type", *label_names)
    return _Instruments(
        Gauge(
            "noetl_jobs_in_progress",
            "Jobs that are running now",
            names,
            unit="jobs",
            registry=None,
        ),
        Histogram(
            "noetl_job_duration_seconds",
            "How long jobs took, however they ended",
            names,
            unit="seconds",
            registry=None,
            buckets=JOB_DURATION_BUCKETS_SECONDS,
        ),
        Counter(
            "noetl_jobs_processed",
            "Jobs that have ended, by outcome",
            ("job_type", "status", "exception", *label_names),
            unit="jobs",
            registry=None,
        ),
    )


def instruments_of(collector: Collector) -> list[Instrument] | None:
    """Return the instruments of a collector of this package; None for any other collector."""
    if isinstance(collector, Instrument):
        return [collector]
    if isinstance(collector, JobCollector):
        return collector.all_instruments()
    return None

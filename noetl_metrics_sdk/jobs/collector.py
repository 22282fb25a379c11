"""The job metrics of a registry, for jobs with any labels.

| metric | type | labels |
|---|---|---|
| `noetl_jobs_in_progress` | gauge | `job_type`, yours |
| `noetl_job_duration_seconds` | histogram | `job_type`, yours |
| `noetl_jobs_processed_total` | counter | `job_type`, `status`, `exception`, yours |
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.counter import Counter
from noetl_metrics_sdk.instruments.gauge import Gauge
from noetl_metrics_sdk.instruments.histogram import Histogram
from noetl_metrics_sdk.instruments.instrument import Instrument
from noetl_metrics_sdk.process.fork import reset_store_after_fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noetl_metrics_sdk.model.metric import MetricFamily
    from noetl_metrics_sdk.registry import Collector, Registry

JOB_DURATION_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0, 300.0, 900.0, 3600.0,
)  # fmt: skip
"""Jobs take from milliseconds to an hour. The default buckets, which are for requests, reach less
far."""


class JobInstruments(NamedTuple):
    """The instruments of all jobs that have the same label names."""

    in_progress: Gauge
    duration: Histogram
    processed: Counter


class JobCollector:
    """The job metrics of one registry: three families, for jobs with any labels.

    An instrument has one set of label names. So each set of label names gets instruments of its
    own, and the series of all of them are in the same three families.
    """

    def __init__(self) -> None:
        # Guards the dictionary and the buckets.
        self._lock = threading.RLock()
        self._buckets: Sequence[float] = JOB_DURATION_BUCKETS_SECONDS
        self._instruments: dict[tuple[str, ...], JobInstruments] = {
            (): _make_instruments((), self._buckets)
        }
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def instruments(self, label_names: tuple[str, ...]) -> JobInstruments:
        """Return the instruments for these additional label names."""
        found = self._instruments.get(label_names)
        if found is None:
            with self._lock:
                found = self._instruments.get(label_names)
                if found is None:
                    # This does not overwrite: a signal handler may have made the same instruments
                    # meanwhile.
                    made = _make_instruments(label_names, self._buckets)
                    found = self._instruments.setdefault(label_names, made)
        return found

    def use_buckets(self, buckets: Sequence[float]) -> None:
        """Choose the buckets of the duration, for all jobs of the registry.

        Raises:
            InvalidMetricError: a job has ended already and other buckets have counted it, or the
                buckets are not valid.
        """
        with self._lock:
            (present, *_) = self._instruments.values()
            chosen = _make_histogram((), buckets)
            if chosen.bounds == present.duration.bounds:
                return
            if any(group.duration.series_count for group in self._instruments.values()):
                raise InvalidMetricError(
                    f"the durations of jobs have the buckets {present.duration.bounds}, and jobs "
                    f"have ended: choose {chosen.bounds} before the first job, because all series "
                    "of a histogram need the same buckets to add up"
                )
            self._buckets = chosen.bounds
            self._instruments = {
                names: group._replace(duration=_make_histogram(names, chosen.bounds))
                for names, group in self._instruments.items()
            }

    def all_instruments(self) -> list[Instrument]:
        """Return the instruments of all sets of label names."""
        with self._lock:
            groups = list(self._instruments.values())
        return [instrument for group in groups for instrument in group]

    @property
    def overflowed(self) -> int:
        """How many calls of `labels()` met an overflow series, as `max_series` was reached."""
        return sum(one.overflowed for one in self.all_instruments())

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


def job_collector_of(registry: Registry) -> JobCollector:
    """Return the job collector of a registry; make and register it if there is none.

    Raises:
        DuplicateMetricError: the registry has another collector with one of the three names.
    """
    return _job_collectors.of(registry)


def instruments_of(collector: Collector) -> list[Instrument] | None:
    """Return the instruments of a collector of this package; None for any other collector."""
    if isinstance(collector, Instrument):
        return [collector]
    if isinstance(collector, JobCollector):
        return collector.all_instruments()
    return None


def _make_instruments(label_names: tuple[str, ...], buckets: Sequence[float]) -> JobInstruments:
    return JobInstruments(
        Gauge(
            "noetl_jobs_in_progress",
            "Jobs that are running now",
            ("job_type", *label_names),
            unit="jobs",
            registry=None,
        ),
        _make_histogram(label_names, buckets),
        Counter(
            "noetl_jobs_processed",
            "Jobs that have ended, by outcome",
            ("job_type", "status", "exception", *label_names),
            unit="jobs",
            registry=None,
        ),
    )


def _make_histogram(label_names: tuple[str, ...], buckets: Sequence[float]) -> Histogram:
    return Histogram(
        "noetl_job_duration_seconds",
        "How long jobs took, however they ended",
        ("job_type", *label_names),
        unit="seconds",
        registry=None,
        buckets=buckets,
    )

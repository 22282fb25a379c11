"""Take samples from collectors, check and stamp them, and buffer those that have to be sent.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.collection.change_filter import ChangeFilter
from noetl_metrics_sdk.collection.instrument_tracker import InstrumentTracker
from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.jobs.collector import instruments_of
from noetl_metrics_sdk.model.adoption import (
    adopt,
    check_series,
    checked_time,
    told_beginnings,
)
from noetl_metrics_sdk.model.metric import Sample, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.model.stamped_sample import StampedSample
    from noetl_metrics_sdk.process.pacing import Pacer
    from noetl_metrics_sdk.queue.buffer import SampleBuffer
    from noetl_metrics_sdk.registry import Collector, Registry

_logger = logging.getLogger("noetl_metrics_sdk")

WARNED_NAMES_MAX = 1_000
"""For how many families the log has a warning that samples are not valid."""


class Collection:
    """Collects samples from a registry into the buffer, and takes samples from other threads too.

    It asks the package's own instruments only for the samples of changed series. From other
    collectors it takes all samples, and leaves out those whose series have not changed.

    Args:
        registry: the registry whose collectors are asked.
        buffer: where samples wait.
        clock: stamps samples that have no time of their own.
        refresh_interval: after how many seconds an unchanged series is sent again.
        pacer: rests during loops over many series.
        when_full: called before a caller waits for room in the buffer; it wakes the delivery
            thread, which takes samples from the buffer.
        identity: what the series of this client have in common, and the series of other clients of
            the process do not.
    """

    def __init__(
        self,
        registry: Registry,
        buffer: SampleBuffer,
        clock: Clock,
        refresh_interval: float,
        pacer: Pacer,
        when_full: Callable[[], None] | None = None,
        identity: object = None,
    ) -> None:
        self._registry = registry
        self._buffer = buffer
        self._change_filter = ChangeFilter(refresh_interval)
        self._clock = clock
        self._refresh_interval = refresh_interval
        self._pacer = pacer
        self._when_full = when_full
        self._identity = identity
        # Only one collection runs at a time, so the samples of a series enter the buffer in the
        # order of their times. Taken before the locks of the registry, the instruments and the
        # buffer.
        self._lock = threading.RLock()
        self._trackers: dict[int, InstrumentTracker] = {}
        # The last collection, or the client's start: a series that is new since was 0 then.
        self._collected_at = clock.time()
        # For how long the collection under way may still wait for room.
        self._wait_seconds_left = 0.0
        self._failing: set[Collector] = set()
        self._warned_of: set[str] = set()
        self._has_converted = False  # whether this turn has a name that was not valid as it is
        self.errors = 0
        self.invalid_samples = 0

    def note_start(self, started_at: float) -> None:
        """Note when the client started: series without a report so far began then.

        Args:
            started_at: the time in seconds since the epoch.
        """
        with self._lock:
            self._collected_at = started_at

    def finds_counts(self) -> bool:
        """Return whether an instrument has a value other than zero.

        The values of other libraries' collectors are not known to have begun with this process, so
        they do not count.
        """
        return any(
            abs(sample.value) > 0  # False for NaN too, the quantile of no observations
            for collector in self._registry.collectors()
            for instrument in instruments_of(collector) or ()
            for family in instrument.collect()
            for sample in family.samples
        )

    def collect(self) -> None:
        """Collect once from every collector of the registry.

        A collector that raises loses only this turn. `errors` counts it, and the log names it when
        it begins to fail. A sample that is not valid is left out alone, and `invalid_samples`
        counts it.
        """
        with self._lock:
            self._pacer.start()
            self._wait_seconds_left = self._buffer.block_timeout
            began_at = self._clock.time()
            trackers: dict[int, InstrumentTracker] = {}
            for collector in self._registry.collectors():
                instruments = instruments_of(collector)
                if instruments is None:
                    self._offer_locked(self._families_of(collector))
                    continue
                for instrument in instruments:
                    tracker = self._tracker_of(instrument)
                    trackers[id(instrument)] = tracker
                    self._collect_changes(collector, tracker)
            # This drops the trackers of instruments that are no longer registered.
            self._trackers = trackers
            self._collected_at = began_at

    def collect_from(self, collector: Collector) -> None:
        """Collect once from a collector that is not in the registry."""
        # It collects before it takes the lock, because reading the system may take long.
        self.offer(self._families_of(collector))

    def offer(self, families: Iterable[Any]) -> bool:
        """Buffer the samples of these families that have to be sent.

        Returns:
            Whether all samples were valid, and the buffer had room for those to be sent.
        """
        with self._lock:
            self._wait_seconds_left = self._buffer.block_timeout
            return self._offer_locked(families)

    def _offer_locked(self, families: Iterable[Any]) -> bool:
        now = self._clock.time()
        invalid_before = self.invalid_samples
        samples: list[Sample] = []
        self._has_converted = False
        for family in families:
            try:
                samples.extend(self._samples_of(family, now))
            except Exception as error:  # noqa: BLE001 - a family of no form: counted, logged
                self._refuse_of(family, error)
        if self._has_converted:
            samples = self._without_repeats(samples)
        changed = self._change_filter.changed(samples, self._clock.monotonic())
        dropped = {id(sample) for sample in self._add_collected(changed)}
        return self.invalid_samples == invalid_before and dropped.isdisjoint(map(id, changed))

    def add(
        self, samples: Iterable[StampedSample], wait_seconds: float | None = None
    ) -> list[StampedSample]:
        """Buffer samples as they are.

        If the buffer drops samples, the next collection reports their series anew.

        Args:
            samples: the samples.
            wait_seconds: how long to wait for room under `block`; its time-out unless given.

        Returns:
            The samples that the buffer dropped: some of these, or older ones.
        """
        dropped = self._buffer.add(samples, self._when_full, wait_seconds)
        for sample in dropped:
            sample.note_dropped()
        return dropped

    def _add_collected(self, samples: Iterable[StampedSample]) -> list[StampedSample]:
        # All that one collection buffers has one time-out, however many instruments there are.
        began_at = self._clock.monotonic()
        dropped = self.add(samples, self._wait_seconds_left)
        waited = self._clock.monotonic() - began_at
        self._wait_seconds_left = max(0.0, self._wait_seconds_left - waited)
        return dropped

    def refuse(self, name: str, error: Exception) -> None:
        """Count a sample that is left out, and log the reason the first time for its name."""
        with self._lock:
            self.invalid_samples += 1
            if name not in self._warned_of and len(self._warned_of) < WARNED_NAMES_MAX:
                self._warned_of.add(name)
                _logger.warning("samples of %s are left out: %s", name, error)

    def _tracker_of(self, instrument: Instrument) -> InstrumentTracker:
        tracker = self._trackers.get(id(instrument))
        if tracker is None:
            tracker = InstrumentTracker(
                instrument, self._refresh_interval, self._pacer, self._collected_at, self._identity
            )
            self._trackers[id(instrument)] = tracker
        return tracker

    def _collect_changes(self, collector: Collector, tracker: InstrumentTracker) -> None:
        try:
            samples = tracker.changed(self._clock.time(), self._clock.monotonic())
        except BaseException as error:  # noqa: BLE001 - gauges call the worker's functions
            self._note_failure(collector, error)
            return
        self._failing.discard(collector)
        self._add_collected(samples)

    def _families_of(self, collector: Collector) -> list[Any]:
        try:
            families = list(collector.collect())
        except BaseException as error:  # noqa: BLE001 - not our code, may raise SystemExit
            self._note_failure(collector, error)
            return []
        self._failing.discard(collector)
        return families

    def _note_failure(self, collector: Collector, error: BaseException) -> None:
        self.errors += 1
        if collector not in self._failing:
            self._failing.add(collector)
            _logger.error("collector %r raises; its metrics are missing", collector, exc_info=error)

    def _samples_of(self, family: Any, now: float) -> list[Sample]:
        samples: list[Sample] = []
        offered = list(family.samples)  # read once: it may be an iterator
        beginnings = told_beginnings(offered)
        for sample in offered:
            try:
                if isinstance(sample, Sample):
                    samples.append(self._stamped(sample, now))
                else:
                    adopted = adopt(family, sample, now, beginnings)
                    samples.append(adopted)
                    if adopted.name != sample.name or adopted.labels != sample.labels:
                        self._has_converted = True
            except (
                InvalidMetricError, TypeError, ValueError, AttributeError, ArithmeticError,
            ) as error:  # fmt: skip
                self._refuse_of(family, error)
        return samples

    def _without_repeats(self, samples: list[Sample]) -> list[Sample]:
        """Leave out samples whose series another metric has: two names may become the same one."""
        first: dict[Series, Sample] = {}
        for sample in samples:
            if first.setdefault(sample.series, sample) is not sample:
                message = "another metric of this collector has the series, under a like name"
                self.refuse(sample.name, InvalidMetricError(f"{sample.series!r}: {message}"))
        return list(first.values())

    def _stamped(self, sample: Sample, now: float) -> Sample:
        # An instrument checks its series when it makes them, but a collector may build its own. So
        # each is checked here, and only once, because the filter remembers it from then on.
        if not self._change_filter.knows(sample.series):
            check_series(sample.series)
        value = sample.value if type(sample.value) is float else float(sample.value)
        created_at = None if sample.created_at is None else float(sample.created_at)
        return Sample(sample.series, value, checked_time(sample.timestamp, now), created_at)

    def _refuse_of(self, family: Any, error: Exception) -> None:
        self.refuse(str(getattr(family, "name", family)), error)

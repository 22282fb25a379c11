"""From collectors to the buffer: what is reported, stamped, checked, and worth sending."""

from __future__ import annotations

import logging
import math
import threading
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model import (
    MetricType,
    Sample,
    Series,
    check_label_name,
    check_metric_name,
    check_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.buffer import SampleBuffer
    from noetl_metrics_sdk.change_filter import ChangeFilter
    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.registry import Collector, Registry

_logger = logging.getLogger("noetl_metrics_sdk")

WARNED_NAMES_MAX = 1_000
"""Of how many families with samples that are not valid the log speaks."""

# The types that prometheus_client has and the table has not.
_TYPES = {
    **{str(metric_type): metric_type for metric_type in MetricType},
    "unknown": MetricType.GAUGE,
    "untyped": MetricType.GAUGE,
    "info": MetricType.GAUGE,
    "stateset": MetricType.GAUGE,
    "gaugehistogram": MetricType.GAUGE,
}


class Collection:
    """Collects from a registry, and takes what other threads collected, into the buffer.

    Args:
        registry: whose collectors are asked.
        buffer: where samples wait.
        change_filter: drops what need not be sent.
        clock: stamps samples that have no time of their own.
    """

    def __init__(
        self, registry: Registry, buffer: SampleBuffer, change_filter: ChangeFilter, clock: Clock
    ) -> None:
        self._registry = registry
        self._buffer = buffer
        self._change_filter = change_filter
        self._clock = clock
        # One collection at a time, so that a series' samples enter the buffer in time order.
        # Taken before the locks of the registry, the instruments and the buffer.
        self._lock = threading.RLock()
        self._failing: set[Collector] = set()
        self._warned_of: set[str] = set()
        self.errors = 0
        self.invalid_samples = 0

    def collect(self) -> None:
        """Collect once from every collector of the registry.

        A collector that raises loses this turn and no other: it is counted in `errors`, and
        logged when it begins to fail. A sample that is not valid is left out by itself, and
        counted in `invalid_samples`.
        """
        with self._lock:
            for collector in self._registry.collectors():
                self._collect_from(collector)

    def collect_from(self, collector: Collector) -> None:
        """Collect once from a collector that is not in the registry."""
        # Collected before the lock is taken: reading the system may take long.
        families = self._families_of(collector)
        with self._lock:
            self.offer(families)

    def offer(self, families: Iterable[Any]) -> None:
        """Buffer those samples of the families that have to be sent."""
        now = self._clock.time()
        samples: list[Sample] = []
        for family in families:
            samples.extend(self._samples_of(family, now))
        self.add(self._change_filter.changed(samples, self._clock.monotonic()))

    def add(self, samples: Iterable[Sample]) -> None:
        """Buffer samples as they are; what is dropped to make room is sent anew when it can be."""
        dropped = self._buffer.add(samples)
        if dropped:
            self._change_filter.forget(sample.series for sample in dropped)

    def _collect_from(self, collector: Collector) -> None:
        self.offer(self._families_of(collector))

    def _families_of(self, collector: Collector) -> list[Any]:
        try:
            families = list(collector.collect())
        except Exception:  # somebody else's code: whatever it raises must not end the collection
            self.errors += 1
            if collector not in self._failing:
                self._failing.add(collector)
                _logger.exception("collector %r raises; its metrics are missing", collector)
            return []
        self._failing.discard(collector)
        return families

    def _samples_of(self, family: Any, now: float) -> list[Sample]:
        samples: list[Sample] = []
        for sample in family.samples:
            if isinstance(sample, Sample):
                samples.append(Sample(sample.series, sample.value, sample.timestamp or now))
                continue
            try:
                samples.append(_adopt(family, sample, now))
            except (InvalidMetricError, TypeError, ValueError, AttributeError) as error:
                self._refuse(family, error)
        return samples

    def _refuse(self, family: Any, error: Exception) -> None:
        self.invalid_samples += 1
        name = str(getattr(family, "name", family))
        if name not in self._warned_of and len(self._warned_of) < WARNED_NAMES_MAX:
            self._warned_of.add(name)
            _logger.warning("samples of %s are left out: %s", name, error)


def _adopt(family: Any, sample: Any, now: float) -> Sample:
    """Return a prometheus_client-shaped sample as one of this package's."""
    name = check_metric_name(sample.name)
    metric_type = _TYPES.get(family.type)
    if metric_type is None:
        raise InvalidMetricError(f"type {family.type!r} of {name}: expected one of {list(_TYPES)}")
    if name.endswith("_created"):
        # When a series began is a gauge beside it, as in the text format.
        metric_type = MetricType.GAUGE
    for label_name, value in sample.labels.items():
        check_label_name(label_name)
        check_text("label value", value)
    series = Series(
        name,
        metric_type,
        dict(sample.labels),
        check_text("documentation", family.documentation),
        check_text("unit", family.unit or ""),
    )
    timestamp = now if sample.timestamp is None else float(sample.timestamp)
    if not math.isfinite(timestamp):
        raise InvalidMetricError(f"timestamp {timestamp} of {name}: give seconds since the epoch")
    return Sample(series, float(sample.value), timestamp)

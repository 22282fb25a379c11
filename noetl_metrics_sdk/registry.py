"""The registry: which collectors there are, and that no two claim one name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from noetl_metrics_sdk.errors import DuplicateMetricError, InvalidMetricError
from noetl_metrics_sdk.process.fork import reset_store_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0, "Suffixes"
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


class Collector(Protocol):
    """Anything with a `collect()` that yields metric families.

    A family has `name`, `documentation`, `type`, `unit` and `samples`; a sample has `name`,
    `labels`, `value` and `timestamp`: the shapes of `MetricFamily` and `Sample`, and those of
    prometheus_client. A collector may have a `describe()` of the same form, whose families
    need no samples: with it the registry refuses a second collector of the same name.
    """

    def collect(self) -> Iterable[Any]:
        """Return the metric families as they are now."""
        ...


class Registry:
    """Holds collectors and collects from them.

    An instrument registers itself when it is made; other collectors are registered by
    `register()`, prometheus_client's own `REGISTRY` among them.
    """

    def __init__(self) -> None:
        # Guards the two dictionaries; no collector is called while it is held.
        self._lock = threading.RLock()
        self._names_by_collector: dict[Collector, frozenset[str]] = {}
        self._claimed_names: dict[str, Collector] = {}
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def register(self, collector: Collector) -> None:
        """Add a collector.

        Raises:
            DuplicateMetricError: it is registered already, or describes a name that another
                collector has.
            InvalidMetricError: it has no `collect()`.
        """
        if not callable(getattr(collector, "collect", None)):
            raise InvalidMetricError(
                f"{collector!r} has no collect() method: register an instrument, or an object "
                "whose collect() yields metric families"
            )
        names = _claimed_names(collector)
        with self._lock:
            if collector in self._names_by_collector:
                raise DuplicateMetricError(f"{collector!r} is registered already")
            taken = sorted(name for name in names if name in self._claimed_names)
            if taken:
                raise DuplicateMetricError(
                    f"the registry already has {', '.join(taken)}: make each instrument once, "
                    "at module level, or give this one another name"
                )
            self._names_by_collector[collector] = names
            self._claimed_names.update(dict.fromkeys(names, collector))

    def unregister(self, collector: Collector) -> None:
        """Remove a collector.

        Raises:
            InvalidMetricError: it is not registered here.
        """
        with self._lock:
            names = self._names_by_collector.pop(collector, None)
            if names is None:
                raise InvalidMetricError(f"{collector!r} is not registered in this registry")
            for name in names:
                del self._claimed_names[name]

    def collectors(self) -> list[Collector]:
        """Return the collectors, in the order in which they were registered."""
        with self._lock:
            return list(self._names_by_collector)

    def collect(self) -> Iterator[Any]:
        """Yield the metric families of every collector; what a collector raises passes through."""
        for collector in self.collectors():
            yield from collector.collect()

    def get_sample_value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return the value of one series, or None if there is no such series.

        It collects everything to find one value: meant for tests.

        Args:
            name: the sample's name, with its suffix: `jobs_total`, not `jobs`.
            labels: all of its labels.
        """
        wanted = dict(labels or {})
        for family in self.collect():
            for sample in family.samples:
                if sample.name == name and dict(sample.labels) == wanted:
                    return float(sample.value)
        return None

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()


def _claimed_names(collector: Collector) -> frozenset[str]:
    """Return every sample name that the collector says it may produce."""
    describe = getattr(collector, "describe", None)
    if describe is None:
        return frozenset()
    names: set[str] = set()
    for family in describe():
        names.add(family.name)
        names.update(family.name + suffix for suffix in _SUFFIXES.get(family.type, ()))
    return frozenset(names)


REGISTRY = Registry()
"""The registry that instruments register with unless told otherwise."""

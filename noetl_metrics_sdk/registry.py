"""The registry: which collectors there are, and that no two claim one name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from noetl_metrics_sdk.errors import DuplicateMetricError, InvalidMetricError
from noetl_metrics_sdk.model.metric import without_empty
from noetl_metrics_sdk.process.fork import reset_store_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0, "Suffixes"
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


class Collector(Protocol):
    """An object with a `collect()` that yields metric families.

    A family has `name`, `documentation`, `type`, `unit` and `samples`. A sample has `name`,
    `labels`, `value` and `timestamp`. `MetricFamily` and `Sample` have these shapes, and so have
    the classes of prometheus_client. A `Sample` may also have a `created_at`, the time at which a
    count was 0: a chart then shows what was counted before the first report.

    A collector may also have a `describe()` that returns its families, with or without samples.
    With it the registry refuses a second collector of the same name.
    """

    def collect(self) -> Iterable[Any]:
        """Return the metric families as they are now."""
        ...


class _Instrument(Collector, Protocol):
    @property
    def name(self) -> str: ...

    def settings(self) -> Mapping[str, object]: ...


_Arguments = ParamSpec("_Arguments")
_Made = TypeVar("_Made", bound=_Instrument)


class Registry:
    """Holds collectors and collects from them.

    An instrument registers itself when it is made. A program registers other collectors by
    `register()`, for example prometheus_client's own `REGISTRY`.
    """

    def __init__(self) -> None:
        # Guards the two dictionaries. The registry calls no collector while it holds the lock.
        self._lock = threading.RLock()
        self._names_by_collector: dict[Collector, frozenset[str]] = {}
        self._claimed_names: dict[str, Collector] = {}
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def register(self, collector: Collector) -> None:
        """Add a collector.

        Raises:
            DuplicateMetricError: the collector is registered already, or it describes a name that
                another collector has.
            InvalidMetricError: the collector has no `collect()`.
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
                    "at module level; call get_or_create() of the registry in code that runs again "
                    "and again; or give this one another name"
                )
            self._names_by_collector[collector] = names
            self._claimed_names.update(dict.fromkeys(names, collector))

    def get_or_create(
        self,
        instrument: Callable[_Arguments, _Made],
        /,
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Made:
        """Return the instrument of this name if there is one, or else make it.

        It is meant for code that runs again and again in one process, like a notebook's cell:

            ROWS = REGISTRY.get_or_create(Counter, "rows_read", "Rows that were read", ["source"])

        The documentation may differ; that of the first stays.

        Args:
            instrument: `Counter`, `Gauge`, `Histogram` or `Summary`.
            args: the arguments of its constructor, without `registry`.
            kwargs: the same by name.

        Raises:
            DuplicateMetricError: the registry has something else under this name: another type,
                other labels, buckets or quantiles, or another unit.
            InvalidMetricError, TypeError: an argument is not valid.
        """
        if "registry" in kwargs:
            raise TypeError("get_or_create() registers in its own registry: leave registry= out")
        make: Any = instrument
        made: _Made = make(*args, **kwargs, registry=None)
        try:
            self.register(made)
        except DuplicateMetricError:
            with self._lock:
                present: Any = self._claimed_names.get(made.name)
            if present is None:
                raise
            difference = _difference(present, made)
            if difference:
                raise DuplicateMetricError(
                    f"the registry has {present!r}, which is not the same as {made!r}: {difference}"
                ) from None
            return present  # type: ignore[no-any-return] # it has the type of `made`
        return made

    def unregister(self, collector: Collector) -> None:
        """Remove a collector.

        Raises:
            InvalidMetricError: the collector is not registered here.
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
        """Yield the metric families of every collector.

        Raises:
            BaseException: an error that a collector raised, as it is.
        """
        for collector in self.collectors():
            yield from collector.collect()

    def get_sample_value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return the value of one series, or None if there is no such series.

        It is meant for tests, as it collects everything to find one value.

        Args:
            name: the sample's name, with its suffix: `jobs_total`, not `jobs`.
            labels: all labels of the series, but for empty ones.
        """
        wanted = dict(without_empty(labels or {}))
        for family in self.collect():
            for sample in family.samples:
                if sample.name == name and dict(without_empty(sample.labels)) == wanted:
                    return float(sample.value)
        return None

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()


def _difference(present: Any, made: _Instrument) -> str:
    """Return in which settings an instrument differs from what the registry has, or nothing."""
    if type(present) is not type(made):
        return f"one is a {type(present).__name__}, the other a {type(made).__name__}"
    theirs, ours = present.settings(), made.settings()
    return "; ".join(
        f"{name} is {theirs[name]!r} in the registry and {ours[name]!r} here"
        for name in ours
        if theirs[name] != ours[name]
    )


def _claimed_names(collector: Collector) -> frozenset[str]:
    """Return every sample name that the collector may produce, according to its `describe()`."""
    describe = getattr(collector, "describe", None)
    if describe is None:
        return frozenset()
    names: set[str] = set()
    for family in describe():
        names.add(family.name)
        names.update(family.name + suffix for suffix in _SUFFIXES.get(family.type, ()))
    return frozenset(names)


REGISTRY = Registry()
"""The registry with which an instrument registers itself unless its maker gives another one."""

"""What all instruments have in common: a description, label sets, and one lock.

An instrument without label names is its own only series. One with label names is a *parent*:
`labels()` gives the *child* for a label set, which is the same class and holds the values.
"""

from __future__ import annotations

import copy
import threading
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.fork import reset_store_after_fork
from noetl_metrics_sdk.model import (
    MetricFamily,
    MetricType,
    Sample,
    Series,
    check_label_name,
    check_metric_name,
    check_text,
)
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SERIES_MAX = 2_000
"""How many label sets an instrument keeps apart; all further ones share one overflow series."""

OVERFLOW_LABEL_VALUE = "__overflow__"
"""The value of every label of the overflow series."""


class Description(NamedTuple):
    """What never changes about an instrument, shared by all of its children."""

    name: str
    type: MetricType
    documentation: str
    unit: str
    label_names: tuple[str, ...]


class Instrument(ABC):
    """The base of Counter, Gauge, Histogram and Summary.

    Args:
        name: the metric's name; `namespace`, `subsystem` and `name` are joined by `_`.
        documentation: what it measures.
        labelnames: the names of its labels.
        namespace: the first part of the name.
        subsystem: the second part of the name.
        unit: the unit of its values, like `seconds`: fills a column of its own and, unlike in
            prometheus_client, does not change the name.
        registry: where it registers itself; None for nowhere.
        max_series: how many label sets it keeps apart. Further ones share one series whose
            label values are all `__overflow__`, and are counted in `overflowed`.

    Raises:
        InvalidMetricError: a name, the documentation or the unit is not valid.
        DuplicateMetricError: the registry already has this name.
    """

    __slots__ = (
        "__weakref__",
        "_children",
        "_description",
        "_label_values",
        "_lock",
        "_max_series",
        "_series",
        "overflowed",
    )
    _type: ClassVar[MetricType]
    _reserved_label_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        *,
        max_series: int = SERIES_MAX,
    ) -> None:
        if max_series < 1:
            raise InvalidMetricError(f"max_series is {max_series}: it must be at least 1")
        label_names = _check_label_names(labelnames, self._reserved_label_names)
        self._description = Description(
            _full_name(self._type, namespace, subsystem, name),
            self._type,
            check_text("documentation", documentation),
            check_text("unit", unit),
            label_names,
        )
        # Guards the values of this instrument and of all its children, and the dictionary of
        # children. Re-entrant: a signal handler or a finalizer may touch an instrument while
        # its own thread is inside one. No other lock is taken while it is held.
        self._lock = threading.RLock()
        self._label_values: tuple[str, ...] = ()
        self._children: dict[tuple[object, ...], Self] | None = {} if label_names else None
        self._max_series = max_series
        self._series: tuple[Series, ...] = ()
        self.overflowed = 0
        self._zero()
        if registry is not None:
            registry.register(self)
        reset_store_after_fork(self)

    @property
    def name(self) -> str:
        """The family's name, without the suffixes of its samples."""
        return self._description.name

    def labels(self, *values: object, **labels: object) -> Self:
        """Return the child for a label set, making it if need be.

        Args:
            values: a value for each label name, in their order; or
            labels: a value for each label name, by name. Values are made strings.

        Raises:
            InvalidMetricError: the labels are not those of this instrument, or a value holds
                what PostgreSQL cannot store.
        """
        children = self._children
        if children is not None and not labels:
            try:
                child = children.get(values)
            except TypeError:  # an unhashable value: it is made a string below
                child = None
            if child is not None:
                for value in values:
                    if type(value) is not str:  # equal to a string, as some enumerations are
                        break
                else:
                    return child
        return self._find_or_make_child(self._label_values_of(values, labels))

    def remove(self, *values: object) -> None:
        """Forget the series of a label set, if there is one.

        Raises:
            InvalidMetricError: there are not as many values as label names.
        """
        label_values = self._label_values_of(values, {})
        with self._lock:
            self._parent_children().pop(label_values, None)

    def remove_by_labels(self, labels: Mapping[str, object]) -> None:
        """Forget every series that has these labels, and perhaps others.

        Args:
            labels: some of the label names with the values to look for; with none, nothing
                is forgotten.

        Raises:
            InvalidMetricError: a name is not one of the label names.
        """
        children = self._parent_children()
        names = self._description.label_names
        unknown = sorted(set(labels) - set(names))
        if unknown:
            raise InvalidMetricError(f"{self} has no label {unknown[0]!r}: it has {list(names)}")
        wanted = [(names.index(name), str(value)) for name, value in labels.items()]
        if not wanted:
            return
        with self._lock:
            for values in list(children):
                if all(values[position] == value for position, value in wanted):
                    del children[values]

    def clear(self) -> None:
        """Forget every series of an instrument with labels."""
        if self._children is not None:
            with self._lock:
                self._children.clear()

    def reset(self) -> None:
        """Set back to zero, as when a logical process restarts within this one."""
        self._check_has_value()
        with self._lock:
            self._zero()

    def collect(self) -> list[MetricFamily]:
        """Return the family with a sample of every series, each whole as of one moment."""
        samples: list[Sample] = []
        for holder in self._holders():
            samples.extend(holder._samples())
        return [self._family(samples)]

    def describe(self) -> list[MetricFamily]:
        """Return the family without samples: what the registry checks for duplicates."""
        return [self._family(())]

    def __repr__(self) -> str:
        kind = type(self).__name__
        labels = dict(zip(self._description.label_names, self._label_values, strict=False))
        return f"{kind}({self.name!r}{f', {labels}' if labels else ''})"

    @abstractmethod
    def _zero(self) -> None:
        """Set the values of this series to zero; the caller holds the lock or owns the object."""

    @abstractmethod
    def _make_series(self, labels: dict[str, str]) -> tuple[Series, ...]:
        """Return the series that one label set is reported as."""

    @abstractmethod
    def _samples(self) -> list[Sample]:
        """Return the samples of this label set, all of one moment."""

    def _family(self, samples: Iterable[Sample]) -> MetricFamily:
        name, metric_type, documentation, unit, _ = self._description
        return MetricFamily(name, documentation, metric_type, unit, samples)

    def _own_series(self) -> tuple[Series, ...]:
        if not self._series:
            labels = dict(zip(self._description.label_names, self._label_values, strict=True))
            self._series = self._make_series(labels)
        return self._series

    def _one_series(
        self, suffix: str, labels: dict[str, str], own_labels: dict[str, str] | None = None
    ) -> Series:
        name, metric_type, documentation, unit, _ = self._description
        all_labels = {**labels, **own_labels} if own_labels else labels
        return Series(name + suffix, metric_type, all_labels, documentation, unit)

    def _check_has_value(self) -> None:
        """Raise if this is a parent, which has no value of its own."""
        if self._children is not None:
            names = ", ".join(f"{name}=…" for name in self._description.label_names)
            raise InvalidMetricError(f"{self} has labels: call .labels({names}) on it first")

    def _parent_children(self) -> dict[tuple[object, ...], Self]:
        if self._children is None:
            raise InvalidMetricError(
                f"{self} has its labels already: use it as it is"
                if self._label_values
                else f"{self} has no label names: make it with labelnames"
            )
        return self._children

    def _label_values_of(
        self, values: tuple[object, ...], labels: dict[str, object]
    ) -> tuple[str, ...]:
        self._parent_children()
        names = self._description.label_names
        if values and labels:
            raise InvalidMetricError(f"{self}: give label values by position or by name, not both")
        if labels:
            if labels.keys() != set(names):
                raise InvalidMetricError(
                    f"{self} has the labels {list(names)}, not {list(labels)}: name each once"
                )
            values = tuple(labels[name] for name in names)
        elif len(values) != len(names):
            raise InvalidMetricError(
                f"{self} has the labels {list(names)}, and {len(values)} values were given"
            )
        return tuple([str(value) for value in values])

    def _find_or_make_child(self, label_values: tuple[str, ...]) -> Self:
        children = self._parent_children()
        with self._lock:
            child = children.get(label_values)
            if child is not None:
                return child
            for value in label_values:
                check_text("label value", value)
            if len(children) >= self._max_series:
                self.overflowed += 1
                label_values = (OVERFLOW_LABEL_VALUE,) * len(label_values)
                overflow = children.get(label_values)
                if overflow is not None:
                    return overflow
            # Not overwritten: a signal handler may have made the same child meanwhile.
            return children.setdefault(label_values, self._make_child(label_values))

    def _make_child(self, label_values: tuple[str, ...]) -> Self:
        child = copy.copy(self)
        child._label_values = label_values
        child._children = None
        child.overflowed = 0
        child._zero()
        return child

    def _holders(self) -> list[Self]:
        if self._children is None:
            return [self]
        with self._lock:
            return list(self._children.values())

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()
        self.overflowed = 0
        holders = [self, *(() if self._children is None else self._children.values())]
        for holder in holders:
            holder._lock = self._lock
            holder._zero()


def not_a_number(instrument: Instrument, amount: object) -> TypeError:
    """Return the error for an amount that is no number."""
    kind = type(amount).__name__
    return TypeError(f"{instrument}: {amount!r} is a {kind}: give a number, like 1 or 0.25")


def warn_of_exemplar() -> None:
    """Warn the caller of `inc()` or `observe()` that an exemplar is not kept."""
    warnings.warn(
        "exemplars are not kept: noetl.metric has no place for them", UserWarning, stacklevel=3
    )


def _full_name(metric_type: MetricType, namespace: str, subsystem: str, name: str) -> str:
    check_metric_name(name)
    prefixes = [check_text("namespace or subsystem", p) for p in (namespace, subsystem) if p]
    full_name = "_".join([*prefixes, name])
    if metric_type is MetricType.COUNTER:
        full_name = full_name.removesuffix("_total")
    return check_metric_name(full_name)


def _check_label_names(
    label_names: Iterable[str], reserved_names: tuple[str, ...]
) -> tuple[str, ...]:
    if isinstance(label_names, str):
        raise InvalidMetricError(
            f"labelnames is the string {label_names!r}: give a list, like [{label_names!r}]"
        )
    checked = tuple([check_label_name(name, reserved_names) for name in label_names])
    if len(set(checked)) < len(checked):
        raise InvalidMetricError(f"labelnames {list(checked)} names a label twice: once is enough")
    return checked

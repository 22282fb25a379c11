"""The base of all instruments: a description, label sets, and one lock.

An instrument without label names has a single label set, and holds its values itself. An instrument
with label names is a *parent*: `labels()` returns the *child* for a label set. The child is of the
same class, and holds the values.

The constructors and methods are those of prometheus_client, so a program only has to change the
import. What a program's code says wrongly raises at the call: a name, missing labels, a negative
increment of a counter. What comes from its data never raises; see `unfit_data.py`.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

import threading
from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.definition import Definition, check_label_names, full_name
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.instruments.unfit_data import replace_label_values, text_of
from noetl_metrics_sdk.model.metric import MetricFamily, MetricType, Sample, Series
from noetl_metrics_sdk.model.names import are_storable, check_text, storable
from noetl_metrics_sdk.model.stamped_sample import LabelSet
from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from noetl_metrics_sdk.model.stamped_sample import SampleForm

SERIES_MAX = 2_000
"""How many label sets an instrument keeps apart. All further ones share one overflow series."""

OVERFLOW_LABEL_VALUE = "__overflow__"
"""The value of every label of the overflow series."""


class Instrument(metaclass=ABCMeta):
    """The base of Counter, Gauge, Histogram and Summary.

    Args:
        name: the metric's name; `namespace`, `subsystem` and `name` are joined by `_`.
        documentation: what the instrument measures.
        labelnames: the names of its labels.
        namespace: the first part of the name.
        subsystem: the second part of the name.
        unit: the unit of its values, like `seconds`. The table has a column for it. Unlike in
            prometheus_client, it does not change the name.
        registry: the registry with which the instrument registers itself; None for no registry.
        max_series: how many label sets the instrument keeps apart. Further ones share one series,
            whose label values are all `__overflow__`, and `overflowed` counts them.

    Raises:
        InvalidMetricError: a name, the documentation or the unit is not valid.
        TypeError: one of them is no string.
        DuplicateMetricError: the registry already has this name.
    """

    __slots__ = ("_children", "_direct", "counts_since", "definition", "label_values")
    _type: ClassVar[MetricType]
    _reserved_label_names: ClassVar[tuple[str, ...]] = ()
    definition: Definition
    label_values: tuple[str, ...]
    _children: dict[tuple[object, ...], Self] | None
    counts_since: float
    """When the values were last zero because they began, by `MEASURING_CLOCK.perf_counter`."""
    # Last: in the compiled object this byte and the compiler's own bits then share eight bytes.
    _direct: bool  # whether this holds values, and may change them without the lock

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
        _parent: Instrument | None = None,
    ) -> None:
        # Set first: the compiler then sees that it is always set, and keeps no note of that.
        self.counts_since = 0.0
        if _parent is not None:
            self._become_child(_parent.definition)
            return
        for text in (name, documentation, namespace, subsystem, unit):
            if not isinstance(text, str):  # only compiled code has checked this before
                raise TypeError(f"{text!r} is a {type(text).__name__}: it must be a string")
        if max_series < 1:
            raise InvalidMetricError(f"max_series is {max_series}: it must be at least 1")
        label_names = check_label_names(labelnames, self._reserved_label_names)
        definition = Definition(
            full_name(self._type, namespace, subsystem, name),
            self._type,
            check_text("documentation", documentation),
            check_text("unit", unit),
            label_names,
            max_series,
        )
        self.definition = definition
        self.label_values = ()
        self._children = {} if label_names else None
        self._direct = self._children is None and definition.updates_directly
        definition.forms = self._make_forms()
        self.begin()
        if registry is not None:
            registry.register(self)
        definition.fork_handle = reset_store_after_fork(self._reset_after_fork)

    @property
    def name(self) -> str:
        """The family's name, without the suffixes of its samples."""
        return self.definition.name

    @property
    def overflowed(self) -> int:
        """How many calls of `labels()` met the overflow series, as `max_series` was reached."""
        return self.definition.overflowed

    @property
    def amounts_left_out(self) -> int:
        """How many amounts were left out, as they would have spoilt a total for ever."""
        return self.definition.amounts_left_out

    @property
    def label_values_replaced(self) -> int:
        """How many calls of `labels()` gave a text that cannot be stored as it is."""
        return self.definition.label_values_replaced

    @property
    def series_count(self) -> int:
        """How many label sets the instrument holds values for."""
        return 1 if self._children is None else len(self._children)

    def labels(self, *values: object, **labels: object) -> Self:
        """Return the child for a label set, and make it if it does not exist.

        A caller gives either `values` or `labels`. All values are converted to strings. U+FFFD
        replaces NUL and lone surrogates, which PostgreSQL cannot store, and
        `label_values_replaced` counts that.

        Args:
            values: a value for each label name, in the order of the label names.
            labels: a value for each label name, by name.

        Raises:
            InvalidMetricError: the label names are not those of this instrument.
        """
        children = self._children
        if children is not None and not labels:
            try:
                child = children.get(values)
            except TypeError:  # a value has no hash; it is converted to a string below
                child = None
            if child is not None:
                for value in values:
                    if type(value) is not str:  # it only equals a string, as some enumerations do
                        break
                else:
                    return child
        return self._find_or_make_child(self._label_values_of(values, labels))

    def remove(self, *values: object) -> None:
        """Forget the series of a label set, if there are any.

        Args:
            values: a value for each label name, in the order of the label names.

        Raises:
            InvalidMetricError: there are not as many values as label names.
        """
        label_values = tuple([storable(value) for value in self._label_values_of(values, {})])
        children = self._parent_children()
        with self.definition.lock:
            if children.pop(label_values, None) is not None:
                self.definition.generation += 1

    def remove_by_labels(self, labels: Mapping[str, object]) -> None:
        """Forget every series that has these labels; it may have further ones.

        Args:
            labels: some of the label names, each with the value to look for. If there are none, no
                series is forgotten.

        Raises:
            InvalidMetricError: a name is not one of the label names.
        """
        children = self._parent_children()
        names = self.definition.label_names
        unknown = sorted(set(labels) - set(names))
        if unknown:
            raise InvalidMetricError(f"{self} has no label {unknown[0]!r}: it has {list(names)}")
        wanted = [(names.index(name), storable(str(value))) for name, value in labels.items()]
        if not wanted:
            return
        with self.definition.lock:
            for values in list(children):
                if all(values[position] == value for position, value in wanted):
                    children.pop(values, None)
            self.definition.generation += 1

    def clear(self) -> None:
        """Forget every series of an instrument with labels."""
        children = self._children
        if children is not None:
            with self.definition.lock:
                children.clear()
                self.definition.generation += 1

    def reset(self) -> None:
        """Set the values to zero, for example when a logical process restarts within this one.

        Raises:
            InvalidMetricError: this is a parent, which has no values.
        """
        self._check_has_value()
        with self.definition.lock:
            self.begin()

    def begin(self) -> None:
        """Set the values to zero, and note the time; the caller holds the lock or owns the object.

        The time tells a collection that the values have begun anew, even if they have grown beyond
        those that it has seen.
        """
        self.set_to_zero()
        self.counts_since = MEASURING_CLOCK.perf_counter()

    @property
    def created_at(self) -> float:
        """When the values began at zero, in seconds since the epoch."""
        return self.counts_since + MEASURING_CLOCK.epoch_offset

    def settings(self) -> dict[str, object]:
        """Return what two instruments of one name have in common if they are the same."""
        definition = self.definition
        return {
            "labels": list(definition.label_names),
            "unit": definition.unit,
            "max_series": definition.max_series,
        }

    def collect(self) -> list[MetricFamily]:
        """Return the family with a sample of every series.

        The samples of one label set are read at one moment.
        """
        family = self._family()
        for holder in self.holders():
            label_set = LabelSet(holder.label_values)
            created_at = holder.created_at
            for form, value in zip(self.definition.forms, holder.values(), strict=False):
                series = Series(
                    form.name, form.type, form.labels(label_set), form.help_text, form.unit
                )
                began_at = created_at if form.counts_from_zero else None
                family.samples.append(Sample(series, value, created_at=began_at))
        return [family]

    def describe(self) -> list[MetricFamily]:
        """Return the family without samples, with which the registry looks for duplicate names."""
        return [self._family()]

    def __repr__(self) -> str:
        kind = type(self).__name__
        labels = dict(zip(self.definition.label_names, self.label_values, strict=False))
        return f"{kind}({self.name!r}{f', {labels}' if labels else ''})"

    def __copy__(self) -> Self:
        # A copy of an object that has an instrument goes on to count in the same series.
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str:
        raise TypeError(f"{self} cannot be pickled: each process makes it anew, at module level")

    @abstractmethod
    def set_to_zero(self) -> None:
        """Set the values to zero; the caller holds the lock or owns the object."""

    @abstractmethod
    def _make_forms(self) -> list[SampleForm]:
        """Return the forms of the samples of one label set."""

    @abstractmethod
    def _new_child(self) -> Self:
        """Return a child without label values, made by calling the constructor with `_parent`."""

    @abstractmethod
    def values(self) -> list[float]:
        """Return the values of this label set: one for each form, all read at one moment.

        The list is empty if the label set has to be left out.
        """

    def take(self, value: float) -> None:
        """Take a finite value that a timer has measured; a counter has no timer."""
        raise NotImplementedError

    def _family(self) -> MetricFamily:
        definition = self.definition
        return MetricFamily(
            definition.name, definition.documentation, definition.type, definition.unit
        )

    def _check_has_value(self) -> None:
        """Raise an error if this is a parent, which has no values of its own."""
        if self._children is not None:
            names = ", ".join(f"{name}=…" for name in self.definition.label_names)
            raise InvalidMetricError(f"{self} has labels: call .labels({names}) on it first")

    def _parent_children(self) -> dict[tuple[object, ...], Self]:
        if self._children is None:
            raise InvalidMetricError(
                f"{self} has its labels already: use it as it is"
                if self.label_values
                else f"{self} has no label names: make it with labelnames"
            )
        return self._children

    def _label_values_of(
        self, values: tuple[object, ...], labels: dict[str, object]
    ) -> tuple[str, ...]:
        self._parent_children()
        names = self.definition.label_names
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
        try:
            return tuple([str(value) for value in values])
        except Exception:  # noqa: BLE001 - a job's own object, whatever it raises
            return tuple([text_of(value) for value in values])

    def _find_or_make_child(self, label_values: tuple[str, ...]) -> Self:
        children = self._parent_children()
        definition = self.definition
        with definition.lock:
            child = children.get(label_values)
            if child is not None:
                return child
            if are_storable(label_values):
                return self._add_child(children, label_values)
        # This logs, so it runs without the lock.
        return self._find_or_make_child(replace_label_values(self, definition, label_values))

    def _add_child(
        self, children: dict[tuple[object, ...], Self], label_values: tuple[str, ...]
    ) -> Self:
        """Make a child, or return the one of the overflow series; the caller holds the lock."""
        definition = self.definition
        if len(children) >= definition.max_series:
            definition.overflowed += 1
            label_values = (OVERFLOW_LABEL_VALUE,) * len(label_values)
            overflow = children.get(label_values)
            if overflow is not None:
                return overflow
        # This does not overwrite: a signal handler may have made the same child meanwhile.
        child = children.setdefault(label_values, self._make_child(label_values))
        definition.generation += 1
        return child

    def _make_child(self, label_values: tuple[str, ...]) -> Self:
        child = self._new_child()
        child.label_values = label_values
        return child

    def _become_child(self, definition: Definition) -> None:
        self.definition = definition
        self.label_values = ()
        self._children = None
        self._direct = definition.updates_directly
        self.begin()

    def holders(self) -> list[Self]:
        """Return the instruments that hold the values: the children, or this instrument itself."""
        children = self._children
        if children is None:
            return [self]
        with self.definition.lock:
            return list(children.values())

    def _reset_after_fork(self) -> None:
        self.definition.lock = threading.RLock()
        self.definition.overflowed = 0
        self.definition.reported_until.clear()
        self.begin()
        self.definition.amounts_left_out = 0
        self.definition.label_values_replaced = 0
        if self._children is not None:
            for child in self._children.values():
                child.begin()


class ScalarInstrument(Instrument):
    """An instrument with one sample for each label set: the base of Counter and Gauge."""

    __slots__ = ("value",)

    def set_to_zero(self) -> None:
        """Set the value to zero; the caller holds the lock or owns the object."""
        self.value = 0.0

    def values(self) -> list[float]:
        """Return the value alone, or an empty list if the series has to be left out."""
        return [self.value] if self.bring_up_to_date() else []

    def bring_up_to_date(self) -> bool:
        """Bring `value` up to date; return False if the series has to be left out."""
        return True

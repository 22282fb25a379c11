"""Info and Enum: instruments that keep texts, which become labels of gauges.

prometheus_client has both. They are on no hot path: they tell what something is, or which state it
is in. So they are plain Python over a Gauge, which knows the label sets.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.gauge import Gauge
from noetl_metrics_sdk.instruments.instrument import SERIES_MAX
from noetl_metrics_sdk.instruments.unfit_data import text_of
from noetl_metrics_sdk.model.metric import (
    INFO,
    STATE_SET,
    MetricFamily,
    MetricType,
    Sample,
    Series,
)
from noetl_metrics_sdk.model.names import check_label_name, check_text, storable
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INFO_SUFFIX = "_info"


class TextInstrument:
    """The base of Info and Enum. In a forked child they say what they said in its parent.

    Args:
        name: the metric's name; `namespace`, `subsystem` and `name` are joined by `_`.
        documentation: what the instrument tells.
        labelnames: the names of its labels.
        namespace: the first part of the name.
        subsystem: the second part of the name.
        unit: accepted because prometheus_client has it, and always empty: a text has no unit.
        registry: the registry with which the instrument registers itself; None for no registry.
        max_series: how many label sets the instrument keeps apart, as every instrument does.

    Raises:
        InvalidMetricError: a name, the documentation or the unit is not valid.
        DuplicateMetricError: the registry already has this name.
    """

    _type: ClassVar[str]

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
        if unit:
            raise InvalidMetricError(f"{name!r} has the unit {unit!r}: a text has none, leave it")
        self._label_sets = Gauge(
            name, documentation, labelnames, namespace, subsystem, registry=None,
            max_series=max_series,
        )  # fmt: skip
        self._check_labels()
        # What a label set says, by its label values; without an entry it is what it was at first.
        self._said: dict[tuple[str, ...], Any] = {}
        if registry is not None:
            registry.register(self)

    @property
    def name(self) -> str:
        """The family's name, without the suffixes of its samples."""
        return self._label_sets.name

    def labels(self, *values: object, **labels: object) -> Self:
        """Return the child for a label set; see `Instrument.labels`."""
        child = object.__new__(type(self))
        vars(child).update(vars(self), _label_sets=self._label_sets.labels(*values, **labels))
        return child

    def remove(self, *values: object) -> None:
        """Forget the series of a label set, if there are any; see `Instrument.remove`."""
        self._label_sets.remove(*values)
        self._forget_removed()

    def remove_by_labels(self, labels: Mapping[str, object]) -> None:
        """Forget every series that has these labels; see `Instrument.remove_by_labels`."""
        self._label_sets.remove_by_labels(labels)
        self._forget_removed()

    def clear(self) -> None:
        """Forget every series of an instrument with labels."""
        self._label_sets.clear()
        self._forget_removed()

    def settings(self) -> dict[str, object]:
        """Return what two instruments of one name have in common if they are the same."""
        return self._label_sets.settings()

    def collect(self) -> list[MetricFamily]:
        """Return the family with the samples of every series."""
        label_names = self._label_names
        family = self._family()
        for holder in self._label_sets.holders():
            labels = dict(zip(label_names, holder.label_values, strict=False))
            said = self._said.get(holder.label_values)
            for suffix, text_labels, value in self._samples_of(said):
                series = Series(
                    family.name + suffix,
                    MetricType.GAUGE,
                    {**labels, **text_labels},
                    family.documentation,
                )
                family.samples.append(Sample(series, value))
        return [family]

    def describe(self) -> list[MetricFamily]:
        """Return the family without samples, with which the registry looks for duplicate names."""
        return [self._family()]

    def __repr__(self) -> str:
        labels = dict(zip(self._label_names, self._label_sets.label_values, strict=False))
        return f"{type(self).__name__}({self.name!r}{f', {labels}' if labels else ''})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def _label_names(self) -> tuple[str, ...]:
        return self._label_sets.definition.label_names

    @abstractmethod
    def _samples_of(self, said: Any) -> Iterable[tuple[str, Mapping[str, str], float]]:
        """Return the samples of a label set: the suffix of the name, further labels, and the value.

        Args:
            said: what the label set says, or None if it has not been told.
        """

    def _check_labels(self) -> None:
        """Raise an error if a label has the name of one that the texts have."""

    def _say(self, said: Any) -> None:
        if self._label_names and not self._label_sets.label_values:
            names = ", ".join(f"{name}=…" for name in self._label_names)
            raise InvalidMetricError(f"{self} has labels: call .labels({names}) on it first")
        self._said[self._label_sets.label_values] = said

    def _family(self) -> MetricFamily:
        return MetricFamily(self.name, self._label_sets.definition.documentation, self._type)

    def _forget_removed(self) -> None:
        known = {holder.label_values for holder in self._label_sets.holders()}
        for values in list(self._said):
            if values not in known:
                self._said.pop(values, None)


class Info(TextInstrument):
    """Texts that describe something: the version of a program, the model of a machine.

    They are the labels of a series whose name ends in `_info`, and whose value is always 1. If they
    change, another series takes its place.

    The arguments are those of `TextInstrument`.
    """

    _type = INFO

    def info(self, val: Mapping[str, object]) -> None:
        """Set the texts, in place of those that were set before.

        Args:
            val: texts by label name. A value that is no string becomes one. U+FFFD replaces NUL
                and lone surrogates.

        Raises:
            InvalidMetricError: labels are missing; or a name is not valid, or is that of a label of
                the instrument; or a value is None.
        """
        texts: dict[str, str] = {}
        for label_name, value in val.items():
            check_label_name(label_name)
            if label_name in self._label_names:
                raise InvalidMetricError(f"{self} has a label {label_name!r}: choose another name")
            if value is None:
                raise InvalidMetricError(f"{self}: {label_name} is None: give a text")
            texts[label_name] = storable(text_of(value))
        self._say(texts)

    def _samples_of(self, said: Any) -> Iterable[tuple[str, Mapping[str, str], float]]:
        yield _INFO_SUFFIX, said or {}, 1.0


class Enum(TextInstrument):
    """Which one of some states something is in: `starting`, `running`, `stopped`.

    Each state has a series with a label of the metric's own name. Its value is 1 for the state that
    is the case, and 0 for the others. At first the first state is the case.

    Args:
        states: the states, at least one.

    The other arguments are those of `TextInstrument`.
    """

    _type = STATE_SET

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Registry | None = REGISTRY,
        states: Iterable[str] | None = None,
        *,
        max_series: int = SERIES_MAX,
    ) -> None:
        if isinstance(states, str):
            raise InvalidMetricError(f"states is {states!r}: give a list, like [{states!r}]")
        self._states = [check_text("state", state) for state in states or ()]
        if not self._states or len(set(self._states)) < len(self._states):
            raise InvalidMetricError(
                f"Enum {name!r} has the states {self._states}: give at least one, and each once, "
                "like states=['starting', 'running']"
            )
        super().__init__(
            name, documentation, labelnames, namespace, subsystem, unit, registry,
            max_series=max_series,
        )  # fmt: skip

    def state(self, state: str) -> None:
        """Say which state is the case.

        Args:
            state: one of the states.

        Raises:
            InvalidMetricError: labels are missing, or there is no such state.
        """
        if state not in self._states:
            raise InvalidMetricError(f"{self} has no state {state!r}: it has {self._states}")
        self._say(state)

    def settings(self) -> dict[str, object]:
        """Return what two instruments of one name have in common if they are the same."""
        return {**super().settings(), "states": self._states}

    def _check_labels(self) -> None:
        check_label_name(self.name)
        if self.name in self._label_names:
            raise InvalidMetricError(
                f"{self.name!r} is the label of the state: choose another name for a label"
            )

    def _samples_of(self, said: Any) -> Iterable[tuple[str, Mapping[str, str], float]]:
        current = self._states[0] if said is None else said
        for state in self._states:
            yield "", {self.name: state}, float(state == current)

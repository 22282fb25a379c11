"""What rows say of their series, looked into once and numbered. Pure: no I/O, no clock.

A series has the name and the labels that the exposition gives it: its own labels, and `runtime_id`,
`component` and `component_type` (`exposed_labels`).

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import MetricType, counts_from_zero
from noetl_metrics_sdk.model.names import check_metric_name
from server_stub.components.labels import exposed_labels
from server_stub.time_series_database.messages import METRIC_TYPES
from server_stub.time_series_database.wire import field

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

SERIES_KEPT_MAX = 200_000
"""How many series the server keeps between requests, of about a kilobyte each."""

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""How many bytes their texts take; beyond either bound the server makes all of them anew."""

COPIES = 4
"""How many times a kept series has its labels, and twice its help text."""

INVALID = 0
"""The number of all that the protocol does not have."""


class Row(NamedTuple):
    """A row of `noetl.metric`, with its component.

    `labels` is JSON. `timestamp_ms` is None for a time that is infinite. `late_ms` says how old the
    sample was when it arrived; it is negative if the sample's time was ahead.
    """

    metric_id: int
    runtime_id: int
    metric_name: str
    labels: str | None
    metric_value: float
    timestamp_ms: int | None
    component_name: str
    component_type: str
    metric_type: str
    help_text: str | None
    unit: str | None
    late_ms: int = 0


class Family(NamedTuple):
    """The family of a name: its type, help text and unit."""

    metric_name: str
    metric_type: str
    help_text: str | None
    unit: str | None


class WrittenLabel(msgspec.Struct, gc=False, eq=False):
    """A label, of which there is one for all the series that have it.

    So a dictionary finds it by what it is, and does not look into its texts.

    Args:
        name: its name.
        value: its value.
        encoded: the field `labels` of a `TimeSeries` of version 1.0.
    """

    name: str
    value: str
    encoded: bytes


class WrittenSeries(msgspec.Struct, gc=False, eq=False):
    """A series in the form in which the server writes it, and what a row says of it.

    Rows may give one series several help texts, or types: then there are several of these, with the
    same labels. Collections of garbage pass them over: there may be 200,000, and none is part of a
    cycle.

    Args:
        label_set: its labels and its name as `__name__`, sorted by the names.
        encoded_labels: a `TimeSeries` of version 1.0 without samples.
        family: the family of its name.
        counts: whether it is of a metric that counts from zero.
    """

    label_set: tuple[WrittenLabel, ...]
    encoded_labels: bytes
    family: Family
    counts: bool

    def labels(self) -> dict[str, str]:
        """Return its labels, with its name as `__name__`."""
        return {label.name: label.value for label in self.label_set}


class KnownSeries:
    """Numbers what rows say of their series, and keeps it."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._written: list[WrittenSeries | None] = [None]
        self._first_numbers = [INVALID]
        # Rows may write one series in several ways: an empty label is no label.
        self._by_labels: dict[tuple[WrittenLabel, ...], int] = {}
        self._kept_bytes = 0
        # The series of a name share their family, and most labels are those of many series.
        self._families: dict[Family, Family] = {}
        self._labels: dict[tuple[str, str], WrittenLabel] = {}

    def numbers(self, keys: Sequence[Hashable], row_at: Callable[[int], Row]) -> list[int]:
        """Return the number of what each row says of its series.

        Args:
            keys: of each row, what only the rows have that say the same.
            row_at: returns the row of a place, of which nothing is known yet.
        """
        if len(self._numbers) > SERIES_KEPT_MAX or self._kept_bytes > KEPT_BYTES_MAX:
            self._forget()
        found = list(map(self._numbers.get, keys))
        if None not in found:
            return cast("list[int]", found)
        return [
            self._learn(keys[place], row_at, place) if number is None else number
            for place, number in enumerate(found)
        ]

    def first_numbers(self, numbers: Sequence[int]) -> list[int]:
        """Return for each number the first one of the same series."""
        return list(map(self._first_numbers.__getitem__, numbers))

    def written(self, number: int) -> WrittenSeries:
        """Return what has a number, other than `INVALID`."""
        series = self._written[number]
        assert series is not None
        return series

    def _forget(self) -> None:
        # One by one: while a container frees all that it has, no other thread runs.
        for kept in (self._numbers, self._by_labels, self._labels):
            while kept:
                kept.popitem()
        while len(self._written) > 1:
            self._written.pop()
        del self._first_numbers[1:]
        self._families.clear()
        self._kept_bytes = 0

    def _learn(self, key: Hashable, row_at: Callable[[int], Row], place: int) -> int:
        number = self._numbers.get(key)
        if number is not None:
            return number
        row = row_at(place)
        series = self._series_of(row)
        if series is None:
            number = INVALID
        else:
            number = len(self._written)
            self._written.append(series)
            self._first_numbers.append(self._by_labels.setdefault(series.label_set, number))
        self._numbers[key] = number
        self._kept_bytes += COPIES * len(row.labels or "") + 2 * len(row.help_text or "")
        return number

    def _series_of(self, row: Row) -> WrittenSeries | None:
        try:
            check_metric_name(row.metric_name)
            shown = exposed_labels(
                row.runtime_id, row.component_name, row.component_type, row.labels
            )
        except InvalidMetricError:
            return None
        named = ("__name__", row.metric_name)
        labels = sorted([named, *shown.sorted_pairs()])
        # The table may have types that are not the SDK's.
        counts = row.metric_type in METRIC_TYPES and counts_from_zero(
            MetricType(row.metric_type), [name for name, _ in labels]
        )
        family = Family(row.metric_name, row.metric_type, row.help_text, row.unit)
        family = self._families.setdefault(family, family)
        label_set = tuple(map(self._label, labels))
        first = self._by_labels.get(label_set)
        if first is not None:
            same = self.written(first)
            return WrittenSeries(same.label_set, same.encoded_labels, family, counts)
        encoded = b"".join([label.encoded for label in label_set])
        return WrittenSeries(label_set, encoded, family, counts)

    def _label(self, pair: tuple[str, str]) -> WrittenLabel:
        label = self._labels.get(pair)
        if label is None:
            name, value = pair
            encoded = field(1, field(1, name.encode()) + field(2, value.encode()))
            label = self._labels[pair] = WrittenLabel(name, value, encoded)
        return label

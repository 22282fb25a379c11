"""Rows as series of samples, as a time-series database has them. Pure: no I/O, no clock.

A series has the name and the labels that the exposition gives it: its own labels, and `runtime_id`,
`component` and `component_type` (`exposed_labels`). Times are in milliseconds, because the protocol
has these. Of two samples of one series in one millisecond, the later one counts.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import MetricType, counts_from_zero
from noetl_metrics_sdk.model.names import check_metric_name
from server_stub.components.labels import exposed_labels
from server_stub.time_series_database.messages import METRIC_TYPES
from server_stub.time_series_database.wire import double_bytes, field

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from server_stub.time_series_database.wire import Sample

SERIES_KEPT_MAX = 200_000
"""How many series the server keeps between requests, of about a kilobyte each."""

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""How many bytes their texts take; beyond either bound the server makes all of them anew."""

COPIES = 4
"""How many times a kept series has its labels, and twice its help text."""


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
    """A series in the form in which the server writes it.

    Collections of garbage pass it over: there may be 200,000, and none is part of a cycle.

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


class _Kind(msgspec.Struct, gc=False, eq=False):
    """What a row says of its series. Rows may give one series several help texts, or types."""

    series: WrittenSeries
    family: Family
    counts: bool


class Assembled(NamedTuple):
    """Samples by series, in the order of time.

    `samples` counts them. `invalid` counts the rows with a name, labels or a time that the protocol
    does not have. `merged` counts the rows whose series has a later one in the same millisecond.
    """

    series: list[tuple[WrittenSeries, list[Sample]]]
    samples: int
    invalid: int
    merged: int


class Assembly:
    """Makes series of rows; keeps the part of them that never changes."""

    def __init__(self) -> None:
        # By what all rows of a series have in common; None for what the protocol does not have.
        self._known: dict[Hashable, _Kind | None] = {}
        self._kept_bytes = 0
        # The series of a name share their family.
        self._families: dict[Family, Family] = {}
        # Rows may write one series in several ways: an empty label is no label.
        self._by_labels: dict[tuple[WrittenLabel, ...], WrittenSeries] = {}
        # Most labels are those of many series.
        self._labels: dict[tuple[str, str], WrittenLabel] = {}

    def assemble(self, rows: Sequence[Row]) -> Assembled:
        """Return the rows by series.

        Args:
            rows: in the order in which they were inserted.
        """
        return self.group(
            [(row[1:4], row[6:11]) for row in rows],
            [row.timestamp_ms for row in rows],
            [double_bytes(row.metric_value) for row in rows],
            rows.__getitem__,
        )

    def group(
        self,
        keys: Sequence[Hashable],
        times_ms: Sequence[int | None],
        values: Sequence[bytes],
        row_at: Callable[[int], Row],
    ) -> Assembled:
        """Return rows by series, of which only those of new series are looked into.

        Args:
            keys: of each row, what only the rows of its series have.
            times_ms: of each row, the time in milliseconds; None if it is infinite.
            values: of each row, the value, as `double_bytes` gives it.
            row_at: returns the row of a place; its time and value do not count.
        """
        if len(self._known) > SERIES_KEPT_MAX or self._kept_bytes > KEPT_BYTES_MAX:
            self._forget()
        known = self._known
        found: dict[WrittenSeries, list[Sample]] = {}
        unordered: set[WrittenSeries] = set()
        invalid = 0
        for place, (key, time_ms, value) in enumerate(zip(keys, times_ms, values, strict=True)):
            kind = known.get(key) or self._learn(key, row_at, place)
            if kind is None or time_ms is None:
                invalid += 1
                continue
            series = kind.series
            samples = found.get(series)
            if samples is None:
                found[series] = [(time_ms, value)]
                series.family, series.counts = kind.family, kind.counts
                continue
            if samples[-1][0] >= time_ms:
                unordered.add(series)
            samples.append((time_ms, value))
        merged = 0
        for series in unordered:
            samples = found[series]
            # The sort is stable: of one millisecond, the sample inserted last stays last.
            samples.sort(key=_time_of)
            latest = dict(samples)
            merged += len(samples) - len(latest)
            samples[:] = latest.items()
        count = len(keys) - invalid - merged
        return Assembled(list(found.items()), count, invalid, merged)

    def _forget(self) -> None:
        # One by one: while a dictionary frees all that it has, no other thread runs.
        for kept in (self._known, self._by_labels, self._labels):
            while kept:
                kept.popitem()
        self._families.clear()
        self._kept_bytes = 0

    def _learn(self, key: Hashable, row_at: Callable[[int], Row], place: int) -> _Kind | None:
        if key in self._known:
            return None
        row = row_at(place)
        kind = self._known[key] = self._kind_of(row)
        self._kept_bytes += COPIES * len(row.labels or "") + 2 * len(row.help_text or "")
        return kind

    def _kind_of(self, row: Row) -> _Kind | None:
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
        series = self._by_labels.get(label_set)
        if series is None:
            encoded = b"".join([label.encoded for label in label_set])
            series = self._by_labels[label_set] = WrittenSeries(label_set, encoded, family, counts)
        return _Kind(series, family, counts)

    def _label(self, pair: tuple[str, str]) -> WrittenLabel:
        label = self._labels.get(pair)
        if label is None:
            name, value = pair
            encoded = field(1, field(1, name.encode()) + field(2, value.encode()))
            label = self._labels[pair] = WrittenLabel(name, value, encoded)
        return label


def _time_of(sample: Sample) -> int:
    return sample[0]

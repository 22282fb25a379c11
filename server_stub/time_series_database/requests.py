"""Samples as requests of Prometheus remote write. Pure: no I/O, no clock.

A series has the name and the labels that the exposition gives it: its own labels, and `runtime_id`,
`component` and `component_type` (`exposed_labels`). Times are in milliseconds, because the protocol
has these. Of two samples of one series in one millisecond, the server writes the later one.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cramjam
import msgspec

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import MetricType, counts_from_zero
from noetl_metrics_sdk.model.names import check_metric_name
from server_stub.components.labels import exposed_labels
from server_stub.time_series_database.messages import (
    METRIC_TYPES,
    VERSION_1,
    VERSION_2,
    message_classes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERIES_KEPT_MAX = 200_000
"""How many series the server keeps between requests, of about a kilobyte each."""

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""How many bytes their texts take; beyond either bound the server makes all of them anew."""

COPIES = 4
"""How many times a kept series has its labels."""

CONTENT_TYPES = {
    "1.0": "application/x-protobuf",
    "2.0": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
}
VERSIONS = {"1.0": "0.1.0", "2.0": "2.0.0"}
"""The value of the header X-Prometheus-Remote-Write-Version for each version."""

_V1 = message_classes("prometheus", VERSION_1)
_V2 = message_classes("io.prometheus.write.v2", VERSION_2)

_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


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


class WrittenSeries(msgspec.Struct, gc=False, eq=False):
    """A series in the form in which the server writes it.

    Collections of garbage pass it over: there may be 200,000, and none is part of a cycle.

    Args:
        labels: pairs of name and value, sorted by the names.
        family: the family of its name.
        component: the name and the type of its component.
        encoded_labels: a `TimeSeries` of version 1.0 without samples; made of the labels.
    """

    labels: tuple[tuple[str, str], ...]
    family: Family
    component: tuple[str, str]
    encoded_labels: bytes = b""

    def __post_init__(self) -> None:
        """Encode the labels."""
        label = _V1["Label"]
        pairs = [label(name=name, value=value) for name, value in self.labels]
        self.encoded_labels = _V1["TimeSeries"](labels=pairs).SerializeToString()


class Assembled(NamedTuple):
    """Samples by series, in the order of time, as pairs of milliseconds and value.

    `samples` counts them. `invalid` counts the rows with a name, labels or a time that the protocol
    does not have. `merged` counts the rows whose series has a later one in the same millisecond.
    """

    series: list[tuple[WrittenSeries, list[tuple[int, float]]]]
    samples: int
    invalid: int
    merged: int


class Assembly:
    """Makes series of rows; keeps the part of them that never changes."""

    def __init__(self) -> None:
        self._by_row: dict[tuple[int, str, str | None], WrittenSeries | None] = {}
        self._kept_bytes = 0
        # The series of a name share their family.
        self._families: dict[Family, Family] = {}
        # Rows may write one series in several ways: an empty label is no label.
        self._by_labels: dict[tuple[tuple[str, str], ...], WrittenSeries] = {}

    def assemble(self, rows: Iterable[Row]) -> Assembled:
        """Return the rows by series.

        Args:
            rows: in the order in which they were inserted.
        """
        found: dict[WrittenSeries, list[tuple[int, float]]] = {}
        invalid = 0
        if len(self._by_row) > SERIES_KEPT_MAX or self._kept_bytes > KEPT_BYTES_MAX:
            self._forget()
        for row in rows:
            key = (row.runtime_id, row.metric_name, row.labels)
            series = self._by_row.get(key)
            # An operator may have given the component another name meanwhile.
            if (
                series is None
                or row.help_text != series.family.help_text
                or (row.component_name, row.component_type) != series.component
            ):
                series = self._by_row[key] = self._series_of(row)
                self._kept_bytes += COPIES * len(row.labels or "") + len(row.help_text or "")
            if series is None or row.timestamp_ms is None:
                invalid += 1
                continue
            samples = found.get(series)
            if samples is None:
                samples = found[series] = []
            samples.append((row.timestamp_ms, row.metric_value))
        merged = 0
        for samples in found.values():
            if len(samples) > 1:
                # The sort is stable: of one millisecond, the sample inserted last stays last.
                samples.sort(key=_time_of)
                latest = dict(samples)
                merged += len(samples) - len(latest)
                samples[:] = latest.items()
        count = sum(len(samples) for samples in found.values())
        return Assembled(list(found.items()), count, invalid, merged)

    def _forget(self) -> None:
        # One by one: while a dictionary frees all that it has, no other thread runs.
        for kept in (self._by_row, self._by_labels):
            while kept:
                kept.popitem()
        self._families.clear()
        self._kept_bytes = 0

    def _series_of(self, row: Row) -> WrittenSeries | None:
        try:
            check_metric_name(row.metric_name)
            shown = exposed_labels(
                row.runtime_id, row.component_name, row.component_type, row.labels
            )
        except InvalidMetricError:
            return None
        pairs = [pair for pair in shown.key_without(None) if pair[1]]
        labels = tuple(sorted([("__name__", row.metric_name), *pairs]))
        family = Family(row.metric_name, row.metric_type, row.help_text, row.unit)
        family = self._families.setdefault(family, family)
        series = self._by_labels.get(labels)
        if series is None:
            component = (row.component_name, row.component_type)
            series = self._by_labels[labels] = WrittenSeries(labels, family, component)
        series.family = family
        return series


def encode(assembled: Assembled, version: str, families: Sequence[Family] = ()) -> bytes:
    """Return the body of a request, compressed as the protocol wants it.

    Args:
        assembled: the samples; there may be none.
        version: `1.0` or `2.0`.
        families: the families that the request tells; with 2.0 every series tells its own anyway.
    """
    message = _version_1(assembled, families) if version == "1.0" else _version_2(assembled)
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def family_name(family: Family) -> str:
    """Return the name that the samples of a histogram or summary have in common."""
    for suffix in _SUFFIXES.get(family.metric_type, ()):
        if family.metric_name.endswith(suffix) and family.metric_name != suffix:
            return family.metric_name.removesuffix(suffix)
    return family.metric_name


def _version_1(assembled: Assembled, families: Sequence[Family]) -> Any:
    request = _V1["WriteRequest"]()
    add = request.timeseries.add
    for series, samples in assembled.series:
        written = add()
        written.MergeFromString(series.encoded_labels)
        for timestamp_ms, value in samples:
            written.samples.add(value=value, timestamp=timestamp_ms)
    for name, family in {family_name(family): family for family in families}.items():
        request.metadata.add(
            type=METRIC_TYPES.get(family.metric_type, 0),
            metric_family_name=name,
            help=family.help_text or "",
            unit=family.unit or "",
        )
    return request


def _version_2(assembled: Assembled) -> Any:
    request = _V2["Request"]()
    references: dict[str, int] = {"": 0}
    add = request.timeseries.add
    for series, samples in assembled.series:
        family = series.family
        written = add(
            labels_refs=[
                references.setdefault(text, len(references))
                for pair in series.labels
                for text in pair
            ]
        )
        started_ms = 0  # stands for a time that is not known
        counts = _counts_from_zero(series)
        for timestamp_ms, value in samples:
            written.samples.add(value=value, timestamp=timestamp_ms, start_timestamp=started_ms)
            if counts and value == 0.0:
                started_ms = timestamp_ms
        first_ms, first_value = samples[0]
        if counts and first_value == 0.0 and len(samples) > 1:
            written.created_timestamp = first_ms
        written.metadata.type = METRIC_TYPES.get(family.metric_type, 0)
        help_text, unit = family.help_text or "", family.unit or ""
        written.metadata.help_ref = references.setdefault(help_text, len(references))
        written.metadata.unit_ref = references.setdefault(unit, len(references))
    request.symbols.extend(references)
    return request


def _counts_from_zero(series: WrittenSeries) -> bool:
    metric_type = series.family.metric_type
    # The table may have types that are not the SDK's.
    return metric_type in METRIC_TYPES and counts_from_zero(
        MetricType(metric_type), [name for name, _ in series.labels]
    )


def _time_of(sample: tuple[int, float]) -> int:
    return sample[0]

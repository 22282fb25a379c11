"""Samples as requests of Prometheus remote write. Pure: no I/O, no clock.

What is made for each sample or series is written byte by byte, and the rest by protobuf.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cramjam

from server_stub.time_series_database.messages import (
    METRIC_TYPES,
    VERSION_1,
    VERSION_2,
    message_classes,
)
from server_stub.time_series_database.wire import (
    FieldHeads,
    SampleRecords,
    double_bytes,
    field,
    varint,
    varint_field,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.time_series_database.assembly import Assembled
    from server_stub.time_series_database.known_series import Family, WrittenLabel

CONTENT_TYPES = {
    "1.0": "application/x-protobuf",
    "2.0": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
}
VERSIONS = {"1.0": "0.1.0", "2.0": "2.0.0"}
"""The value of the header X-Prometheus-Remote-Write-Version for each version."""

_V1 = message_classes("prometheus", VERSION_1)
_V2 = message_classes("io.prometheus.write.v2", VERSION_2)

_ZEROS = frozenset({double_bytes(0.0), double_bytes(-0.0)})

_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}


def encode(assembled: Assembled, version: str, families: Sequence[Family] = ()) -> bytes:
    """Return the body of a request, compressed as the protocol wants it.

    Args:
        assembled: the samples; there may be none.
        version: `1.0` or `2.0`.
        families: the families that the request tells; with 2.0 every series tells its own anyway.
    """
    body = _version_1(assembled, families) if version == "1.0" else _version_2(assembled)
    return bytes(cramjam.snappy.compress_raw(body))


def family_name(family: Family) -> str:
    """Return the name that the samples of a histogram or summary have in common."""
    for suffix in _SUFFIXES.get(family.metric_type, ()):
        if family.metric_name.endswith(suffix) and family.metric_name != suffix:
            return family.metric_name.removesuffix(suffix)
    return family.metric_name


def _version_1(assembled: Assembled, families: Sequence[Family]) -> bytes:
    records = SampleRecords().encode(assembled.times_ms, assembled.values)
    heads = FieldHeads(1)
    parts: list[bytes] = []
    begin = 0
    for series, end in zip(assembled.series, assembled.ends, strict=True):
        labels = series.encoded_labels
        encoded = b"".join(records[begin:end])
        parts += (heads[len(labels) + len(encoded)], labels, encoded)
        begin = end
    metadata = _V1["WriteRequest"]()
    for name, family in {family_name(family): family for family in families}.items():
        metadata.metadata.add(
            type=METRIC_TYPES.get(family.metric_type, 0),
            metric_family_name=name,
            help=family.help_text or "",
            unit=family.unit or "",
        )
    parts.append(metadata.SerializeToString())
    return b"".join(parts)


def _version_2(assembled: Assembled) -> bytes:
    sample_records = SampleRecords()
    times_ms, values = assembled.times_ms, assembled.values
    records = sample_records.encode(times_ms, values)
    has_zero = not _ZEROS.isdisjoint(values)
    symbols = _Symbols()
    references = _References(symbols)
    series_heads, labels_heads = FieldHeads(5), FieldHeads(1)
    metadata: dict[Family, bytes] = {}
    parts: list[bytes] = []
    begin = 0
    for series, end in zip(assembled.series, assembled.ends, strict=True):
        labels = b"".join(map(references.__getitem__, series.label_set))
        family = series.family
        told = metadata.get(family)
        if told is None:
            told = metadata[family] = _metadata_2(family, symbols)
        if has_zero and series.counts and not _ZEROS.isdisjoint(values[begin:end]):
            encoded, created = _started(times_ms[begin:end], values[begin:end], sample_records)
            told += created
        else:
            encoded = b"".join(records[begin:end])
        begin = end
        labels_head = labels_heads[len(labels)]
        size = len(labels_head) + len(labels) + len(encoded) + len(told)
        parts += (series_heads[size], labels_head, labels, encoded, told)
    return b"".join([*(field(4, text.encode()) for text in symbols), *parts])


class _Symbols(dict[str, bytes]):
    """The texts of a request of version 2.0, each with its number; the first one is empty."""

    def __init__(self) -> None:
        super().__init__({"": b"\0"})

    def __missing__(self, text: str) -> bytes:
        number = self[text] = varint(len(self))
        return number


class _References(dict["WrittenLabel", bytes]):
    """The numbers of a label's two texts, in a request of version 2.0; each is made once."""

    def __init__(self, symbols: _Symbols) -> None:
        super().__init__()
        self._symbols = symbols

    def __missing__(self, label: WrittenLabel) -> bytes:
        pair = self[label] = self._symbols[label.name] + self._symbols[label.value]
        return pair


def _metadata_2(family: Family, symbols: _Symbols) -> bytes:
    message = _V2["Metadata"](type=METRIC_TYPES.get(family.metric_type, 0))
    # A reference to the empty text is what a message has without one.
    references = [
        varint(number << 3) + symbols[text]
        for number, text in ((3, family.help_text), (4, family.unit))
        if text
    ]
    return field(5, message.SerializeToString() + b"".join(references))


def _started(
    times_ms: Sequence[int], values: Sequence[bytes], records: SampleRecords
) -> tuple[bytes, bytes]:
    """Return samples of a count, and the field of when it was zero, if it begins so."""
    starts_ms: list[int] = []
    start_ms = 0  # stands for a time that is not known
    for time_ms, value in zip(times_ms, values, strict=True):
        starts_ms.append(start_ms)
        if value in _ZEROS:
            start_ms = time_ms
    is_created = values[0] in _ZEROS and len(values) > 1
    created = varint_field(6, times_ms[0]) if is_created else b""
    return b"".join(records.encode_started(times_ms, values, starts_ms)), created

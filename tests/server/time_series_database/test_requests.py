"""The requests of remote write, byte by byte, as the specifications define them."""

from __future__ import annotations

import struct

import cramjam
import pytest

from server_stub.time_series_database.assembly import Assembly
from server_stub.time_series_database.known_series import Row
from server_stub.time_series_database.messages import VERSION_2, message_classes
from server_stub.time_series_database.requests import encode

pytestmark = pytest.mark.once

T_MS = 1_700_000_000_123
ROW = Row(
    1, 7, "jobs_total", '{"b": "x", "A": "y", "empty": ""}', 1.5, T_MS,
    "pool", "worker_pool", "counter", "Jobs", "jobs",
)  # fmt: skip
LABELS = [
    ("A", "y"), ("__name__", "jobs_total"), ("b", "x"), ("component", "pool"),
    ("component_type", "worker_pool"), ("runtime_id", "7"),
]  # fmt: skip
"""Sorted by the bytes of their names, and without what is empty."""


def varint(number: int) -> bytes:
    """Return a varint; source: https://protobuf.dev/programming-guides/encoding/#varints."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    """Return a field of a whole number."""
    return varint(number << 3) + varint(value)


SAMPLE = varint(1 << 3 | 1) + struct.pack("<d", 1.5) + integer(2, 1_700_000_000_123)


def test_version_1_is_a_write_request_of_prometheus() -> None:
    """timeseries = 1 with labels = 1 and samples = 2, and metadata = 3."""
    assembled = Assembly().assemble([ROW])
    families = [series.family for series in assembled.series]
    labels = b"".join(
        field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in LABELS
    )
    metadata = integer(1, 1) + field(2, b"jobs_total") + field(4, b"Jobs") + field(5, b"jobs")
    expected = field(1, labels + field(2, SAMPLE)) + field(3, metadata)
    body = encode(assembled, "1.0", families)
    assert expected == bytes(cramjam.snappy.decompress_raw(body))


def test_version_2_is_a_request_of_symbols() -> None:
    """symbols = 4, the first one empty; timeseries = 5 with references, samples and metadata."""
    texts = ["", *[text for pair in LABELS for text in pair], "Jobs", "jobs"]
    references = b"".join(varint(number) for number in range(1, 13))
    metadata = integer(1, 1) + integer(3, 13) + integer(4, 14)
    expected = b"".join(field(4, text.encode()) for text in texts) + field(
        5, field(1, references) + field(2, SAMPLE) + field(5, metadata)
    )
    body = encode(Assembly().assemble([ROW]), "2.0")
    assert expected == bytes(cramjam.snappy.decompress_raw(body))


def test_version_2_tells_when_a_count_was_zero() -> None:
    """A sample after a sample of 0 has its time, and so has the series if it begins with it."""
    zero, first, again, second = 1_000, 5_000, 7_000, 9_000
    rows = [
        ROW._replace(metric_id=number, timestamp_ms=at, metric_value=value)
        for number, (at, value) in enumerate(
            [(zero, 0.0), (first, 1.5), (again, 0.0), (second, 1.5)]
        )
    ]
    message = message_classes("io.prometheus.write.v2", VERSION_2)["Request"]()
    message.ParseFromString(
        bytes(cramjam.snappy.decompress_raw(encode(Assembly().assemble(rows), "2.0")))
    )
    (series,) = message.timeseries
    assert zero == series.created_timestamp
    assert [0, zero, zero, again] == [sample.start_timestamp for sample in series.samples]


def test_version_2_tells_no_beginning_of_a_gauge() -> None:
    """A gauge of 0 is a value like any other."""
    rows = [
        ROW._replace(metric_type="gauge", metric_value=0.0),
        ROW._replace(metric_type="gauge", timestamp_ms=T_MS + 1),
    ]
    message = message_classes("io.prometheus.write.v2", VERSION_2)["Request"]()
    message.ParseFromString(
        bytes(cramjam.snappy.decompress_raw(encode(Assembly().assemble(rows), "2.0")))
    )
    (series,) = message.timeseries
    assert 0 == series.created_timestamp
    assert [0, 0] == [sample.start_timestamp for sample in series.samples]

"""What is written byte by byte is what protobuf reads."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.time_series_database.messages import VERSION_1, VERSION_2, message_classes
from server_stub.time_series_database.wire import (
    FieldHeads,
    SampleRecords,
    double_bytes,
    double_of,
    field,
    varint,
    varint_field,
)

pytestmark = pytest.mark.once

V1 = message_classes("prometheus", VERSION_1)
V2 = message_classes("io.prometheus.write.v2", VERSION_2)
INT64 = st.integers(-(2**63), 2**63 - 1)
# A number that is none equals nothing, itself included.
NUMBERS = st.floats(allow_nan=False)


@given(st.lists(st.tuples(INT64, NUMBERS)))
def test_protobuf_reads_the_records_of_samples(samples) -> None:
    """Times of any 64 bits, and all values, zeros and infinities too."""
    records = SampleRecords().encode(
        [at for at, _ in samples], [double_bytes(value) for _, value in samples]
    )
    message = V1["TimeSeries"].FromString(b"".join(records))
    assert samples == [(one.timestamp, one.value) for one in message.samples]


@given(st.lists(st.tuples(INT64, NUMBERS, INT64)))
def test_protobuf_reads_when_a_series_was_zero(samples) -> None:
    """Version 2.0 has that time beside each sample; 0 stands for one that is not known."""
    records = SampleRecords().encode_started(
        [at for at, _, _ in samples],
        [double_bytes(value) for _, value, _ in samples],
        [start for *_, start in samples],
    )
    message = V2["TimeSeries"].FromString(b"".join(records))
    found = [(one.timestamp, one.value, one.start_timestamp) for one in message.samples]
    assert samples == found


@given(st.text(), st.text(max_size=300))
def test_protobuf_reads_fields_of_text(name, value) -> None:
    """The head of a field says how many bytes it has."""
    message = V1["Label"].FromString(field(1, name.encode()) + field(2, value.encode()))
    assert (name, value) == (message.name, message.value)
    assert field(2, value.encode()) == FieldHeads(2)[len(value.encode())] + value.encode()


@given(INT64)
def test_protobuf_reads_whole_numbers(number) -> None:
    """A negative one has ten bytes."""
    message = V2["TimeSeries"].FromString(varint_field(6, number))
    assert number == message.created_timestamp
    assert (number < 0) == (len(varint(number)) == 10)


def test_a_number_keeps_its_bits() -> None:
    """A NaN is one afterwards too."""
    assert struct.pack("<d", math.nan) == double_bytes(math.nan)
    assert math.isnan(double_of(double_bytes(math.nan)))

"""The parts of remote write's requests that are made for every sample, byte by byte. Pure.

A sample is a record of 18 bytes: the value has eight, and a time of our days has six. So the server
copies the value's bytes as PostgreSQL gave them, encodes a time once for all samples that have it,
and joins the parts of a request at the end. protobuf's own classes take ten times as long, as they
make an object of each sample.

Source: https://protobuf.dev/programming-guides/encoding/.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Sample = tuple[int, bytes]
"""The time in milliseconds, and the value as `double_bytes` gives it."""

double_bytes = struct.Struct("<d").pack
"""Return a number as protobuf has it: eight bytes, the lowest first."""

_double_of = struct.Struct("<d").unpack

_BYTES, _VARINT, _EIGHT_BYTES = 2, 0, 1
"""The wire types, which are the lowest three bits of a field's tag."""

_VALUE_TAG = bytes([1 << 3 | _EIGHT_BYTES])
_TIME_TAG = bytes([2 << 3 | _VARINT])
_START_TAG = bytes([3 << 3 | _VARINT])
_VALUE_FIELD_BYTES = 9
_SAMPLES_TAG = bytes([2 << 3 | _BYTES])


def double_of(value: bytes) -> float:
    """Return the number that `double_bytes` has made bytes of."""
    number: float = _double_of(value)[0]
    return number


def varint(number: int) -> bytes:
    """Return a whole number as protobuf has it; a negative one as its two's complement."""
    if number < 0:
        number += 1 << 64
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message."""
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def varint_field(number: int, value: int) -> bytes:
    """Return a field of a whole number."""
    return varint(number << 3 | _VARINT) + varint(value)


class FieldHeads(dict[int, bytes]):
    """What stands before the bytes of a field, by how many they are; each is made once.

    Args:
        number: the field.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._tag = varint(number << 3 | _BYTES)

    def __missing__(self, size: int) -> bytes:
        """Make a head."""
        head = self[size] = self._tag + varint(size)
        return head


class SampleRecords:
    """Encodes the samples of one request as `samples`, which is field 2 of a `TimeSeries`."""

    def __init__(self) -> None:
        # What stands before and behind a value, by the time.
        self._around: dict[int, tuple[bytes, bytes]] = {}
        # The same by the time and by when the series was zero.
        self._around_started: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def encode(self, samples: Iterable[Sample]) -> bytes:
        """Return the records of samples."""
        parts: list[bytes] = []
        around = self._around
        for time_ms, value in samples:
            found = around.get(time_ms)
            if found is None:
                found = around[time_ms] = _around(_TIME_TAG + varint(time_ms))
            parts += (found[0], value, found[1])
        return b"".join(parts)

    def encode_started(self, samples: Iterable[Sample], starts_ms: Iterable[int]) -> bytes:
        """Return the records of samples, each with the time at which its series was zero.

        Args:
            samples: the samples.
            starts_ms: that time of each, in milliseconds; 0 if it is not known.
        """
        parts: list[bytes] = []
        for (time_ms, value), start_ms in zip(samples, starts_ms, strict=True):
            found = self._around_started.get((time_ms, start_ms))
            if found is None:
                start = _START_TAG + varint(start_ms) if start_ms else b""
                found = _around(_TIME_TAG + varint(time_ms) + start)
                self._around_started[time_ms, start_ms] = found
            parts += (found[0], value, found[1])
        return b"".join(parts)


def _around(behind: bytes) -> tuple[bytes, bytes]:
    return _SAMPLES_TAG + varint(_VALUE_FIELD_BYTES + len(behind)) + _VALUE_TAG, behind

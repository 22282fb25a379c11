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
    """Encodes samples as `samples`, which is field 2 of a `TimeSeries`: each is a record.

    It is for one request, as it makes what stands around a value once for all samples of a time.
    """

    def __init__(self) -> None:
        self._around = _Around()
        self._around_started = _AroundStarted()

    def encode(self, times_ms: Iterable[int], values: Iterable[bytes]) -> list[bytes]:
        """Return the record of each sample.

        Args:
            times_ms: the time of each, in milliseconds.
            values: the value of each, as `double_bytes` gives it.
        """
        return _records(map(self._around.__getitem__, times_ms), values)

    def encode_started(
        self, times_ms: Iterable[int], values: Iterable[bytes], starts_ms: Iterable[int]
    ) -> list[bytes]:
        """Return the record of each sample, with the time at which its series was zero.

        Args:
            times_ms: the time of each, in milliseconds.
            values: the value of each, as `double_bytes` gives it.
            starts_ms: that time for each, in milliseconds; 0 if it is not known.
        """
        moments = zip(times_ms, starts_ms, strict=True)
        return _records(map(self._around_started.__getitem__, moments), values)


class _Around(dict[int, tuple[bytes, bytes]]):
    """What a record has before its value, and what it has behind it, by the time."""

    def __missing__(self, time_ms: int) -> tuple[bytes, bytes]:
        around = self[time_ms] = _around(_TIME_TAG + varint(time_ms))
        return around


class _AroundStarted(dict[tuple[int, int], tuple[bytes, bytes]]):
    """The same by the time, and by when the series was zero."""

    def __missing__(self, moment: tuple[int, int]) -> tuple[bytes, bytes]:
        time_ms, start_ms = moment
        start = _START_TAG + varint(start_ms) if start_ms else b""
        around = self[moment] = _around(_TIME_TAG + varint(time_ms) + start)
        return around


def _around(behind: bytes) -> tuple[bytes, bytes]:
    return _SAMPLES_TAG + varint(_VALUE_FIELD_BYTES + len(behind)) + _VALUE_TAG, behind


def _records(around: Iterable[tuple[bytes, bytes]], values: Iterable[bytes]) -> list[bytes]:
    return [before + value + behind for (before, behind), value in zip(around, values, strict=True)]

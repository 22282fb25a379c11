"""The rows of the series of one name, as PostgreSQL sends them for a page. Pure: no I/O, no clock.

The columns that never change of a series come as one record in PostgreSQL's binary form: a count of
columns, and of each column its type and its length in four bytes, and its bytes, all with the
highest byte first. A column that is NULL has the length -1.

Source: `record_send` in https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/rowtypes.c.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import struct
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from server_stub.query.latest import SeriesOfName

_FIRST_COLUMN_AT = 4
_COLUMNS = 7
_length = struct.Struct(">4xi")


class SeriesRow(NamedTuple):
    """What the row of a series says beside its name and its value; `labels` is JSON."""

    runtime_id: int
    component_name: str
    component_type: str
    metric_type: str
    labels: str | None
    help_text: str | None
    unit: str | None


def split(found: SeriesOfName) -> list[bytes]:
    """Return the record of each series."""
    lengths = struct.unpack(f">{found.series_count}i", found.lengths)
    series = found.series
    return [series[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]


def numbers(found: bytes) -> tuple[float, ...]:
    """Return the numbers that PostgreSQL has sent one after the other."""
    return struct.unpack(f">{len(found) // 8}d", found)


def decoded(record: bytes) -> SeriesRow:
    """Return what a record says."""
    columns: list[bytes | None] = []
    at = _FIRST_COLUMN_AT
    for _ in range(_COLUMNS):
        (length,) = _length.unpack_from(record, at)
        start = at + _length.size
        at = start + max(length, 0)
        columns.append(record[start:at] if length >= 0 else None)
    runtime_id, *texts = columns
    component_name, component_type, metric_type, labels, help_text, unit = (
        None if text is None else text.decode() for text in texts
    )
    return SeriesRow(
        int.from_bytes(runtime_id or b"", "big", signed=True),
        component_name or "", component_type or "", metric_type or "", labels, help_text, unit,
    )  # fmt: skip

"""Rows of `noetl.metric` in the binary format of COPY. Pure.

PostgreSQL reads it with less work than text: it has nothing to unescape, and no numbers and times
to parse. The source is PostgreSQL's documentation of COPY, section "Binary Format", and of the
`…recv` functions of the columns' types.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
"""The signature, the flags, and 0 as the length of the extension."""

TRAILER = struct.pack(">h", -1)

COLUMNS = 8
"""How many columns `sql/ingest/copy_metrics.sql` names, in the order that this module writes."""

VALUE_BYTES = 8
pack_value = struct.Struct(">id").pack
"""Return the field of a float: called as `pack_value(VALUE_BYTES, value)`."""

_HEAD = struct.Struct(">hiqiq")
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_JSONB_VERSION = b"\x01"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def row_head(runtime_id: int, timestamp: datetime) -> bytes:
    """Return the beginning of a row, up to its value.

    Args:
        runtime_id: the component.
        timestamp: when the sample was taken, with an offset.
    """
    return _HEAD.pack(COLUMNS, 8, runtime_id, 8, (timestamp - _EPOCH) // _MICROSECOND)


def name_fields(metric_name: str, metric_type: str) -> bytes:
    """Return the fields between the value and the labels."""
    return _field(metric_name.encode()) + _field(metric_type.encode())


def labels_field(labels_json: bytes) -> bytes:
    """Return the field of the labels."""
    return _field(_JSONB_VERSION + labels_json)


def description_fields(help_text: str | None, unit: str | None) -> bytes:
    """Return the fields after the labels, with which a row ends."""
    return b"".join(_NULL if text is None else _field(text.encode()) for text in (help_text, unit))


def _field(content: bytes) -> bytes:
    return _LENGTH.pack(len(content)) + content

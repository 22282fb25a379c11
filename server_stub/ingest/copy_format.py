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


def row_tail(
    metric_name: str, metric_type: str, labels_json: bytes, help_text: str | None, unit: str | None
) -> bytes:
    """Return the end of a row, after its value: all samples of a series have the same one."""
    return b"".join(
        [
            _field(metric_name.encode()),
            _field(metric_type.encode()),
            _field(_JSONB_VERSION + labels_json),
            _NULL if help_text is None else _field(help_text.encode()),
            _NULL if unit is None else _field(unit.encode()),
        ]
    )


def _field(content: bytes) -> bytes:
    return _LENGTH.pack(len(content)) + content

"""The cursor of a query: where its next page begins.

It is opaque to clients. It holds the last row's time and `metric_id`, by which rows are ordered,
and the time before which rows come from the history. It also holds a digest of the query, because
it would skip rows of another query without a word: there the server refuses it.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from typing import TYPE_CHECKING, NamedTuple

from server_stub.errors import ParameterInvalidError
from server_stub.timestamps import from_epoch_microseconds, to_epoch_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_DIGEST_BYTES = 8
_LAYOUT = struct.Struct(f">qqq{_DIGEST_BYTES}s")


class Position(NamedTuple):
    """A row's place in the order of a query.

    `metric_id` is negative for a row of the history, which has no ids: it stands for the row's
    series. `boundary_ms` is where the history ends, in milliseconds since the epoch; 0 without a
    history.
    """

    timestamp: datetime
    metric_id: int
    boundary_ms: int = 0


def encode_cursor(position: Position, query: Mapping[str, str]) -> str:
    """Return the cursor of the page that follows a row.

    Args:
        position: the row's place.
        query: the query's filters and order, without its limit.
    """
    microseconds = to_epoch_microseconds(position.timestamp)
    packed = _LAYOUT.pack(microseconds, position.metric_id, position.boundary_ms, _digest(query))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(cursor: str, query: Mapping[str, str]) -> Position:
    """Return the place of the row after which the page begins.

    Args:
        cursor: what a client sent.
        query: the query that it came with.

    Raises:
        ParameterInvalidError: it is no cursor, or a cursor of another query.
    """
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        microseconds, metric_id, boundary_ms, digest = _LAYOUT.unpack(packed)
        position = Position(from_epoch_microseconds(microseconds), metric_id, boundary_ms)
    except (binascii.Error, struct.error, ValueError):
        raise ParameterInvalidError(
            f"cursor {cursor[:60]!r} is not valid: send the next_cursor of the page before, or none"
        ) from None
    if digest != _digest(query) or encode_cursor(position, query) != cursor:
        raise ParameterInvalidError(
            f"cursor {cursor!r} belongs to another query: "
            "keep the filters and the order of the query that it came from"
        )
    return position


def _digest(query: Mapping[str, str]) -> bytes:
    text = json.dumps(dict(query), sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()

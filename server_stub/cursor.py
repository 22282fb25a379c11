"""The cursor of a query: where its next page begins.

It is opaque to clients. It holds the last row's `metric_id` and a digest of the query, so that
it cannot be taken to another query, where it would skip rows without a word.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from typing import TYPE_CHECKING

from server_stub.errors import ParameterInvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIGEST_BYTES = 8
_LAYOUT = struct.Struct(f">q{_DIGEST_BYTES}s")


def encode_cursor(position: int, query: Mapping[str, str]) -> str:
    """Return the cursor of the page that follows a row.

    Args:
        position: the row's `metric_id`.
        query: the query's filters and order, without its limit.
    """
    packed = _LAYOUT.pack(position, _digest(query))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_cursor(cursor: str, query: Mapping[str, str]) -> int:
    """Return the `metric_id` of the row after which the page begins.

    Args:
        cursor: what a client sent.
        query: the query that it came with.

    Raises:
        ParameterInvalidError: it is no cursor, or one of another query.
    """
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        position, digest = _LAYOUT.unpack(packed)
    except (binascii.Error, struct.error, ValueError):
        raise ParameterInvalidError(
            f"cursor {cursor[:60]!r} is not valid: send the next_cursor of the page before, or none"
        ) from None
    if digest != _digest(query) or encode_cursor(position, query) != cursor:
        raise ParameterInvalidError(
            f"cursor {cursor!r} belongs to another query: "
            "keep the filters and the order of the query that it came from"
        )
    return int(position)


def _digest(query: Mapping[str, str]) -> bytes:
    text = json.dumps(dict(query), sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()

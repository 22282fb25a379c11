"""The cursor of a page: pure, and fuzzed."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.errors import ParameterInvalidError
from server_stub.query.cursor import Position, decode_cursor, encode_cursor


@given(
    st.builds(Position, st.datetimes(timezones=st.just(UTC)), st.integers(1, 2**63 - 1)),
    st.dictionaries(st.text(), st.text()),
)
def test_a_cursor_comes_back(position: Position, query: dict[str, str]) -> None:
    """A cursor gives back the position of which it was made, for the same query."""
    assert decode_cursor(encode_cursor(position, query), query) == position


def test_a_cursor_of_no_point_in_time_is_refused() -> None:
    """Even with the digest of the right query, not every number is a time."""
    genuine = encode_cursor(Position(datetime(9999, 12, 31, tzinfo=UTC), 1), {})
    packed = base64.urlsafe_b64decode(genuine + "=")
    altered = struct.pack(">q", 2**63 - 1) + packed[8:]
    forged = base64.urlsafe_b64encode(altered).rstrip(b"=").decode()
    with pytest.raises(ParameterInvalidError, match="is not valid"):
        decode_cursor(forged, {})


@given(st.text(st.characters()))
def test_any_text_is_no_cursor(text: str) -> None:
    """A text that this server has not made is refused."""
    with pytest.raises(ParameterInvalidError):
        decode_cursor(text, {})

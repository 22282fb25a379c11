"""What is counted of a body before anything is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.errors import BodyMalformedError, BodyTooLargeError
from server_stub.ingest import body_values
from server_stub.ingest.body_values import (
    DEPTH_MAX,
    VALUES_PER_SAMPLE_MAX,
    check_values,
    has_more_members,
    has_more_values,
)

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

SAMPLES_MAX = 10
SAMPLE = {"metric_name": "a,[{", "metric_value": 1, "labels": {"a": 'x"],["', "b": "\\"}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@pytest.mark.parametrize("count", [0, 1, SAMPLES_MAX])
@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_allowed_passes(count: int, indent: int | None) -> None:
    """Brackets, commas and quotes within texts are no values."""
    for body in ([SAMPLE] * count, {"runtime_id": 1, "metrics": [SAMPLE] * count}, SAMPLE):
        check_values(json.dumps(body, indent=indent).encode(), SAMPLES_MAX)


@pytest.mark.parametrize("element", [1, "a", [], {}, None, SAMPLE])
def test_one_sample_too_many_is_refused(element: Any) -> None:
    """Whatever the elements are, in the envelope, without it, or in two parts."""
    some = [element] * SAMPLES_MAX
    for body in ([*some, element], {"metrics": [*some, element]}, {"metrics": some, "x": [1, 2]}):
        with pytest.raises(BodyTooLargeError, match=f"more than {SAMPLES_MAX} samples"):
            check_values(json.dumps(body).encode(), SAMPLES_MAX)


def test_values_within_samples_are_bounded() -> None:
    """A sample may have many values, and all of them together not more than can be meant."""
    values_max = SAMPLES_MAX * VALUES_PER_SAMPLE_MAX
    check_values(json.dumps([{"x": [1] * (values_max - 10)}]).encode(), SAMPLES_MAX)
    many: list[list[Any]] = [[1], [[]], [{}], [{"a": 1}]]
    for values in many:
        body = json.dumps([{"x": values * values_max}]).encode()
        with pytest.raises(BodyTooLargeError, match=f"more than {values_max} values"):
            check_values(body, SAMPLES_MAX)
    with pytest.raises(BodyTooLargeError):
        check_values(json.dumps(dict.fromkeys(map(str, range(values_max + 1)))).encode(), 10)


def test_depth_is_bounded() -> None:
    """Deep nesting is refused long before a parser would run out of its stack."""
    with pytest.raises(BodyMalformedError, match=f"too deeply, more than {DEPTH_MAX} times"):
        check_values(b'{"a":' * 10_000, SAMPLES_MAX)


@given(st.binary())
def test_any_bytes_are_looked_at_once(body: bytes) -> None:
    """What is no JSON ends the count, for the parser to refuse."""
    check_values(body, 1_000_000)


def test_an_unfinished_text_takes_no_time() -> None:
    """The search does not begin anew at each byte of a text that does not end."""
    for begun in (b'["', b'["\\"', b'{"a":"'):
        check_values(begun + b"a" * 4_000_000, SAMPLES_MAX)


@given(st.dictionaries(st.text(), json_values, max_size=12))
def test_members_are_counted_without_being_made(made: dict[str, Any]) -> None:
    """The count is the exact one, whatever the values are, once there are quotes enough for it."""
    text = json.dumps(made).encode()
    count = len(made)
    assert not has_more_members(text, count)
    if count and text.count(b'"') > 4 * (count - 1):
        assert has_more_members(text, count - 1) or text == b"{}"


@pytest.mark.parametrize("piece_bytes", [2, 3, 7, 64])
def test_values_are_counted_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    """No other thread runs while a piece is scanned, and a text may be in several of them."""
    monkeypatch.setattr(body_values, "SCANNED_AT_ONCE_BYTES", piece_bytes)
    text = json.dumps([SAMPLE, {"a": '\\"' * 50, "b": ["x" * 200]}]).encode()
    assert has_more_values(text, 9)
    assert not has_more_values(text, 10)

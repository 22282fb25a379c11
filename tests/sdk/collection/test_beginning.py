"""When a series begins: the times of samples of 0, and of the values after them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk.collection.beginning import (
    AGE_SECONDS_MAX,
    SETBACK_SECONDS_MAX,
    STEP_SECONDS,
    time_of_collection,
    time_of_told_beginning,
    times_of_beginning,
)

NOW = 1_700_000_000.0
TIMES = st.floats(-10.0, 10.0).map(lambda seconds: NOW + seconds)


def milliseconds(moment: float) -> int:
    """Return the milliseconds of a time that PostgreSQL has kept in microseconds."""
    return round(moment * 1_000_000) // 1_000


@given(TIMES, TIMES, st.booleans())
def test_a_beginning_is_in_an_earlier_millisecond_than_the_value(
    previous_at: float, taken_at: float, was_there: bool
) -> None:
    """However the clock was set, a time-series database takes them for two samples."""
    zero_at, value_at = times_of_beginning(previous_at, taken_at, was_there=was_there)
    assert milliseconds(zero_at) < milliseconds(value_at)


@given(TIMES, st.floats(0.0, 10.0))
def test_a_new_beginning_is_in_a_later_millisecond_than_the_last_value(
    previous_at: float, seconds: float
) -> None:
    """The zero lies between the last value from before and the first value since."""
    zero_at, _ = times_of_beginning(previous_at, previous_at + seconds, was_there=True)
    assert milliseconds(previous_at) < milliseconds(zero_at)


def test_collections_that_follow_at_once_have_times_of_their_own() -> None:
    """A clock that was set back a little waits; one that was set back by more is believed."""
    assert NOW + 1 == time_of_collection(NOW, NOW + 1)
    assert NOW + STEP_SECONDS == time_of_collection(NOW, NOW)
    assert NOW + STEP_SECONDS == time_of_collection(NOW, NOW - 0.5)
    set_back = NOW - SETBACK_SECONDS_MAX - 0.5
    assert set_back == time_of_collection(NOW, set_back)


@pytest.mark.parametrize(
    ("created_at", "previous_at", "expected"),
    [
        (NOW - 5, None, NOW - 5),
        (NOW - 5, NOW - 6, NOW - 5),
        (NOW - 5, NOW - 5, None),
        (NOW - 5, NOW - 4, None),
        (None, None, None),
        (NOW, None, NOW - STEP_SECONDS),
        (NOW - 0.0001, NOW - 5, NOW - STEP_SECONDS),
        (NOW + 60, None, None),
        (NOW - AGE_SECONDS_MAX, None, NOW - AGE_SECONDS_MAX),
        (NOW - AGE_SECONDS_MAX - 1, None, None),
        (math.nan, None, None),
        (-math.inf, NOW - 6, None),
    ],
)
def test_a_told_beginning_is_used_once_and_if_it_is_of_use(
    created_at: float | None, previous_at: float | None, expected: float | None
) -> None:
    """It must lie before the value, after the last sample of the series, and not too far back."""
    assert expected == time_of_told_beginning(created_at, previous_at, NOW)

"""How long the client waits after a failed delivery."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk.delivery.retry import RETRY_AFTER_MAX_SECONDS, backoff_seconds
from noetl_metrics_sdk.errors import RecoverableError

numbers_below_one = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(st.integers(min_value=1, max_value=10_000), numbers_below_one)
def test_a_wait_is_a_random_part_of_a_capped_span(attempt, random):
    """Full jitter: a wait is anything from 0 to the cap, at every attempt."""
    seconds = backoff_seconds(attempt, None, backoff_max=60.0, random=random)
    assert 0 <= seconds <= 60.0


def test_the_span_doubles_up_to_the_cap():
    """The longest possible wait doubles with each attempt, up to the cap."""
    spans = [backoff_seconds(attempt, None, 60.0, random=1.0) for attempt in range(1, 10)]
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] == spans


@given(st.floats(min_value=0, max_value=1e9), numbers_below_one)
def test_the_servers_wish_is_obeyed_and_capped(retry_after, random):
    """A wait is never shorter than Retry-After, unless Retry-After exceeds the cap."""
    error = RecoverableError("busy", 503, retry_after)
    seconds = backoff_seconds(1, error, backoff_max=60.0, random=random)
    asked = min(retry_after, RETRY_AFTER_MAX_SECONDS)
    assert asked <= seconds <= max(asked * 1.1, 0.5)


def test_a_server_that_says_zero_is_not_asked_without_end():
    """Retry-After: 0 does not switch off the growing waits."""
    error = RecoverableError("busy", 503, retry_after=0.0)
    assert 16.0 == backoff_seconds(6, error, backoff_max=60.0, random=1.0)

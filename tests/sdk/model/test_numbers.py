"""Numbers as text, as prometheus_client writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from noetl_metrics_sdk.model.numbers import format_bound


@given(st.floats(allow_nan=False))
def test_bound_is_written_as_prometheus_client_writes_it(bound: float) -> None:
    """`le` has the same text as prometheus_client's for every float, so series of both clients
    join."""
    assert floatToGoString(bound) == format_bound(bound)


@given(st.integers(-(10**18), 10**18) | st.integers(0, 320).map(lambda power: 10**power % 10**308))
def test_whole_bound_is_written_as_prometheus_client_writes_it(bound: int) -> None:
    """So have whole numbers, around the million from which on Go writes exponents."""
    assert floatToGoString(bound) == format_bound(float(bound))

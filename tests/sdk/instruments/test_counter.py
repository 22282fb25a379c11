"""Counter: its amounts and all of its methods."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import Counter, Histogram, InvalidMetricError
from tests.sdk.instruments.readings import HUGE, MINUS_HUGE, NO_NUMBERS, sample_names, value_of


@pytest.mark.parametrize("name", ["jobs", "jobs_total"])
def test_counter_is_reported_with_total(name: str) -> None:
    """A counter's sample ends in `_total` once, whether or not the counter's name does."""
    counter = Counter(name, "d", registry=None)
    assert ("jobs", {"jobs_total"}) == (counter.name, sample_names(counter))


def test_total_alone_is_no_name() -> None:
    """Without the suffix nothing would be left of the name."""
    with pytest.raises(InvalidMetricError, match="metric name '' is not valid"):
        Counter("_total", "d", registry=None)


@given(st.lists(st.integers(0, 2**40) | st.booleans()))
def test_counter_adds_up(amounts: list[int]) -> None:
    """A counter is the sum of its increments."""
    counter = Counter("jobs", "d", registry=None)
    for amount in amounts:
        counter.inc(amount)
    assert float(sum(amounts)) == value_of(counter)


def test_counter_goes_up_by_one() -> None:
    """Without an amount a counter goes up by one."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc()
    counter.inc(0)
    assert 1.0 == value_of(counter)


@pytest.mark.parametrize("amount", [math.nan, math.inf, HUGE, Decimal("NaN")])
def test_counter_leaves_out_what_would_spoil_it(amount: Any) -> None:
    """NaN, infinity and an amount beyond a float leave the total unchanged, and raise nothing."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc(2)
    counter.inc(amount)
    assert (2.0, 1) == (value_of(counter), counter.amounts_left_out)


@pytest.mark.parametrize("amount", [-math.inf, -1, -1e-300, MINUS_HUGE])
def test_counter_refuses_to_go_down(amount: Any) -> None:
    """A negative amount is an error of the code, as with prometheus_client."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc(2)
    with pytest.raises(InvalidMetricError, match="goes up by a number that is not negative"):
        counter.inc(amount)
    assert (2.0, 0) == (value_of(counter), counter.amounts_left_out)


@pytest.mark.parametrize("amount", NO_NUMBERS)
def test_counter_refuses_what_is_no_number(amount: Any) -> None:
    """The message names the instrument, the value and its type."""
    counter = Counter("jobs", "d", registry=None)
    with pytest.raises(TypeError) as refused:
        counter.inc(amount)
    kind = type(amount).__name__
    assert f"Counter('jobs'): {amount!r} is a {kind}: give a number, like 1 or 0.25" == str(
        refused.value
    )
    assert 0.0 == value_of(counter)


def test_counter_is_reset() -> None:
    """`reset()` sets a counter back to zero."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc(5)
    counter.reset()
    assert 0.0 == value_of(counter)


def test_resetting_one_child_leaves_the_others() -> None:
    """`reset()` on a child leaves the other children unchanged."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    counter.labels("a").inc()
    counter.labels("b").inc()
    counter.labels("a").reset()
    assert (0.0, 1.0) == (value_of(counter.labels("a")), value_of(counter.labels("b")))


def test_exemplar_warns_where_it_is_given() -> None:
    """A counter accepts an exemplar, and warns at the caller's line that it does not keep it."""
    counter = Counter("jobs", "d", registry=None)
    histogram = Histogram("sizes", "d", registry=None)
    with pytest.warns(UserWarning, match="exemplars are not kept") as warned:  # noqa: PT031
        # One block holds both calls, so the test can compare the two warnings.
        counter.inc(2, {"trace": "a"})
        histogram.observe(1, exemplar={"trace": "a"})
    assert [__file__, __file__] == [warning.filename for warning in warned]
    assert 2.0 == value_of(counter)

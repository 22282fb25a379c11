"""Summary: quantiles, their window, and what is refused."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import InvalidMetricError, Summary
from noetl_metrics_sdk.instruments.sketch import QuantileSketch
from tests.sdk.instruments.readings import Clock, values


def test_empty_summary_has_no_quantiles() -> None:
    """A quantile of nothing is NaN, and sum and count are zero."""
    shown = {name: repr(value) for name, value in values(Summary("s", "d", registry=None)).items()}
    expected = dict.fromkeys(("0.5", "0.9", "0.95", "0.99"), "nan") | {
        "_sum": "0.0",
        "_count": "0.0",
    }
    assert expected == shown


@given(
    st.lists(
        st.one_of(st.floats(1e-8, 1e9), st.floats(-1e9, -1e-8), st.just(0.0)),
        min_size=1,
        max_size=200,
    ),
    st.lists(st.floats(0, 1), min_size=1, max_size=6, unique=True).map(sorted),
    st.sampled_from([0.001, 0.01, 0.05, 0.5]),
)
def test_quantiles_are_within_the_stated_error(
    observations: list[float], quantiles: list[float], relative_error: float
) -> None:
    """Each estimate is within the relative error of the exact lower quantile."""
    summary = Summary("s", "d", registry=None, quantiles=quantiles, relative_error=relative_error)
    for observation in observations:
        summary.observe(observation)
    estimates = list(values(summary).values())[: len(set(quantiles))]
    ordered = sorted(observations)
    for quantile, estimate in zip(quantiles, estimates, strict=True):
        exact = ordered[math.floor(quantile * (len(ordered) - 1))]
        assert abs(estimate - exact) <= relative_error * abs(exact) * (1 + 1e-9)


AWKWARD = [
    5e-324, 1e-310, sys.float_info.min, 1e-9, math.nextafter(1.0, 0.0), 1.0,
    math.nextafter(1.0, 2.0), 1e9, sys.float_info.max, 0.0, -0.0, -5e-324, -1.0,
    -sys.float_info.max,
]  # fmt: skip


@pytest.mark.parametrize("relative_error", [0.0001, 0.01, 0.5])
def test_observations_are_counted_as_by_the_sketch(relative_error: float) -> None:
    """The quantiles are those of a sketch that was given the same values, however awkward."""
    quantiles = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
    summary = Summary("s", "d", registry=None, quantiles=quantiles, relative_error=relative_error)
    sketch = QuantileSketch(relative_error)
    for value in AWKWARD * 300:
        summary.observe(value)
        sketch.add(value)
    found = list(values(summary).values())[: len(quantiles)]
    assert sketch.quantiles(quantiles) == found
    assert sketch.count == values(summary)["_count"]


def test_infinity_counts_once_and_changes_no_quantile() -> None:
    """An infinite observation is in sum and count, and the quantiles are of the finite ones."""
    summary = Summary("s", "d", registry=None, quantiles=[0.0, 1.0])
    for _ in range(3):
        summary.observe(2.0)
    before = values(summary)
    summary.observe(math.inf)
    after = values(summary)
    assert (before["0.0"], before["1.0"]) == (after["0.0"], after["1.0"])
    assert (math.inf, 4.0) == (after["_sum"], after["_count"])


@given(st.lists(st.integers(-1000, 1000), max_size=50))
def test_summary_adds_up(observations: list[int]) -> None:
    """Sum and count cover all observations, also negative ones and zero."""
    summary = Summary("s", "d", registry=None)
    for observation in observations:
        summary.observe(observation)
    found = values(summary)
    assert (float(sum(observations)), float(len(observations))) == (found["_sum"], found["_count"])


def test_quantiles_follow_the_window(clock: Clock) -> None:
    """When its slice is over, an observation leaves the quantiles, but not the sum."""
    summary = Summary("s", "d", registry=None, quantiles=[1], max_age_seconds=60, age_buckets=6)
    summary.observe(100)
    clock.now += 30
    summary.observe(1)
    clock.now += 29.5
    whole = values(summary)
    clock.now += 0.5
    moved = values(summary)
    assert [100, 1] == [round(whole["1.0"]), round(moved["1.0"])]
    assert (101.0, 2.0) == (moved["_sum"], moved["_count"])


def test_quantiles_are_empty_after_the_window(clock: Clock) -> None:
    """A summary that was idle for longer than its window has no quantiles, and keeps its count."""
    summary = Summary("s", "d", registry=None, quantiles=[0.5])
    summary.observe(100)
    clock.now += 86_400
    assert ("nan", 1.0) == (repr(values(summary)["0.5"]), values(summary)["_count"])


def test_quantiles_are_sorted_and_named_once() -> None:
    """Quantiles come in ascending order, each once; without any, sum and count remain."""
    sorted_ones = Summary("s", "d", registry=None, quantiles=(0.99, 0.5, 0.5, 1))
    none = Summary("s", "d", registry=None, quantiles=())
    none.observe(1)
    assert ["0.5", "0.99", "1.0", "_sum", "_count"] == list(values(sorted_ones))
    assert {"_sum": 1.0, "_count": 1.0} == values(none)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantiles": (0.5, 1.1)}, "quantiles (0.5, 1.1): each must be between 0 and 1"),
        ({"quantiles": (-0.1,)}, "quantiles (-0.1,): each must be between 0 and 1"),
        ({"quantiles": (math.nan,)}, "quantiles (nan,): each must be between 0 and 1"),
        ({"relative_error": 0.0}, "relative_error is 0.0: it must be between 0.0001 and 0.5"),
        ({"relative_error": 0.6}, "relative_error is 0.6: it must be between 0.0001 and 0.5"),
        ({"relative_error": math.nan}, "relative_error is nan: it must be between 0.0001"),
        ({"max_age_seconds": 0.0}, "max_age_seconds is 0.0: it must be a number above 0"),
        ({"max_age_seconds": math.inf}, "max_age_seconds is inf: it must be a number above 0"),
        ({"age_buckets": 0}, "age_buckets is 0: it must be a whole number, at least 1"),
    ],
)
def test_bad_summary_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """An impossible setting is refused where it is written, not at an observation."""
    with pytest.raises(InvalidMetricError) as refused:
        Summary("s", "d", registry=None, **settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"age_buckets": 2.5}, {"max_age_seconds": "600"}, {"relative_error": None}]
)
def test_summary_settings_of_another_type_are_refused(settings: dict[str, Any]) -> None:
    """A setting that is no number, or no whole one where it has to be, raises a TypeError."""
    with pytest.raises(TypeError, match=r"must be a (whole )?number|(int|float) object expected"):
        Summary("s", "d", registry=None, **settings)

"""Histogram and Summary: what an observation becomes."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from noetl_metrics_sdk import Histogram, InvalidMetricError, Summary
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.model.numbers import format_bound

HUGE = pytest.param(10**400, id="10**400")
FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODERATE = st.floats(-1e9, 1e9)
OBSERVING = [Histogram, Summary]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(MEASURING_CLOCK, "monotonic", clock.monotonic)
    return clock


def values(instrument: Histogram | Summary) -> dict[str, float]:
    """Return the samples by suffix, or by the `le` or `quantile` of the sample."""
    (family,) = instrument.collect()
    return {
        sample.labels.get("le", "")
        or sample.labels.get("quantile", "")
        or sample.name.removeprefix(family.name): sample.value
        for sample in family.samples
    }


@given(st.floats(allow_nan=False))
def test_bound_is_written_as_prometheus_client_writes_it(bound: float) -> None:
    """`le` has the same text for every float, so that series of both clients join."""
    assert floatToGoString(bound) == format_bound(bound)


@given(st.integers(-(10**18), 10**18) | st.integers(0, 320).map(lambda power: 10**power % 10**308))
def test_whole_bound_is_written_as_prometheus_client_writes_it(bound: int) -> None:
    """Whole numbers too, around the million from which on Go writes exponents."""
    assert floatToGoString(bound) == format_bound(float(bound))


def test_default_buckets() -> None:
    """The default buckets are those of prometheus_client, `+Inf` last."""
    histogram = Histogram("seconds", "d", registry=None)
    assert [
        "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5",
        "5.0", "7.5", "10.0", "+Inf", "_sum", "_count",
    ] == list(values(histogram))  # fmt: skip


@pytest.mark.parametrize(
    ("buckets", "bounds"),
    [
        ([1, 2], ["1.0", "2.0", "+Inf"]),
        ((1, math.inf), ["1.0", "+Inf"]),
        (["0.5", "1e6", "+Inf"], ["0.5", "1e+06", "+Inf"]),
        ([-1, 0, Fraction(1, 2)], ["-1.0", "0.0", "0.5", "+Inf"]),
        ([-math.inf, 0], ["-Inf", "0.0", "+Inf"]),
    ],
)
def test_buckets(buckets: Any, bounds: list[str]) -> None:
    """Bounds are numbers or their text, and `+Inf` is added if it is missing."""
    histogram = Histogram("sizes", "d", registry=None, buckets=buckets)
    assert [*bounds, "_sum", "_count"] == list(values(histogram))


@pytest.mark.parametrize(
    ("buckets", "message"),
    [
        ([2, 1], "must ascend, each bound once"),
        ([1, 1], "must ascend, each bound once"),
        ([1, math.inf, 2], "must ascend, each bound once"),
        ([1, math.nan], "hold NaN: each must be a number"),
        (["a"], "each must be a number"),
        ([None], "each must be a number"),
        ([10**400], "each must be a number"),
        (5, "each must be a number"),
        ([], "at least one finite bound is needed"),
        ([math.inf], "at least one finite bound is needed"),
    ],
)
def test_bad_buckets_are_refused(buckets: Any, message: str) -> None:
    """Buckets that do not ascend, hold no number or no finite bound are refused, and shown."""
    with pytest.raises(InvalidMetricError) as refused:
        Histogram("sizes", "d", registry=None, buckets=buckets)
    assert str(refused.value).startswith(f"buckets {buckets!r}")
    assert message in str(refused.value)


@given(
    st.lists(MODERATE, min_size=1, max_size=12, unique=True).map(sorted),
    st.lists(MODERATE, max_size=50),
)
def test_histogram_counts(bounds: list[float], observations: list[float]) -> None:
    """A bucket counts every observation up to its bound, the bound included."""
    histogram = Histogram("sizes", "d", registry=None, buckets=bounds)
    for observation in observations:
        histogram.observe(observation)
    counts = [sum(one <= bound for one in observations) for bound in bounds]
    *_, total = accumulate(observations, initial=0.0)
    count = len(observations)
    assert [*counts, count, total, count] == list(values(histogram).values())


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_histogram_buckets_ascend(observations: list[float]) -> None:
    """Whatever is observed, buckets are cumulative and the last one is the count."""
    histogram = Histogram("sizes", "d", registry=None)
    for observation in observations:
        histogram.observe(observation)
    *buckets, _, count = values(histogram).values()
    assert (sorted(buckets), float(len(observations))) == (buckets, count)
    assert buckets[-1] == count


@pytest.mark.parametrize("instrument", OBSERVING)
@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, HUGE, Decimal("NaN")])
def test_observation_that_would_spoil_the_sum_is_refused(instrument: Any, amount: Any) -> None:
    """An observation that is not finite leaves sum, count and buckets as they were."""
    made = instrument("sizes", "d", registry=None)
    made.observe(2)
    before = values(made)
    with pytest.raises(InvalidMetricError, match="an observation is a finite number"):
        made.observe(amount)
    assert before == values(made)


@pytest.mark.parametrize("instrument", OBSERVING)
@pytest.mark.parametrize("amount", ["1", None, b"1", [1.0], 1j])
def test_observation_that_is_no_number_is_refused(instrument: Any, amount: Any) -> None:
    """What is no number is refused with a TypeError, and leaves everything as it was."""
    made = instrument("sizes", "d", registry=None)
    made.observe(2)
    before = values(made)
    with pytest.raises(TypeError, match=r"\('sizes'\): .* give a number, like 1 or 0.25"):
        made.observe(amount)
    assert before == values(made)


@pytest.mark.parametrize("instrument", OBSERVING)
def test_reset_forgets_observations(instrument: Any, clock: Clock) -> None:
    """`reset()` brings back what a new instrument reports."""
    made = instrument("sizes", "d", registry=None)
    fresh = repr(values(made))
    made.observe(3)
    observed = repr(values(made))
    made.reset()
    assert (fresh, False) == (repr(values(made)), observed == fresh)


@pytest.mark.parametrize("instrument", OBSERVING)
def test_time_observes_a_duration(instrument: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`time()` observes how many seconds the block took."""
    readings = iter([10.0, 12.5])
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: next(readings))
    made = instrument("seconds", "d", registry=None)
    with made.time():
        pass
    assert (2.5, 1.0) == (values(made)["_sum"], values(made)["_count"])


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


@given(st.lists(st.integers(-1000, 1000), max_size=50))
def test_summary_adds_up(observations: list[int]) -> None:
    """Sum and count are those of all observations, negative ones and zero too."""
    summary = Summary("s", "d", registry=None)
    for observation in observations:
        summary.observe(observation)
    found = values(summary)
    assert (float(sum(observations)), float(len(observations))) == (found["_sum"], found["_count"])


def test_quantiles_follow_the_window(clock: Clock) -> None:
    """An observation leaves the quantiles when its slice of the window is over, not the sum."""
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
    """Quantiles come in ascending order, each once; none leaves sum and count."""
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
    """A setting that cannot be is refused where it is written, not at an observation."""
    with pytest.raises(InvalidMetricError) as refused:
        Summary("s", "d", registry=None, **settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "settings", [{"age_buckets": 2.5}, {"max_age_seconds": "600"}, {"relative_error": None}]
)
def test_summary_settings_of_another_type_are_refused(settings: dict[str, Any]) -> None:
    """What is no number, or no whole one where it has to be, is a TypeError."""
    with pytest.raises(TypeError, match=r"must be a (whole )?number|(int|float) object expected"):
        Summary("s", "d", registry=None, **settings)


@pytest.mark.parametrize("instrument", OBSERVING)
def test_fractions_are_numbers(instrument: Any) -> None:
    """A number that adds to a float is observed as one."""
    made = instrument("sizes", "d", registry=None)
    made.observe(Fraction(1, 2))
    made.observe(True)
    assert (1.5, 2.0) == (values(made)["_sum"], values(made)["_count"])

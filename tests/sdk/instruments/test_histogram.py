"""Histogram and Summary: what becomes of an observation."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import Histogram, InvalidMetricError, Summary
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from tests.sdk.instruments.readings import Clock, values

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODERATE = st.floats(-1e9, 1e9)
OBSERVING = [Histogram, Summary]


def np_like(value: float) -> Any:
    """Return a number of a type of its own, like those of numpy."""

    class Number:
        def __float__(self) -> float:
            return value

    return Number()


def test_default_buckets() -> None:
    """The default buckets are prometheus_client's, with `+Inf` last."""
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
    """Bounds are numbers or their text; a histogram adds a missing `+Inf`."""
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
    """Bounds that do not ascend, are no numbers or have no finite one are refused and shown."""
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
    """Buckets are cumulative and the last one is the count, whatever the observations."""
    histogram = Histogram("sizes", "d", registry=None)
    for observation in observations:
        histogram.observe(observation)
    *buckets, _, count = values(histogram).values()
    assert (sorted(buckets), float(len(observations))) == (buckets, count)
    assert buckets[-1] == count


@pytest.mark.parametrize("instrument", OBSERVING)
@pytest.mark.parametrize("amount", [math.nan, Decimal("NaN"), np_like(math.nan)])
def test_nan_is_left_out(instrument: Any, amount: Any) -> None:
    """An observation that is NaN leaves sum, count and buckets unchanged, and is counted."""
    made = instrument("sizes", "d", registry=None)
    made.observe(2)
    before = values(made)
    made.observe(amount)
    assert (before, 1) == (values(made), made.amounts_left_out)


@pytest.mark.parametrize("instrument", OBSERVING)
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ([math.inf], "inf"),
        ([10**400], "inf"),
        ([Decimal("Infinity"), 1, math.inf], "inf"),
        ([-math.inf], "-inf"),
        ([-(10**400), 1], "-inf"),
        ([math.inf, -math.inf], "nan"),
    ],
    ids=["inf", "10**400", "several", "-inf", "-10**400", "both"],
)
def test_infinite_observation_counts(
    instrument: Any, direct: bool, amounts: list[Any], total: str
) -> None:
    """An infinite observation counts, and makes the sum infinite, as in prometheus_client."""
    made = instrument("sizes", "d", registry=None)
    made._direct = made._direct and direct
    for amount in amounts:
        made.observe(amount)
    found = values(made)
    assert (total, float(len(amounts)), 0) == (
        repr(found["_sum"]), found["_count"], made.amounts_left_out,
    )  # fmt: skip


def test_infinite_observations_lie_at_the_ends_of_the_buckets() -> None:
    """`+Inf` alone counts infinity, and every bucket counts minus infinity."""
    histogram = Histogram("sizes", "d", registry=None, buckets=[1])
    histogram.observe(math.inf)
    above = values(histogram)
    histogram.observe(-math.inf)
    below = values(histogram)
    assert [(0.0, 1.0), (1.0, 2.0)] == [(found["1.0"], found["+Inf"]) for found in (above, below)]


def test_quantiles_are_those_of_finite_observations() -> None:
    """An infinite observation moves no quantile of a summary."""
    summary = Summary("sizes", "d", registry=None, quantiles=[0, 1])
    for amount in (1.0, math.inf, 3.0, -math.inf):
        summary.observe(amount)
    assert [1, 3] == [round(values(summary)[quantile]) for quantile in ("0.0", "1.0")]


@pytest.mark.parametrize("instrument", OBSERVING)
@pytest.mark.parametrize("amount", [1.0, math.nan, math.inf])
def test_parent_observes_nothing(instrument: Any, amount: float) -> None:
    """Missing labels are an error of the code, whatever the amount."""
    made = instrument("sizes", "d", ["pool"], registry=None)
    with pytest.raises(InvalidMetricError, match=r"has labels: call \.labels"):
        made.observe(amount)
    assert 0 == made.amounts_left_out


@pytest.mark.parametrize("instrument", OBSERVING)
@pytest.mark.parametrize("amount", ["1", None, b"1", [1.0], 1j])
def test_observation_that_is_no_number_is_refused(instrument: Any, amount: Any) -> None:
    """An observation that is no number raises a TypeError, and leaves everything unchanged."""
    made = instrument("sizes", "d", registry=None)
    made.observe(2)
    before = values(made)
    with pytest.raises(TypeError, match=r"\('sizes'\): .* give a number, like 1 or 0.25"):
        made.observe(amount)
    assert before == values(made)


@pytest.mark.parametrize("instrument", OBSERVING)
def test_reset_forgets_observations(instrument: Any, clock: Clock) -> None:
    """After `reset()` an instrument reports the same as a new one."""
    made = instrument("sizes", "d", registry=None)
    fresh = repr(values(made))
    made.observe(3)
    observed = repr(values(made))
    made.reset()
    assert (fresh, False) == (repr(values(made)), observed == fresh)


@pytest.mark.parametrize("instrument", OBSERVING)
def test_time_observes_a_duration(instrument: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`time()` observes how many seconds the block took."""
    made = instrument("seconds", "d", registry=None)  # this reads the clock, too
    readings = iter([10.0, 12.5])
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: next(readings))
    with made.time():
        pass
    assert (2.5, 1.0) == (values(made)["_sum"], values(made)["_count"])


@pytest.mark.parametrize("instrument", OBSERVING)
def test_fractions_are_numbers(instrument: Any) -> None:
    """A histogram observes a number of any type that adds to a float."""
    made = instrument("sizes", "d", registry=None)
    made.observe(Fraction(1, 2))
    made.observe(True)
    assert (1.5, 2.0) == (values(made)["_sum"], values(made)["_count"])

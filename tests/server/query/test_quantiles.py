"""The quantile of a histogram's buckets, by the cases of Prometheus' documentation and tests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.query.quantiles import histogram_quantile, parse_bound

INF = math.inf
# testhistogram of Prometheus' promql/promqltest/testdata/histograms.test.
POSITIVE = {0.1: 5.0, 0.2: 7.0, 1.0: 10.0, INF: 12.0}
NEGATIVE = {-0.2: 1.0, -0.1: 2.0, 0.3: 2.0, INF: 4.0}


@pytest.mark.parametrize(
    ("quantile", "counts", "expected"),
    [
        (0.0, POSITIVE, 0.0),
        (0.2, POSITIVE, 0.048),
        (0.5, POSITIVE, 0.15),
        (0.8, POSITIVE, 0.2 + 0.8 * (2.6 / 3)),
        (1.0, POSITIVE, 1.0),
        (0.25, NEGATIVE, -0.2),
        (0.2, NEGATIVE, -0.2),
        (0.4, NEGATIVE, -0.14),
        (0.8, NEGATIVE, 0.3),
        # The quantile is in the lowest bucket, which begins at 0, or has only an upper bound.
        (0.5, {2.0: 4.0, INF: 4.0}, 1.0),
        (0.5, {0.0: 4.0, 1.0: 4.0, INF: 4.0}, 0.0),
        # The counts of several processes diverge: a falling count is raised.
        (0.5, {1.0: 6.0, 2.0: 4.0, INF: 10.0}, 5.0 / 6.0),
        # A bucket in between is empty.
        (0.5, {1.0: 1.0, 2.0: 1.0, 3.0: 3.0, INF: 3.0}, 2.25),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(
    quantile: float, counts: dict[float, float], expected: float
) -> None:
    """Interpolation is linear, from 0 in the lowest bucket; above all bounds the highest counts."""
    assert histogram_quantile(quantile, counts) == pytest.approx(expected)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {INF: 3.0},
        {1.0: 2.0, 2.0: 3.0},
        {1.0: 0.0, INF: 0.0},
    ],
)
def test_there_is_no_quantile_without_observations_or_the_last_bucket(
    counts: dict[float, float],
) -> None:
    """The quantile of such a histogram is NaN."""
    assert math.isnan(histogram_quantile(0.5, counts))


def test_the_lowest_quantile_of_an_empty_lowest_bucket_is_none() -> None:
    """As in Prometheus, where the quantile 0 of 0 observations is a NaN."""
    assert math.isnan(histogram_quantile(0.0, {1.0: 0.0, 2.0: 3.0, INF: 3.0}))


@given(
    st.floats(0, 1),
    st.dictionaries(st.floats(-100, 100), st.integers(0, 1000).map(float), min_size=1),
    st.integers(1, 1000),
)
def test_a_quantile_lies_within_the_bounds(
    quantile: float, counts: dict[float, float], count: int
) -> None:
    """Whatever the counts, a quantile is between the lowest and the highest bound."""
    found = histogram_quantile(quantile, {**counts, INF: float(count)})
    if math.isnan(found):
        assert 0 == quantile
    else:
        assert min(0.0, *counts) <= found <= max(counts)


def test_a_bound_is_a_number_or_none() -> None:
    """A text that is no number, or a NaN, is no bound."""
    assert [0.5, 1.0, INF, -1.0] == [parse_bound(text) for text in ("0.5", "1", "+Inf", "-1.0")]
    assert [None, None, None] == [parse_bound(text) for text in ("", "much", "NaN")]

"""The quantile sketch: its error, its merging, its bounds, and the sliding window."""

from __future__ import annotations

import math
import random
import sys

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk.instruments.sketch import (
    BINS_MAX,
    POWERS_OF_TEN,
    QuantileSketch,
    SlidingWindowSketch,
    merged_quantiles,
)

RELATIVE_ERRORS = st.sampled_from([0.001, 0.01, 0.02, 0.1, 0.5])
QUANTILES = [0.0, 0.25, 0.5, 0.9, 0.99, 1.0]
# Half of the least distance between floats: rounding to a float can add so much to any estimate.
ROUNDING = 5e-324
# Few decades, so not even the narrowest bins are folded together.
VALUES = st.lists(
    st.one_of(st.floats(1e-3, 1e6), st.floats(-1e6, -1e-3), st.just(0.0), st.integers(-100, 100)),
    min_size=1,
    max_size=150,
)


def sketch_of(values: list[float], relative_error: float = 0.01) -> QuantileSketch:
    sketch = QuantileSketch(relative_error)
    for value in values:
        sketch.add(value)
    return sketch


def lower_quantile(values: list[float], quantile: float) -> float:
    return sorted(values)[math.floor(quantile * (len(values) - 1))]


def assert_close(estimate: float, exact: float, relative_error: float) -> None:
    assert abs(estimate - exact) <= relative_error * abs(exact) * (1 + 1e-9) + ROUNDING


@given(VALUES, RELATIVE_ERRORS)
def test_estimates_are_within_the_relative_error(
    values: list[float], relative_error: float
) -> None:
    """Each estimate is within the relative error of the exact lower quantile."""
    estimates = sketch_of(values, relative_error).quantiles(QUANTILES)
    for quantile, estimate in zip(QUANTILES, estimates, strict=True):
        assert_close(estimate, lower_quantile(values, quantile), relative_error)


@given(st.floats(allow_nan=False, allow_infinity=False), RELATIVE_ERRORS)
def test_every_float_has_a_bin(value: float, relative_error: float) -> None:
    """The sketch estimates the greatest float, the least denormal one and all between alike."""
    (estimate,) = sketch_of([value], relative_error).quantiles([0.5])
    assert_close(estimate, value, relative_error)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("relative_error", [0.0001, 0.01, 0.5])
@pytest.mark.parametrize("magnitude", [sys.float_info.max, sys.float_info.min, 5e-324, 1e-323])
def test_extreme_values(magnitude: float, relative_error: float, sign: int) -> None:
    """The ends of the range of floats neither overflow nor vanish."""
    (estimate,) = sketch_of([sign * magnitude], relative_error).quantiles([1.0])
    assert_close(estimate, sign * magnitude, relative_error)


@pytest.mark.parametrize("relative_error", [0.0001, 0.001, 0.01, 0.1, 0.5])
def test_values_at_the_ends_of_bins(relative_error: float) -> None:
    """Where two bins meet, the value itself and its neighbours are within the relative error."""
    gamma = (1 + relative_error) / (1 - relative_error)
    powers_max = math.floor(math.log(sys.float_info.max, gamma))
    for power in range(-powers_max, powers_max, 1 + powers_max // 50):
        end = gamma**power
        for value in (end, math.nextafter(end, 0.0), math.nextafter(end, math.inf)):
            (estimate,) = sketch_of([value], relative_error).quantiles([0.5])
            # The narrowest bins have indexes of millions, of which a float leaves few digits.
            assert abs(estimate - value) <= relative_error * value * (1 + 1e-8)


def test_negative_zero_is_zero() -> None:
    """Both zeros are counted exactly."""
    assert [0.0, 0.0] == sketch_of([0.0, -0.0]).quantiles([0.0, 1.0])


def test_empty_sketch_has_no_quantiles() -> None:
    """A quantile of nothing is NaN."""
    assert ["nan", "nan"] == [repr(value) for value in QuantileSketch(0.01).quantiles([0.5, 1.0])]


def test_no_quantiles_are_asked() -> None:
    """Asked for no quantile, a sketch estimates none."""
    assert [] == sketch_of([1.0]).quantiles([])


@given(st.lists(VALUES, max_size=5), RELATIVE_ERRORS)
def test_merging_is_adding_all(parts: list[list[float]], relative_error: float) -> None:
    """A merged sketch gives the same estimates as one that has seen all values."""
    merged = QuantileSketch(relative_error)
    for part in parts:
        merged.merge(sketch_of(part, relative_error))
    whole = sketch_of([value for part in parts for value in part], relative_error)
    expected = (whole.count, repr(whole.quantiles(QUANTILES)))
    assert expected == (merged.count, repr(merged.quantiles(QUANTILES)))


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_merged_quantiles_leave_the_sketches_alone(parts: list[list[float]]) -> None:
    """`merged_quantiles()` changes none of the sketches that it merges."""
    sketches = [sketch_of(part) for part in parts]
    before = [sketch.quantiles(QUANTILES) for sketch in sketches]
    together = merged_quantiles(sketches, 0.01, QUANTILES)
    whole = sketch_of([value for part in parts for value in part])
    assert whole.quantiles(QUANTILES) == together
    assert before == [sketch.quantiles(QUANTILES) for sketch in sketches]


@given(VALUES)
def test_a_copy_changes_on_its_own(values: list[float]) -> None:
    """Neither a sketch nor its copy sees what the other one counts later."""
    sketch = sketch_of(values)
    twin = sketch.copy()
    before = (sketch.count, sketch.quantiles(QUANTILES))
    for value in (-1e9, 0.0, 1e9):
        twin.add(value)
    assert before == (sketch.count, sketch.quantiles(QUANTILES))
    assert twin.count == sketch.count + 3
    assert twin.quantiles([0.0, 1.0]) == sketch_of([-1e9, 1e9]).quantiles([0.0, 1.0])


@pytest.mark.parametrize("sign", [1, -1])
def test_bins_are_bounded(sign: int) -> None:
    """A stream over all magnitudes keeps its count, few bins, and right values far from zero."""
    relative_error = 0.01
    sketch = QuantileSketch(relative_error)
    stream = random.Random(7)
    values = [sign * 10 ** stream.uniform(-300, 300) for _ in range(20_000)]
    for value in values:
        sketch.add(value)
    far = [0.99, 1.0] if sign > 0 else [0.0, 0.01]
    assert sketch.count == len(values)
    bins = len(sketch.positive.counts) + len(sketch._negative.counts)
    assert 1 <= bins <= math.ceil(POWERS_OF_TEN * math.log(10) / math.log(1.01 / 0.99))
    for quantile, estimate in zip(far, sketch.quantiles(far), strict=True):
        assert_close(estimate, lower_quantile(values, quantile), relative_error)


def test_narrow_bins_are_bounded_too() -> None:
    """However small the relative error, the sketch has at most a stated number of bins."""
    sketch = sketch_of([1.001**power for power in range(0, 60_000, 50)], 0.0001)
    assert (1_200, BINS_MAX) == (sketch.count, len(sketch.positive.counts))
    assert_close(sketch.quantiles([1.0])[0], 1.001**59_950, 0.0001)


def test_folding_keeps_every_count() -> None:
    """Folding the lowest bins together keeps their counts."""
    sketch = sketch_of([1.03**power for power in range(-2000, 2000)])
    assert 4000 == sum(sketch.positive.counts)
    assert_close(sketch.quantiles([1.0])[0], 1.03**1999, 0.01)


@given(
    st.lists(st.floats(1e-6, 1e9) | st.just(0.0), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.05]),
)
def test_agrees_with_the_ddsketch_package(values: list[float], relative_error: float) -> None:
    """The reference implementation gives the same estimates, within both errors."""
    reference = DDSketch(relative_accuracy=relative_error)
    for value in values:
        reference.add(value)
    for quantile, estimate in zip(
        QUANTILES, sketch_of(values, relative_error).quantiles(QUANTILES), strict=True
    ):
        exact = lower_quantile(values, quantile)
        reference_estimate = reference.get_quantile_value(quantile)
        assert reference_estimate is not None
        assert_close(reference_estimate, exact, relative_error)
        assert_close(estimate, reference_estimate, 2.2 * relative_error)


def window_maxima(window: SlidingWindowSketch, now: float) -> list[int]:
    """Return the greatest value of each slice in the window, rounded."""
    return [round(sketch.quantiles([1.0])[0]) for sketch in window.snapshot(now)]


def test_window_drops_its_oldest_slice() -> None:
    """One slice after the other leaves the window as time goes on."""
    window = SlidingWindowSketch(0.001, window_seconds=30, slices=3)
    for now, value in ((100, 1), (110, 2), (120, 3)):
        window.add(value, now)
    seen = [window_maxima(window, now) for now in (129.9, 130, 140, 149.9, 150)]
    assert [[1, 2, 3], [2, 3], [3], [3], []] == seen


def test_window_keeps_a_value_for_its_length_less_a_slice() -> None:
    """A value stays for at least the window less a slice, wherever in its slice it came."""
    window = SlidingWindowSketch(0.001, window_seconds=30, slices=3)
    window.add(1, 100)
    window.add(5, 109.9)
    assert [[5], []] == [window_maxima(window, now) for now in (129.9, 130)]


def test_window_of_one_slice_starts_afresh() -> None:
    """With one slice, the window is emptied whenever it is over."""
    window = SlidingWindowSketch(0.001, window_seconds=10, slices=1)
    window.add(1, 0)
    window.add(2, 9.9)
    window.add(3, 10)
    assert [3] == window_maxima(window, 10)


@pytest.mark.parametrize("gap", [31.0, 1e6, 1e15])
def test_window_is_empty_after_a_long_gap(gap: float) -> None:
    """However long the gap, the window has moved on and takes new values."""
    window = SlidingWindowSketch(0.001, window_seconds=30, slices=3)
    window.add(1, 0)
    window.add(2, gap)
    assert [2] == window_maxima(window, gap)


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 6))
def test_window_is_bounded(gaps: list[float], slices: int) -> None:
    """There are never more slices than asked for, and each value in the window is in one."""
    window = SlidingWindowSketch(0.01, window_seconds=60, slices=slices)
    now = 0.0
    times = []
    for gap in gaps:
        now += gap
        times.append(now)
        window.add(1.0, now)
    counted = sum(sketch.count for sketch in window.snapshot(now))
    surely = sum(now - time < 60 - 60 / slices - 1e-6 for time in times)
    perhaps = sum(now - time < 60 + 1e-6 for time in times)
    assert len(window._slices) <= slices
    assert surely <= counted <= perhaps


def test_snapshot_changes_on_its_own() -> None:
    """A snapshot does not have what is observed after it."""
    window = SlidingWindowSketch(0.001, window_seconds=30, slices=3)
    window.add(1, 0)
    snapshot = window.snapshot(0)
    window.add(9, 1)
    assert [1] == [sketch.count for sketch in snapshot]

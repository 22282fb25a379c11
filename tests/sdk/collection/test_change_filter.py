"""The change filter: which samples it sends, and what it remembers about them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import MetricType, Sample, Series
from noetl_metrics_sdk.collection.change_filter import ChangeFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

REFRESH = 60.0


def series(name: str = "jobs") -> Series:
    return Series(name, MetricType.GAUGE, {"pool": "cpu"})


def passes(change_filter: ChangeFilter, value: float, now: float, name: str = "jobs") -> bool:
    sample = Sample(series(name), value, 1_700_000_000.0)
    passed = change_filter.changed([sample], now)
    for stamped in passed:
        assert (name, {"pool": "cpu"}, repr(value), 1_700_000_000.0) == (
            stamped.name, stamped.labels, repr(stamped.value), stamped.timestamp,
        )  # fmt: skip
    assert len(passed) <= 1
    return bool(passed)


@pytest.fixture
def change_filter() -> ChangeFilter:
    return ChangeFilter(REFRESH)


def test_first_sample_passes(change_filter: ChangeFilter) -> None:
    """The filter sends a series that it never sent, whatever its value."""
    assert passes(change_filter, 0.0, 1_000.0)


def test_unchanged_sample_is_held_back(change_filter: ChangeFilter) -> None:
    """The filter sends an unchanged value again only after the refresh interval."""
    seen = [passes(change_filter, 1.0, now) for now in (0.0, 10.0, 59.999)]
    assert [True, False, False] == seen


def test_changed_sample_passes(change_filter: ChangeFilter) -> None:
    """The filter sends a new value at once, and the return to the old value too."""
    seen = [passes(change_filter, value, now) for now, value in enumerate([1.0, 2.0, 1.0, 1.0])]
    assert [True, True, True, False] == seen


def test_unchanged_sample_is_refreshed(change_filter: ChangeFilter) -> None:
    """After each refresh interval the filter sends an unchanged value once more."""
    seen = [passes(change_filter, 1.0, now) for now in (0.0, 60.0, 61.0, 119.9, 120.0)]
    assert [True, True, False, False, True] == seen


def test_change_starts_the_interval_anew(change_filter: ChangeFilter) -> None:
    """The refresh interval counts from the last time the filter sent the series."""
    seen = [passes(change_filter, v, n) for v, n in ((1.0, 0), (2.0, 50), (2.0, 60), (2.0, 110))]
    assert [True, True, False, True] == seen


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_can_be_unchanged(
    change_filter: ChangeFilter, value: float
) -> None:
    """A NaN that stays NaN is unchanged, although it differs from itself."""
    seen = [passes(change_filter, value, now) for now in (0.0, 1.0, 60.0)]
    assert [True, False, True] == seen


def test_nan_is_a_change(change_filter: ChangeFilter) -> None:
    """A value that becomes NaN, or stops being NaN, has changed."""
    values = [1.0, math.nan, 1.0, math.nan, math.nan]
    seen = [passes(change_filter, value, now) for now, value in enumerate(values)]
    assert [True, True, True, True, False] == seen


def test_series_are_told_apart(change_filter: ChangeFilter) -> None:
    """Holding back one series does not affect another."""
    assert passes(change_filter, 1.0, 0.0, "jobs")
    assert passes(change_filter, 1.0, 0.0, "errors")
    assert not passes(change_filter, 1.0, 1.0, "jobs")


def test_equal_series_are_one(change_filter: ChangeFilter) -> None:
    """A collector may make its series again for every collection."""
    first, second = (Series("jobs", MetricType.GAUGE, {"a": "1", "b": "2"}) for _ in range(2))
    assert 1 == len(change_filter.changed([Sample(first, 1.0, 0.0)], 0.0))
    assert [] == change_filter.changed([Sample(second, 1.0, 0.0)], 1.0)


def test_order_is_kept(change_filter: ChangeFilter) -> None:
    """Samples that pass keep their order."""
    samples = [Sample(series(name), 1.0, 0.0) for name in "cab"]
    assert ["c", "a", "b"] == [stamped.name for stamped in change_filter.changed(samples, 0.0)]


def test_a_series_whose_sample_was_dropped_is_sent_anew(change_filter: ChangeFilter) -> None:
    """A series whose last sample was dropped is sent at the next opportunity."""
    samples = [Sample(series(name), 1.0, 0.0) for name in ("jobs", "errors")]
    jobs, _ = change_filter.changed(samples, 0.0)
    jobs.note_dropped()
    seen = [passes(change_filter, 1.0, 1.0, name) for name in ("jobs", "errors")]
    assert [True, False] == seen


def test_vanished_series_are_forgotten(change_filter: ChangeFilter) -> None:
    """The filter forgets series that the collector no longer offers."""
    for now in range(1_000):
        passes(change_filter, 1.0, float(now), f"short_lived_{now}")
    assert len(change_filter._last_sent) <= 3 * REFRESH + 1
    passes(change_filter, 1.0, 10_000.0)
    assert list(change_filter._last_sent) == [series()]


def test_idle_series_stay_known(change_filter: ChangeFilter) -> None:
    """The filter never forgets a series that each collection offers, and does not send it too
    often."""
    times = [10.0 * collection for collection in range(1_000)]
    sent = [now for now in times if passes(change_filter, 1.0, now)]
    assert sent == [60.0 * number for number in range(167)]


TAKEN_AT = 1_700_000_000.0


def timeline(
    change_filter: ChangeFilter,
    reports: Sequence[tuple[float, float, float | None]],
    counting: Series | None = None,
) -> list[tuple[float, float]]:
    """Return value and time of the samples that pass, with times in seconds since `TAKEN_AT`.

    Args:
        change_filter: the filter.
        reports: of each report the value, the time, and when the series was 0 as its collector
            tells it, or None. Times are in seconds since `TAKEN_AT`.
        counting: the series, by default one of a counter.
    """
    counting = counting or Series("jobs_total", MetricType.COUNTER, {"pool": "cpu"})
    return [
        (stamped.value, stamped.timestamp - TAKEN_AT)
        for value, at, created_at in reports
        for stamped in change_filter.changed(
            [
                Sample(
                    counting, value, TAKEN_AT + at,
                    None if created_at is None else TAKEN_AT + created_at,
                )
            ],
            at,
        )
    ]  # fmt: skip


def test_a_told_beginning_is_sent_once(change_filter: ChangeFilter) -> None:
    """A sample of 0 with the told time precedes the first report, and no later one."""
    reports = [(3.0, 0.0, -5.0), (4.0, 5.0, -5.0), (4.0, 65.0, -5.0)]
    expected = [(0.0, -5.0), (3.0, 0.0), (4.0, 5.0), (4.0, 65.0)]
    assert expected == timeline(change_filter, reports)


@pytest.mark.parametrize("value", [2.0, 3.0, 4.0])
def test_a_newer_beginning_is_sent_again(change_filter: ChangeFilter, value: float) -> None:
    """A series that has begun anew has a sample of 0, even if its value is that of before."""
    reports = [(3.0, 0.0, -5.0), (value, 5.0, 2.0), (value, 10.0, 2.0)]
    assert [(0.0, -5.0), (3.0, 0.0), (0.0, 2.0), (value, 5.0)] == timeline(change_filter, reports)


def test_an_older_beginning_is_not_sent(change_filter: ChangeFilter) -> None:
    """A time before the last sample, which the collector tells late, is in the past by then."""
    reports = [(3.0, 0.0, None), (4.0, 5.0, -5.0), (5.0, 10.0, -10.0)]
    assert [(3.0, 0.0), (4.0, 5.0), (5.0, 10.0)] == timeline(change_filter, reports)


def test_samples_that_come_late_do_not_begin_their_series_anew(
    change_filter: ChangeFilter,
) -> None:
    """However long after their time samples come, a beginning before the last one is no new one."""
    counting = Series("jobs_total", MetricType.COUNTER, {})
    passed = [
        (stamped.value, stamped.timestamp - TAKEN_AT)
        for at, now in ((0.0, 0.0), (5.0, 9.0), (10.0, 10.0))
        for stamped in change_filter.changed(
            [Sample(counting, 3.0, TAKEN_AT + at, TAKEN_AT - 1.0)], now
        )
    ]
    assert [(0.0, -1.0), (3.0, 0.0)] == passed


def test_a_value_of_zero_needs_no_other_zero(change_filter: ChangeFilter) -> None:
    """The first report says itself that the series was 0."""
    reports = [(0.0, 0.0, -5.0), (1.0, 5.0, -5.0)]
    assert [(0.0, 0.0), (1.0, 5.0)] == timeline(change_filter, reports)


@pytest.mark.parametrize(
    ("metric_type", "labels", "counts"),
    [
        (MetricType.GAUGE, {}, False),
        (MetricType.SUMMARY, {"quantile": "0.5"}, False),
        (MetricType.SUMMARY, {}, True),
        (MetricType.HISTOGRAM, {"le": "1.0"}, True),
        (MetricType.COUNTER, {}, True),
    ],
)
def test_only_what_counts_begins_at_zero(
    change_filter: ChangeFilter, metric_type: MetricType, labels: dict[str, str], counts: bool
) -> None:
    """Neither a gauge nor a quantile was 0 when its collector says that it began."""
    expected = [(0.0, -5.0), (3.0, 0.0)] if counts else [(3.0, 0.0)]
    series = Series("jobs", metric_type, labels)
    assert expected == timeline(change_filter, [(3.0, 0.0, -5.0)], series)


def test_a_dropped_beginning_is_sent_again(change_filter: ChangeFilter) -> None:
    """A series whose samples were dropped begins again at the same time."""
    counting = Series("jobs_total", MetricType.COUNTER, {})
    sample = Sample(counting, 3.0, TAKEN_AT, TAKEN_AT - 5)
    zero, value = change_filter.changed([sample], 0.0)
    zero.note_dropped()
    assert zero.label_set is value.label_set
    assert [(0.0, -5.0), (4.0, 5.0)] == timeline(change_filter, [(4.0, 5.0, -5.0)], counting)


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.sampled_from([0.0, 1.0, math.nan])), min_size=1, max_size=60
    )
)
def test_receiver_knows_every_value(offers: list[tuple[float, float]]) -> None:
    """Whatever the filter holds back, its last value sent is the present one, and never too old."""
    change_filter = ChangeFilter(REFRESH)
    now = 0.0
    received, received_at = 2.0, 0.0
    for gap, value in offers:
        now += gap
        if passes(change_filter, value, now):
            received, received_at = value, now
        assert repr(value) == repr(received)
        assert now - received_at < REFRESH

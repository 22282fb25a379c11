"""Which samples of the package's own instruments the tracker sends."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import Counter, Gauge, Histogram, Summary
from noetl_metrics_sdk.collection.instrument_tracker import InstrumentTracker
from noetl_metrics_sdk.process.pacing import Pacer

if TYPE_CHECKING:
    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.model.stamped_sample import StampedSample

REFRESH_INTERVAL = 60.0
STARTED_AT = 1_700_000_000.0
TAKEN_AT = STARTED_AT + 0.5

Found = dict[tuple[str, ...], float]


def tracker_of(
    instrument: Instrument, identity: object = None, absent_at: float = STARTED_AT
) -> InstrumentTracker:
    def rest(_seconds: float) -> None:
        raise AssertionError("there is nothing to rest from")

    return InstrumentTracker(
        instrument,
        REFRESH_INTERVAL,
        Pacer(lambda: -math.inf, rest),
        absent_at,
        identity or object(),
    )


def found(samples: list[StampedSample]) -> Found:
    """Return the samples' values by name and label values, without the beginnings of series."""
    values: Found = {}
    for sample in samples:
        key = (sample.name, *sample.labels.values())
        assert values.get(key, 0.0) == 0.0, "a series has two values that are no beginning"
        values[key] = sample.value
    return values


def timeline(samples: list[StampedSample]) -> list[tuple[float, float]]:
    """Return the seconds since the start, and the value, of each sample."""
    return [(sample.timestamp - STARTED_AT, sample.value) for sample in samples]


def changes(tracker: InstrumentTracker, now: float = 0.0) -> Found:
    return found(tracker.changed(TAKEN_AT, now))


def test_what_has_not_changed_is_not_sent_again() -> None:
    """The tracker sends only the series that have changed since the last turn."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    counter.labels("a").inc()
    counter.labels("b")
    assert {("jobs_total", "a"): 1.0, ("jobs_total", "b"): 0.0} == changes(tracker)
    assert {} == changes(tracker)
    counter.labels("b").inc(2)
    assert {("jobs_total", "b"): 2.0} == changes(tracker)


def test_of_a_histogram_only_changed_samples_are_sent() -> None:
    """An observation changes the sum, the count, and the buckets above it."""
    histogram = Histogram("took", "d", registry=None, buckets=[1, 2])
    tracker = tracker_of(histogram)
    names = [("took_bucket", le) for le in ("1.0", "2.0", "+Inf")]
    assert dict.fromkeys([*names, ("took_sum",), ("took_count",)], 0.0) == changes(tracker)
    histogram.observe(1.5)
    assert {
        ("took_bucket", "2.0"): 1.0,
        ("took_bucket", "+Inf"): 1.0,
        ("took_sum",): 1.5,
        ("took_count",): 1.0,
    } == changes(tracker)
    assert {} == changes(tracker)


def test_an_empty_summary_is_not_sent_again() -> None:
    """The quantiles of an empty summary are NaN each time, which is no change."""
    tracker = tracker_of(Summary("took", "d", registry=None))
    assert 6 == len(changes(tracker))
    assert {} == changes(tracker)


def test_a_gauge_that_is_not_a_number_is_sent_once() -> None:
    """A gauge that becomes NaN has changed, and one that stays NaN has not."""
    gauge = Gauge("load", "d", registry=None)
    tracker = tracker_of(gauge)
    gauge.set(1)
    changes(tracker)
    gauge.set(math.nan)
    assert [("load",)] == list(changes(tracker))
    assert {} == changes(tracker)


@pytest.mark.parametrize(
    "instrument", [Counter("x", "d", registry=None), Summary("x", "d", registry=None)]
)
def test_an_idle_series_is_refreshed(instrument: Instrument) -> None:
    """After the refresh interval the tracker sends all samples of an unchanged series."""
    tracker = tracker_of(instrument)
    everything = list(changes(tracker, 0.0))
    assert [] == list(changes(tracker, REFRESH_INTERVAL - 0.1))
    assert everything == list(changes(tracker, REFRESH_INTERVAL))
    assert [] == list(changes(tracker, REFRESH_INTERVAL))


def test_the_idle_part_of_a_busy_histogram_is_refreshed() -> None:
    """The tracker refreshes a bucket that never changes, although another one always changes."""
    histogram = Histogram("took", "d", registry=None, buckets=[1])
    tracker = tracker_of(histogram)
    changes(tracker, 0.0)
    for now in (20.0, 40.0):
        histogram.observe(5)
        assert ("took_bucket", "1.0") not in changes(tracker, now)
    assert ("took_bucket", "1.0") in changes(tracker, REFRESH_INTERVAL)


def test_a_removed_series_is_no_longer_sent() -> None:
    """The tracker does not refresh a series that was removed or cleared."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    for pool in ("a", "b", "c"):
        counter.labels(pool).inc()
    changes(tracker, 0.0)
    counter.remove("a")
    assert {("jobs_total", "b"), ("jobs_total", "c")} == set(changes(tracker, REFRESH_INTERVAL))
    counter.remove_by_labels({"pool": "b"})
    assert {("jobs_total", "c")} == set(changes(tracker, 2 * REFRESH_INTERVAL))
    counter.clear()
    assert {} == changes(tracker, 3 * REFRESH_INTERVAL)


def test_a_series_that_was_made_anew_is_sent_even_with_the_same_value() -> None:
    """After a removal, the child of the same label set is another series for the tracker."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    counter.labels("a").inc()
    changes(tracker)
    counter.remove("a")
    counter.labels("a").inc()
    assert {("jobs_total", "a"): 1.0} == changes(tracker)


def test_series_whose_samples_were_dropped_are_sent_anew() -> None:
    """At the next turn the tracker sends them again, although unchanged, and no others."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    counter.labels("a").inc()
    counter.labels("b").inc()
    tracker = tracker_of(counter)
    dropped = [s for s in tracker.changed(TAKEN_AT, 0.0) if s.labels == {"pool": "a"}]
    for sample in dropped:
        sample.note_dropped()
    assert {("jobs_total", "a"): 1.0} == changes(tracker)
    assert {} == changes(tracker)


def test_two_trackers_do_not_know_of_each_other() -> None:
    """What one client has sent is still new to another client's tracker."""
    counter = Counter("jobs", "d", registry=None)
    one, other = tracker_of(counter), tracker_of(counter)
    counter.inc()
    assert {("jobs_total",): 1.0} == changes(one) == changes(other)


def test_a_function_is_asked_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """The tracker sends a gauge when its function's value changes, and not while it fails."""
    answers: list[float | str] = [3.0, 3.0, 4.0, "no number", 4.0, 5.0]
    gauge = Gauge("queue", "d", registry=None)
    gauge.set_function(lambda: answers.pop(0))  # type: ignore[return-value,arg-type]
    tracker = tracker_of(gauge)
    seen = [changes(tracker).get(("queue",)) for _ in range(6)]
    assert [3.0, None, 4.0, None, None, 5.0] == seen
    assert 1 == len(caplog.records)


def test_the_first_report_is_preceded_by_a_sample_of_zero() -> None:
    """It has the time of the client's start, or of the last collection without the series."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    counter.labels("a").inc(3)
    assert [(0.0, 0.0), (5.0, 3.0)] == timeline(tracker.changed(STARTED_AT + 5, 5.0))
    counter.labels("b").inc(2)
    assert [(5.0, 0.0), (10.0, 2.0)] == timeline(tracker.changed(STARTED_AT + 10, 10.0))
    counter.labels("b").inc(2)
    assert [(15.0, 4.0)] == timeline(tracker.changed(STARTED_AT + 15, 15.0))


def test_a_series_whose_first_report_is_zero_needs_no_other_zero() -> None:
    """Its own sample says that it was zero."""
    tracker = tracker_of(Counter("jobs", "d", registry=None))
    assert [(5.0, 0.0)] == timeline(tracker.changed(STARTED_AT + 5, 5.0))


def test_what_does_not_count_from_zero_has_no_beginning() -> None:
    """Neither a gauge nor the quantiles of a summary were zero before."""
    gauge = Gauge("load", "d", registry=None)
    gauge.set(3)
    assert [(5.0, 3.0)] == timeline(tracker_of(gauge).changed(STARTED_AT + 5, 5.0))
    summary = Summary("took", "d", registry=None, quantiles=[0.5])
    summary.observe(4)
    samples = tracker_of(summary).changed(STARTED_AT + 5, 5.0)
    zeros = {sample.name for sample in samples if sample.timestamp == STARTED_AT}
    assert {"took_sum", "took_count"} == zeros


def test_the_buckets_sum_and_count_of_a_histogram_begin_at_zero() -> None:
    """Of the buckets, those that have counted something do."""
    histogram = Histogram("took", "d", registry=None, buckets=[1, 2])
    histogram.observe(1.5)
    samples = tracker_of(histogram).changed(STARTED_AT + 5, 5.0)
    zeros = {(s.name, *s.labels.values()) for s in samples if s.timestamp == STARTED_AT}
    assert {
        ("took_bucket", "2.0"), ("took_bucket", "+Inf"), ("took_sum",), ("took_count",),
    } == zeros  # fmt: skip


@pytest.mark.parametrize("again", ["reset", "removed", "cleared"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_series_that_begins_anew_has_a_zero_after_its_last_value(again: str, count: int) -> None:
    """So a value that has reached or overtaken the old one is seen as a new count."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    counter.labels("a").inc(3)
    tracker.changed(STARTED_AT + 5, 5.0)
    if again == "reset":
        counter.labels("a").reset()
    elif again == "removed":
        counter.remove("a")
    else:
        counter.clear()
    counter.labels("a").inc(count)
    assert [(7.5, 0.0), (10.0, count)] == timeline(tracker.changed(STARTED_AT + 10, 10.0))


def test_a_histogram_that_was_reset_reports_buckets_with_the_same_count() -> None:
    """Each bucket has a zero and then its value, although that is the value of before."""
    histogram = Histogram("took", "d", registry=None, buckets=[1])
    tracker = tracker_of(histogram)
    histogram.observe(0.5)
    tracker.changed(STARTED_AT + 5, 5.0)
    histogram.reset()
    histogram.observe(0.5)
    samples = tracker.changed(STARTED_AT + 10, 10.0)
    by_series: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        by_series.setdefault(repr((sample.name, sample.labels)), []).extend(timeline([sample]))
    value = {"sum": 0.5}
    assert 4 == len(by_series)
    for name, points in by_series.items():
        assert [(7.5, 0.0), (10.0, value.get("sum" if "_sum" in name else "", 1.0))] == points


def test_a_series_that_was_away_for_a_collection_was_zero_then() -> None:
    """The time of the zero is that of the last collection without the series."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    counter.labels("a").inc(3)
    tracker.changed(STARTED_AT + 5, 5.0)
    counter.remove("a")
    tracker.changed(STARTED_AT + 10, 10.0)
    counter.labels("a").inc(4)
    assert [(10.0, 0.0), (15.0, 4.0)] == timeline(tracker.changed(STARTED_AT + 15, 15.0))


def test_another_client_of_the_same_identity_goes_on_with_the_series() -> None:
    """It begins only series that the first one has not reported."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    counter.labels("a").inc(3)
    tracker_of(counter, "pool").changed(STARTED_AT + 5, 5.0)
    counter.labels("a").inc(4)
    counter.labels("b").inc(1)
    second = tracker_of(counter, "pool", STARTED_AT + 8)
    samples = second.changed(STARTED_AT + 10, 10.0)
    assert [(8.0, 0.0), (10.0, 1.0)] == timeline([s for s in samples if s.labels["pool"] == "b"])
    assert [(10.0, 7.0)] == timeline([s for s in samples if s.labels["pool"] == "a"])
    elsewhere = tracker_of(counter, "another pool", STARTED_AT + 8)
    zeros = [s for s in elsewhere.changed(STARTED_AT + 10, 10.0) if s.value == 0.0]
    assert ["a", "b"] == [sample.labels["pool"] for sample in zeros]


def test_a_zero_that_was_dropped_is_sent_again_with_its_time() -> None:
    """It comes before the next report, once."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc(3)
    tracker = tracker_of(counter)
    zero, value = tracker.changed(STARTED_AT + 5, 5.0)
    zero.note_dropped()
    value.note_dropped()
    counter.inc()
    assert [(0.0, 0.0), (10.0, 4.0)] == timeline(tracker.changed(STARTED_AT + 10, 10.0))
    counter.inc()
    assert [(15.0, 5.0)] == timeline(tracker.changed(STARTED_AT + 15, 15.0))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["inc", "reset", "remove", "collect"]),
            st.sampled_from("ab"),
            st.floats(0.0, 3.0),
        ),
        max_size=40,
    )
)
def test_the_increases_add_up_to_what_was_counted(steps: list[tuple[str, str, float]]) -> None:
    """Whatever happens between collections, a reader of the samples counts what was collected.

    What was counted between a collection and a reset or a removal was in no collection.
    """
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    at = STARTED_AT
    samples: list[StampedSample] = []
    counted = {"a": 0, "b": 0}
    uncollected = {"a": 0, "b": 0}
    for step, pool, seconds in [*steps, ("collect", "a", 0.0)]:
        at += seconds
        if step == "inc":
            counter.labels(pool).inc()
            uncollected[pool] += 1
        elif step == "reset":
            counter.labels(pool).reset()
            uncollected[pool] = 0
        elif step == "remove":
            counter.remove(pool)
            uncollected[pool] = 0
        else:
            samples += tracker.changed(at, at)
            for name, count in uncollected.items():
                counted[name] += count
                uncollected[name] = 0
    for name, count in counted.items():
        points = [(s.timestamp, s.value) for s in samples if s.labels == {"pool": name}]
        assert sorted(points, key=lambda point: point[0]) == points
        values = [value for _, value in points]
        steps_up = pairwise(values)
        assert count == sum(new - old if new >= old else new for old, new in steps_up)
        milliseconds = [int(at * 1000) for at, _ in points]
        growing = [value for value, ms, after in zip(values, milliseconds, milliseconds[1:],
                   strict=False) if ms == after and value == 0.0]  # fmt: skip
        assert [] == growing, "a zero is in the same millisecond as the value that follows it"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=30))
def test_whoever_reads_the_changes_knows_every_value(steps: list[tuple[str, int]]) -> None:
    """After every turn, all samples sent so far add up to what the instrument holds."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    tracker = tracker_of(counter)
    known: Found = {}
    for now, (pool, amount) in enumerate(steps):
        counter.labels(pool).inc(amount)
        known.update(changes(tracker, now * 20.0))
        (family,) = counter.collect()
        assert {(s.name, s.labels["pool"]): s.value for s in family.samples} == known

"""Which samples of the package's own instruments the tracker sends."""

from __future__ import annotations

import math
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
TAKEN_AT = 1_700_000_000.5

Found = dict[tuple[str, ...], float]


def tracker_of(instrument: Instrument) -> InstrumentTracker:
    def rest(_seconds: float) -> None:
        raise AssertionError("there is nothing to rest from")

    return InstrumentTracker(instrument, REFRESH_INTERVAL, Pacer(lambda: -math.inf, rest))


def found(samples: list[StampedSample]) -> Found:
    """Return the samples' values by name and label values, and check that samples have a time."""
    assert {TAKEN_AT} >= {sample.timestamp for sample in samples}
    values = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert len(values) == len(samples)
    return values


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
    tracker.send_anew({id(sample.label_set) for sample in dropped})
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

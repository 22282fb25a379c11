"""Long loops let other threads through."""

from __future__ import annotations

from itertools import pairwise

from noetl_metrics_sdk import Counter
from noetl_metrics_sdk.collection.instrument_tracker import InstrumentTracker
from noetl_metrics_sdk.process.pacing import REST_SECONDS, SLICE_SECONDS, Pacer


class WorkingTime:
    """A clock that goes on by a fixed time at every reading, and notes when a thread rests."""

    def __init__(self, seconds_a_reading: float) -> None:
        self.now = 0.0
        self.seconds_a_reading = seconds_a_reading
        self.rested_at: list[float] = []

    def monotonic(self) -> float:
        self.now += self.seconds_a_reading
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds == REST_SECONDS
        self.rested_at.append(self.now)
        self.now += seconds


def test_a_slice_ends_with_a_rest() -> None:
    """A rest comes when the slice is over, and not before; then the next slice begins."""
    time = WorkingTime(0.0)
    pacer = Pacer(time.monotonic, time.sleep)
    pacer.start()
    pacer.rest_if_due()
    time.now = SLICE_SECONDS * 0.9
    pacer.rest_if_due()
    assert [] == time.rested_at
    time.now = SLICE_SECONDS
    pacer.rest_if_due()
    pacer.rest_if_due()
    assert [SLICE_SECONDS] == time.rested_at


def test_collecting_many_series_rests_in_between() -> None:
    """For however many series, no thread waits longer than a slice and a few dozen of them."""
    counter = Counter("jobs", "d", ["number"], registry=None)
    for number in range(2_000):
        counter.labels(number).inc()
    seconds_a_reading = SLICE_SECONDS / 4
    time = WorkingTime(seconds_a_reading)
    pacer = Pacer(time.monotonic, time.sleep)
    pacer.start()
    samples = InstrumentTracker(counter, 60.0, pacer, 0.0).changed(1.0, 0.0)
    assert [0.0, 1.0] * 2_000 == [sample.value for sample in samples]
    apart = [later - earlier for earlier, later in pairwise(time.rested_at)]
    assert len(apart) > 3
    assert max(apart) <= SLICE_SECONDS + REST_SECONDS + 2 * seconds_a_reading

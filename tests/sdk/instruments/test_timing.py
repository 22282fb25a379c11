"""Timers, exception counters and in-progress trackers as context managers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from noetl_metrics_sdk import Counter, Gauge, Histogram, InvalidMetricError, Registry
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK


class Stopwatch:
    """A clock that the timed code itself moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", stopwatch)
    return stopwatch


def value_of(instrument: Counter | Gauge) -> float:
    (family,) = instrument.collect()
    (sample,) = family.samples
    return sample.value


def sum_of(histogram: Histogram) -> float:
    (family,) = histogram.collect()
    return {sample.name: sample.value for sample in family.samples}[f"{histogram.name}_sum"]


def test_gauge_tracks_what_is_in_progress() -> None:
    """`track_inprogress()` raises the gauge for as long as the block runs."""
    gauge = Gauge("running", "d", registry=None)
    with gauge.track_inprogress(), gauge.track_inprogress():
        during = value_of(gauge)
    assert (2.0, 0.0) == (during, value_of(gauge))


def test_gauge_is_set_to_a_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    """`time()` sets the gauge to the seconds that the last block took."""
    gauge = Gauge("last_seconds", "d", registry=None)  # this reads the clock, too
    readings = iter([10.0, 12.5, 20.0, 21.0])
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: next(readings))
    for _ in range(2):
        with gauge.time():
            pass
    assert 1.0 == value_of(gauge)


def test_counter_counts_exceptions() -> None:
    """`count_exceptions()` counts an exception that leaves the block, and lets it pass."""
    counter = Counter("errors", "d", registry=None)
    for error in (KeyError(1), ValueError(2), KeyboardInterrupt()):
        with pytest.raises(type(error)), counter.count_exceptions():
            raise error
    with counter.count_exceptions():
        pass
    assert 2.0 == value_of(counter)


@pytest.mark.parametrize(
    ("exceptions", "count"), [(KeyError, 1.0), ((KeyError, OSError), 2.0), (BaseException, 3.0)]
)
def test_counter_counts_the_exceptions_it_is_told(exceptions: Any, count: float) -> None:
    """Only the given classes and their subclasses are counted."""
    counter = Counter("errors", "d", registry=None)
    for error in (KeyError(1), FileNotFoundError(), SystemExit()):
        with pytest.raises(type(error)), counter.count_exceptions(exceptions):
            raise error
    assert count == value_of(counter)


def test_labels_are_chosen_within_the_block(stopwatch: Stopwatch) -> None:
    """The block may choose a timer's labels when it knows them, before its end."""
    registry = Registry()
    histogram = Histogram("seconds", "d", ["status"], registry=registry)
    with histogram.time() as timer:
        stopwatch.work(2)
        timer.labels("ok")
    with histogram.time() as timer:
        stopwatch.work(3)
        timer.labels(status="failed")
    value = registry.get_sample_value
    assert [2.0, 3.0] == [value("seconds_sum", {"status": s}) for s in ("ok", "failed")]


def test_labels_that_were_never_chosen_are_missed() -> None:
    """A timer that still lacks its labels at the end raises, and says what to call."""
    histogram = Histogram("seconds", "d", ["status"], registry=None)
    with pytest.raises(InvalidMetricError, match=r"call .labels\(status=…\) on it first"):  # noqa: SIM117 - the error comes from the end of the inner block
        with histogram.time():
            pass


def test_timer_tells_its_duration(stopwatch: Stopwatch) -> None:
    """After the block the timer has its duration, as with prometheus_client."""
    with Histogram("seconds", "d", registry=None).time() as timer:
        before = timer.duration
        stopwatch.work(2.5)
    assert (None, 2.5) == (before, timer.duration)


def test_timer_can_be_used_again(stopwatch: Stopwatch) -> None:
    """One timer may time one block after the other."""
    registry = Registry()
    timer = Histogram("seconds", "d", registry=registry).time()
    for seconds in (1, 2):
        with timer:
            stopwatch.work(seconds)
    assert (3.0, 2) == (registry.get_sample_value("seconds_sum"), timer.duration)


def test_timers_of_one_histogram_nest(stopwatch: Stopwatch) -> None:
    """A function that times itself and calls itself observes the duration of each call."""
    histogram = Histogram("seconds", "d", registry=None)
    durations: list[float | None] = []

    def countdown(number: int) -> None:
        with histogram.time() as timer:
            stopwatch.work(1)
            if number:
                countdown(number - 1)
            stopwatch.work(1)
        durations.append(timer.duration)

    countdown(2)
    assert [2.0, 4.0, 6.0] == durations
    assert 12.0 == sum_of(histogram)


def test_timers_of_one_histogram_overlap(stopwatch: Stopwatch) -> None:
    """A timer that begins while another one runs may end after it; each has its own time."""
    histogram = Histogram("seconds", "d", registry=None)
    first, second = histogram.time(), histogram.time()
    first.__enter__()
    stopwatch.work(1)
    second.__enter__()
    stopwatch.work(2)
    first.__exit__(None, None, None)
    stopwatch.work(4)
    second.__exit__(None, None, None)
    assert (3.0, 6.0, 9.0) == (first.duration, second.duration, sum_of(histogram))


def test_a_new_timer_knows_nothing_of_the_last_one(stopwatch: Stopwatch) -> None:
    """A timer that is made after another one has ended begins without its duration."""
    before = Histogram("before_seconds", "d", registry=None)
    after = Histogram("after_seconds", "d", registry=None)
    with before.time():
        stopwatch.work(1)
    timer = after.time()
    duration_at_first = timer.duration
    with timer:
        stopwatch.work(2)
    assert (None, 2.0) == (duration_at_first, timer.duration)
    assert (1.0, 2.0) == (sum_of(before), sum_of(after))


def test_a_block_that_raises_is_timed_alone(stopwatch: Stopwatch) -> None:
    """An exception ends the inner timer and leaves the outer one running."""
    histogram = Histogram("seconds", "d", registry=None)
    with histogram.time() as outer:
        stopwatch.work(1)
        with pytest.raises(KeyError), histogram.time() as inner:  # noqa: PT012 - the work is timed
            stopwatch.work(2)
            raise KeyError
        stopwatch.work(4)
    assert (2.0, 7.0) == (inner.duration, outer.duration)


def test_timers_of_interleaved_tasks(stopwatch: Stopwatch) -> None:
    """Tasks that wait for each other within timed blocks each observe their own time."""
    histogram = Histogram("seconds", "d", registry=None)

    async def job(turns: int) -> float | None:
        with histogram.time() as timer:
            for _ in range(turns):
                stopwatch.work(1)
                await asyncio.sleep(0)
        return timer.duration

    async def jobs() -> list[float | None]:
        return list(await asyncio.gather(job(1), job(2), job(3)))

    # Each turn of a task lasts a second: they come as 1 2 3, 2 3, 3.
    assert [3.0, 4.0, 4.0] == asyncio.run(jobs())
    assert 11.0 == sum_of(histogram)


def test_timers_of_threads(stopwatch: Stopwatch) -> None:
    """A thread's timer keeps its own time while another thread times block after block."""
    histogram = Histogram("seconds", "d", registry=None)
    durations: list[float | None] = []

    def work() -> None:
        for _ in range(100):
            with histogram.time() as timer:
                stopwatch.work(1)
            durations.append(timer.duration)

    with histogram.time() as outer:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert ([1.0] * 100, 100.0) == (durations, outer.duration)
    assert 200.0 == sum_of(histogram)


DEEP_INSIDE = """
from noetl_metrics_sdk import Histogram
histogram = Histogram("seconds", "d", registry=None)
for depth in range(40, 60):
    nested = [histogram.time() for _ in range(3)]
    for _ in range(depth):
        nested = [nested]
    del nested
print("done")
"""


def test_timers_end_deep_inside_of_other_objects() -> None:
    """Timers that are freed with deeply nested objects leave the memory around them alone."""
    environment = {**os.environ, "PYTHONMALLOC": "debug"}  # aborts where memory is broken
    ended = subprocess.run(
        [sys.executable, "-c", DEEP_INSIDE],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "done\n", "") == (ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("wrong", [len, lambda: None, int, "OSError", None, (OSError, len)])
def test_count_exceptions_without_brackets_is_refused(wrong: Any) -> None:
    """`@COUNTER.count_exceptions` is refused when it decorates; the error shows the brackets."""
    counter = Counter("errors", "d", registry=None)
    with pytest.raises(TypeError, match=r"empty brackets: @….count_exceptions\(\)"):
        counter.count_exceptions(wrong)


@pytest.mark.parametrize("kinds", [OSError, (), (KeyError, (OSError,)), BaseException])
def test_count_exceptions_takes_classes(kinds: Any) -> None:
    """It takes an exception class, or a tuple of them as `except` does."""
    counter = Counter("errors", "d", registry=None)
    with contextlib.suppress(OSError), counter.count_exceptions(kinds):
        raise OSError
    assert (0.0 if kinds == () else 1.0) == counter.value


@pytest.mark.parametrize(
    "method",
    [
        Histogram("seconds", "d", registry=None).time,
        Gauge("running", "d", registry=None).track_inprogress,
    ],
)
def test_timer_without_brackets_is_refused(method: Any) -> None:
    """`@HISTOGRAM.time` and `@GAUGE.track_inprogress` raise when they decorate."""
    with pytest.raises(TypeError, match="argument"):
        method(len)

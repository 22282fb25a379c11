"""Instruments under threads, signal handlers, and code that runs in between."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk import (
    Counter,
    DuplicateMetricError,
    Gauge,
    Histogram,
    Registry,
    Summary,
    track_job,
)
from noetl_metrics_sdk.instruments.locking import NEEDS_LOCK
from noetl_metrics_sdk.instruments.sketch import QuantileSketch
from tests.sdk.interruption import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Instruments = Counter | Gauge | Histogram | Summary

THREADS = 8
ROUNDS = 2_000
# A binary fraction: its sums are exact, in whatever order they are made.
AMOUNT = 0.5


def as_built(_: Instruments) -> None:
    """Let the build decide whether an instrument takes its lock."""


def under_the_lock(instrument: Instruments) -> None:
    """Have an instrument take its lock for every change, as on a free-threaded interpreter."""
    instrument.definition.updates_directly = False
    instrument._direct = False


# In an interpreted build the two are the same.
WAYS = [as_built] if NEEDS_LOCK else [as_built, under_the_lock]
in_both_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True)
def _switch_threads_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(work: Callable[[int], object], threads: int = THREADS) -> None:
    """Run `work(number)` in threads that start together, and raise what any of them raised."""
    barrier = threading.Barrier(threads)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's thread
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]


def repeat(work: Callable[[int], None], rounds: int = ROUNDS) -> None:
    for number in range(rounds):
        work(number)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Repeat some work in another thread, at least once, while the block runs."""
    done = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while True:
                work()
                if done.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if errors:
        raise errors[0]


@in_both_ways
def test_counter_loses_nothing(way: Callable[[Instruments], None]) -> None:
    """A counter's total is exact after concurrent increments."""
    registry = Registry()
    counter = Counter("jobs", "d", registry=registry)
    way(counter)
    in_threads(lambda _: repeat(lambda n: counter.inc(AMOUNT)))
    assert THREADS * ROUNDS * AMOUNT == registry.get_sample_value("jobs_total")


@in_both_ways
def test_labelled_counter_loses_nothing(way: Callable[[Instruments], None]) -> None:
    """Several threads that make a child at the same time get the same child."""
    registry = Registry()
    counter = Counter("jobs", "d", ["pool"], registry=registry)
    way(counter)

    def work(_: int) -> None:
        for number in range(ROUNDS):
            counter.labels(number % 50).inc()

    in_threads(work)
    (family,) = counter.collect()
    expected = {str(pool): float(THREADS * ROUNDS / 50) for pool in range(50)}
    assert expected == {sample.labels["pool"]: sample.value for sample in family.samples}


def test_overflow_is_counted_exactly() -> None:
    """Concurrent calls of `labels()` keep to the cap, and each call beyond it is counted."""
    counter = Counter("jobs", "d", ["pool"], registry=None, max_series=10)
    in_threads(lambda thread: repeat(lambda n: counter.labels((thread, n)).inc(), 100))
    (family,) = counter.collect()
    total = sum(sample.value for sample in family.samples)
    assert (THREADS * 100, 11) == (total, len(family.samples))
    assert THREADS * 100 - 10 == counter.overflowed


@in_both_ways
def test_gauge_loses_nothing(way: Callable[[Instruments], None]) -> None:
    """A gauge that threads raise and lower equally often ends with its first value."""
    registry = Registry()
    gauge = Gauge("running", "d", registry=registry)
    way(gauge)

    def work(_: int) -> None:
        for _round in range(ROUNDS):
            gauge.inc(3)
            gauge.dec(AMOUNT)

    in_threads(work)
    assert THREADS * ROUNDS * (3 - AMOUNT) == registry.get_sample_value("running")


@in_both_ways
@pytest.mark.parametrize("instrument", [Histogram, Summary])
def test_collection_never_sees_half_an_observation(
    instrument: type[Histogram | Summary], way: Callable[[Instruments], None]
) -> None:
    """While threads observe, sum, count and buckets agree in every collection."""
    made = instrument("seconds", "d", ["pool"], registry=None)
    way(made)
    made.labels("a")

    def check() -> None:
        (family,) = made.collect()
        found = {
            sample.labels.get("le", sample.name.removeprefix("seconds")): sample.value
            for sample in family.samples
            if "quantile" not in sample.labels
        }
        expected = found["_count"] * AMOUNT
        assert expected == found["_sum"]
        assert {found["_count"]} == {
            found.get(le, found["_count"]) for le in ("0.5", "1.0", "+Inf")
        }

    with meanwhile(check):
        in_threads(lambda _: repeat(lambda n: made.labels("a").observe(AMOUNT)))
    check()
    (family,) = made.collect()
    values = {sample.name: sample.value for sample in family.samples}
    assert THREADS * ROUNDS == values["seconds_count"]


@in_both_ways
def test_summary_window_loses_nothing(way: Callable[[Instruments], None]) -> None:
    """The sketch has counted every concurrent observation."""
    summary = Summary("seconds", "d", registry=None)
    way(summary)

    def work(thread: int) -> None:
        for number in range(ROUNDS):
            summary.observe(thread * 7.0 + number)

    with meanwhile(summary.collect):
        in_threads(work)
    (sketch,) = summary._window.snapshot(0.0)
    assert THREADS * ROUNDS == sketch.count


def test_series_may_be_removed_while_they_count() -> None:
    """Removing, clearing and collecting do not disturb threads that make the same series."""
    counter = Counter("jobs", "d", ["pool"], registry=None)

    def forget() -> None:
        counter.remove(3)
        counter.remove_by_labels({"pool": 4})
        counter.collect()
        counter.clear()

    with meanwhile(forget):
        in_threads(lambda _: repeat(lambda n: counter.labels(n % 9).inc()))
    counter.clear()
    assert [] == counter.collect()[0].samples


def test_jobs_of_many_threads_are_counted() -> None:
    """Threads may track the first job of a registry, and of a label set, at the same time."""
    registry = Registry()

    def work(thread: int) -> None:
        for number in range(100):
            labels: dict[str, Any] = {f"label_{number % 5}": "x"}
            with track_job("python", registry=registry, **labels):
                pass

    in_threads(work)
    processed = [family for family in registry.collect() if family.name == "noetl_jobs_processed"]
    running = [family for family in registry.collect() if family.name == "noetl_jobs_in_progress"]
    assert (1, 5) == (len(processed), len(processed[0].samples))
    assert {float(THREADS * 20)} == {sample.value for sample in processed[0].samples}
    assert {0.0} == {sample.value for sample in running[0].samples}


def test_one_name_is_registered_once() -> None:
    """If threads register one name, exactly one of them succeeds."""
    registry = Registry()
    refused: list[DuplicateMetricError] = []

    def work(_: int) -> None:
        try:
            Counter("jobs", "d", registry=registry)
        except DuplicateMetricError as error:
            refused.append(error)

    in_threads(work)
    assert (1, THREADS - 1) == (len(registry.collectors()), len(refused))


def test_signal_handler_does_not_deadlock() -> None:
    """A handler may use an instrument whose lock its own thread holds."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    before = signal.signal(signal.SIGUSR1, lambda *_: counter.labels("a").inc())
    try:
        with counter.definition.lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [1.0] == [sample.value for sample in counter.collect()[0].samples]


@in_both_ways
def test_signal_handlers_lose_nothing(way: Callable[[Instruments], None]) -> None:
    """Totals are exact if a handler counts too, wherever it interrupts."""
    counter = Counter("jobs", "d", registry=None)
    histogram = Histogram("seconds", "d", registry=None)
    summary = Summary("sizes", "d", registry=None)
    for instrument in (counter, histogram, summary):
        way(instrument)
    observed = count()
    handled = 0

    def observe() -> None:
        counter.inc()
        histogram.observe(AMOUNT)
        summary.observe(AMOUNT)
        next(observed)

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1
        observe()

    over = threading.Event()
    interrupted_thread = threading.get_ident()

    def interrupt() -> None:
        while not over.is_set():
            signal.pthread_kill(interrupted_thread, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        while handled < ROUNDS:
            observe()
    finally:
        over.set()
        interrupter.join()
        signal.signal(signal.SIGUSR1, before)
    total = next(observed)
    values = [
        sample.value
        for instrument in (counter, histogram, summary)
        for sample in instrument.collect()[0].samples
        if sample.name.endswith(("_total", "_count"))
    ]
    assert [total, total, total] == values
    assert [total] == [s.count for s in summary._window.snapshot(0.0)]


def fold(sketch: QuantileSketch) -> QuantileSketch:
    for power in range(sketch.positive.size_max):
        sketch.positive.add(power, 1)
    return sketch


def observe_in_new_series(_: Registry) -> tuple[Callable[[], object], Callable[[], float]]:
    summary = Summary("sizes", "d", ["pool"], registry=None, quantiles=[1])

    def total() -> float:
        (family,) = summary.collect()
        return {sample.name: sample.value for sample in family.samples}["sizes_count"]

    return (lambda: summary.labels("a").observe(3)), total


def observe_and_collect(_: Registry) -> tuple[Callable[[], object], Callable[[], float]]:
    summary = Summary("sizes", "d", registry=None)

    def work() -> None:
        summary.observe(3)
        summary.collect()

    return work, lambda: sum(s.count for s in summary._window.snapshot(0.0))


def add_to_a_full_sketch(_: Registry) -> tuple[Callable[[], object], Callable[[], float]]:
    sketch = fold(QuantileSketch(0.01))
    values = iter([1e200, 1e201])

    def total() -> float:
        sketch.quantiles([0.0, 1.0])
        return sketch.count - sketch.positive.size_max

    return (lambda: sketch.add(next(values))), total


def track_new_labels(registry: Registry) -> tuple[Callable[[], object], Callable[[], float]]:
    def work() -> None:
        with track_job("python", registry=registry, pool="a"):
            pass

    labels = {"job_type": "python", "pool": "a", "status": "completed", "exception": ""}
    name = "noetl_jobs_processed_total"
    return work, lambda: registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    "case", [observe_in_new_series, observe_and_collect, add_to_a_full_sketch, track_new_labels]
)
def test_code_in_between_loses_nothing(
    case: Callable[[Registry], tuple[Callable[[], object], Callable[[], float]]],
) -> None:
    """If a handler observes in the middle of an observation, both are counted."""
    totals = []
    for point in count(1):
        registry = Registry()
        with track_job("first", registry=registry):
            pass
        work, total = case(registry)
        if not interrupted(point, work, work):
            break
        totals.append(total())
    assert len(totals) > 5
    assert totals == [2.0] * len(totals)

"""What one increment, one observation and one timed block cost.

Usage: ./scripts/bench hot-path [--rounds N] [--calls N] [--json FILE]
"""

from __future__ import annotations

import threading
from functools import partial
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

from contenders import Instruments, all_instruments
from rounds import medians
from tables import LIMIT, OURS, Report, arguments, introduce, publish

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE = 0.3
THREADS = 8


def empty() -> None:
    """Do nothing: the limit of a call without an argument."""


def empty_with_value(_value: float) -> None:
    """Do nothing: the limit of a call with one."""


class EmptyBlock:
    """Does nothing: the limit of a timed block."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


# Each loop is written out, so that every contender runs the same bytecode but for the name of the
# method. The loop's own cost is not subtracted.


def loop_inc(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.inc()


def loop_inc_amount(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.inc(2.5)


def loop_set(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.set(VALUE)


def loop_labels(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.labels("a", "b").inc()


def loop_observe(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.observe(VALUE)


def loop_time(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        with it.time():
            pass


def loop_add_one(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.add(1)


def loop_add_amount(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.add(2.5)


def loop_add_attributes(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.add(1, {"method": "a", "status": "b"})


def loop_record(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.record(VALUE)


def loop_increment(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.increment("jobs")


def loop_increment_amount(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.increment("jobs", 2.5)


def loop_increment_tags(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.increment("requests", tags=["method:a", "status:b"])


def loop_gauge(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it.gauge("running", VALUE)


def loop_empty(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it()


def loop_empty_with_value(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        it(VALUE)


def loop_empty_block(it: Any, calls: int) -> None:
    for _ in repeat(None, calls):
        with it():
            pass


# Each row has the instrument, and four loops: for contenders with prometheus_client's interface,
# for OpenTelemetry, for datadog, and for the limit, with the callable of the limit.
ROWS: dict[str, tuple[str, Any, Any, Any, tuple[Any, Any]]] = {
    "Counter.inc()": (
        "counter", loop_inc, loop_add_one, loop_increment, (loop_empty, empty),
    ),
    "Counter.inc(2.5)": (
        "counter", loop_inc_amount, loop_add_amount, loop_increment_amount,
        (loop_empty_with_value, empty_with_value),
    ),
    "Gauge.set(0.3)": (
        "gauge", loop_set, loop_set, loop_gauge, (loop_empty_with_value, empty_with_value),
    ),
    'counter.labels("a", "b").inc()': (
        "labelled", loop_labels, loop_add_attributes, loop_increment_tags, (loop_empty, empty),
    ),
    "Histogram.observe(0.3)": (
        "histogram", loop_observe, loop_record, None, (loop_empty_with_value, empty_with_value),
    ),
    "Summary.observe(0.3)": (
        "summary", loop_observe, None, None, (loop_empty_with_value, empty_with_value),
    ),
    "with histogram.time():": (
        "histogram", loop_time, None, None, (loop_empty_block, EmptyBlock),
    ),
}  # fmt: skip


def main() -> None:
    """Measure every row and publish the tables."""
    chosen = arguments(__doc__, rounds=15, calls=100_000)
    introduce()
    everyone = all_instruments()
    report = Report("One call", "ns (loop included)")
    for row in ROWS:
        report.add(row, medians(timers(row, everyone, chosen.calls), chosen.rounds))
    threads = Report("Eight threads on one counter", "increments/s", smaller_is_better=False)
    contenders = {
        name: partial(throughput, it.counter, counting_loop(name), chosen.calls)
        for name, it in everyone.items()
    }
    contenders[LIMIT] = partial(throughput, empty, loop_empty, chosen.calls)
    threads.add("counter.inc() in eight threads", medians(contenders, chosen.rounds))
    check_totals(everyone, chosen)
    publish([report, threads], chosen.json)


def timers(
    row: str, everyone: dict[str, Instruments], calls: int
) -> dict[str, Callable[[], float]]:
    """Return for each contender a function that times its loop, in ns a call."""
    instrument, pull, otel, dogstatsd, (limit_loop, limit) = ROWS[row]
    loops = {
        OURS: pull,
        "prometheus_client": pull,
        "opentelemetry": otel,
        "datadog": dogstatsd,
    }
    found: dict[str, Callable[[], float]] = {
        name: timer(getattr(it, instrument), loops[name], calls)
        for name, it in everyone.items()
        if loops[name] is not None
    }
    return {**found, LIMIT: timer(limit, limit_loop, calls)}


def timer(it: Any, loop: Callable[[Any, int], None], calls: int) -> Callable[[], float]:
    """Return a function that runs a loop once and returns the ns a call."""

    def measure() -> float:
        started_at = perf_counter()
        loop(it, calls)
        return (perf_counter() - started_at) / calls * 1e9

    return measure


def counting_loop(name: str) -> Callable[[Any, int], None]:
    """Return the loop that increments a contender's counter."""
    return {"opentelemetry": loop_add_one, "datadog": loop_increment}.get(name, loop_inc)


def throughput(it: Any, loop: Callable[[Any, int], None], calls: int) -> float:
    """Return the increments a second of eight threads that begin together."""
    barrier = threading.Barrier(THREADS + 1)

    def work() -> None:
        barrier.wait()
        loop(it, calls)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    started_at = perf_counter()
    for thread in threads:
        thread.join()
    return THREADS * calls / (perf_counter() - started_at)


def check_totals(everyone: dict[str, Instruments], chosen: Any) -> None:
    """Compare our counter and prometheus_client's with their increments, and print both.

    Raises:
        AssertionError: an increment was lost.
    """
    expected = chosen.rounds * chosen.calls * (1 + 2.5 + THREADS)
    for name in (OURS, "prometheus_client"):
        if name in everyone:
            (family,) = everyone[name].counter.collect()
            total = family.samples[0].value
            print(f"{name}: {total:,.0f} of {expected:,.0f} counted, {THREADS} threads and one")
            assert total == expected, f"{name} lost {expected - total}"


if __name__ == "__main__":
    main()

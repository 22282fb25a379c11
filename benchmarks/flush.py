"""What it costs to deliver 10,000 series, and how long it keeps other threads waiting.

Usage: ./scripts/bench flush [--rounds N] [--series N] [--json FILE]
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from contenders import is_installed
from exporters import opentelemetry, ours, prometheus, serialized_only
from rounds import medians
from tables import LIMIT, OURS, Report, arguments, introduce, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporters import Exporter


def main() -> None:
    """Measure and publish the tables."""
    chosen = arguments(__doc__, rounds=15, series=10_000)
    introduce()
    with answering_server() as url:
        everyone = make_exporters(url, chosen.series)
        cpu = Report(f"A flush of {chosen.series:,} series", "ms of CPU time")
        for row, is_changed in (("all have changed", True), ("nothing has changed", False)):
            add_rows(cpu, row, everyone, chosen.rounds, is_changed=is_changed)
        # From here on the garbage collector leaves alone what all the contenders have made: what a
        # thread waits for is this flush, not the other contenders' series.
        gc.collect()
        gc.freeze()
        waits = Report("The longest wait of another thread meanwhile", "ms")
        for name, exporters in everyone.items():
            if name != LIMIT:
                for kind, exporter in exporters.items():
                    measure_waits(waits, f"{name}, {kind}", exporter, chosen.rounds)
        show_waits(waits)
        publish([cpu], chosen.json, others=[waits])
        for exporters in everyone.values():
            for exporter in exporters.values():
                exporter.close()


def make_exporters(url: str, series: int) -> dict[str, dict[str, Exporter]]:
    """Return each contender's exporters, by what they do."""
    found = {OURS: {"gzip": ours(url, series), "plain": ours(f"{url}/plain", series)}}
    if is_installed("prometheus_client"):
        found["prometheus_client"] = {
            "push": prometheus(url, series, push=True),
            "collect() only": prometheus(url, series, push=False),
        }
    if is_installed("opentelemetry.exporter.otlp.proto.http"):
        found["opentelemetry"] = {"OTLP": opentelemetry(url, series)}
    if is_installed("orjson"):
        found[LIMIT] = {"orjson and gzip": serialized_only(series)}
    return found


def add_rows(
    report: Report,
    row: str,
    everyone: dict[str, dict[str, Exporter]],
    rounds: int,
    *,
    is_changed: bool,
) -> None:
    """Measure all exporters in interleaved rounds, and add a row for each of ours and of theirs."""
    contenders = {
        f"{name}|{kind}": timer(exporter, is_changed=is_changed)
        for name, exporters in everyone.items()
        for kind, exporter in exporters.items()
    }
    figures = medians(contenders, rounds)
    peers = {
        name: figures[f"{name}|{next(iter(exporters))}"]
        for name, exporters in everyone.items()
        if name != OURS
    }
    for kind in everyone[OURS]:
        report.add(f"{row}, {kind}", {OURS: figures[f"{OURS}|{kind}"], **peers})
    if "prometheus_client" in everyone:
        collected = {**peers, "prometheus_client": figures["prometheus_client|collect() only"]}
        collected[OURS] = figures[f"{OURS}|gzip"]
        report.add(f"{row}, to their collect()", collected)


def timer(exporter: Exporter, *, is_changed: bool) -> Callable[[], float]:
    """Return what delivers once and returns the ms of CPU that all threads have taken."""
    exporter.change()
    exporter.flush()

    def measure() -> float:
        if is_changed:
            exporter.change()
        started_at = process_time()
        exporter.flush()
        return (process_time() - started_at) * 1e3

    return measure


def measure_waits(report: Report, row: str, exporter: Exporter, rounds: int) -> None:
    """Add the median and the greatest of the longest waits, with and without a flush."""
    during: list[float] = []
    without: list[float] = []
    for _ in range(rounds):
        exporter.change()
        wait, seconds = longest_wait(exporter.flush)
        during.append(wait * 1e3)
        idle, _ = longest_wait(partial(threading.Event().wait, seconds))
        without.append(idle * 1e3)
    report.add(
        row,
        {
            "median": statistics.median(during),
            "greatest": max(during),
            "median without a flush": statistics.median(without),
            "greatest without a flush": max(without),
        },
    )


def longest_wait(work: Callable[[], object]) -> tuple[float, float]:
    """Do some work beside a thread that does nothing but look at the clock.

    Returns:
        The longest time between two of its looks, and how long the work took, in seconds.
    """
    started, done = threading.Event(), threading.Event()
    longest = 0.0

    def look() -> None:
        nonlocal longest
        started.set()
        before = perf_counter()
        while not done.is_set():
            now = perf_counter()
            longest = max(longest, now - before)
            before = now

    thread = threading.Thread(target=look)
    thread.start()
    started.wait()
    started_at = perf_counter()
    work()
    seconds = perf_counter() - started_at
    done.set()
    thread.join()
    return longest, seconds


def show_waits(report: Report) -> None:
    """Print the waits: their columns are no contenders."""
    print(f"\n{report.title}, {report.unit}")
    print(f"{'':34}{'median':>10}{'greatest':>10}{'idle: median':>16}{'greatest':>10}")
    for row, figures in report.rows.items():
        during, greatest, idle, greatest_idle = figures.values()
        print(f"{row:34}{during:>10.2f}{greatest:>10.2f}{idle:>16.2f}{greatest_idle:>10.2f}")


@contextmanager
def answering_server() -> Iterator[str]:
    """Run the server in a process of its own; yields its address."""
    program = Path(__file__).with_name("answering_server.py")
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


if __name__ == "__main__":
    main()

"""One contender of `flush.py`, in a process of its own, without the series of the others.

Usage: python benchmarks/exporting_process.py NAME KIND URL SERIES; reads the name of a measurement
from each line of its standard input, and answers each with figures in JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from functools import partial
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from exporters import MAKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters import Exporter


def changed(exporter: Exporter) -> list[float]:
    """Return the CPU time of all threads for a flush after every series has changed, in ms."""
    exporter.change()
    return unchanged(exporter)


def unchanged(exporter: Exporter) -> list[float]:
    """Return the CPU time of all threads for a flush without any change, in ms."""
    started_at = process_time()
    exporter.flush()
    return [(process_time() - started_at) * 1e3]


def waits(exporter: Exporter) -> list[float]:
    """Return the longest wait of another thread, beside a flush and without one, in ms."""
    exporter.change()
    during, seconds = longest_wait(exporter.flush)
    without, _ = longest_wait(partial(threading.Event().wait, seconds))
    return [during * 1e3, without * 1e3]


def longest_wait(work: Callable[[], object]) -> tuple[float, float]:
    """Do some work beside a thread that does nothing but read the clock.

    Returns:
        The longest time between two readings, and how long the work took, in seconds.
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


MEASUREMENTS = {"changed": changed, "unchanged": unchanged, "waits": waits}


def main() -> None:
    """Make the series, flush them once, and run the measurements that are asked for."""
    name, kind, url, series = sys.argv[1:]
    exporter = MAKERS[name, kind](url, int(series))
    exporter.flush()
    for line in sys.stdin:
        print(json.dumps(MEASUREMENTS[line.strip()](exporter)), flush=True)
    exporter.close()


if __name__ == "__main__":
    main()

"""A worker process: which records numbered samples and keeps a ledger of them outside the SDK.

Each line of the ledger is one `write()` to a file opened for appending, so that it survives
`kill -9` of the worker:

| line | meaning |
|---|---|
| `worker ID` | the label `worker_id` of this process |
| `will FIRST END` | from now on the samples FIRST to END - 1 may have been recorded |
| `did FIRST END` | these samples have been recorded |
| `safe FIRST END` | the SDK has said that these were sent, dropped, or are on disk |
| `end JSON` | the SDK's own ledger when the process ended |
"""

from __future__ import annotations

import atexit
import faulthandler
import json
import os
import random
import resource
import signal
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.chaos.assignment import Assignment
from tests.chaos.numbered import JOBS, LEVEL, OBSERVATION, SECONDS, numbered_sample

if TYPE_CHECKING:
    from noetl_metrics_sdk import MetricsClient

CHUNK_SAMPLES = 200
PENDING_SECONDS = 0.005
POOL = "chaos-pool"
CLOCK_JUMP_SECONDS = 6 * 3600
SHOW_STACKS = signal.SIGUSR1
"""Has a worker write on stderr where its threads are."""


class LedgerFile:
    """The ledger of a process, appended to line by line."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class JumpingClock:
    """A clock whose wall time jumps back and forth by hours after many readings."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._offset = 0.0

    def time(self) -> float:
        if self._chance.random() < 1 / CHUNK_SAMPLES:
            self._offset = self._chance.uniform(-CLOCK_JUMP_SECONDS, CLOCK_JUMP_SECONDS)
        return time.time() + self._offset

    def monotonic(self) -> float:
        return time.monotonic()


class Instruments:
    """A counter, a gauge and a histogram whose rows show when they are torn."""

    def __init__(self) -> None:
        from noetl_metrics_sdk import Counter, Gauge, Histogram  # noqa: PLC0415 - see main()

        self._jobs = Counter(JOBS, "Samples recorded")
        self._level = Gauge(LEVEL, "Last number")
        self._seconds = Histogram(SECONDS, "Always the same", buckets=[0.25, 0.5])

    def count(self, number: int) -> None:
        self._jobs.inc()
        self._level.set(number)
        self._seconds.observe(OBSERVATION)


class Worker:
    """The work of the process; a forked child does a part of it."""

    def __init__(self, assignment: Assignment, client: MetricsClient, ledger: LedgerFile) -> None:
        self._assignment = assignment
        self._client = client
        self._ledger = ledger
        self._instruments = Instruments() if assignment.instruments else None
        self._released = threading.Event()
        self._chance = random.Random(assignment.seed)

    def work(self) -> None:
        """Record the ordered samples, from the ordered number of threads."""
        order = self._assignment
        threading.Thread(target=self._wait_for_release, daemon=True).start()
        most = max(order.at_least, order.at_most)
        bounds = [order.first + most * n // order.threads for n in range(order.threads + 1)]
        threads = [
            threading.Thread(target=self._record, args=(*ends, order.at_least // order.threads))
            for ends in pairwise(bounds)
        ]
        for thread in threads:
            thread.start()
        for child in range(1, order.forks + 1):
            self._released.wait(self._chance.uniform(0.0, 0.1))  # in the midst of the recording
            self._fork(child)
        for thread in threads:
            thread.join()
        for _ in range(order.forks):
            if os.wait()[1] != 0:
                raise AssertionError("a forked child failed")
        if order.shutdown_seconds is not None:
            self._client.shutdown(order.shutdown_seconds)

    def _wait_for_release(self) -> None:
        sys.stdin.read()
        self._released.set()

    def _record(self, first: int, end: int, at_least: int) -> None:
        order = self._assignment
        flushed_at = safe_from = first
        for start in range(first, end, CHUNK_SAMPLES):
            stop = min(start + CHUNK_SAMPLES, end)
            if start - first >= at_least and self._released.is_set():
                return
            self._ledger.write("will", start, stop)
            for number in range(start, stop):
                self._record_one(number)
            self._ledger.write("did", start, stop)
            time.sleep(order.pace_seconds)
            while order.pending_max and self._pending() > order.pending_max:
                time.sleep(PENDING_SECONDS)
            if order.flush_after and stop - flushed_at >= order.flush_after:
                flushed_at = stop
                is_safe = self._flush()
                while order.first_flush_is_repeated and safe_from == first and not is_safe:
                    is_safe = self._flush()
                if is_safe:
                    self._ledger.write("safe", safe_from, stop)
                    safe_from = stop

    def _flush(self) -> bool:
        """Flush; return whether all that was recorded is safe now."""
        result = self._client.flush(self._assignment.flush_seconds)
        # Without a spool nothing is spooled, and only sent samples are safe.
        return result.pending == getattr(result, "spooled", 0)

    def _record_one(self, number: int) -> None:
        sample = numbered_sample(number)
        if not self._assignment.own_times:
            sample["timestamp"] = None
        self._client.record(**sample)
        if self._instruments is not None:
            self._instruments.count(number)

    def _pending(self) -> int:
        return self._client.stats().samples.pending

    def _fork(self, child: int) -> None:
        if os.fork() != 0:
            return
        order = self._assignment
        self._ledger = opened_ledger(f"{order.ledger}.{child}", self._client)
        first = order.first + order.at_least * child
        self._record(first, first + order.at_least, order.at_least)
        # The other half leaves the shutdown to the end of the process, like a worker that just
        # returns.
        if child % 2 and order.shutdown_seconds is not None:
            self._client.shutdown(order.shutdown_seconds)
        sys.exit()


def opened_ledger(path: str, client: MetricsClient) -> LedgerFile:
    """Return a ledger, which gets the SDK's own figures when the process ends."""
    ledger = LedgerFile(path)
    ledger.write("worker", client.worker_id)
    _ending.append((ledger, client))
    return ledger


_ending: list[tuple[LedgerFile, MetricsClient]] = []


def _write_end() -> None:
    ledger, client = _ending[-1]
    samples = client.stats().samples
    ledger.write("end", json.dumps(samples._asdict()))


def main() -> None:
    """Do what the first argument says."""
    # Registered before the SDK is imported: callbacks run in reverse, so the SDK's shutdown comes
    # first.
    atexit.register(_write_end)
    from noetl_metrics_sdk import MetricsClient  # noqa: PLC0415

    faulthandler.register(SHOW_STACKS)  # in forked children, too
    order = Assignment.from_json(sys.argv[1])
    if order.file_bytes_max:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes_max, order.file_bytes_max))
    client = MetricsClient(
        order.server_url,
        POOL,
        system_metrics=(),
        clock=JumpingClock(order.seed) if order.clock_jumps else None,
        **order.settings,
    )
    ledger = opened_ledger(order.ledger, client)
    client.start()
    Worker(order, client, ledger).work()

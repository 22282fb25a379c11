"""Read the figures of this process and of its garbage collector."""

from __future__ import annotations

import gc
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noetl_metrics_sdk.system.host import Guard, Point


class _CpuReading(NamedTuple):
    pid: int
    seconds: float
    taken_at: float


class ProcessMetrics:
    """The process's own figures, under Prometheus' names.

    Args:
        monotonic: the clock that CPU time is measured against, in seconds.
        process_time: returns the process's CPU time in seconds. It is finer than the clock ticks
            that psutil reads.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        process_time: Callable[[], float] = time.process_time,
    ) -> None:
        self._monotonic = monotonic
        self._process_time = process_time
        self._before: _CpuReading | None = None

    def read(self, guard: Guard) -> Iterator[Point]:
        """Yield the figures of the calling process."""
        with guard("process_cpu"):
            now = _CpuReading(os.getpid(), self._process_time(), self._monotonic())
            before, self._before = self._before, now
            yield "process_cpu_seconds_total", {}, now.seconds
            yield "process_cpu_usage_percent", {}, _usage_percent(before, now)
        with guard("process"):
            # Made anew for each reading: after a fork, an object that was kept would still stand
            # for the parent.
            process = psutil.Process()
            with process.oneshot():
                yield from _read_gauges(process, guard)
                with guard("process_context_switches"):
                    switches = process.num_ctx_switches()
                    name = "process_context_switches_total"
                    yield name, {"kind": "voluntary"}, switches.voluntary
                    yield name, {"kind": "involuntary"}, switches.involuntary


def _usage_percent(before: _CpuReading | None, now: _CpuReading) -> float | None:
    if before is None or before.pid != now.pid:
        return None
    elapsed, used = now.taken_at - before.taken_at, now.seconds - before.seconds
    return 100.0 * used / elapsed if elapsed > 0 and used >= 0 else None


def _read_gauges(process: psutil.Process, guard: Guard) -> Iterator[Point]:
    for name, figure in _GAUGES.items():
        with guard(name):
            yield name, {}, figure(process)


def _max_fds(process: psutil.Process) -> float | None:
    limit, _ = process.rlimit(psutil.RLIMIT_NOFILE)
    return None if limit == psutil.RLIM_INFINITY else limit


_GAUGES: dict[str, Callable[[psutil.Process], float | None]] = {
    "process_resident_memory_bytes": lambda process: process.memory_info().rss,
    "process_virtual_memory_bytes": lambda process: process.memory_info().vms,
    "process_open_fds": lambda process: process.num_fds(),
    "process_max_fds": _max_fds,
    "process_threads": lambda process: process.num_threads(),
    "process_start_time_seconds": lambda process: process.create_time(),
}


class GarbageCollector:
    """The counts of the interpreter's garbage collector, by generation."""

    def __init__(self) -> None:
        self._at_fork: list[dict[str, int]] = []

    def read(self, guard: Guard) -> Iterator[Point]:
        """Yield the counts since the process began or was forked."""
        with guard("garbage_collector"):
            for generation, counts in enumerate(gc.get_stats()):
                labels = {"generation": str(generation)}
                inherited = self._at_fork[generation] if self._at_fork else {}
                for name, field in _GC_FIELDS.items():
                    yield name, labels, counts[field] - inherited.get(field, 0)

    def reset_after_fork(self, guard: Guard) -> None:
        """Begin at zero, because the parent reports the counts from before the fork."""
        with guard("garbage_collector"):
            self._at_fork = gc.get_stats()


_GC_FIELDS = {
    "python_gc_objects_collected_total": "collected",
    "python_gc_objects_uncollectable_total": "uncollectable",
    "python_gc_collections_total": "collections",
}

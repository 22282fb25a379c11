"""An hour in a second: delivery threads that run one at a time, on a clock that jumps.

A thread of the code under test yields to the next one whenever it waits. When all threads wait, the
clock jumps to the first moment for which a thread waits. The same seed gives the same run.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = float("inf")


@dataclass
class _Task:
    """A thread, and what it waits for."""

    thread: threading.Thread | None = None
    may_run: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    until: float = 0.0
    predicate: Callable[[], bool] = lambda: False
    has_ended: bool = False


class Simulation:
    """Simulated time, with its threads and events. It is a `Clock`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._tasks: list[_Task] = []
        self._handed_back = threading.Semaphore(0)
        self._current: _Task | None = None

    def monotonic(self) -> float:
        """Return the simulated time of the monotonic clock, in seconds."""
        return self._now

    def time(self) -> float:
        """Return the simulated time in seconds since the epoch."""
        return 1_700_000_000.0 + self._now

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Call a function at a time."""
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def start(self, target: Callable[[], None]) -> None:
        """Add a thread; it runs when the simulation runs."""
        task = _Task()

        def run() -> None:
            task.may_run.acquire()
            try:
                target()
            finally:
                task.has_ended = True
                self._handed_back.release()

        task.thread = threading.Thread(target=run, daemon=True)
        task.thread.start()
        self._tasks.append(task)

    def wait(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float
    ) -> bool:
        """Wait as `Condition.wait_for` does, in simulated time."""
        condition.release()
        try:
            if not predicate():
                self.sleep(timeout, predicate)
        finally:
            condition.acquire()
        return predicate()

    def sleep(self, seconds: float, predicate: Callable[[], bool] = lambda: False) -> None:
        """Let simulated time pass for the calling thread, or less of it if a condition holds
        before."""
        task = self._current
        assert task is not None
        task.until, task.predicate = self._now + seconds, predicate
        self._handed_back.release()
        task.may_run.acquire()

    def run(self, until: float) -> None:
        """Run all threads and events up to a time."""
        while True:
            ready = next((task for task in self._alive() if task.predicate()), None)
            if ready is None:
                sleeper = min(self._alive(), key=lambda task: task.until, default=None)
                wakes_at = NEVER if sleeper is None else sleeper.until
                event_at = self._events[0][0] if self._events else NEVER
                if min(wakes_at, event_at) > until:
                    self._now = until
                    return
                self._now = max(self._now, min(wakes_at, event_at))
                if event_at <= wakes_at:
                    heapq.heappop(self._events)[2]()
                    continue
                ready = sleeper
            assert ready is not None
            self._let_run(ready)

    def _alive(self) -> list[_Task]:
        return [task for task in self._tasks if not task.has_ended]

    def _let_run(self, task: _Task) -> None:
        task.predicate = lambda: False
        self._current = task
        task.may_run.release()
        self._handed_back.acquire()
        self._current = None

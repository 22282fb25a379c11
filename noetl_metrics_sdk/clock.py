"""Time, passed in: what needs it takes a `Clock`, and a test hands it one that it moves."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """The two times there are."""

    def time(self) -> float:
        """Return the seconds since the epoch, to stamp samples with; it may jump."""
        ...

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes back, to measure and wait with."""
        ...


class SystemClock:
    """The operating system's clocks."""

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return the seconds of the monotonic clock."""
        return time.monotonic()


def seconds_until(deadline: float, clock: Clock) -> float:
    """Return how long a lock may be waited for until a deadline of the monotonic clock."""
    return min(max(0.0, deadline - clock.monotonic()), threading.TIMEOUT_MAX)

"""Time, passed in: code that needs the time takes a `Clock`, and a test gives it one to move."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks that this package reads."""

    def time(self) -> float:
        """Return the seconds since the epoch: samples are stamped with them, and they may jump."""
        ...

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes back, for measuring and for waiting."""
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
    """Return how many seconds a caller may wait for a lock until a deadline.

    Args:
        deadline: a time of the monotonic clock.
        clock: the clock.
    """
    return min(max(0.0, deadline - clock.monotonic()), threading.TIMEOUT_MAX)

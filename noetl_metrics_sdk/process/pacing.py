"""Run long loops in short slices, and let the worker's own threads run in between.

Compiled code does not give up the GIL inside a loop. Interpreted code gives it up only after
`sys.getswitchinterval()`, which is 5 ms by default. So a loop over thousands of series rests of its
own accord.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_SECONDS: Final = 0.001
"""How long a loop runs before it lets other threads run: a fifth of the switch interval."""

REST_SECONDS: Final = 0.00005
"""How long a rest is: long enough for a thread that waits for the GIL to wake up and take it."""

STEPS_BETWEEN_RESTS: Final = 64
"""After how many steps a loop asks whether a rest is due; each time it has to read a clock."""


@final
class Pacer:
    """Tells a loop when to rest; each thread has its own pacer.

    Args:
        monotonic: a monotonic clock, in seconds.
        sleep: waits for a number of seconds without holding the GIL.
    """

    __slots__ = ("_monotonic", "_rest_at", "_sleep")

    def __init__(self, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._rest_at = 0.0

    def start(self) -> None:
        """Begin a slice; called when the thread has just waited for something else."""
        self._rest_at = self._monotonic() + SLICE_SECONDS

    def rest_if_due(self) -> None:
        """Rest if the slice is over; called every few dozen steps of a loop."""
        if self._monotonic() >= self._rest_at:
            self.rest()

    def rest(self) -> None:
        """Let other threads run, and begin a new slice.

        A thread also calls this before and after a loop, if it has more to do before and after it.
        """
        self._sleep(REST_SECONDS)
        self.start()

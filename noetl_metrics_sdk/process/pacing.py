"""Long loops in short slices, with the worker's own threads let through in between.

Compiled code does not give up the GIL inside a loop, and interpreted code only after
`sys.getswitchinterval()`, 5 ms unless changed. A loop over thousands of series therefore rests
of its own accord.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_SECONDS: Final = 0.001
"""How long a loop runs before it lets others through: a fifth of the switch interval."""

REST_SECONDS: Final = 0.00005
"""Long enough for a thread that waits for the GIL to wake up and take it."""

STEPS_BETWEEN_RESTS: Final = 64
"""After how many steps of a loop it asks whether a rest is due: asking costs a clock's reading."""


@final
class Pacer:
    """Tells a loop when to rest; each thread has its own.

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
        """Begin a slice: the thread has just waited for something else."""
        self._rest_at = self._monotonic() + SLICE_SECONDS

    def rest_if_due(self) -> None:
        """Rest if the slice is over; called every few dozen steps of a loop."""
        if self._monotonic() >= self._rest_at:
            self.rest()

    def rest(self) -> None:
        """Let others through and begin a new slice.

        Called around a loop too if the thread has more to do before and after it.
        """
        self._sleep(REST_SECONDS)
        self.start()

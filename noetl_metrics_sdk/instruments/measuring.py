"""The clocks that instruments read: at every observation, and when their counts begin.

They are attributes of one object, and not names in the modules that read them. So a test can put
clocks of its own in their place, in the compiled build too, and compiled code finds them without
looking up a name.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from time import monotonic, perf_counter, time
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class MeasuringClock:
    """The clocks that measure durations and windows, in seconds.

    `epoch_offset` is what has to be added to a reading of `perf_counter` to have the seconds since
    the epoch. It is read once: a point in time that is told again and again stays the same, even if
    the wall clock is set meanwhile.
    """

    __slots__ = ("epoch_offset", "monotonic", "perf_counter")

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = monotonic
        self.perf_counter: Callable[[], float] = perf_counter
        self.epoch_offset = time() - perf_counter()


MEASURING_CLOCK: Final = MeasuringClock()

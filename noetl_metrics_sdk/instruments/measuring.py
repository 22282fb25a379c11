"""The clocks that instruments read at every observation.

They are attributes of one object, and not names of the modules that read them: a test can put
its own in their place in the compiled build too, and compiled code finds them without looking
up a name.
"""

from __future__ import annotations

from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class MeasuringClock:
    """What durations and windows are measured with, in seconds."""

    __slots__ = ("monotonic", "perf_counter")

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = monotonic
        self.perf_counter: Callable[[], float] = perf_counter


MEASURING_CLOCK: Final = MeasuringClock()

"""The clocks that instruments read at every observation.

They are attributes of one object, and not names in the modules that read them. So a test can put
clocks of its own in their place, in the compiled build too, and compiled code finds them without
looking up a name.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class MeasuringClock:
    """The clocks that measure durations and windows, in seconds."""

    __slots__ = ("monotonic", "perf_counter")

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = monotonic
        self.perf_counter: Callable[[], float] = perf_counter


MEASURING_CLOCK: Final = MeasuringClock()

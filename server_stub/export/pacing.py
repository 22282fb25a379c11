"""How long the export waits between two turns: it leaves the processor to inserts. Pure.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_FACTOR = 15.0
"""How many times as long as a turn the export waits, where there was a batch to insert all the
time. So inserts have fifteen sixteenths of the time for themselves."""

PAUSE_SECONDS_MAX = 2.0

URGENT_SECONDS = 6 * 3600.0
"""So long before rows would be dropped unexported, the export waits for nothing any more."""


class Pacing:
    """Tells the pause after each turn.

    Args:
        insert_seconds: returns how long there have been batches to insert, since some time.
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, insert_seconds: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._insert_seconds = insert_seconds
        self._monotonic = monotonic
        self._began_at = monotonic()
        self._ended_at = self._began_at
        self._inserted_seconds = insert_seconds()

    def begin_turn(self) -> None:
        """Note that a turn begins."""
        self._began_at = self._monotonic()

    def pause_seconds(self, loss_in_seconds: float) -> float:
        """Return how long to wait after the turn that ends now.

        The more of the time since the end of the last turn there were batches to insert, the
        longer. A few small ones hardly count, and none at all not in the least.

        Args:
            loss_in_seconds: how long it is until a row is dropped unexported.
        """
        now, inserted_seconds = self._monotonic(), self._insert_seconds()
        elapsed = max(now - self._ended_at, 1e-9)
        share = min(1.0, (inserted_seconds - self._inserted_seconds) / elapsed)
        self._ended_at, self._inserted_seconds = now, inserted_seconds
        if loss_in_seconds < URGENT_SECONDS:
            return 0.0
        return min(PAUSE_SECONDS_MAX, PAUSE_FACTOR * share * share * (now - self._began_at))

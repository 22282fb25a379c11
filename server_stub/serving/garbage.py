"""When Python looks for garbage among all objects: between requests, and not within one.

Such a full collection goes through every object that can be part of a cycle, and no thread runs
meanwhile. By default Python begins one when there are a quarter more of them than after the last.
So the request that makes most of them, a page of many series, had pauses of up to 65 ms.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COLLECTIONS_BEFORE = 10
"""How many collections among younger objects come before a full one, as by default."""

POSTPONED_SECONDS_MAX = 30.0
"""How long a full collection waits for a moment without a request."""

COLLECTING_SHARE_MAX = 0.02
"""The most of the time that full collections take: an export makes so many objects that one was due
after every other turn, and each went through all the series that the server knows."""

_NEVER = 1_000_000_000


class FullCollections:
    """Has full collections at moments of its own choosing.

    Args:
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last_at = monotonic()
        self._rest_seconds = 0.0

    def begin(self) -> None:
        """Have no other full collections than those of this object from now on."""
        # What is there now stays, so no collection goes through all modules again.
        gc.collect()
        gc.freeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)
        self._last_at = self._monotonic()

    def note_moment(self, *, is_idle: bool) -> None:
        """Collect if it is time; called several times a second.

        Args:
            is_idle: whether no request is under way.
        """
        # A Python that collects garbage in small portions counts none of them.
        if gc.get_count()[2] < COLLECTIONS_BEFORE:
            return
        now = self._monotonic()
        since_seconds = now - self._last_at
        if since_seconds < self._rest_seconds:
            return
        if is_idle or since_seconds >= POSTPONED_SECONDS_MAX:
            gc.collect()
            self._last_at = self._monotonic()
            self._rest_seconds = (self._last_at - now) / COLLECTING_SHARE_MAX

"""Samples that wait for delivery, bounded, and the ledger of what became of each.

At any moment `added == sent + dropped + pending`: a sample is counted in exactly one place, so
nothing can be lost without a reason that the worker can read.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping  # noqa: TC003 - compiled, a NamedTuple's notes are read
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.samples import StampedSample


class Ledger(NamedTuple):
    """What became of the samples so far.

    `pending` are waiting or on their way; `dropped` counts by reason: `buffer_full`,
    `rejected` (the server named them bad), `batch_rejected` (it refused the whole batch),
    `too_large` (one sample alone exceeds what the server takes), `not_encodable` (it has no
    form in JSON).
    """

    added: int
    sent: int
    pending: int
    dropped: Mapping[str, int]

    @property
    def settled(self) -> int:
        """How many samples need nothing more: sent or dropped."""
        return self.added - self.pending


class SampleBuffer:
    """A first-in-first-out queue that makes room by dropping its oldest samples.

    Args:
        samples_max: how many samples wait at most; those that were taken do not count.
    """

    def __init__(self, samples_max: int) -> None:
        self._samples_max = samples_max
        # Guards everything below. No other lock is taken while it is held. Re-entrant: a
        # finalizer that records a sample may run while its own thread is in here.
        self._lock = threading.RLock()
        self._queue: deque[StampedSample] = deque()
        self._added = 0
        self._taken = 0
        self._sent = 0
        self._dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, samples: Iterable[StampedSample]) -> list[StampedSample]:
        """Append samples; return those that were dropped to make room, already counted."""
        # Read first: an iterable that raises then adds nothing, and one that records samples
        # itself has them counted once.
        batch = list(samples)
        with self._lock:
            self._queue.extend(batch)
            self._added += len(batch)
            excess = max(0, len(self._queue) - self._samples_max)
            self._dropped["buffer_full"] += excess
            return [self._queue.popleft() for _ in range(excess)]

    def take(self, samples_max: int) -> list[StampedSample]:
        """Remove and return the oldest samples; they stay pending until they are settled."""
        with self._lock:
            count = min(samples_max, len(self._queue))
            self._taken += count
            return [self._queue.popleft() for _ in range(count)]

    def put_back(self, samples: list[StampedSample]) -> None:
        """Return samples that were taken to the head of the queue."""
        with self._lock:
            self._queue.extendleft(reversed(samples))
            self._taken -= len(samples)

    def settle_sent(self, count: int) -> None:
        """Count samples that were taken as sent."""
        with self._lock:
            self._taken -= count
            self._sent += count

    def settle_dropped(self, count: int, reason: str) -> None:
        """Count samples that were taken as dropped."""
        with self._lock:
            self._taken -= count
            self._dropped[reason] += count

    def ledger(self) -> Ledger:
        """Return what became of the samples so far, as of one moment."""
        with self._lock:
            dropped = {reason: count for reason, count in self._dropped.items() if count}
            return Ledger(self._added, self._sent, len(self._queue) + self._taken, dropped)

"""Samples that wait for delivery, bounded, and the ledger of what became of each.

At any moment `added == sent + dropped + pending`: a sample is counted in exactly one place, so
nothing can be lost without a reason that the worker can read.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping  # noqa: TC003 - compiled, these notes are read
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.model.stamped_sample import StampedSample

DROP_OLDEST: Final = "drop_oldest"
DROP_NEWEST: Final = "drop_newest"
BLOCK: Final = "block"
OVERFLOW_POLICIES: Final = (DROP_OLDEST, DROP_NEWEST, BLOCK)
"""What a full buffer does: forget the oldest samples, refuse the new ones, or have whoever adds
them wait for room, and refuse them when there was none in time."""

BYTES_MAX: Final = 64 * 1024 * 1024
"""How many bytes wait at most unless it is said otherwise."""


class Ledger(NamedTuple):
    """What became of the samples so far.

    `pending` are waiting or on their way, in memory or on disk; `dropped` counts by reason:

    | reason | what happened |
    |---|---|
    | `buffer_full` | the buffer was full |
    | `rejected` | the server named the sample bad |
    | `batch_rejected` | the server refused the whole batch |
    | `too_large` | one sample alone exceeds what the server takes |
    | `not_encodable` | it has no form in JSON |
    | `spool_full`, `spool_expired`, `spool_damaged` | on disk: too much, too old, unreadable |
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
    """A first-in-first-out queue, bounded in samples and bytes.

    Args:
        samples_max: how many samples wait at most; those that were taken do not count.
        bytes_max: how many bytes those take at most, about as they are sent. A sample that alone
            exceeds it waits alone.
        overflow: what happens when it is full, one of `OVERFLOW_POLICIES`.
        block_timeout: how long `block` waits for room, in seconds.
    """

    def __init__(
        self,
        samples_max: int,
        bytes_max: int = BYTES_MAX,
        overflow: str = DROP_OLDEST,
        block_timeout: float = 0.0,
    ) -> None:
        self._samples_max = samples_max
        self._bytes_max = bytes_max
        self._overflow = overflow
        self._block_timeout = block_timeout
        # Guards everything below. No other lock is taken while it is held. Re-entrant: a
        # finalizer that records a sample may run while its own thread is in here. Notified when
        # samples are taken, for those who wait for room.
        self._lock = threading.Condition(threading.RLock())
        self._queue: deque[StampedSample] = deque()
        self._size_bytes = 0
        self._added = 0
        self._taken = 0
        self._sent = 0
        self._dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def size_bytes(self) -> int:
        """How many bytes the waiting samples take."""
        return self._size_bytes

    def add(
        self, samples: Iterable[StampedSample], when_full: Callable[[], None] | None = None
    ) -> list[StampedSample]:
        """Append samples; return those that were dropped for want of room, already counted.

        Args:
            samples: what is appended.
            when_full: called before waiting for room: has somebody take what is here.
        """
        # Read first: an iterable that raises then adds nothing, and one that records samples
        # itself has them counted once.
        batch = list(samples)
        if self._overflow == DROP_OLDEST:
            return self._add_dropping_oldest(batch)
        waiting = deque(batch)
        with self._lock:
            has_room = self._append_what_fits_locked(waiting)
        if not has_room and self._overflow == BLOCK:
            if when_full is not None:
                when_full()  # takes locks of its own
            with self._lock:
                self._lock.wait_for(
                    lambda: self._append_what_fits_locked(waiting), self._block_timeout
                )
        with self._lock:
            self._added += len(waiting)
            self._dropped["buffer_full"] += len(waiting)
        return list(waiting)

    def adopt(self, count: int) -> None:
        """Count samples that are on disk already, of a process that is gone, as added and taken."""
        with self._lock:
            self._added += count
            self._taken += count

    def take(self, samples_max: int) -> list[StampedSample]:
        """Remove and return the oldest samples; they stay pending until they are settled."""
        with self._lock:
            count = min(samples_max, len(self._queue))
            self._taken += count
            taken = [self._queue.popleft() for _ in range(count)]
            for sample in taken:
                self._size_bytes -= sample.size_bytes
            self._lock.notify_all()
            return taken

    def put_back(self, samples: list[StampedSample]) -> None:
        """Return samples that were taken to the head of the queue."""
        with self._lock:
            self._queue.extendleft(reversed(samples))
            self._taken -= len(samples)
            for sample in samples:
                self._size_bytes += sample.size_bytes

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

    def _add_dropping_oldest(self, batch: list[StampedSample]) -> list[StampedSample]:
        dropped: list[StampedSample] = []
        with self._lock:
            self._queue.extend(batch)
            self._added += len(batch)
            for sample in batch:
                self._size_bytes += sample.size_bytes
            while len(self._queue) > self._samples_max or (
                self._size_bytes > self._bytes_max and len(self._queue) > 1
            ):
                oldest = self._queue.popleft()
                self._size_bytes -= oldest.size_bytes
                dropped.append(oldest)
            self._dropped["buffer_full"] += len(dropped)
        return dropped

    def _append_what_fits_locked(self, waiting: deque[StampedSample]) -> bool:
        """Move samples into the queue while there is room; return whether all of them fitted."""
        while waiting:
            size_bytes = waiting[0].size_bytes
            if len(self._queue) >= self._samples_max or (
                self._queue and self._size_bytes + size_bytes > self._bytes_max
            ):
                return False
            self._queue.append(waiting.popleft())
            self._added += 1
            self._size_bytes += size_bytes
        return True

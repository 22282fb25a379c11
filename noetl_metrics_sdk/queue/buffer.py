"""Keep the samples that wait for delivery, within bounds, and the ledger of all samples.

At any moment `added == sent + dropped + pending`. The buffer counts each sample in exactly one
place, so no sample is lost without a reason that the worker can read.

Why so: docs/decisions/delivery.md.
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
"""What a full buffer does: it drops the oldest samples, it refuses the new ones, or it makes the
caller that adds samples wait for room, and refuses them if there is none in time."""

BYTES_MAX: Final = 64 * 1024 * 1024
"""How many bytes of samples wait at most, by default."""


class Ledger(NamedTuple):
    """The counts of all samples that were added so far.

    `pending` samples wait or are on their way, in memory or on disk. `dropped` counts by reason:

    | reason | what happened |
    |---|---|
    | `buffer_full` | the buffer was full |
    | `own_log` | the delivery thread recorded it itself, where its log is measured |
    | `rejected` | the server said that the sample is bad |
    | `batch_rejected` | the server refused the whole batch |
    | `batch_failed` | the server failed at the sample for ever, and took others |
    | `too_large` | the sample alone is larger than a request that the server takes |
    | `not_encodable` | the sample has no form in JSON |
    | `spool_full` | there were too many bytes on disk |
    | `spool_expired` | the batch was on disk for too long |
    | `spool_damaged` | the batch on disk could not be read |
    """

    added: int
    sent: int
    pending: int
    dropped: Mapping[str, int]

    @property
    def settled(self) -> int:
        """How many samples were sent or dropped, and need nothing more."""
        return self.added - self.pending


class SampleBuffer:
    """A first-in-first-out queue with a bound for its samples and a bound for its bytes.

    Args:
        samples_max: how many samples wait at most, without those that were taken for a batch.
        bytes_max: how many bytes the waiting samples take at most, in about the size in which they
            are sent. A sample that is larger by itself may wait as the only one.
        overflow: what a full buffer does, one of `OVERFLOW_POLICIES`.
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
        self.block_timeout = block_timeout
        """How long `block` waits for room, in seconds."""
        # Guards everything below. No other lock is taken while it is held. Re-entrant, because a
        # finalizer may run while its own thread holds the lock, and may record a sample. `take()`
        # notifies the callers that wait for room.
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
        self,
        samples: Iterable[StampedSample],
        when_full: Callable[[], None] | None = None,
        wait_seconds: float | None = None,
    ) -> list[StampedSample]:
        """Append samples; return those that were dropped for lack of room, which are counted.

        Args:
            samples: the samples to append.
            when_full: called before the caller waits for room; it makes another thread take samples
                from the buffer.
            wait_seconds: how long `block` waits for room at most, in seconds; `block_timeout`
                unless given.
        """
        # The iterable is read first. If it raises, no sample is added. If it records samples
        # itself, those are counted once.
        batch = list(samples)
        if self._overflow == DROP_OLDEST:
            return self._add_dropping_oldest(batch)
        waiting = deque(batch)
        with self._lock:
            has_room = self._append_what_fits_locked(waiting)
        if not has_room and self._overflow == BLOCK:
            if when_full is not None:
                when_full()  # called without the lock, as it takes locks of its own
            timeout = self.block_timeout if wait_seconds is None else wait_seconds
            with self._lock:
                self._lock.wait_for(lambda: self._append_what_fits_locked(waiting), timeout)
        with self._lock:
            self._added += len(waiting)
            self._dropped["buffer_full"] += len(waiting)
        return list(waiting)

    def refuse(self, count: int, reason: str) -> None:
        """Count samples as added and dropped at once, without appending them."""
        with self._lock:
            self._added += count
            self._dropped[reason] += count

    def adopt(self, count: int) -> None:
        """Count samples that a dead process has left on disk as added and taken."""
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
        """Put samples that were taken back at the head of the queue."""
        with self._lock:
            self._queue.extendleft(reversed(samples))
            self._taken -= len(samples)
            for sample in samples:
                self._size_bytes += sample.size_bytes

    def settle_sent(self, count: int) -> None:
        """Count some of the taken samples as sent."""
        with self._lock:
            self._taken -= count
            self._sent += count

    def settle_dropped(self, count: int, reason: str) -> None:
        """Count some of the taken samples as dropped."""
        with self._lock:
            self._taken -= count
            self._dropped[reason] += count

    def ledger(self) -> Ledger:
        """Return the counts of all samples, read at one moment."""
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

"""From samples in the buffer to batches with a name; on disk, if that is wanted, before they go."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS
from noetl_metrics_sdk.queue.batch_names import BatchName
from noetl_metrics_sdk.queue.spool_file import Part
from noetl_metrics_sdk.queue.wire import ENVELOPE_BYTES, Batch

if TYPE_CHECKING:
    from noetl_metrics_sdk.model.stamped_sample import StampedSample
    from noetl_metrics_sdk.process.pacing import Pacer
    from noetl_metrics_sdk.queue.buffer import Ledger, SampleBuffer
    from noetl_metrics_sdk.queue.spool import Spool, SpoolStats
    from noetl_metrics_sdk.queue.wire import SampleEncoder


_logger = logging.getLogger("noetl_metrics_sdk")


class BatchQueue:
    """Cuts batches from the buffer, and keeps them until they are settled.

    A batch has its name from the moment it is cut, so that sending it again is seen to be a
    repeat. They are sent in the order of their names: the server remembers only the last one of
    each process.

    Args:
        buffer: where the samples come from, and the ledger of what becomes of them.
        encoder: turns them into JSON.
        boot_id: names this process; no other ever has it.
        samples_max: how many samples a batch has at most.
        bytes_max: how long a body is at most.
        pacer: rests while many samples are encoded.
        spool: where batches wait on disk; None for memory only.
    """

    def __init__(
        self,
        buffer: SampleBuffer,
        encoder: SampleEncoder,
        boot_id: str,
        samples_max: int,
        bytes_max: int,
        pacer: Pacer,
        spool: Spool | None = None,
    ) -> None:
        self._buffer = buffer
        self._encoder = encoder
        self._boot_id = boot_id
        self._samples_max = samples_max
        self._bytes_max = bytes_max
        self._pacer = pacer
        self._spool = spool
        # Guards everything below and the spool, also while the disk is at work: the delivery
        # thread sends batches, and the collecting thread puts them on disk meanwhile. No job ever
        # takes it. The buffer's lock may be taken while it is held.
        self._lock = threading.RLock()
        self._batches_cut = 0
        # What is left of the batch that is under way: more than one if it was split.
        self._parts: deque[Part] = deque()

    def current(self) -> Batch | None:
        """Return the batch to send now: the one under way, or the next; None if all is sent."""
        with self._lock:
            if not self._parts:
                self._parts.extend(self._next_parts_locked())
            if not self._parts:
                return None
            name, items = self._parts[0]
            return Batch(name.key, items)

    def settle(self, rejected: int = 0, known: int | None = None) -> None:
        """Count the current batch as sent, but for some samples that the server rejected.

        Args:
            rejected: how many it rejected.
            known: how many samples it knows under the batch's name, if that is in doubt: a repeat
                is answered as the whole was of which it is the first part, or as its own first
                part was.
        """
        with self._lock:
            if known is not None:
                while 0 < known < len(self._parts[0].items) and self._split_locked():
                    pass  # until the first part is what is known
            samples = self._finish_current_locked()
            while known and self._parts and samples + len(self._parts[0].items) <= known:
                samples += self._finish_current_locked()
            rejected = min(rejected, samples)
            self._buffer.settle_sent(samples - rejected)
            if rejected:
                self._buffer.settle_dropped(rejected, "rejected")

    def drop(self, reason: str) -> int:
        """Drop the current batch, never to be sent again; return how many samples it had."""
        with self._lock:
            samples = self._finish_current_locked()
            self._buffer.settle_dropped(samples, reason)
            return samples

    def split(self) -> bool:
        """Replace the current batch by its halves; return False if it is but one sample."""
        with self._lock:
            return self._split_locked()

    def secure(self) -> None:
        """Put what is in the buffer on disk, if batches are kept there and the disk takes them."""
        if self._spool is not None:
            with self._lock:
                self._secure_locked()

    def ledger(self, timeout: float) -> tuple[Ledger, int]:
        """Return the buffer's ledger, and how many of the pending samples are safe on disk.

        Args:
            timeout: how long to wait for a disk that is at work, in seconds. After it nothing is
                said to be safe.
        """
        if self._spool is None or not self._lock.acquire(timeout=timeout):
            return self._buffer.ledger(), 0
        try:
            # Nothing is settled in between: what is safe is part of what is pending.
            return self._buffer.ledger(), self._spool.stats().samples
        finally:
            self._lock.release()

    def spool_stats(self) -> SpoolStats | None:
        """Return what is on disk; None if batches are kept in memory only."""
        return None if self._spool is None else self._spool.stats()

    def close(self) -> None:
        """Put what is left on disk, and leave it to the next process."""
        if self._spool is not None:
            with self._lock:
                self._secure_locked()
                self._spool.close()

    def abandon(self) -> None:
        """Let go of the parent's files in a forked child."""
        if self._spool is not None:
            self._spool.abandon()

    def _split_locked(self) -> bool:
        name, items = self._parts[0]
        if len(items) == 1:
            return False
        middle = len(items) // 2
        first, second = name.halves()
        self._parts.popleft()
        self._parts.extendleft([Part(second, items[middle:]), Part(first, items[:middle])])
        if self._spool is not None:
            self._spool.replace(self._parts)
        return True

    def _finish_current_locked(self) -> int:
        samples = len(self._parts.popleft().items)
        if self._spool is not None:
            self._spool.settle(samples)
        return samples

    def _next_parts_locked(self) -> list[Part]:
        while True:
            if self._spool is not None:
                self._secure_locked()
                parts = self._spool.next_parts()
                if parts:
                    return parts
            if not len(self._buffer):
                return []
            # A sample may have come since: it is for memory only if the disk does not take it.
            if self._spool is None or not self._spool.takes_more():
                items, _ = self._cut()
                if items:  # or none of those taken could be encoded
                    return [Part(self._next_name(), items)]

    def _secure_locked(self) -> None:
        assert self._spool is not None
        while len(self._buffer) and self._spool.takes_more():
            items, samples = self._cut()
            # A name is used once, whatever becomes of the file.
            if items and not self._spool.add(Part(self._next_name(), items)):
                self._buffer.put_back(samples)

    def _next_name(self) -> BatchName:
        self._batches_cut += 1
        return BatchName.of(self._boot_id, self._batches_cut)

    def _cut(self) -> tuple[list[bytes], list[StampedSample]]:
        """Take a batch's samples from the buffer; return their JSON, and themselves."""
        taken = self._buffer.take(self._samples_max)
        items: list[bytes] = []
        samples: list[StampedSample] = []
        if not taken:
            return items, samples
        size = ENVELOPE_BYTES
        # The thread has just read an answer or collected, and will build a request from this.
        self._pacer.rest()
        for position, sample in enumerate(taken):
            if position % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            try:
                item = self._encoder.encode(sample)
            except Exception:  # a sample that slipped past every check must not hold up the others
                self._buffer.settle_dropped(1, "not_encodable")
                _logger.exception("a sample of %r is dropped", sample.name)
                continue
            size += len(item) + 1
            # A sample that is too long on its own travels alone: the server will say so.
            if size > self._bytes_max and items:
                self._buffer.put_back(taken[position:])
                break
            items.append(item)
            samples.append(sample)
        self._pacer.rest()
        return items, samples

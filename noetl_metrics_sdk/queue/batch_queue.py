"""Cut the samples of the buffer into named batches, and put those on disk first if that is wanted.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS
from noetl_metrics_sdk.queue.batch_lines import BatchLines
from noetl_metrics_sdk.queue.set_aside import SetAsideBatch
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

    A batch gets its name when it is cut, so the server knows a second request with it as a repeat.
    The queue gives out the batches in the order of their names, because the server remembers only
    the last name of each process. A batch that the server fails at can be set aside; the batches
    that overtake it get names of another line.

    Args:
        buffer: has the samples that wait, and the ledger of all samples.
        encoder: encodes the samples as JSON.
        boot_id: names this process; no other process ever has it.
        samples_max: how many samples a batch has at most.
        bytes_max: how many bytes the body of a request has at most.
        pacer: rests during the loop that encodes samples.
        spool: keeps batches on disk; None to keep them in memory only.
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
        self._lines = BatchLines(boot_id)
        self._samples_max = samples_max
        self._bytes_max = bytes_max
        self._pacer = pacer
        self._spool = spool
        # Guards everything below and the spool, and is held while the disk works: the delivery
        # thread takes batches to send, and the collecting thread puts batches on disk meanwhile. No
        # job ever takes it. The buffer's lock may be taken while it is held.
        self._lock = threading.RLock()
        self._aside: deque[SetAsideBatch] = deque()
        self._was_aside = False
        # The parts that are left of the batch under way: more than one only if it was split.
        self._parts: deque[Part] = deque()

    def current(self) -> Batch | None:
        """Return the batch to send now: the one under way, or the next; None if none is left."""
        with self._lock:
            if not self._parts:
                self._was_aside = False
                self._parts.extend(self._next_parts_locked())
            if not self._parts:
                return None
            name, items = self._parts[0]
            return Batch(name.key, items)

    def settle(self, rejected: int = 0, known: int | None = None) -> None:
        """Count the current batch as sent, except for the samples that the server rejected.

        Args:
            rejected: how many samples the server rejected.
            known: how many samples the server knows under the batch's name; None if it knows all
                samples of the current batch and no others. After a split the server may answer a
                repeat with the number of the whole, of which the current batch is the first part,
                or with the number of the current batch's own first part.
        """
        with self._lock:
            if known is not None:
                while 0 < known < len(self._parts[0].items) and self._split_locked():
                    pass  # until the first part is the one that the server knows
            samples = self._finish_current_locked()
            while known and self._parts and samples + len(self._parts[0].items) <= known:
                samples += self._finish_current_locked()
            rejected = min(rejected, samples)
            self._buffer.settle_sent(samples - rejected)
            if rejected:
                self._buffer.settle_dropped(rejected, "rejected")

    def drop(self, reason: str) -> int:
        """Drop the current batch for ever, and return how many samples it had."""
        with self._lock:
            samples = self._finish_current_locked()
            self._buffer.settle_dropped(samples, reason)
            return samples

    def split(self) -> bool:
        """Replace the current batch by its halves; return False if it has only one sample."""
        with self._lock:
            return self._split_locked()

    def set_aside(self) -> None:
        """Have later batches overtake what is left of the batch under way."""
        with self._lock:
            if not self._parts:
                return
            spooled = None if self._spool is None else self._spool.set_aside()
            self._aside.append(SetAsideBatch(self._parts, spooled))
            self._parts = deque()
            self._lines.open_another()

    def bring_back(self) -> bool:
        """Make the oldest batch that is aside the one under way, if there is no other.

        Returns:
            False if none is aside, or if a batch is under way.
        """
        with self._lock:
            if self._parts or not self._aside:
                return False
            batch = self._aside.popleft()
            self._parts = batch.parts
            self._was_aside = True
            if self._spool is not None:
                self._spool.bring_back(batch.spooled)
            return True

    def has_full_batch(self) -> bool:
        """Return whether the samples in the buffer fill a request."""
        buffer = self._buffer
        return len(buffer) >= self._samples_max or buffer.size_bytes >= self._bytes_max

    @property
    def set_aside_count(self) -> int:
        """How many batches are aside."""
        return len(self._aside)

    @property
    def set_aside_samples(self) -> int:
        """How many samples are in batches that are aside."""
        with self._lock:
            return sum([len(part.items) for batch in self._aside for part in batch.parts])

    @property
    def was_aside(self) -> bool:
        """Whether the batch under way has been aside before."""
        return self._was_aside

    def probe(self) -> Batch:
        """Return an empty batch, which a server takes if it works at all."""
        with self._lock:
            return Batch(self._lines.probe_name().key, [])

    def secure(self) -> None:
        """Put the samples of the buffer on disk, if there is a spool and the disk takes them."""
        if self._spool is not None:
            with self._lock:
                self._secure_locked()

    def ledger(self, timeout: float) -> tuple[Ledger, int]:
        """Return the buffer's ledger, and how many of the pending samples are safe on disk.

        Args:
            timeout: how long to wait while the disk works, in seconds. If the time runs out, the
                result says that no sample is safe.
        """
        if self._spool is None or not self._lock.acquire(timeout=timeout):
            return self._buffer.ledger(), 0
        try:
            # Both are read under the lock, so no sample is settled in between: the samples on disk
            # are among the pending ones.
            return self._buffer.ledger(), self._spool.stats().samples
        finally:
            self._lock.release()

    def spool_stats(self) -> SpoolStats | None:
        """Return what is on disk; None if batches are kept in memory only."""
        return None if self._spool is None else self._spool.stats()

    def close(self) -> None:
        """Put the remaining samples on disk, and leave them to the next process."""
        if self._spool is not None:
            with self._lock:
                self._secure_locked()
                self._spool.close()

    def abandon(self) -> None:
        """Close the parent's files in a forked child."""
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
                # While batches wait on disk, what comes in is left to the next turn, or until there
                # is a full batch of it: otherwise it would make a file for each request.
                parts = [] if self.has_full_batch() else self._spool.next_parts()
                if not parts:
                    self._secure_locked()
                    parts = self._spool.next_parts()
                if parts:
                    return self._overtaking_locked(parts)
            if not len(self._buffer):
                return []
            # A sample may have come since the buffer was put on disk. It goes out from memory only
            # if the disk does not take it.
            if self._spool is None or not self._spool.takes_more():
                items, _ = self._cut()
                if items:  # empty if none of the samples could be encoded
                    return [Part(self._lines.next_name(), items)]

    def _secure_locked(self) -> None:
        assert self._spool is not None
        while len(self._buffer) and self._spool.takes_more():
            items, samples = self._cut()
            # Each name is used once, even if the disk does not take the file.
            if items and not self._spool.add(Part(self._lines.next_name(), items)):
                self._buffer.put_back(samples)

    def _overtaking_locked(self, parts: list[Part]) -> list[Part]:
        """Rename a batch from the disk if one before it, in the same line, is aside.

        The batch was never sent under the name that it had: the one that is aside was before it.
        """
        line = parts[0].name.boot_id
        for aside in self._aside:
            if aside.parts[0].name.boot_id == line:
                assert self._spool is not None
                renamed = self._lines.renamed(parts)
                self._spool.replace(renamed)
                return renamed
        return parts

    def _cut(self) -> tuple[list[bytes], list[StampedSample]]:
        """Take the samples of a batch from the buffer; return their JSON, and the samples."""
        taken = self._buffer.take(self._samples_max)
        items: list[bytes] = []
        samples: list[StampedSample] = []
        if not taken:
            return items, samples
        size = ENVELOPE_BYTES
        # The thread has just read an answer or collected, and will build a request afterwards. All
        # of it needs the GIL, so the thread rests before this loop and after it.
        self._pacer.rest()
        for position, sample in enumerate(taken):
            if position % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            try:
                item = self._encoder.encode(sample)
            except Exception:  # a sample that passed every check must not hold up the others
                self._buffer.settle_dropped(1, "not_encodable")
                _logger.exception("a sample of %r is dropped", sample.name)
                continue
            size += len(item) + 1
            # A sample that is too long by itself gets a batch of its own, which the server refuses.
            if size > self._bytes_max and items:
                self._buffer.put_back(taken[position:])
                break
            items.append(item)
            samples.append(sample)
        self._pacer.rest()
        return items, samples

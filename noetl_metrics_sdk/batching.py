"""From samples in the buffer to batches with a name."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from noetl_metrics_sdk.pacing import STEPS_BETWEEN_RESTS
from noetl_metrics_sdk.wire import ENVELOPE_BYTES, Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noetl_metrics_sdk.buffer import SampleBuffer
    from noetl_metrics_sdk.pacing import Pacer
    from noetl_metrics_sdk.wire import SampleEncoder


_logger = logging.getLogger("noetl_metrics_sdk")


class BatchQueue:
    """Cuts batches from the buffer and keeps the ones that are under way.

    Only the delivery thread uses it. A batch has its key from the moment it is cut until it is
    settled, so that sending it again is seen to be a repeat. The numbers ascend in the order in
    which batches are sent: the server remembers only the last one of each process.

    Args:
        buffer: where the samples come from.
        encoder: turns them into JSON.
        boot_id: names this process; no other ever has it.
        samples_max: how many samples a batch has at most.
        bytes_max: how long a body is at most.
        pacer: rests while many samples are encoded.
    """

    def __init__(
        self,
        buffer: SampleBuffer,
        encoder: SampleEncoder,
        boot_id: str,
        samples_max: int,
        bytes_max: int,
        pacer: Pacer,
    ) -> None:
        self._buffer = buffer
        self._encoder = encoder
        self._boot_id = boot_id
        self._samples_max = samples_max
        self._bytes_max = bytes_max
        self._pacer = pacer
        self._last_sequence = 0
        # Parts of a batch that was split; each gets its number when its turn comes.
        self._parts: deque[Sequence[bytes]] = deque()
        self._current: Batch | None = None

    def current(self) -> Batch | None:
        """Return the batch to send now: the one under way, or a new one; None if all is sent."""
        if self._current is None:
            items = self._parts.popleft() if self._parts else self._cut()
            while not items and len(self._buffer):  # none of those taken could be encoded
                items = self._cut()
            if items:
                self._last_sequence += 1
                self._current = Batch(f"{self._boot_id}:{self._last_sequence}", items)
        return self._current

    def finish(self) -> None:
        """Let go of the current batch: it is settled."""
        self._current = None

    def split(self) -> bool:
        """Replace the current batch by its halves; return False if it is but one sample."""
        assert self._current is not None
        items = self._current.items
        if len(items) == 1:
            return False
        middle = len(items) // 2
        self._parts.extendleft([items[middle:], items[:middle]])
        self._current = None
        return True

    def _cut(self) -> Sequence[bytes]:
        taken = self._buffer.take(self._samples_max)
        items: list[bytes] = []
        if not taken:
            return items
        size = ENVELOPE_BYTES
        # The delivery thread has just read an answer, and will build a request from this.
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
        self._pacer.rest()
        return items

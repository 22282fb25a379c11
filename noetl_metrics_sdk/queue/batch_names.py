"""Name a batch for ever, and name its parts when it has to be split.

For each process the server remembers the last number that it has inserted. It takes a batch with
that number or a lower one for a repeat. So a client sends the batches of a process in the order of
their numbers, and a part of a batch needs a number between those of its neighbours. Each batch
owns a range of numbers, and is known by the first of them. A split gives each half of the batch one
half of the range. If another process finds the batch on disk and splits it again, it gives the same
names to the same parts.

The first half therefore has the name of the whole. The whole may still be under way when the client
splits it. The server then inserts the one that arrives first, and takes the other for a repeat. The
number of samples in its answer to the half tells the client which of the two it has inserted.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NUMBERS_PER_BATCH: Final = 2**17
"""How many numbers a batch owns. It can be halved 17 times, which is enough to get down to single
samples, as a batch has at most 100,000."""


class BatchName(NamedTuple):
    """The name of a batch, or of a part of a batch.

    `boot_id` names the process that cut the batch. `sequence` is the first number of the range, and
    `numbers` is the length of the range.
    """

    boot_id: str
    sequence: int
    numbers: int = NUMBERS_PER_BATCH

    @classmethod
    def of(cls, boot_id: str, position: int) -> BatchName:
        """Return the name of a batch.

        Args:
            boot_id: names the process that cut the batch.
            position: the place of the batch among those that the process has cut, from 1.
        """
        return cls(boot_id, position * NUMBERS_PER_BATCH)

    @property
    def key(self) -> str:
        """The `Idempotency-Key` of the batch's request: `boot id:sequence`."""
        return f"{self.boot_id}:{self.sequence}"

    def halves(self) -> tuple[BatchName, BatchName]:
        """Return the names of the two halves, in the order in which they are sent.

        Raises:
            ValueError: the range is a single number.
        """
        half = self.numbers // 2
        if not half:
            raise ValueError(f"{self.key} has no numbers left to split")
        return (
            BatchName(self.boot_id, self.sequence, half),
            BatchName(self.boot_id, self.sequence + half, half),
        )

"""What names a batch for ever, and its parts when it has to be split.

The server remembers of each process the last number that it has inserted, and takes a batch with
that number or a lower one for a repeat. The batches of a process are therefore sent in the order
of their numbers, and a part needs a number between those of its neighbours: each batch owns a
range of numbers, is known by the first of them, and gives each half of itself a half of the range.
Another process that finds the batch on disk, and splits it again, gives the same names to the
same parts.

The first half thus has the name of the whole, which may be under way still when it is split: only
one of the two can be inserted, whichever comes first, and the answer to the half says by the
number of its samples which of them it was.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NUMBERS_PER_BATCH: Final = 2**17
"""A batch can be halved 17 times: down to single samples, as it has at most 100,000."""


class BatchName(NamedTuple):
    """The name of a batch or of a part of one.

    `boot_id` is that of the process that cut it; `sequence` is the first number of its range,
    which is `numbers` long.
    """

    boot_id: str
    sequence: int
    numbers: int = NUMBERS_PER_BATCH

    @classmethod
    def of(cls, boot_id: str, position: int) -> BatchName:
        """Return the name of the batch that a process has cut at a position, from 1."""
        return cls(boot_id, position * NUMBERS_PER_BATCH)

    @property
    def key(self) -> str:
        """The `Idempotency-Key` of its request: `boot id:sequence`."""
        return f"{self.boot_id}:{self.sequence}"

    def halves(self) -> tuple[BatchName, BatchName]:
        """Return the names of its two halves, the first to be sent first.

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

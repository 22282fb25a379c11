"""Name the batches of a process, in lines of which each has an order of its own.

For each boot id the server remembers the last number that it has inserted, and takes a batch with
that number or a lower one for a repeat. So a batch that overtakes another one needs a name of
another line, as if another process had cut it. The batch that is overtaken keeps its name, and the
server still knows whether it has inserted it.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noetl_metrics_sdk.queue.batch_names import BatchName
from noetl_metrics_sdk.queue.spool_file import Part

if TYPE_CHECKING:
    from collections.abc import Sequence


class BatchLines:
    """The lines of a process. It is not thread-safe.

    Args:
        boot_id: names the process, and its first line. The names of the other lines begin with it.
    """

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._line = boot_id
        self._lines_opened = 0
        self._batches_cut = 0
        self._batches_renamed = 0
        self._probes = 0

    def next_name(self) -> BatchName:
        """Return the name of the batch that is cut next."""
        self._batches_cut += 1
        return BatchName.of(self._line, self._batches_cut)

    def open_another(self) -> None:
        """Give names of a new line from now on."""
        self._lines_opened += 1
        self._line = f"{self._boot_id}.{self._lines_opened}"
        self._batches_cut = self._batches_renamed = 0

    def renamed(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts of a batch that was never sent, under names of another line.

        That line is not the one of the batches that are cut: those may be on disk already, behind
        this batch and under lower numbers.
        """
        renamed: list[Part] = []
        for part in parts:
            self._batches_renamed += 1
            name = BatchName.of(f"{self._line}.renamed", self._batches_renamed)
            renamed.append(Part(name, part.items))
        return renamed

    def probe_name(self) -> BatchName:
        """Return a name for a batch without samples."""
        self._probes += 1
        return BatchName(f"{self._boot_id}.probe", self._probes)

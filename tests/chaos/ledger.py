"""The ledgers of worker processes; `worker.py` says what their lines mean."""

from __future__ import annotations

import json
from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass
class WorkerLedger:
    """The ledger of one process; see `worker.py` for the lines of the file.

    Args:
        worker_id: its label; "" if the process ended before it could write it.
        will: the samples that it may have recorded.
        did: the samples that it has recorded.
        safe: the samples that the SDK has promised to deliver although the process may die.
        end: the SDK's own ledger at the end; None if the process could not write it down.
    """

    worker_id: str = ""
    will: list[range] = field(default_factory=list)
    did: list[range] = field(default_factory=list)
    safe: list[range] = field(default_factory=list)
    end: dict[str, Any] | None = None

    @classmethod
    def read(cls, path: Path) -> WorkerLedger:
        ledger = cls()
        if not path.exists():  # the process was killed before it began
            return ledger
        text = path.read_text(encoding="utf-8")
        # A line may be only half written: the process is at it, or was killed meanwhile.
        for line in text[: text.rfind("\n") + 1].splitlines():
            word, rest = line.split(" ", 1)
            if word == "worker":
                ledger.worker_id = rest
            elif word == "end":
                ledger.end = json.loads(rest)
            else:
                first, end = map(int, rest.split())
                ranges = {"will": ledger.will, "did": ledger.did, "safe": ledger.safe}[word]
                ranges.append(range(first, end))
        return ledger


def ledgers_of(path: Path) -> list[WorkerLedger]:
    """Return the ledgers of a worker and of the children that it has forked."""
    files = [path, *sorted(path.parent.glob(f"{path.name}.*"))]
    return [WorkerLedger.read(file) for file in files]


def dropped_by_reason(ledgers: Iterable[WorkerLedger]) -> Tally[str]:
    """Return how many samples the processes have dropped by their own count, by reason."""
    dropped: Tally[str] = Tally()
    for ledger in ledgers:
        if ledger.end is not None:
            dropped.update(ledger.end["dropped"])
    return dropped

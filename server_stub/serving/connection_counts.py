"""How many connections the worker processes have, in memory that they share.

The kernel gives connections to the workers as it likes. A bound for each worker would refuse some
while there is room for them in others.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

_NUMBER_BYTES = struct.calcsize("q")


class ConnectionCounts:
    """The counts of all workers. Each one writes its own number only, so there is no lock.

    Args:
        workers: how many workers there are; they are forked after this object is made.
        connections_max: how many connections all of them may have.
    """

    def __init__(self, workers: int, connections_max: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, workers * _NUMBER_BYTES)).cast("q")
        self.connections_max = connections_max

    def try_add(self, worker: int) -> bool:
        """Count a connection of a worker, unless there are as many as there may be.

        Two workers that take the last two at the same moment may both refuse: there are never more.
        """
        self._counts[worker] += 1
        if sum(self._counts) <= self.connections_max:
            return True
        self._counts[worker] -= 1
        return False

    def of(self, worker: int) -> int:
        """Return how many connections a worker has."""
        return self._counts[worker]

    def remove(self, worker: int) -> None:
        """Count a connection of a worker as gone."""
        self._counts[worker] -= 1

    def forget(self, worker: int) -> None:
        """Count all connections of a worker as gone: the worker has ended."""
        self._counts[worker] = 0


class WorkerConnections(NamedTuple):
    """The part of one worker in the counts."""

    counts: ConnectionCounts
    worker: int

    def try_add(self) -> bool:
        """Count a connection, unless there are as many as there may be."""
        return self.counts.try_add(self.worker)

    def open_count(self) -> int:
        """Return how many connections there are."""
        return self.counts.of(self.worker)

    def remove(self) -> None:
        """Count a connection as gone."""
        self.counts.remove(self.worker)

"""Whether the database can take metrics: one look for all who ask, kept for a second.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.postgresql.partitions import Partitions

LOOK_SECONDS = 1.0
"""How old an answer may be. Probes come every few seconds; a stranger may ask all the time."""


class Readiness:
    """Looks whether the database is there and has the partitions that inserts need.

    Args:
        partitions: the database's partitions.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(self, partitions: Partitions, monotonic: Callable[[], float]) -> None:
        self._partitions = partitions
        self._monotonic = monotonic
        self._look: asyncio.Task[list[str]] | None = None
        self._begun_at = 0.0

    async def missing_partitions(self) -> list[str]:
        """Return which of today's and tomorrow's partitions are missing.

        All who ask while a look is under way, or within a second of its beginning, share it and
        its error. So the probes of all clients together take one connection, once a second.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        is_old = self._monotonic() - self._begun_at >= LOOK_SECONDS
        if self._look is None or (self._look.done() and is_old):
            self._begun_at = self._monotonic()
            self._look = asyncio.create_task(self._partitions.missing_partitions())
        # A client that leaves does not end the look of the others.
        return await asyncio.shield(self._look)

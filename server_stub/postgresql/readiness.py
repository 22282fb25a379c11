"""Whether the database can take metrics: one look for all who ask, kept for a second.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from server_stub.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.postgresql.database import Database
    from server_stub.postgresql.partitions import Partitions

LOOK_SECONDS = 1.0
"""How old an answer may be. Probes come every few seconds; a stranger may ask all the time."""


class Readiness:
    """Looks whether the database takes writes and has the partitions that inserts need.

    Args:
        database: the database.
        partitions: its partitions.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(
        self, database: Database, partitions: Partitions, monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._monotonic = monotonic
        self._look: asyncio.Task[None] | None = None
        self._begun_at = 0.0

    async def check(self) -> None:
        """Return if the database can take metrics.

        All who ask while a look is under way, or within a second of its beginning, share it and
        its error. So the probes of all clients together take one connection, once a second.

        Raises:
            DatabaseReadOnlyError: the database takes no writes.
            StoreUnavailableError: the database is away or busy, or today's or tomorrow's partition
                is missing; the message says what makes it.
        """
        is_old = self._monotonic() - self._begun_at >= LOOK_SECONDS
        if self._look is None or (self._look.done() and is_old):
            self._begun_at = self._monotonic()
            self._look = asyncio.create_task(self._look_at_it())
        # A client that leaves does not end the look of the others.
        await asyncio.shield(self._look)

    async def _look_at_it(self) -> None:
        await self._database.check_writable()
        missing = await self._partitions.missing_partitions()
        if missing:
            raise StoreUnavailableError(
                f"partitions are missing: {', '.join(missing)}; {await self._remedy()}"
            )

    async def _remedy(self) -> str:
        detaching = await self._partitions.detaching_partitions()
        if not detaching:
            return "POST /api/metrics/partitions/create makes those ahead"
        return (
            f"the detachment of {', '.join(detaching)} was interrupted: complete it by ALTER TABLE "
            f"noetl.metric DETACH PARTITION noetl.{detaching[0]} FINALIZE"
        )

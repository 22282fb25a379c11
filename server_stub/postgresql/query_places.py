"""How many queries of clients run at once, so that they leave connections to batches.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from server_stub.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

WAIT_SECONDS = 5.0
"""How long a query waits for a place before the server tells the client to try again."""

WAITING_PER_PLACE_MAX = 16
"""How many queries may wait for each place; the server refuses the next one at once."""


class QueryPlaces:
    """The places of the queries that run at once.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = asyncio.Semaphore(count)
        self.waiting = 0
        """How many queries wait for a place now."""

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None]:
        """Hold a place while the block runs.

        Raises:
            StoreUnavailableError: none becomes free in time, or too many queries wait already.
        """
        if self.waiting >= self.count * WAITING_PER_PLACE_MAX:
            raise self._all_taken()
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise self._all_taken() from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    def _all_taken(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"{self.count} queries run already, as many as may at once: try again later"
        )

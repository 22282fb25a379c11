"""Marks what is silent: components become offline, and processes lost; forgets old processes.

Every server and worker process counts the components and processes. One at a time marks them.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.database import scalars_in
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics

SWEEP_SECONDS = 15.0
"""The pause between two sweeps, unless components become offline sooner than after four of them."""

NAMES_LOGGED_MAX = 10

COMPONENT_STATES = ("ready", "busy", "offline", "deleting")
PROCESS_STATES = ("running", "ended", "lost")

_logger = logging.getLogger(__name__)


class Sweeping:
    """Looks for components and processes that are silent.

    Args:
        database: the pool of connections.
        settings: after how long a silent component is offline.
        statistics: counts the components and the processes.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        statistics: Statistics,
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._offline_after = settings.component_offline_after_seconds
        self._statistics = statistics
        self._monotonic = monotonic
        self._listening_since = monotonic()

    async def run_once(self) -> None:
        """Mark what is silent, forget old processes, and count what there is.

        Right after its start, or after the database was away, the server marks nothing: for some
        time no component and no process could make itself heard.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        try:
            if self._monotonic() - self._listening_since >= self._offline_after:
                await self._mark()
            await self._count()
        except StoreUnavailableError:
            self._listening_since = self._monotonic()
            raise

    async def _mark(self) -> None:
        async with self._database.transaction() as connection:
            if await scalars_in(connection, "components/try_sweeping_turn.sql") == [False]:
                return
            # Components before processes, in the order in which a heartbeat locks them.
            offline = await scalars_in(
                connection, "components/mark_offline.sql", {"offline_after": self._offline_after}
            )
            lost = await scalars_in(connection, "components/mark_lost.sql")
            await scalars_in(connection, "components/forget_processes.sql")
        if offline:
            _logger.warning("%d components are silent: %s", len(offline), _shown(offline))
        if lost:
            self._statistics.components.processes_lost.inc(len(lost))
            _logger.warning("%d processes are silent, of: %s", len(lost), _shown(lost))

    async def _count(self) -> None:
        async with self._database.transaction() as connection:
            found = await connection.execute(read_sql("components/count_components.sql"))
            components = Counter[str](dict(await found.fetchall()))
            found = await connection.execute(read_sql("components/count_processes.sql"))
            processes = Counter[str](dict(await found.fetchall()))
        gauges = self._statistics.components
        for state in COMPONENT_STATES:
            gauges.components.labels(state).set(components.pop(state, 0))
        # A NoETL server on the same database may have states of its own.
        gauges.components.labels("other").set(components.total())
        for state in PROCESS_STATES:
            gauges.processes.labels(state).set(processes[state])

    async def run_forever(self) -> None:
        """Sweep again and again, until cancelled."""
        pause_seconds = min(SWEEP_SECONDS, self._offline_after / 4)
        while True:
            try:
                await self.run_once()
            except StoreUnavailableError as error:
                self._statistics.maintenance_failures.inc()
                _logger.warning("looking for silent components failed: %s", error)
            except Exception:  # the loop must outlive an unforeseen error
                self._statistics.maintenance_failures.inc()
                _logger.exception("looking for silent components failed")
            await asyncio.sleep(pause_seconds)


def _shown(names: Iterable[str]) -> str:
    tally = Counter(names)
    shown = [
        name[:200] if count == 1 else f"{name[:200]} ({count})"
        for name, count in tally.most_common(NAMES_LOGGED_MAX)
    ]
    return ", ".join([*shown, "…"] if len(tally) > NAMES_LOGGED_MAX else shown)

"""How far the export has come, and what it reads from the database.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import scalar_row
from psycopg.types.string import ByteaBinaryLoader

from server_stub.postgresql.database import fetch_all
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from server_stub.settings import Settings

HORIZON_POLL_SECONDS = 0.02
"""The pause between two looks at the transactions that insert."""

IDLE_SECONDS_MAX = 30.0
"""How long a transaction may wait for the receiver before PostgreSQL ends it."""

_logger = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far the export has come, as ids of rows.

    The server sends the rows after `position` next. The receiver has acknowledged the rows up to
    `acknowledged`, and those up to `settled` so long ago that it has them on disk. Up to `horizon`
    every row can be seen, and no other will ever come.
    """

    position: int
    acknowledged: int
    settled: int
    horizon: int


class Backlog(NamedTuple):
    """How far behind the export is.

    `lag_seconds` is the age of the oldest row that is not exported yet. `loss_in_seconds` is the
    time until that row is dropped unexported.
    """

    lag_seconds: float
    loss_in_seconds: float


class ExportPosition:
    """The position of the export, in a transaction that claims it.

    Args:
        connection: in a transaction.
        settings: how long rows are held, and how soon they are settled.
    """

    def __init__(self, connection: AsyncConnection[Any], settings: Settings) -> None:
        self._connection = connection
        self._hold = timedelta(days=settings.export_hold_days)
        self._settling = timedelta(seconds=settings.export_settling_seconds)

    async def try_claim(self) -> Progress | None:
        """Keep other servers from exporting until the transaction ends.

        Returns:
            How far the export has come; None while another server exports.
        """
        await self._connection.execute(read_sql("export/begin.sql"), {"hold": self._hold})
        found = await self._connection.execute(
            read_sql("export/claim.sql"), {"idle_milliseconds": round(IDLE_SECONDS_MAX * 1000)}
        )
        row = await found.fetchone()
        return None if row is None else Progress._make(row[:4])

    async def read_backlog(self) -> Backlog:
        """Return how far behind the export is."""
        found = await self._connection.execute(read_sql("export/backlog.sql"))
        row = await found.fetchone()
        assert row is not None
        return Backlog._make(row)

    async def adopt(self, limit: int) -> int:
        """Number rows anew whose ids are larger than any that the sequence has handed out.

        Another program has inserted them with ids of its own. The export goes by the sequence, and
        would never come to them.

        Returns:
            How many rows have new ids, at most `limit`.
        """
        found = await self._connection.execute(read_sql("export/has_others.sql"))
        if await found.fetchone() != (True,):
            return 0
        adopted = await self._connection.execute(read_sql("export/adopt.sql"), {"limit": limit})
        return adopted.rowcount

    async def final_horizon(self, wait_seconds: float) -> int | None:
        """Return an id up to which every row can be seen, and no other will ever come.

        PostgreSQL hands ids out before their rows become visible, and rows do not become visible in
        the order of their ids. So the server first reads the last id. Then it waits for the
        transactions that may have got an id up to that one. Such a transaction holds a lock on the
        table from before its first id until its rows can be seen, or never will.

        Args:
            wait_seconds: how long to wait for these transactions.

        Returns:
            The id; None if one of the transactions takes longer.
        """
        found = await self._connection.execute(read_sql("export/horizon.sql"))
        row = await found.fetchone()
        assert row is not None
        inserting = await self._inserting(None)
        for _ in range(round(wait_seconds / HORIZON_POLL_SECONDS)):
            if not inserting:
                return int(row[0])
            await asyncio.sleep(HORIZON_POLL_SECONDS)
            inserting = await self._inserting(inserting)
        _logger.info("a transaction has been inserting for %g s, and is waited for", wait_seconds)
        return None

    async def _inserting(self, before: list[str] | None) -> list[str]:
        found = await self._connection.execute(read_sql("export/inserting.sql"), {"before": before})
        return [row[0] for row in await found.fetchall()]

    async def records(
        self, position: int, horizon: int, limit: int, text_bytes_max: int
    ) -> list[bytes | None]:
        """Return the first rows with ids after `position` and up to `horizon`, as records.

        `export/records.py` says what is in a record. It is None for a row whose labels and help
        text have more than `text_bytes_max` bytes.
        """
        # PostgreSQL reads by the primary key, whatever the planner expects.
        await self._connection.execute(read_sql("query/plan_in_order.sql"))
        cursor = self._connection.cursor(binary=True, row_factory=scalar_row)
        # The bytes as they are: to make objects of the columns takes longer than to read them.
        cursor.adapters.register_loader("record", ByteaBinaryLoader)
        await cursor.execute(
            read_sql("export/rows.sql"),
            {
                "position": position,
                "horizon": horizon,
                "limit": limit,
                "text_bytes_max": text_bytes_max,
            },
        )
        return await fetch_all(cursor)

    async def advance(self, position: int, horizon: int) -> None:
        """Note that the receiver has acknowledged every row up to an id.

        Args:
            position: that id.
            horizon: the horizon that is known by now.
        """
        await self._connection.execute(
            read_sql("export/advance.sql"),
            {
                "position": position,
                "horizon": horizon,
                "hold": self._hold,
                "settling": self._settling,
            },
        )

    async def begin_anew(self) -> None:
        """Have the export send every row, whatever it has sent before."""
        await self._connection.execute(read_sql("export/begin_anew.sql"))

    async def rewind(self) -> None:
        """Have the export send every row again that is not settled."""
        await self._connection.execute(read_sql("export/rewind.sql"))

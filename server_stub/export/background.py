"""The export while a server runs, with a connection of its own.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from server_stub.background import running
from server_stub.export.exporter import Exporter
from server_stub.export.pacing import Pacing
from server_stub.postgresql.database import Database
from server_stub.postgresql.sql_files import read_sql
from server_stub.time_series_database.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from server_stub.export.state import ExportReport
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def exporting(
    database_url: str,
    settings: Settings,
    statistics: Statistics,
    report: ExportReport,
    insert_seconds: Callable[[], float],
) -> AsyncGenerator[None]:
    """Export while the block runs, if the settings name a receiver.

    Args:
        database_url: the database.
        settings: the receiver, and how to export.
        statistics: counts the samples that are exported.
        report: gets what an operator may ask for.
        insert_seconds: returns how long this process has had batches to insert, since its start.
    """
    if settings.remote_write_url is None:
        async with _connected(database_url) as database:
            await _warn_of_export_without_receiver(database)
        yield
        return
    receiver = Receiver(
        settings.remote_write_url, settings.receiver_headers, settings.remote_write_version
    )
    async with _connected(database_url) as database:
        pacing = Pacing(insert_seconds, time.monotonic)
        export = Exporter(database, receiver, settings, statistics, report, time.monotonic, pacing)
        try:
            async with running(export.run_forever()):
                yield
        finally:
            await receiver.close()


@asynccontextmanager
async def _connected(database_url: str) -> AsyncGenerator[Database]:
    """Hold one connection open while the block runs; no request ever waits for it."""
    database = Database(database_url, 1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def _warn_of_export_without_receiver(database: Database) -> None:
    async with database.transaction() as connection:
        found = await connection.execute(read_sql("export/exists.sql"))
        if await found.fetchone() is not None:
            _logger.warning(
                "the database keeps partitions for an export, and this server has no "
                "--remote-write-url: give it one, or end the export by "
                "DELETE FROM noetl.metric_export"
            )

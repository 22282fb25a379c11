"""The export while a server runs, with what it needs for itself."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from server_stub.database import Database
from server_stub.export import Export
from server_stub.export_statistics import ExportStatistics
from server_stub.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from noetl_metrics_sdk import Registry
    from server_stub.settings import Settings


@asynccontextmanager
async def exporting(
    database_url: str, settings: Settings, registry: Registry
) -> AsyncGenerator[None]:
    """Export while the block runs, if the settings say where to.

    Args:
        database_url: the database.
        settings: where to, and how.
        registry: the server's instruments.
    """
    if settings.remote_write_url is None:
        yield
        return
    # One connection, which no request ever waits for.
    database = Database(database_url, 1)
    receiver = Receiver(
        settings.remote_write_url, settings.receiver_headers, settings.remote_write_version
    )
    export = Export(database, receiver, settings, ExportStatistics(registry))
    await database.open()
    try:
        task = asyncio.create_task(export.run_forever())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        await database.close()
        await receiver.close()

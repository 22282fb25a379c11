"""How the export is doing, for operators.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from server_stub.export.position import Backlog
    from server_stub.postgresql.database import Database
    from server_stub.settings import Settings

ERROR_LENGTH_MAX = 500


@dataclass(slots=True)
class ExportReport:
    """What the exporter of this process has seen last; None for what it has not seen.

    `backlog` was read at `backlog_at`, in this process's last turn. `last_error` is why the last
    attempt failed that has failed, at `last_error_at`, and `is_failing` says whether none has
    succeeded since.
    """

    backlog: Backlog | None = None
    backlog_at: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    is_failing: bool = False

    def note_backlog(self, backlog: Backlog) -> None:
        """Note how far behind the export is."""
        self.backlog, self.backlog_at = backlog, datetime.now(UTC)

    def note_failure(self, error: Exception) -> None:
        """Note that an attempt has failed."""
        self.last_error = (str(error) or type(error).__name__)[:ERROR_LENGTH_MAX]
        self.last_error_at = datetime.now(UTC)
        self.is_failing = True

    def note_success(self) -> None:
        """Note that an attempt has not failed."""
        self.is_failing = False


class ExportState:
    """Reads how the export is doing.

    Args:
        database: the pool of connections; the schema must be there.
        settings: whether this server exports.
        report: what its exporter has seen.
    """

    def __init__(self, database: Database, settings: Settings, report: ExportReport) -> None:
        self._database = database
        self._is_configured = settings.remote_write_url is not None
        self._report = report

    async def read(self) -> dict[str, Any]:
        """Return the fields of the answer of `GET /api/metrics/export`, except the times as text.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        async with self._database.query() as connection:
            found = await connection.execute(read_sql("export/state.sql"))
            row = await found.fetchone()
        assert row is not None
        is_there, acknowledged, settled, last_id, rows_waiting, hold_seconds = row
        is_known = self._is_configured or is_there
        report = self._report
        return {
            "configured": self._is_configured,
            # JavaScript has no number for some ids.
            "position": str(acknowledged) if is_known else None,
            "settled": str(settled) if is_known else None,
            "last_id": str(last_id),
            "rows_waiting": rows_waiting if is_known else None,
            "hold_seconds": hold_seconds,
            # A row may have been inserted after the turn's transaction had begun.
            "lag_seconds": None if report.backlog is None else max(0.0, report.backlog.lag_seconds),
            "loss_in_seconds": None if report.backlog is None else report.backlog.loss_in_seconds,
            "looked_at": report.backlog_at,
            "failing": report.is_failing,
            "last_error": report.last_error,
            "last_error_at": report.last_error_at,
        }

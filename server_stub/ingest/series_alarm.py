"""Says in the log that a process comes near its limit on series, before samples are rejected.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from server_stub.ingest.series_table import PROCESS_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.ingest.series_table import Fullness

LOG_SECONDS = 60.0
"""How often the log has such a message: a label that is wrong is wrong in every process."""

_logger = logging.getLogger(__name__)


class SeriesAlarm:
    """Logs how full a process is.

    Args:
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._next_logged_at = -LOG_SECONDS

    def note(self, fullness: Fullness) -> None:
        """Log that a process has half of the series that it may have, or all of them.

        Args:
            fullness: how many it has, of how many.
        """
        now = self._monotonic()
        if now < self._next_logged_at:
            return
        self._next_logged_at = now + LOG_SECONDS
        process = fullness.process
        _logger.warning(
            "the process with %s %r of runtime %d has %d series alive of %d that it may have "
            "(--series-per-process-max), the newest of %s: beyond that they are rejected; has one "
            "of its labels ever new values?",
            PROCESS_LABEL,
            process.worker_id[:100],
            process.runtime_id,
            fullness.series,
            fullness.series_max,
            fullness.metric_name,
        )

"""What became of a portion: the samples are counted, and the log has some that were refused.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from server_stub.time_series_database.wire import double_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.errors import ReceiverRefusedError
    from server_stub.export.portion import Portion
    from server_stub.statistics import ExportStatistics
    from server_stub.time_series_database.assembly import Assembled
    from server_stub.time_series_database.refusals import Refusal

REFUSAL_LOG_SECONDS = 60.0

_logger = logging.getLogger(__name__)


class RefusalLog:
    """Logs samples that the receiver refuses: one of many that are alike.

    Args:
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._next_at = -REFUSAL_LOG_SECONDS

    def note(self, assembled: Assembled, error: ReceiverRefusedError) -> None:
        """Log a sample, unless one was logged a short while ago.

        Args:
            assembled: the sample, alone.
            error: what the receiver says.
        """
        now = self._monotonic()
        if now >= self._next_at:
            self._next_at = now + REFUSAL_LOG_SECONDS
            _logger.warning(
                "the receiver refuses samples, as %s %s: %s",
                assembled.series[0].labels(),
                [(assembled.times_ms[0], double_of(assembled.values[0]))],
                error,
            )


def count_portion(statistics: ExportStatistics, portion: Portion, refusal: Refusal | None) -> None:
    """Count the samples of a portion as exported, repeated or dropped.

    Args:
        statistics: the counters.
        portion: the portion.
        refusal: why the receiver will never take it; None if it has taken it.
    """
    assembled = portion.assembled
    if portion.is_repeat:
        statistics.samples_repeated.inc(assembled.samples)
        return
    dropped: dict[str, int] = {
        "ahead": portion.ahead,
        "invalid": assembled.invalid,
        "same_millisecond": assembled.merged,
    }
    if refusal is None:
        statistics.samples.inc(assembled.samples)
    else:
        dropped[refusal] = assembled.samples
    for reason, count in dropped.items():
        if count:
            statistics.samples_dropped.labels(reason).inc(count)

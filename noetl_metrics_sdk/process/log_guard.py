"""Keep what a program's logging raises away from the code of this package that logs.

A filter or a handler of the program runs in the thread that logs. If it raised there, a job would
end by an error that is none of its own, and the delivery thread would end for good. So the message
is counted as lost, and the thread that has logged goes on.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import threading

from noetl_metrics_sdk.process.fork import reset_store_after_fork

_logger = logging.getLogger("noetl_metrics_sdk")


class _LostMessages:
    """Counts the messages that this process has lost; a forked child counts its own."""

    def __init__(self) -> None:
        self._reset()
        self._fork_handle = reset_store_after_fork(self._reset)

    def _reset(self) -> None:
        # Guards the count. Re-entrant, as a signal handler may log in the middle of it.
        self._lock = threading.RLock()
        self.count = 0

    def add(self) -> None:
        with self._lock:
            self.count += 1


_lost = _LostMessages()


def lost_messages() -> int:
    """Return how many messages of this package's logger were lost because the logging raised."""
    return _lost.count


def _handle(record: logging.LogRecord) -> None:
    try:
        logging.Logger.handle(_logger, record)
    except Exception:  # noqa: BLE001 - the program's own handlers may raise anything
        _lost.add()


def guard_logger() -> None:
    """Let nothing that handles a message of this package's logger raise into what has logged it."""
    # Set on the object: the program may have made the logger before it imported this package.
    _logger.handle = _handle  # type: ignore[method-assign]

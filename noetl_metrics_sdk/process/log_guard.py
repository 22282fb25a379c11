"""Keep what a program's logging raises away from the code of this package that logs.

A filter or a handler of the program runs in the thread that logs. If it raised there, a job would
end by an error that is none of its own, and the delivery thread would end for good. So the message
is counted as lost, and the thread that has logged goes on.

A handler may hold a lock for which Python knows no remedy in a forked child, such as the one of the
buffer of `sys.stderr`. A child forked at that moment would wait for it for ever, with its first
message. So a fork waits until no thread of this package's is in a handler.

Why so: docs/decisions/delivery.md, docs/decisions/processes.md.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.fork import call_in_forked_child, reset_store_after_fork

if TYPE_CHECKING:
    from collections.abc import Generator

FORK_WAIT_SECONDS = 1.0
"""How long a fork waits at most: a handler may write to something that does not answer."""

_POLL_SECONDS = 0.001

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


class _Handling:
    """The threads that are in a handler with a message of this package's logger."""

    def __init__(self) -> None:
        self._reset()
        call_in_forked_child(
            self._reset, before=self._before_fork, after_in_parent=self._after_fork
        )

    def _reset(self) -> None:
        # Held for a moment by a thread that begins, and by one that forks until it has forked. It
        # is re-entrant, as a signal handler may log, or fork, in the middle of it.
        self._gate = threading.RLock()
        self._threads: list[int] = []
        self._forking: list[int] = []

    @contextmanager
    def message(self) -> Generator[None]:
        """Note that this thread handles a message while the block runs."""
        thread, threads = threading.get_ident(), self._threads
        with self._gate:
            threads.append(thread)
        try:
            yield
        finally:
            threads.remove(thread)

    def _before_fork(self) -> None:
        own = threading.get_ident()  # a handler may fork
        give_up_at = time.monotonic() + FORK_WAIT_SECONDS
        if self._gate.acquire(timeout=FORK_WAIT_SECONDS):
            self._forking.append(own)
        while any(thread != own for thread in list(self._threads)):
            if time.monotonic() >= give_up_at:
                return
            time.sleep(_POLL_SECONDS)

    def _after_fork(self) -> None:
        own = threading.get_ident()
        if own in self._forking:  # and not if it has waited for the gate in vain
            self._forking.remove(own)
            self._gate.release()


_lost = _LostMessages()
_handling = _Handling()


def lost_messages() -> int:
    """Return how many messages of this package's logger were lost because the logging raised."""
    return _lost.count


def _handle(record: logging.LogRecord) -> None:
    try:
        with _handling.message():
            logging.Logger.handle(_logger, record)
    except Exception:  # noqa: BLE001 - the program's own handlers may raise anything
        _lost.add()


def guard_logger() -> None:
    """Let nothing that handles a message of this package's logger raise into what has logged it."""
    # Set on the object: the program may have made the logger before it imported this package.
    _logger.handle = _handle  # type: ignore[method-assign]

"""Take part in the forks and in the end of uWSGI's processes.

uWSGI forks its workers by a call of C, so Python runs none of the hooks of `os.register_at_fork`.
uWSGI itself calls two functions of the program, if the program has put them into its module:
`uwsgi.post_fork_hook` in a new worker, and `uwsgi.atexit` in a process that ends.

uWSGI does not hold Python's lock (the GIL) when it forks. If a thread of the master holds it at
that moment, the lock stays held in the worker for ever, and the worker hangs. So no thread is
started in the process that has loaded the application and forks.

uWSGI's own handlers of signals end a worker from within the thread that gets the signal, and take
Python's lock there as the main thread would. In any other thread this waits for ever. So the
client's threads take none of these signals.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_logger = logging.getLogger("noetl_metrics_sdk")

HANDLED_BY_UWSGI = (
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTSTP",
)  # fmt: skip


class _Process:
    """What this process is; a worker inherits what the process was that has forked it."""

    was_begun = False


def _uwsgi() -> Any:
    """Return the module that uWSGI itself provides in its processes; None in other programs."""
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi if hasattr(uwsgi, "worker_id") else None


def is_in_uwsgi() -> bool:
    """Return whether uWSGI runs this process: it handles signals by itself, in C."""
    return _uwsgi() is not None


def must_not_have_threads() -> bool:
    """Return whether uWSGI forks this process, now or later."""
    uwsgi = _uwsgi()
    return uwsgi is not None and not _Process.was_begun and uwsgi.worker_id() == 0


@contextmanager
def leaving_signals_to_the_main_thread() -> Generator[None]:
    """Have the threads that the block starts take no signal of uWSGI's, if it runs this process.

    A thread begins with the signals blocked that the thread blocks which starts it. A signal that
    comes meanwhile is delivered at the end of the block.
    """
    if not is_in_uwsgi():
        yield
        return
    handled = [getattr(signal, name) for name in HANDLED_BY_UWSGI]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def call_in_workers(after_fork: Callable[[], None], at_exit: Callable[[], None]) -> None:
    """Let uWSGI call two functions; in any other program this does nothing.

    Args:
        after_fork: called in each new worker.
        at_exit: called in each process that ends in order, before the interpreter ends.
    """
    uwsgi = _uwsgi()
    if uwsgi is None:
        return

    def begin() -> None:
        _Process.was_begun = True
        with leaving_signals_to_the_main_thread():
            after_fork()

    _call_after_fork(uwsgi, begin)
    uwsgi.atexit = _both(getattr(uwsgi, "atexit", None), at_exit)
    if not getattr(uwsgi, "has_threads", True):
        _logger.warning(
            "uWSGI runs without --enable-threads, so the client's threads run only while a request "
            "does: samples may be late, and heartbeats stay away. Give uWSGI --enable-threads"
        )


def _call_after_fork(uwsgi: Any, after_fork: Callable[[], None]) -> None:
    try:
        # The module replaces `uwsgi.post_fork_hook` when a program imports it, and has a list of
        # functions instead.
        decorators: Any = import_module("uwsgidecorators")
    except Exception:  # noqa: BLE001 - not installed, or there is no master process
        uwsgi.post_fork_hook = _both(getattr(uwsgi, "post_fork_hook", None), after_fork)
    else:
        decorators.postfork(after_fork)


def _both(first: Callable[[], object] | None, second: Callable[[], None]) -> Callable[[], None]:
    def call_both() -> None:
        try:
            if first is not None:
                first()
        finally:
            second()

    return call_both

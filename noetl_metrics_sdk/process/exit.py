"""Let clients finish when this process ends, also where `atexit` alone is not enough.

A child of `multiprocessing` ends by `os._exit`. Before Python 3.13 it runs no `atexit` callbacks.
Since then it runs only the callbacks that were registered after its start. It does run the
finalizers of `multiprocessing.util.Finalize`, but only its own: multiprocessing forgets in a child
the finalizers that the parent had registered. So a forked child registers a finalizer anew, once
multiprocessing has set the child up. Children of Celery's `billiard` run the same finalizers. The
processes of its pool are an exception: they end without them, and only Celery's signal
`worker_process_shutdown` tells that they end. uWSGI, too, has a hook of its own.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import atexit
import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.fork import begin_in_worker_of_c
from noetl_metrics_sdk.process.in_uwsgi import call_in_workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_logger = logging.getLogger("noetl_metrics_sdk")

_FINALIZER_PRIORITY = 100
"""The finalizer runs before multiprocessing closes its own queues (-5 to 15), because a job may
still report until then."""


class Ending:
    """The work that a client has to do before its process ends.

    Args:
        finish: delivers the buffered samples, and ends the client's threads.
        deliver: delivers the buffered samples within some seconds, and lets the client go on.
        seconds_max: how long `finish` may take, in seconds.
    """

    def __init__(
        self,
        finish: Callable[[], object],
        deliver: Callable[[float], object],
        seconds_max: float,
    ) -> None:
        self.finish = finish
        self.deliver = deliver
        self.seconds_max = seconds_max
        self.thread: int | None = None
        """The identifier of the thread that is finishing; None if there is none."""


# Keeps the clients alive until they have finished, so a worker need not keep its client.
_endings: dict[Ending, None] = {}
_afterwards: list[Callable[[], None]] = []
_is_known_to_celery = False
_is_known_to_uwsgi = False


def finish_at_exit(ending: Ending) -> None:
    """Let `ending` finish its work when this process ends."""
    _endings[ending] = None
    _tell_celery()
    _tell_uwsgi()
    if _is_multiprocessing_child():
        _add_finalizer(ending)


def finish_at_exit_of_forked_child(ending: Ending) -> None:
    """Repeat `finish_at_exit()` in a child right after the fork.

    At that moment it is not known yet whether multiprocessing has made the child.
    """
    multiprocessing_util = _multiprocessing_util()
    if multiprocessing_util is not None:
        multiprocessing_util.register_after_fork(ending, _add_finalizer)


def has_finished(ending: Ending) -> None:
    """Forget `ending`, which has no work left."""
    _endings.pop(ending, None)


def after_all_have_finished(callback: Callable[[], None]) -> None:
    """Call `callback` when this process ends, after every ending has finished."""
    _afterwards.append(callback)


def finish_all() -> None:
    """Let every ending finish its work.

    Several threads may call this at once. Each call returns only when all work is done, because the
    thread that returns first may end the process.
    """
    while _endings:
        for ending in list(_endings):
            try:
                ending.finish()
            except Exception:  # the other endings have to finish all the same
                _logger.exception("what was to be done at the process's end failed")
            finally:
                has_finished(ending)


def seconds_to_finish() -> float:
    """Return how many seconds `finish_all()` may take."""
    return sum(ending.seconds_max for ending in list(_endings))


def _at_exit(**_: object) -> None:
    # Celery calls its receivers with arguments that are not needed here.
    _have_gevent_need_no_thread()
    finish_all()
    for callback in _afterwards:
        callback()


def _add_finalizer(ending: Ending) -> None:
    del ending  # one finalizer finishes all endings
    _tell_celery()  # the program may have imported Celery after the client had started
    multiprocessing_util = _multiprocessing_util()
    assert multiprocessing_util is not None
    multiprocessing_util.Finalize(None, _at_exit, exitpriority=_FINALIZER_PRIORITY)


def _have_gevent_need_no_thread() -> None:
    """Make gevent look up host names without a thread, if its resolver can get no thread any more.

    From 3.12 on, Python refuses new threads as soon as the interpreter is ending. A process that
    has connected before has the resolver's thread already.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return
    try:
        monkey.get_original("_thread", "start_new_thread")(int, ())
    except RuntimeError:
        hub = import_module("gevent").get_hub()
        hub.resolver = import_module("gevent.resolver.blocking").Resolver(hub)


def _is_multiprocessing_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _multiprocessing_util() -> ModuleType | None:
    # None if the program has not imported the module: then multiprocessing has not made this
    # process, nor any child of it.
    return sys.modules.get("multiprocessing.util")


def _tell_celery() -> None:
    """Ask Celery to call `_at_exit()` when a process of its prefork pool is about to end."""
    global _is_known_to_celery  # noqa: PLW0603 - once a process, and a forked child inherits it
    signals = sys.modules.get("celery.signals")
    if signals is not None and not _is_known_to_celery:
        _is_known_to_celery = True
        signals.worker_process_shutdown.connect(_at_exit, weak=False)


def _tell_uwsgi() -> None:
    global _is_known_to_uwsgi  # noqa: PLW0603 - once a process, and a worker inherits it
    if not _is_known_to_uwsgi:
        _is_known_to_uwsgi = True
        call_in_workers(begin_in_worker_of_c, _at_exit)


atexit.register(_at_exit)

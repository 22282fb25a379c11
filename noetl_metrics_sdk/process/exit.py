"""Have something done when this process ends, also where `atexit` alone is not enough.

A child of `multiprocessing` ends by `os._exit`: before Python 3.13 it runs no `atexit`
callbacks, and since then only those registered after its start. It does run
`multiprocessing.util.Finalize`, which forgets what the parent had registered; so a forked
child registers anew, once multiprocessing has set it up. Children of Celery's `billiard` use the
same finalizers, but for those of its pool: they end without, and all they do is tell Celery.
"""

from __future__ import annotations

import atexit
import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_logger = logging.getLogger("noetl_metrics_sdk")

_FINALIZER_PRIORITY = 100
"""Before multiprocessing's own queues are closed (-5 to 15): a job may still be reporting."""


class Ending:
    """What a client has to do before its process ends.

    Args:
        finish: delivers what is buffered, and ends the client's threads.
        deliver: delivers what is buffered, within some seconds, and lets the client go on.
        seconds_max: how long `finish` may take.
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
        """The thread that is finishing, by its identifier, for as long as it is at it."""


# Kept alive until they have finished: a worker need not hold on to its client.
_endings: dict[Ending, None] = {}
_afterwards: list[Callable[[], None]] = []
_is_known_to_celery = False


def finish_at_exit(ending: Ending) -> None:
    """Have `ending` finish its work when this process ends."""
    _endings[ending] = None
    _tell_celery()
    if _is_multiprocessing_child():
        _add_finalizer(ending)


def finish_at_exit_of_forked_child(ending: Ending) -> None:
    """Repeat `finish_at_exit()` right after a fork, when the kind of child is not known yet."""
    multiprocessing_util = _multiprocessing_util()
    if multiprocessing_util is not None:
        multiprocessing_util.register_after_fork(ending, _add_finalizer)


def has_finished(ending: Ending) -> None:
    """Let go of `ending`: there is nothing left for it to do."""
    _endings.pop(ending, None)


def after_all_have_finished(callback: Callable[[], None]) -> None:
    """Have `callback` called when this process ends, after every ending has finished."""
    _afterwards.append(callback)


def finish_all() -> None:
    """Have every ending finish its work.

    Several threads may be at it at once, and each returns only when all is done: the first to
    return may be what ends the process.
    """
    while _endings:
        for ending in list(_endings):
            try:
                ending.finish()
            except Exception:  # the others have to finish all the same
                _logger.exception("what was to be done at the process's end failed")
            finally:
                has_finished(ending)


def seconds_to_finish() -> float:
    """Return how long `finish_all()` may take."""
    return sum(ending.seconds_max for ending in list(_endings))


def _at_exit(**_: object) -> None:
    # Celery tells its receivers more than is needed here.
    _have_gevent_need_no_thread()
    finish_all()
    for callback in _afterwards:
        callback()


def _add_finalizer(ending: Ending) -> None:
    del ending  # all of them are finished by one finalizer
    _tell_celery()  # it may have been imported after the client had started
    multiprocessing_util = _multiprocessing_util()
    assert multiprocessing_util is not None
    multiprocessing_util.Finalize(None, _at_exit, exitpriority=_FINALIZER_PRIORITY)


def _have_gevent_need_no_thread() -> None:
    """Have gevent look up names on its own, where its resolver can have no thread any more.

    Python 3.12 refuses new threads as soon as the interpreter is ending. A process that has
    connected before has the thread already.
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
    # Only if somebody has imported it: otherwise no child of it can be running.
    return sys.modules.get("multiprocessing.util")


def _tell_celery() -> None:
    """Have Celery say when a process of its prefork pool is about to end."""
    global _is_known_to_celery  # noqa: PLW0603 - once a process, and a forked child inherits it
    signals = sys.modules.get("celery.signals")
    if signals is not None and not _is_known_to_celery:
        _is_known_to_celery = True
        signals.worker_process_shutdown.connect(_at_exit, weak=False)


atexit.register(_at_exit)

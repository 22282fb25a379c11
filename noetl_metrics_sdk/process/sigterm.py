"""End as SIGTERM asks for, once what is buffered has gone out.

By default SIGTERM ends a process on the spot, and what is buffered is lost. Where nobody else
handles it, this module does: every client finishes as at a normal exit, and then the same
signal ends the process, so that whoever waits for it sees what it would have seen.

The handler itself delivers nothing. It runs in the main thread, on top of whatever that was
doing: in the middle of an increment, or of an application's own critical section, with a lock
that the collector thread needs. So a thread delivers, and the handler keeps the main thread
from going on only for a moment, which is enough for a server nearby. If more time is needed, or
a lock that the main thread holds, the main thread goes on until the end comes. And where the
main thread does not come to run a handler, a watch has the same done.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.exit import (
    after_all_have_finished,
    finish_all,
    seconds_to_finish,
)
from noetl_metrics_sdk.process.signal_watch import SignalWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from noetl_metrics_sdk.process.exit import Ending

HOLD_SECONDS_MAX = 0.5
"""How long the main thread is kept from going on."""
HOLD_PART = 0.25
"""Which part of the time for the delivery that is at most: collecting gets half of it, and may
need what the main thread holds."""
GRACE_SECONDS = 1.0
"""How long after the deadline the process ends, even if a client does not keep to it."""
INIT_PID = 1


class _State:
    """What the handler knows; a forked child has it as it was in its parent."""

    def __init__(self) -> None:
        self.endings: dict[Ending, None] = {}
        self.watch = SignalWatch(_notice)
        # Does what `signal.signal` does in the main thread only.
        self.set_handler_anywhere: Callable[[int, int], object]
        # Who has begun to end a process, by its id: the main thread, or the watch.
        self.ended_by: dict[int, object] = {}
        # The main thread has a shutdown to complete first, and there can be no other thread.
        self.ends_after_shutdown = False
        self.has_fork_hooks = False
        # Of the thread that forks: the signals that it had blocked before.
        self.forking = threading.local()


def deliver_before_sigterm(ending: Ending) -> None:
    """Have SIGTERM end this process only after a delivery, if nothing else handles it.

    Only the main thread may install a handler: in any other, this does nothing.
    """
    _state.endings[ending] = None
    _hold_back_while_forking()
    if not _is_ending() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        _set_handler(_handle)
    if _is_ours():
        _begin_watch()


def leave_sigterm(ending: Ending) -> None:
    """Restore the default after the last client has been shut down."""
    _state.endings.pop(ending, None)
    if _state.ends_after_shutdown and _is_ending():
        _finish_and_end()
    if not _state.endings and not _is_ending():
        _state.watch.end()
        if _is_ours():
            _set_handler(signal.SIG_DFL)


def _set_handler(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    with suppress(ValueError):  # this is not the main thread
        signal.signal(signal.SIGTERM, handler)


def _is_ours() -> bool:
    return signal.getsignal(signal.SIGTERM) is _handle


def _is_ending() -> bool:
    return os.getpid() in _state.ended_by


def _begin_watch() -> None:
    try:
        # Here, and not in the watch's thread: one of a forked child may not be able to import.
        import ctypes  # noqa: PLC0415 - only for a client that has installed the handler

        set_handler = ctypes.pythonapi.PyOS_setsig
    except (ImportError, AttributeError):  # built without, or another Python
        return
    set_handler.argtypes = [ctypes.c_int, ctypes.c_void_p]
    set_handler.restype = ctypes.c_void_p
    _state.set_handler_anywhere = set_handler
    _state.watch.begin()


def _handle(signal_number: int, frame: FrameType | None) -> None:
    del frame
    if os.getpid() == INIT_PID:
        # The first process of a container is not ended by a signal that it does not handle.
        if not _starts_thread(_flush_all):
            _flush_all()
        return
    signal.signal(signal_number, signal.SIG_DFL)  # the next one ends the process at once
    if _is_first_to_end() and not _starts_thread(_finish_and_end):
        if _is_shutting_down():
            _state.ends_after_shutdown = True
        else:
            _finish_and_end()
    # It raises in gevent's event loop, which may not wait, and then need not.
    with suppress(Exception):
        threading.Event().wait(_hold_seconds())


def _is_shutting_down() -> bool:
    """Whether this is the thread that shuts a client down; whoever delivers has to wait for it."""
    me = threading.get_ident()
    return any(ending.thread == me for ending in list(_state.endings))


def _hold_seconds() -> float:
    if _is_shutting_down():
        return 0.0
    return min(HOLD_SECONDS_MAX, HOLD_PART * seconds_to_finish())


def _notice(signal_number: int) -> None:
    """Do the handler's work in the thread of the watch, if it is the handler's to do."""
    if signal_number == signal.SIGTERM and _is_ours() and os.getpid() != INIT_PID:
        _state.set_handler_anywhere(signal_number, signal.SIG_DFL)
        if _is_first_to_end():
            _finish_and_end()


def _is_first_to_end() -> bool:
    me = object()
    return _state.ended_by.setdefault(os.getpid(), me) is me


def _starts_thread(work: Callable[[], None]) -> bool:
    """Run `work` in a thread; return False if there can be no new one.

    `threading.Thread.start()` waits for a lock that the interrupted main thread may hold.
    """
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:  # too many threads, or the interpreter is ending already
        return False
    return True


def _finish_and_end() -> None:
    finished = threading.Event()
    seconds = seconds_to_finish() + GRACE_SECONDS

    def finish() -> None:
        try:
            finish_all()
        finally:
            finished.set()

    if not _starts_thread(finish):
        finish()
    finished.wait(seconds)
    _end()


def _flush_all() -> None:
    for ending in list(_state.endings):
        ending.deliver(ending.seconds_max)


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _end_if_asked() -> None:
    """End by the signal also where the main thread has come to its own end meanwhile."""
    if _is_ending():
        _end()


def _hold_back_while_forking() -> None:
    """Have SIGTERM wait until a forked child can handle it.

    In a child Python forgets the signals that came before it has put itself in order, and the
    clients are not in order before their own hooks have run; so a hook behind theirs lets the
    signal in. A pool that ends its children right after their start would wait for ever for one
    that has missed it. In the parent, other threads still take the signal.
    """
    if not _state.has_fork_hooks and hasattr(os, "register_at_fork"):
        _state.has_fork_hooks = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_begin_child)


def _block() -> None:
    if _is_ours():
        _state.forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _begin_child() -> None:
    _state.watch.begin_in_forked_child()
    _unblock()


def _unblock() -> None:
    mask = _state.forking.__dict__.pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_state = _State()
after_all_have_finished(_end_if_asked)

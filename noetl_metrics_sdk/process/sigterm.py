"""End the process as SIGTERM asks for, after the buffered samples are delivered.

By default SIGTERM ends a process on the spot, and the buffered samples are lost. While the program
does not handle SIGTERM, this module does. Every client finishes as at a normal exit, and then the
same signal ends the process. So a parent that waits for the process sees the usual exit status.

A handler of the program is left alone, from its installation to its end. When the signal comes, the
clients deliver what is buffered by then, and the program's handler does what it does. Often it
restores the default handler and raises the signal again. In the moment in which the default is
restored, the handler of this module takes its place.

The handler itself delivers nothing. It runs in the main thread, on top of the code that it has
interrupted. That may be the middle of an increment, or of a critical section of the application,
and the main thread may hold a lock that the collecting thread needs. So a thread delivers. The
handler holds the main thread up only for a moment, which is enough for a server nearby. If the
delivery needs more time, or a lock that the main thread holds, the main thread goes on until the
process ends. If the main thread does not come to run the handler, a watch does the same work.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.exit import (
    after_all_have_finished,
    finish_all,
    seconds_to_finish,
)
from noetl_metrics_sdk.process.fork import call_in_forked_child
from noetl_metrics_sdk.process.signal_settings import (
    KernelHandlers,
    SignalSettings,
    kernel_handlers,
    set_handler,
)
from noetl_metrics_sdk.process.signal_watch import SignalWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from noetl_metrics_sdk.process.exit import Ending

HOLD_SECONDS_MAX = 0.5
"""How long the handler holds the main thread up at most."""
HOLD_PART = 0.25
"""What part of the time for the delivery the handler holds the main thread up at most. Collecting
gets half of that time, and may need a lock that the main thread holds."""
REPEAT_SECONDS = 1.0
"""How long after the first SIGTERM others mean the same: a supervisor may send several. Later ones
end the process at once."""
GRACE_SECONDS = 1.0
"""How long after the deadline the process ends, even if a client takes longer."""
INIT_PID = 1


class _State:
    """The state of the handler; a forked child has the state that its parent had at the fork."""

    def __init__(self) -> None:
        self.endings: dict[Ending, None] = {}
        self.watch = SignalWatch(_notice)
        self.settings = SignalSettings(_handler_was_set, self.watch.descriptor_was_set)
        # The handlers as the kernel has them; None if they cannot be reached.
        self.kernel: KernelHandlers | None = None
        # What the kernel has while Python calls the handler of this module.
        self.kernel_handler: int | None = None
        # By process id, a token of the one call that has begun to end the process: either the
        # main thread's or the watch's.
        self.ended_by: dict[int, object] = {}
        # True if the handler holds the main thread up, or has done so: only the first signal does.
        self.has_held = False
        # True if the main thread has to complete a shutdown first, and no new thread can be
        # started.
        self.ends_after_shutdown = False
        self.has_fork_hooks = False
        # For the thread that forks: the signals that it had blocked before.
        self.forking = threading.local()


def deliver_before_sigterm(ending: Ending) -> None:
    """Make SIGTERM end this process only after a delivery, whenever the program does not handle it.

    Only the main thread may install a handler. In any other thread, this does not install one. The
    main thread does so when the program restores the default handler.
    """
    _state.endings[ending] = None
    _hold_back_while_forking()
    if _state.kernel is None:
        _state.kernel = kernel_handlers()
    _state.settings.begin()
    _replace_default()
    _begin_watch()


def listen_anew() -> None:
    """Replace the thread that hears of signals: threads are of another kind from now on."""
    _state.watch.begin_in_forked_child()


def leave_sigterm(ending: Ending) -> None:
    """Restore the default handler once the last client has been shut down."""
    _state.endings.pop(ending, None)
    if _state.ends_after_shutdown and _is_ending():
        _finish_and_end()
    if not _state.endings and not _is_ending():
        _state.settings.end()
        _state.watch.end()
        if _is_ours():
            _set_handler(signal.SIG_DFL)


def _handler_was_set(signal_number: int) -> None:
    if signal_number == signal.SIGTERM and _state.endings:
        _replace_default()
        _begin_watch()


def _replace_default() -> None:
    if not _is_ending() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        if _kernels_handler():
            return  # a handler in C, like uWSGI's, of which Python knows nothing
        _set_handler(_handle)
        _state.kernel_handler = _kernels_handler()


def _kernels_handler() -> int | None:
    return None if _state.kernel is None else _state.kernel.get(signal.SIGTERM)


def _set_handler(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    with suppress(ValueError):  # this is not the main thread
        # Below `signal.signal` a number is asked for, and not the member of an enumeration.
        set_handler(signal.SIGTERM, handler if callable(handler) else int(handler))


def _is_ours() -> bool:
    is_pythons = signal.getsignal(signal.SIGTERM) is _handle
    return is_pythons and _kernels_handler() == _state.kernel_handler


def _is_ending() -> bool:
    return os.getpid() in _state.ended_by


def _begin_watch() -> None:
    if _state.kernel is not None:  # the watch sets a handler, and is not the main thread
        _state.watch.begin()


def _handle(signal_number: int, frame: FrameType | None) -> None:
    del signal_number, frame
    if os.getpid() == INIT_PID:
        # A signal that the first process of a container does not handle does not end it. So this
        # only delivers, and the process goes on.
        if not _starts_thread(_flush_all):
            _flush_all()
        return
    if _state.kernel is None:
        _set_handler(signal.SIG_DFL)  # no other thread could set it later
    if _is_first_to_end():
        _let_a_later_one_end()
        if not _starts_thread(_finish_and_end):
            if _is_shutting_down():
                _state.ends_after_shutdown = True
            else:
                _finish_and_end()
    if _state.has_held:
        return
    _state.has_held = True
    # In gevent's event loop, which must not wait, this raises. Then no wait is needed.
    with suppress(Exception):
        threading.Event().wait(_hold_seconds())


def _is_shutting_down() -> bool:
    """Return whether this thread shuts a client down; a delivering thread has to wait for it."""
    me = threading.get_ident()
    return any(ending.thread == me for ending in list(_state.endings))


def _hold_seconds() -> float:
    if _is_shutting_down():
        return 0.0
    return min(HOLD_SECONDS_MAX, HOLD_PART * seconds_to_finish())


def _notice(signal_number: int) -> None:
    """Do in the thread of the watch what is to be done when the signal arrives.

    If the handler of this module would have to end the process, this does the handler's work. If
    the program handles the signal, the clients deliver what is there already: the program may need
    a long time for its end, and a supervisor may not give it that.
    """
    if signal_number != signal.SIGTERM or _is_ending():
        return
    if not _is_ours():
        if callable(signal.getsignal(signal.SIGTERM)):
            _starts_thread(_flush_all)
    elif os.getpid() != INIT_PID and _is_first_to_end():
        _let_a_later_one_end()
        _finish_and_end()


def _is_first_to_end() -> bool:
    me = object()
    return _state.ended_by.setdefault(os.getpid(), me) is me


def _let_a_later_one_end() -> None:
    """Have the kernel end the process at a signal that comes after `REPEAT_SECONDS`."""

    def wait_and_restore() -> None:
        time.sleep(REPEAT_SECONDS)
        _restore_default()

    if not _starts_thread(wait_and_restore):
        _restore_default()


def _restore_default() -> None:
    """Restore the default handler, in any thread, unless the program has set one meanwhile."""
    if _state.kernel is not None and _is_ours():
        _state.kernel.set(signal.SIGTERM, signal.SIG_DFL)


def _starts_thread(work: Callable[[], None]) -> bool:
    """Run `work` in a new thread; return False if no new thread can be started.

    It does not use `threading.Thread.start()`, which waits for a lock that the interrupted main
    thread may hold.
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
    _restore_default()
    os.kill(os.getpid(), signal.SIGTERM)


def _end_if_asked() -> None:
    """End by the signal, even if the main thread has come to its own end meanwhile."""
    if _is_ending():
        _end()


def _hold_back_while_forking() -> None:
    """Block SIGTERM during a fork, until the forked child can handle it.

    In a child, Python forgets the signals that came before it has put itself in order. And the
    clients are not in order before their own hooks have run. So a hook that runs after theirs lets
    the signal in. Without this, a pool that ends its children right after their start would wait
    for ever for a child that has missed the signal. In the parent, other threads still take the
    signal.
    """
    if not _state.has_fork_hooks:
        _state.has_fork_hooks = True
        call_in_forked_child(_begin_child, before=_block, after_in_parent=_unblock)


def _block() -> None:
    if _is_ours():
        _state.forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _begin_child() -> None:
    _state.has_held = False
    _state.watch.begin_in_forked_child()
    _unblock()


def _unblock() -> None:
    mask = _state.forking.__dict__.pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_state = _State()
after_all_have_finished(_end_if_asked)

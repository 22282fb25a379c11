"""Hear when the program changes how its process hears of signals.

A process has one handler for each signal, and one file descriptor that wakes an event loop up at a
signal. Both belong to the program. Python does not tell when the program sets them, and two cases
need that. uvicorn, for example, handles SIGTERM while it serves; at its end it restores the default
handler and raises the signal again. A client that was started in between has to be asked for in the
moment between these two. And trio warns if it finds a descriptor that is not its own.

So this module stands in front of the two functions by which a program sets them. They do what they
did, and the program gets the answers that it would get without this package.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import functools
import signal
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# `signal.signal()` looks this function up at each call. So a program that has bound
# `signal.signal` to a name of its own is heard too.
_below_signal: Any = import_module("_signal")

set_handler: Callable[[int, Any], Any] = _below_signal.signal
"""Sets a handler without being heard: for this package's own use, and in the main thread only."""

set_descriptor: Callable[..., int] = signal.set_wakeup_fd
"""Sets the descriptor without being heard: for this package's own use, in the main thread only."""


class KernelHandlers(NamedTuple):
    """The handlers of signals as the kernel has them.

    They are another one than Python's if a library has set a handler in C. And `set` works in any
    thread, while `signal.signal` does so in the main thread only.

    Args:
        get: returns the address of a signal's handler; None for the default.
        set: sets a signal's handler to an address or to `SIG_DFL`.
    """

    get: Callable[[int], int | None]
    set: Callable[[int, int], int | None]


def kernel_handlers() -> KernelHandlers | None:
    """Return the access to the kernel's handlers, or None if this interpreter gives none."""
    try:
        import ctypes  # noqa: PLC0415 - only for a client that handles SIGTERM

        get_handler, set_kernels = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    except (ImportError, AttributeError):  # built without ctypes, or not CPython
        return None
    get_handler.argtypes, get_handler.restype = [ctypes.c_int], ctypes.c_void_p
    set_kernels.argtypes = [ctypes.c_int, ctypes.c_void_p]
    set_kernels.restype = ctypes.c_void_p
    return KernelHandlers(get_handler, set_kernels)


class SignalSettings:
    """Calls back after the program has set a handler or the descriptor, in the main thread.

    Args:
        handler_was_set: called with the signal's number.
        descriptor_was_set: called with the descriptor from before and the new one; returns which
            descriptor the program is told that there was before.
    """

    def __init__(
        self,
        handler_was_set: Callable[[int], None],
        descriptor_was_set: Callable[[int, int], int],
    ) -> None:
        @functools.wraps(set_handler)
        def heard_set_handler(signal_number: int, handler: Any, /) -> Any:
            before = set_handler(signal_number, handler)
            handler_was_set(signal_number)
            return before

        @functools.wraps(set_descriptor)
        def heard_set_descriptor(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
            before = set_descriptor(fd, warn_on_full_buffer=warn_on_full_buffer)
            return descriptor_was_set(before, fd)

        self._set_handler = heard_set_handler
        self._set_descriptor = heard_set_descriptor

    def begin(self) -> None:
        """Begin to hear of what the program sets, unless this is heard of already."""
        if _below_signal.signal is set_handler:
            _below_signal.signal = self._set_handler
        if signal.set_wakeup_fd is set_descriptor:
            signal.set_wakeup_fd = self._set_descriptor

    def end(self) -> None:
        """Put the two functions back, unless another library has replaced them meanwhile."""
        if _below_signal.signal is self._set_handler:
            _below_signal.signal = set_handler
        if signal.set_wakeup_fd is self._set_descriptor:
            signal.set_wakeup_fd = set_descriptor

"""Notice a signal when it arrives, whatever the main thread is doing.

Python runs the handler of a signal in the main thread, between two instructions. So it does not run
the handler during a long call of C code. It does not run it at all if the signal came in the moment
before a call that blocks for ever. Python has the remedy itself: `signal.set_wakeup_fd`, and here a
thread listens to it.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import _thread
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NOBODYS = -1
_READ_BYTES_MAX = 4096


class SignalWatch:
    """A thread that hears of every signal for which Python has a handler.

    A process has only one file descriptor for this. If the program uses it already, in an event
    loop for example, the program keeps it, and this watch hears of no signal.

    Args:
        notice: called in the thread, with the signal's number.
    """

    def __init__(self, notice: Callable[[int], None]) -> None:
        self._notice = notice
        self._writer: socket.socket | None = None

    def begin(self) -> None:
        """Begin to listen, unless the watch does so already.

        Only the main thread can: in any other this does nothing.
        """
        if self._writer is not None:
            return
        # A socket and no pipe: gevent patches sockets, so only the greenlet waits for it.
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        if self._claim(writer):
            self._writer = writer
            try:
                _thread.start_new_thread(self._listen, (reader,))
            except RuntimeError:  # too many threads
                self.end()
            else:
                return
        writer.close()
        reader.close()

    def end(self) -> None:
        """End the thread. Only the main thread can: in any other this does nothing."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            current = signal.set_wakeup_fd(_NOBODYS)
        except ValueError:
            # The socket stays open: its number could become the number of another file, and Python
            # would write signals into that.
            self._writer = writer
            return
        if current != writer.fileno():
            _restore(current)
        writer.close()

    def begin_in_forked_child(self) -> None:
        """Begin anew: the inherited socket would tell the parent of this process's signals."""
        was_listening = self._writer is not None
        self.end()
        if was_listening:
            self.begin()

    def _claim(self, writer: socket.socket) -> bool:
        try:
            before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        except ValueError:  # this is not the main thread
            return False
        if before != _NOBODYS:
            _restore(before)
        return before == _NOBODYS

    def _listen(self, reader: socket.socket) -> None:
        with reader:
            while signal_numbers := reader.recv(_READ_BYTES_MAX):
                for signal_number in signal_numbers:
                    self._notice(signal_number)


def _restore(file_number: int) -> None:
    with suppress(OSError):  # its owner may have closed it
        signal.set_wakeup_fd(file_number, warn_on_full_buffer=False)

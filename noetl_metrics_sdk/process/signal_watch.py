"""Hear of a signal when it arrives, whatever the main thread is doing.

Python runs the handler of a signal in the main thread, between two instructions: so not during
a long call of C code, and not at all if the signal came in the moment before a call that blocks
for ever. The remedy is Python's own: `signal.set_wakeup_fd`, with a thread that listens.
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
    """A thread that is told of every signal for which Python has a handler.

    A process has one such place. If somebody else has it, an event loop for example, it stays
    theirs, and this watch hears nothing.

    Args:
        notice: called in the thread, with the signal's number.
    """

    def __init__(self, notice: Callable[[int], None]) -> None:
        self._notice = notice
        self._writer: socket.socket | None = None

    def begin(self) -> None:
        """Begin to listen, unless it does already. Only the main thread can."""
        if self._writer is not None:
            return
        # A socket, because gevent makes it one for which only the greenlet waits.
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
            # Not closed: its number would become another file's, and signals be written there.
            self._writer = writer
            return
        if current != writer.fileno():
            _restore(current)
        writer.close()

    def begin_in_forked_child(self) -> None:
        """Begin anew: what is inherited would tell the parent of this process's signals."""
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
    with suppress(OSError):  # its owner has closed it
        signal.set_wakeup_fd(file_number, warn_on_full_buffer=False)

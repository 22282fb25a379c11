"""Notice a signal when it arrives, whatever the main thread is doing.

Python runs the handler of a signal in the main thread, between two instructions. So it does not run
the handler during a long call of C code. It does not run it at all if the signal came in the moment
before a call that blocks for ever. Python has the remedy itself: `signal.set_wakeup_fd`, and here a
thread listens to it.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import _thread
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.signal_settings import set_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

_NOBODYS = -1
_READ_BYTES_MAX = 4096


class SignalWatch:
    """A thread that hears of every signal for which Python has a handler.

    A process has only one file descriptor for this. The program's event loop has it first: this
    watch takes the descriptor while no event loop has it, and hears of no signal otherwise.

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
        if threading.current_thread() is not threading.main_thread():
            return
        if self._writer is None:
            # A socket and no pipe: gevent patches sockets, so only the greenlet waits for it.
            reader, writer = socket.socketpair()
            writer.setblocking(False)
            try:
                _thread.start_new_thread(self._listen, (reader,))
            except RuntimeError:  # too many threads
                writer.close()
                reader.close()
                return
            self._writer = writer
        else:
            writer = self._writer
        self._take_if_free(writer)

    def end(self) -> None:
        """End the thread. Only the main thread can: in any other this does nothing."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            current = set_descriptor(_NOBODYS)
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

    def descriptor_was_set(self, before: int, now: int) -> int:
        """Take the descriptor back once the program's event loop has given it up.

        Args:
            before: the descriptor that the program has replaced.
            now: the one that it has set; -1 for none.

        Returns:
            Which descriptor there was before, as the program sees it: never this watch's own.
        """
        writer = self._writer
        if writer is None:
            return before
        if now == _NOBODYS:
            self._take_if_free(writer)
        return _NOBODYS if before == writer.fileno() else before

    def _take_if_free(self, writer: socket.socket) -> None:
        try:
            before = set_descriptor(writer.fileno(), warn_on_full_buffer=False)
        except (OSError, ValueError):  # a signal handler has ended the watch in the middle of this
            return
        if before not in {_NOBODYS, writer.fileno()}:
            _restore(before)

    def _listen(self, reader: socket.socket) -> None:
        with reader:
            while signal_numbers := reader.recv(_READ_BYTES_MAX):
                for signal_number in signal_numbers:
                    self._notice(signal_number)


def _restore(file_number: int) -> None:
    with suppress(OSError):  # its owner may have closed it
        set_descriptor(file_number, warn_on_full_buffer=False)

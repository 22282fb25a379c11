"""A command in a terminal of some size: a pseudo-terminal, of which the test is the other end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.command.running import PROGRAM, environment

if TYPE_CHECKING:
    from collections.abc import Generator

_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")

SILENCE_SECONDS_MAX = 60
SHOWN_SECONDS_MAX = 90


class Terminal:
    """The other end of a terminal in which a command runs."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self._end = end
        self.process = process
        self.raw = ""

    def read_until(self, text: str, times: int = 1) -> None:
        """Read what the command shows until a text is in it, or is in it more often."""
        give_up_at = time.monotonic() + SHOWN_SECONDS_MAX
        while self.raw.count(text) < times:
            assert time.monotonic() < give_up_at, f"{text!r} is not shown: {self.raw[-4000:]}"
            if not self._read():
                raise AssertionError(f"ended without {text!r}: {self.raw}")

    def read_to_end(self, code: int = 0) -> list[str]:
        """Return the lines that the command has shown, without colours, once it has ended."""
        while self._read():
            pass
        assert code == self.process.wait(20), self.raw
        return _ESCAPES.sub("", self.raw).splitlines()

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def _read(self) -> bool:
        readable, _, _ = select.select([self._end], [], [], SILENCE_SECONDS_MAX)
        assert readable, f"nothing was shown for {SILENCE_SECONDS_MAX} s after: {self.raw}"
        try:
            read = os.read(self._end, 65_536)
        except OSError:  # so Linux says that the other side has closed
            return False
        self.raw += read.decode(errors="replace").replace("\r\n", "\n")
        return bool(read)


@contextmanager
def in_terminal(columns: int, lines: int, *arguments: str, **variables: str) -> Generator[Terminal]:
    """Run a command in a terminal of some size."""
    end, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    shown = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **variables}
    own = environment(**shown)
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        own.pop(name, None)
    try:
        process = subprocess.Popen(
            [*PROGRAM, *arguments], env=own, stdin=side, stdout=side, stderr=side,
            start_new_session=True,
            # So that Ctrl-C becomes a signal; the call takes no lock that a thread might have.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
    finally:
        os.close(side)
    try:
        yield Terminal(end, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(end)

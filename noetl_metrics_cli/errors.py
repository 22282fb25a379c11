"""What ends a command: a message of one line, and the exit code."""

from __future__ import annotations

FAILED = 1
"""The server refused, or the answer is no."""

USAGE = 2
"""An option or an argument is not valid."""

UNREACHABLE = 3
"""The server or the database does not answer, or is busy: the same command may work later."""

INTERRUPTED = 130
"""Ctrl-C; the code that a shell gives a program which SIGINT has ended."""

PIPE_CLOSED = 141
"""The reader of the output is gone, as `head` is; the code of a program that SIGPIPE has ended."""


class CommandError(Exception):
    """A command cannot do what it was asked to.

    Args:
        message: what is wrong, and what to do about it, in one line.
        exit_code: how the process ends.
    """

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code

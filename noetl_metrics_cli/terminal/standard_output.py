"""The standard output: what is printed is written whole, or the command fails."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def open_output() -> None:
    """Make the standard output one that can be relied on.

    Where PYTHONUNBUFFERED has left out the buffer, Python writes once and takes a part for the
    whole: what a full disk or a closed pipe has not taken would be missing without an error. So
    there is a buffer again. Commands flush what they print: a reader gets it as early as before.

    A process that was started without an output (`>&-`) writes nowhere.
    """
    # It is None then, which the types of Python do not say.
    stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - open to the end
    if isinstance(getattr(stdout, "buffer", None), io.RawIOBase):
        stdout = open(  # noqa: SIM115 - open to the end
            stdout.fileno(), "w", encoding=stdout.encoding, errors=stdout.errors, closefd=False
        )
    sys.stdout = stdout


def discard_output() -> None:
    """Discard what is still to be written: Python would try again, and complain, as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

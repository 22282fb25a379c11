"""Cuts a file of lines into batches, whose names come from what the file has up to their ends.

A batch ends after a fixed number of lines or bytes, counted from the beginning of the file. So each
import of the file cuts it in the same way, and the server knows a batch that it has already. The
sizes are part of the names: with others, a file that is imported once more would be inserted twice.

Why so: docs/decisions/command.md.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from noetl_metrics_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator

BATCH_LINES_MAX = 2_000
BATCH_BYTES_MAX = 1_000_000
LINE_BYTES_MAX = 1_000_000


class Line(NamedTuple):
    """A line of a file, its number from 1 on, and where it ends, in bytes."""

    number: int
    text: bytes
    end: int


class Batch(NamedTuple):
    """Lines that are sent together.

    `digest` is the SHA-256, in hexadecimal digits, of all of the file up to the end of the batch.
    """

    lines: list[Line]
    digest: str

    @property
    def end(self) -> int:
        """Where the batch ends, in bytes."""
        return self.lines[-1].end


class Place(NamedTuple):
    """A place in a file: in bytes, and the SHA-256 of what is before it."""

    end: int
    digest: str


def batches(file: BinaryIO, place: Place | None) -> Generator[Batch]:
    """Yield the batches of a file.

    Args:
        file: at its beginning.
        place: where an earlier import has ended, or None. The batches before it come too, so that
            they are cut in the same way, and a reader sees what they declare.

    Raises:
        CommandError: a line is too long, or the file is not the one that was imported to `place`.
    """
    digest = hashlib.sha256()
    lines: list[Line] = []
    end = number = size = 0
    is_passed = place is None
    while text := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(text) > LINE_BYTES_MAX:
            raise CommandError(
                f"line {number} has more than {LINE_BYTES_MAX:,} bytes: cut the file"
            )
        digest.update(text)
        end += len(text)
        size += len(text)
        lines.append(Line(number, text, end))
        if place is not None and not is_passed and end >= place.end:
            if (end, digest.hexdigest()) != place:
                raise CommandError("its beginning has changed since it was imported")
            is_passed = True
        if len(lines) >= BATCH_LINES_MAX or size >= BATCH_BYTES_MAX:
            yield Batch(lines, digest.hexdigest())
            lines, size = [], 0
    if not is_passed:
        raise CommandError("it has become shorter since it was imported")
    if lines:
        yield Batch(lines, digest.hexdigest())

"""A folder with the batches of one process, owned by whoever holds the lock in it.

    <directory>/<component>/<boot id>/lock
    <directory>/<component>/<boot id>/<boot id>-<sequence>-<samples>.batch
    <directory>/<component>/<boot id>/<boot id of a dead process>/…

The lock is the operating system's (flock): it goes when its holder does, whatever ends it, and a
process that comes later moves the folder into its own. The whole folder at once: the server takes
a batch with a lower number than the last one for a repeat, so those of one boot id must never be in
two hands, at whatever moment the heir is killed.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.queue.spool_file import decode, encode, samples_named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from noetl_metrics_sdk.queue.spool_file import Part

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FILE_NAME = re.compile(r"(.+)-([0-9]{19})-([0-9]+)\.batch")
_BEING_MADE = ".new-"
_LOCK_NAME = "lock"


class SpooledFile(NamedTuple):
    """A file with a batch: where it is, what it ought to hold, and since when."""

    path: Path
    boot_id: str
    sequence: int
    samples: int
    size_bytes: int
    written_at: float


class SpoolFolder:
    """One process's folder, with its lock held.

    Args:
        path: the folder.
        lock: the open file descriptor that holds the lock.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def create(cls, component_folder: Path, boot_id: str) -> SpoolFolder:
        """Make the folder of this process.

        Raises:
            OSError: it cannot be made, or this platform has no such locks.
        """
        path = component_folder / boot_id
        # Under another name until it is locked, or somebody could take it over meanwhile.
        being_made = component_folder / f"{_BEING_MADE}{boot_id}"
        being_made.mkdir(mode=0o700, parents=True)
        lock = os.open(being_made / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _lock(lock)
            being_made.rename(path)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    def take_over(self) -> None:
        """Bring in the batches of processes of this component that are gone."""
        for path in self.path.parent.iterdir():
            if path.name.startswith(_BEING_MADE) or path == self.path:
                continue
            try:
                # Not created: a folder without a lock is being removed.
                lock = os.open(path / _LOCK_NAME, os.O_RDWR)
            except OSError:
                continue
            try:
                _lock(lock)
                self._move_in(path)
            except OSError:
                pass  # its owner lives; or the disk fails, and the next process may have more luck
            finally:
                os.close(lock)

    def _move_in(self, path: Path) -> None:
        # First what it has itself taken over: folders are never deeper than that.
        for folder in [*_folders_in(path), path]:
            if not _remove_if_empty(folder):
                folder.rename(self.path / folder.name)
        _sync_folder(self.path)
        _sync_folder(self.path.parent)

    def files(self) -> list[SpooledFile]:
        """Return the batches in it, in the order in which they are to be sent."""
        folders = [self.path, *_folders_in(self.path)]
        batches = [path for folder in folders for path in folder.glob("*.batch")]
        found = [file for path in batches if (file := _described(path))]
        began_at: dict[str, float] = {}
        for file in found:
            began_at[file.boot_id] = min(
                began_at.get(file.boot_id, file.written_at), file.written_at
            )
        # Those of a process by their numbers; of processes, the oldest first.
        return sorted(found, key=lambda file: (began_at[file.boot_id], file.boot_id, file.sequence))

    def path_of(self, part: Part) -> Path:
        """Return where a batch is put that was not split yet."""
        name = part.name
        return self.path / f"{name.boot_id}-{name.sequence:019d}-{len(part.items)}.batch"

    def write(self, path: Path, parts: Sequence[Part]) -> int:
        """Put a batch on disk, whole or not at all, in the place of what is there.

        Args:
            path: its file in this folder.
            parts: the batch, or what is left of it.

        Returns:
            The bytes that it takes.

        Raises:
            OSError: the disk is full, read-only, or broken.
        """
        content = encode(parts)
        being_written = self.path / "being-written"
        try:
            _write(being_written, content)
            being_written.rename(path)
        except OSError:
            # What is there of it takes room that a full disk has not got.
            with suppress(OSError):
                being_written.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        return len(content)

    def close(self) -> None:
        """Give the folder up: remove it if it is empty, or leave it to be taken over."""
        if self._lock is None:
            return
        # On a read-only disk it is left as it is.
        with suppress(OSError):
            for folder in [*_folders_in(self.path), self.path]:
                _remove_if_empty(folder)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the lock's file descriptor; in a forked child the parent keeps the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _folders_in(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.is_dir()]


def _remove_if_empty(folder: Path) -> bool:
    """Remove a folder without batches; return whether it had none."""
    if _folders_in(folder) or any(folder.glob("*.batch")):
        return False
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return True


def _described(path: Path) -> SpooledFile | None:
    named = _FILE_NAME.fullmatch(path.name)
    if named is None:
        return None
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        samples = samples_named(file.readline() + file.readline())
    return SpooledFile(
        path,
        named[1],
        int(named[2]),
        # Of a damaged one its name says how many it once had.
        int(named[3]) if samples is None else samples,
        status.st_size,
        status.st_mtime,
    )


def read(path: Path) -> list[Part]:
    """Return the parts that a file holds, as far as they can be read.

    Raises:
        OSError: it cannot be read.
    """
    return decode(path.read_bytes())


def _write(path: Path, content: bytes) -> None:
    # Unbuffered: a child that is forked in the middle of this has a copy of a buffer, and must not
    # write it out a second time.
    with path.open("wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _lock(descriptor: int) -> None:
    if fcntl is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise OSError("a spool needs flock(), which this platform does not have")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(path: Path) -> None:
    # So that the name outlives a power cut too. Not every file system can.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""A folder with the batches of one process, owned by the process that holds its lock.

    <directory>/<component>/<boot id>/<boot id>-<sequence>-<samples>.batch
    <directory>/<component>/<boot id>/<boot id of a dead process>/…

When a process ends, its lock is free, whatever has ended the process. A later process then moves
the folder into its own, as a whole and at once. The server takes a batch with a lower number than
the last one for a repeat. So two processes must never both have batches of one boot id, at whatever
moment the process that takes a folder over is killed.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.queue.folder_lock import FolderLock
from noetl_metrics_sdk.queue.spool_file import decode, encode, samples_named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from noetl_metrics_sdk.queue.spool_file import Part

_logger = logging.getLogger("noetl_metrics_sdk")

_FILE_NAME = re.compile(r"(.+)-([0-9]{19})-([0-9]+)\.batch")
_BEING_MADE = ".new-"
_UNREADABLE = ".unreadable"


class SpooledFile(NamedTuple):
    """A file with a batch: its path, its name and size, its samples, and when it was written.

    `samples` is how many samples the file should hold. `written_at` is in seconds since the epoch.
    """

    path: Path
    boot_id: str
    sequence: int
    samples: int
    size_bytes: int
    written_at: float


class SpoolFolder:
    """The folder of this process, which holds its lock.

    Args:
        path: the folder.
        lock: its lock.
    """

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, component_folder: Path, boot_id: str) -> SpoolFolder:
        """Make the folder of this process, and take its lock.

        Raises:
            OSError: the folder cannot be made, or its file system has no such locks.
        """
        path = component_folder / boot_id
        # The folder has another name until it is locked: otherwise another process could take it
        # over before that.
        being_made = component_folder / f"{_BEING_MADE}{boot_id}"
        being_made.mkdir(mode=0o700, parents=True)
        lock = FolderLock(being_made)
        try:
            being_made.rename(path)
        except BaseException:
            lock.release()
            raise
        return cls(path, lock)

    def is_there(self) -> bool:
        """Return whether the folder is still at its path: another program may have deleted it."""
        return self._lock.is_of(self.path)

    def take_over(self) -> None:
        """Move the folders of this component's dead processes into this one.

        A folder that cannot be moved is told of, and stays where it is for the next process.
        """
        for path in self.path.parent.iterdir():
            if path.name.startswith(_BEING_MADE) or path == self.path:
                continue
            try:
                lock = FolderLock(path)
            except (BlockingIOError, FileNotFoundError):
                continue  # its owner lives, or has just removed it
            except OSError as error:
                _tell_of(path, error)
                continue
            try:
                # Its owner may have removed it, or another heir may have moved it, before it was
                # locked here.
                if lock.is_of(path):
                    self._move_in(path)
            except OSError as error:
                _tell_of(path, error)
            finally:
                lock.release()

    def _move_in(self, path: Path) -> None:
        # First the folders that the dead process had itself taken over. So folders never nest
        # deeper than one level.
        for folder in [*_folders_in(path), path]:
            if not _remove_if_empty(folder):
                folder.rename(self.path / folder.name)
        _sync_folder(self.path)
        _sync_folder(self.path.parent)

    def files(self) -> tuple[list[SpooledFile], int]:
        """Return the files with batches, in the order in which they have to be sent.

        What cannot be opened keeps no other file back. It gets another name, because it must not be
        sent later: the server would take it for a repeat, behind the batches that came after it.

        Returns:
            The files, and how many samples are in those that cannot be opened.
        """
        folders = [self.path, *_folders_in(self.path)]
        batches = [path for folder in folders for path in folder.glob("*.batch")]
        found: list[SpooledFile] = []
        samples_lost = 0
        for path in batches:
            try:
                found.append(_described(path))
            except (OSError, ValueError) as error:
                _logger.warning(
                    "the spool cannot read %s, which is called %s from now on: %s",
                    path, path.name + _UNREADABLE, error,
                )  # fmt: skip
                named = _FILE_NAME.fullmatch(path.name)
                samples_lost += int(named[3]) if named is not None else 0
                with suppress(OSError):
                    path.rename(path.with_name(path.name + _UNREADABLE))
        began_at: dict[str, float] = {}
        for file in found:
            began_at[file.boot_id] = min(
                began_at.get(file.boot_id, file.written_at), file.written_at
            )
        # The batches of a process are in the order of their numbers. The process with the oldest
        # batch comes first.
        in_order = sorted(
            found, key=lambda file: (began_at[file.boot_id], file.boot_id, file.sequence)
        )
        return in_order, samples_lost

    def path_of(self, part: Part) -> Path:
        """Return the path for a batch that was not split."""
        name = part.name
        return self.path / f"{name.boot_id}-{name.sequence:019d}-{len(part.items)}.batch"

    def write(self, path: Path, parts: Sequence[Part]) -> int:
        """Put a batch on disk, whole or not at all, and replace the file if it exists.

        Args:
            path: the batch's file, in this folder or in one that was taken over.
            parts: the batch, or the parts of it that are left.

        Returns:
            The size of the file in bytes.

        Raises:
            OSError: the disk is full, read-only, or broken.
        """
        content = encode(parts)
        being_written = self.path / "being-written"
        try:
            _write(being_written, content)
            being_written.rename(path)
        except OSError:
            # A file that was written in part takes up room on a disk that may be full.
            with suppress(OSError):
                being_written.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        return len(content)

    def close(self) -> None:
        """Give the folder up: remove it if it is empty, or leave it to the next process."""
        if not self.is_there():
            self.abandon()
            return
        # On a read-only disk the folder stays as it is.
        with suppress(OSError):
            for folder in [*_folders_in(self.path), self.path]:
                _remove_if_empty(folder)
        self.abandon()

    def abandon(self) -> None:
        """Release the lock, and leave everything as it is; a forked child has none to release."""
        self._lock.release()


def _folders_in(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.is_dir()]


def _remove_if_empty(folder: Path) -> bool:
    """Remove a folder without batches, readable or not; return whether it had none."""
    if _folders_in(folder) or any(folder.glob("*.batch*")):
        return False
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return True


def _described(path: Path) -> SpooledFile:
    named = _FILE_NAME.fullmatch(path.name)
    if named is None:
        raise ValueError("its name is not that of a batch")
    # Only a plain file is opened: to open a pipe might take for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no file")
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        samples = samples_named(file.readline() + file.readline())
    return SpooledFile(
        path,
        named[1],
        int(named[2]),
        # If the file is damaged, its name says how many samples it once had.
        int(named[3]) if samples is None else samples,
        status.st_size,
        status.st_mtime,
    )


def _tell_of(path: Path, error: Exception) -> None:
    _logger.warning("the spool cannot take %s over, and leaves it there: %s", path, error)


def read(path: Path) -> list[Part]:
    """Return the parts that a file holds, as far as they are readable.

    Raises:
        OSError: the file cannot be read.
    """
    return decode(path.read_bytes())


def _write(path: Path, content: bytes) -> None:
    # Unbuffered: a child that is forked in the middle of this would have a copy of the buffer, and
    # would write it a second time.
    with path.open("wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    # The name of a file outlives a power cut only if the folder is synced. Not every file system
    # can do that.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

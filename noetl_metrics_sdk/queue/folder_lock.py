"""The lock of a folder: a process that holds it is alive, and owns the folder.

The lock is the operating system's (flock). When a process ends, the operating system releases its
lock, whatever has ended the process. The lock is on the folder itself and not on a file in it: a
file may be deleted, for example by a cleaner that removes what is old. systemd-tmpfiles leaves a
folder alone that is locked so.

A forked child has copies of its parent's file descriptors, and would hold the lock beyond the
parent's end. So a child closes them before it does anything else. A fork waits for a lock that is
being taken: the child knows then of each descriptor that it has.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


# Held while a lock is taken or released, and during a fork. Taken after all other locks. It is
# re-entrant: a signal handler may fork in the middle of taking a lock.
_changes = threading.RLock()
_held: set[FolderLock] = set()


class FolderLock:
    """The lock of a folder, which this process holds until it releases the lock, or ends.

    Args:
        folder: the folder.

    Raises:
        BlockingIOError: another process holds the lock, or another owner in this process.
        OSError: there is no such folder, or its file system has no such locks.
    """

    def __init__(self, folder: Path) -> None:
        if fcntl is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise OSError("a spool needs flock(), which this platform does not have")
        with _changes:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._descriptor: int | None = descriptor
            _held.add(self)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                self.release()
                raise

    def is_of(self, folder: Path) -> bool:
        """Return whether this lock is held, and is the lock of the folder that has this path."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), folder.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Release the lock; in a forked child this leaves the parent's lock as it is."""
        with _changes:
            descriptor, self._descriptor = self._descriptor, None
            _held.discard(self)
            if descriptor is not None:
                with suppress(OSError):  # closed all the same
                    os.close(descriptor)


def _release_in_forked_child() -> None:
    for lock in list(_held):
        lock.release()
    _changes.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_changes.acquire,
        after_in_parent=_changes.release,
        after_in_child=_release_in_forked_child,
    )

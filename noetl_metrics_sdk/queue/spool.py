"""Keep batches on disk, the oldest first, within bounds; they stay in memory if the disk fails.

The client puts a batch on disk before it sends it, and removes it once it is settled. When a
process is killed, the next process of the same component takes its batches over, under the names
that they have. If the dead process had sent a batch without getting an acknowledgement, the server
then knows the batch as a repeat.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from noetl_metrics_sdk.queue.spool_folder import SpoolFolder, read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.queue.spool_file import Part

_logger = logging.getLogger("noetl_metrics_sdk")

RETRY_SECONDS: Final = 30.0
"""For how many seconds after a failure the spool does not write to the disk."""


class SpoolStats(NamedTuple):
    """The counts of what is on disk, and whether the disk takes more.

    | field | meaning |
    |---|---|
    | `batches`, `samples`, `size_bytes` | how many batches, samples and bytes wait on disk |
    | `adopted` | samples that this process has taken over from dead processes |
    | `is_available` | False while batches are kept in memory only, because the disk failed |
    """

    batches: int = 0
    samples: int = 0
    size_bytes: int = 0
    adopted: int = 0
    is_available: bool = True


@dataclass(slots=True)
class SpooledBatch:
    """A batch on disk, or the parts of it that are left.

    Args:
        path: the batch's file.
        samples: how many samples of the batch are not settled.
        size_bytes: how many bytes the file takes.
        expires_at: when the batch is too old, by a monotonic clock, in seconds.
    """

    path: Path
    samples: int
    size_bytes: int
    expires_at: float


class Spool:
    """The batches of this process, and those of the dead processes whose folders it took over.

    It is not thread-safe. Its only user, the batch queue, holds its own lock during each call.

    Args:
        component_folder: the folder of this component.
        boot_id: names this process's folder.
        bytes_max: how many bytes are kept on disk at most; beyond it the spool drops the oldest
            batches.
        age_max: after how many seconds a batch is dropped.
        clock: the time.
        adopt: called with the number of samples that were taken over.
        drop: called with the number of samples that were dropped, and the reason.
    """

    def __init__(
        self,
        component_folder: Path,
        boot_id: str,
        *,
        bytes_max: int,
        age_max: float,
        clock: Clock,
        adopt: Callable[[int], None],
        drop: Callable[[int, str], None],
    ) -> None:
        self._component_folder = component_folder
        self._boot_id = boot_id
        self._bytes_max = bytes_max
        self._age_max = age_max
        self._clock = clock
        self._adopt = adopt
        self._drop = drop
        self._is_open = False
        self._is_closed = False
        self._folder: SpoolFolder | None = None
        self._waiting: deque[SpooledBatch] = deque()
        self._under_way: SpooledBatch | None = None
        self._set_aside_count = 0
        self._try_again_at = 0.0
        self._is_failing = False
        self._samples = 0
        self._size_bytes = 0
        self._adopted_samples = 0

    def stats(self) -> SpoolStats:
        """Return the counts of what is on disk."""
        under_way = self._under_way is not None
        return SpoolStats(
            len(self._waiting) + under_way + self._set_aside_count, self._samples, self._size_bytes,
            self._adopted_samples, not self._is_failing,
        )  # fmt: skip

    def takes_more(self) -> bool:
        """Return whether it makes sense to try `add()` now."""
        self._open_once()
        if self._is_closed:
            return False
        if self._folder is not None and not self._folder.is_there():
            self._make_anew(self._folder)
        if self._is_failing and self._clock.monotonic() < self._try_again_at:
            return False
        if self._folder is None:
            self._make_folder()
        return self._folder is not None

    def add(self, part: Part) -> bool:
        """Put a batch on disk; return False if the disk does not take it."""
        assert self._folder is not None
        path = self._folder.path_of(part)
        try:
            size_bytes = self._folder.write(path, [part])
        except OSError as error:
            self._note_failure(error)
            return False
        if self._is_failing:
            self._is_failing = False
            _logger.info("the spool in %s takes batches again", self._component_folder)
        expires_at = self._clock.monotonic() + self._age_max
        self._append(SpooledBatch(path, len(part.items), size_bytes, expires_at))
        while self._size_bytes > self._bytes_max and len(self._waiting) > 1:
            self._discard(self._waiting.popleft(), "spool_full")
        return True

    def next_parts(self) -> list[Part]:
        """Return the parts of the oldest batch, which is then under way; none if no batch waits."""
        self._open_once()
        while self._waiting:
            batch = self._waiting.popleft()
            if batch.expires_at <= self._clock.monotonic():
                self._discard(batch, "spool_expired")
                continue
            parts = self._read(batch)
            if parts:
                self._under_way = batch
                return parts
            self._remove(batch)
        return []

    def set_aside(self) -> SpooledBatch | None:
        """Leave the batch under way on disk, and return it; None if it is in memory only."""
        batch, self._under_way = self._under_way, None
        self._set_aside_count += batch is not None
        return batch

    def bring_back(self, batch: SpooledBatch | None) -> None:
        """Make a batch that was set aside the one under way again."""
        self._under_way = batch
        self._set_aside_count -= batch is not None

    def replace(self, parts: Sequence[Part]) -> None:
        """Replace the batch under way on disk by these parts of it, which are still to be sent."""
        batch = self._under_way
        if batch is None:
            return
        try:
            if self._folder is None:
                raise FileNotFoundError(f"there is no folder {batch.path.parent}")
            size_bytes = self._folder.write(batch.path, parts)
        except OSError as error:
            # A process that took the old file over would not know of the parts, and would send the
            # whole. So the file is removed, and the parts are kept in memory only.
            self._note_failure(error)
            self._under_way = None
            self._remove(batch)
        else:
            self._size_bytes += size_bytes - batch.size_bytes
            batch.size_bytes = size_bytes

    def settle(self, samples: int) -> None:
        """Settle samples of the batch under way, and remove its file once all are settled."""
        batch = self._under_way
        if batch is None:
            return
        batch.samples -= samples
        self._samples -= samples
        if batch.samples <= 0:
            self._under_way = None
            self._remove(batch)

    def close(self) -> None:
        """Leave the folder to the next process, or remove it if it is empty."""
        self._is_closed = True
        if self._folder is not None:
            self._folder.close()

    def abandon(self) -> None:
        """Give the folder up in a forked child, as it belongs to the parent."""
        if self._folder is not None:
            self._folder.abandon()

    def _open_once(self) -> None:
        if self._is_open or self._is_closed:
            return
        self._is_open = True
        self._make_folder()
        if self._folder is None:
            return
        try:
            self._folder.take_over()
            files, samples_lost = self._folder.files()
        except OSError as error:
            self._note_failure(error)
            return
        for file in files:
            # The age is by the wall clock, as the process that wrote the file is gone, and its
            # monotonic times with it.
            age = max(0.0, self._clock.time() - file.written_at)
            expires_at = self._clock.monotonic() + self._age_max - age
            self._append(SpooledBatch(file.path, file.samples, file.size_bytes, expires_at))
            self._adopted_samples += file.samples
        if files:
            _logger.info("%d batches of processes that are gone are taken over", len(files))
        self._adopt(self._adopted_samples + samples_lost)
        if samples_lost:
            self._drop(samples_lost, "spool_damaged")

    def _make_anew(self, deleted: SpoolFolder) -> None:
        """Replace a folder that another program has deleted.

        The batches that were in it are found missing when it is their turn, and are counted then.
        """
        _logger.warning("the spool's folder %s was deleted; it is made anew", deleted.path)
        deleted.abandon()
        self._folder = None
        self._make_folder()

    def _make_folder(self) -> None:
        try:
            self._folder = SpoolFolder.create(self._component_folder, self._boot_id)
        except OSError as error:
            self._note_failure(error)

    def _read(self, batch: SpooledBatch) -> list[Part]:
        """Return the readable parts of a batch, and count the unreadable samples as dropped."""
        try:
            parts = read(batch.path)
        except OSError as error:
            _logger.warning("a batch cannot be read from the spool: %s", error)
            parts = []
        missing = batch.samples - sum(len(part.items) for part in parts)
        if missing:
            _logger.warning("%s is damaged: %d samples are dropped", batch.path, missing)
            self._drop(missing, "spool_damaged")
            batch.samples -= missing
            self._samples -= missing
        return parts

    def _append(self, batch: SpooledBatch) -> None:
        self._waiting.append(batch)
        self._samples += batch.samples
        self._size_bytes += batch.size_bytes

    def _discard(self, batch: SpooledBatch, reason: str) -> None:
        self._drop(batch.samples, reason)
        _logger.error("%d spooled samples are dropped (%s)", batch.samples, reason)
        self._remove(batch)

    def _remove(self, batch: SpooledBatch) -> None:
        self._samples -= batch.samples
        self._size_bytes -= batch.size_bytes
        try:
            batch.path.unlink(missing_ok=True)
        except OSError as error:
            # A process that takes the file over sends the batch again, and the server knows the
            # batch as a repeat.
            self._note_failure(error)

    def _note_failure(self, error: OSError) -> None:
        self._try_again_at = self._clock.monotonic() + RETRY_SECONDS
        if not self._is_failing:
            self._is_failing = True
            _logger.warning(
                "the spool in %s fails; samples are in memory only: %s",
                self._component_folder, error,
            )  # fmt: skip

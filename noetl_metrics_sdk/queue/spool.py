"""Batches that wait on disk, the oldest first, within bounds; memory alone where that fails.

A batch is on disk before it is sent and gone once it is settled. What a process leaves behind when
it is killed is taken over by the next one of the same component, under the names that it had: what
was sent and not acknowledged is then seen to be a repeat.
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
"""How long after a failure the disk is left alone."""


class SpoolStats(NamedTuple):
    """What is on disk, and whether the disk takes more.

    | field | meaning |
    |---|---|
    | `batches`, `samples`, `size_bytes` | what waits on disk |
    | `adopted` | samples that were taken over from processes that are gone |
    | `is_available` | False while batches are kept in memory only, because the disk failed |
    """

    batches: int = 0
    samples: int = 0
    size_bytes: int = 0
    adopted: int = 0
    is_available: bool = True


@dataclass(slots=True)
class SpooledBatch:
    """A batch on disk, or what is left of it.

    Args:
        path: its file.
        samples: how many of its samples are not settled.
        size_bytes: what it takes on disk.
        expires_at: when it is too old, by a monotonic clock.
    """

    path: Path
    samples: int
    size_bytes: int
    expires_at: float


class Spool:
    """The batches of this process, and of those whose folders it has taken over.

    It is not thread-safe: its only user, the batch queue, holds its own lock.

    Args:
        component_folder: the folder of this component.
        boot_id: names this process's folder.
        bytes_max: how much is kept on disk at most; beyond it the oldest batches are dropped.
        age_max: after how many seconds a batch is dropped.
        clock: the time.
        adopt: is told how many samples were taken over.
        drop: is told how many samples were dropped, and why.
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
        self._try_again_at = 0.0
        self._is_failing = False
        self._samples = 0
        self._size_bytes = 0
        self._adopted_samples = 0

    def stats(self) -> SpoolStats:
        """Return what is on disk."""
        under_way = self._under_way is not None
        return SpoolStats(
            len(self._waiting) + under_way, self._samples, self._size_bytes,
            self._adopted_samples, not self._is_failing,
        )  # fmt: skip

    def takes_more(self) -> bool:
        """Return whether it makes sense to try `add()` now."""
        self._open_once()
        if self._is_closed:
            return False
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
        """Return the parts of the oldest batch, which is then under way; none if there is none."""
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

    def replace(self, parts: Sequence[Part]) -> None:
        """Have the batch under way consist of these parts, which are still to be sent."""
        batch = self._under_way
        if batch is None:
            return
        assert self._folder is not None
        try:
            size_bytes = self._folder.write(batch.path, parts)
        except OSError as error:
            # Whoever took it over would not know of the parts, and send the whole: better that
            # nobody finds it, and the parts are in memory only.
            self._note_failure(error)
            self._under_way = None
            self._remove(batch)
        else:
            self._size_bytes += size_bytes - batch.size_bytes
            batch.size_bytes = size_bytes

    def settle(self, samples: int) -> None:
        """Settle samples of the batch under way; remove it from disk once all are settled."""
        batch = self._under_way
        if batch is None:
            return
        batch.samples -= samples
        self._samples -= samples
        if batch.samples <= 0:
            self._under_way = None
            self._remove(batch)

    def close(self) -> None:
        """Leave the folder to others, or remove it if it is empty."""
        self._is_closed = True
        if self._folder is not None:
            self._folder.close()

    def abandon(self) -> None:
        """Let go of the folder in a forked child: it is the parent's."""
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
            files = self._folder.files()
        except OSError as error:
            self._note_failure(error)
            return
        for file in files:
            # By the wall clock, as the process that wrote it is gone.
            age = max(0.0, self._clock.time() - file.written_at)
            expires_at = self._clock.monotonic() + self._age_max - age
            self._append(SpooledBatch(file.path, file.samples, file.size_bytes, expires_at))
            self._adopted_samples += file.samples
        if files:
            _logger.info("%d batches of processes that are gone are taken over", len(files))
        self._adopt(self._adopted_samples)

    def _make_folder(self) -> None:
        try:
            self._folder = SpoolFolder.create(self._component_folder, self._boot_id)
        except OSError as error:
            self._note_failure(error)

    def _read(self, batch: SpooledBatch) -> list[Part]:
        """Return the parts of a batch as far as they can be read; count what cannot as dropped."""
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
            # Whoever takes it over sends it again, and the server knows it.
            self._note_failure(error)

    def _note_failure(self, error: OSError) -> None:
        self._try_again_at = self._clock.monotonic() + RETRY_SECONDS
        if not self._is_failing:
            self._is_failing = True
            _logger.warning(
                "the spool in %s fails; samples are in memory only: %s",
                self._component_folder, error,
            )  # fmt: skip

"""When a batch that fails alone is set aside, tried again, halved, and dropped at last.

A server may fail at one batch for ever, and take every other one. Such a batch must not hold up the
others, and a server that fails at everything must not cost a batch.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from noetl_metrics_sdk.errors import RecoverableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.queue.batch_queue import BatchQueue
    from noetl_metrics_sdk.queue.wire import Batch

_logger = logging.getLogger("noetl_metrics_sdk")

SET_ASIDE_SECONDS: Final = 60.0
"""For how long a server has to fail at a batch before others may overtake it."""
SET_ASIDE_MAX: Final = 16
"""How many batches are aside at most. A server that fails at more takes nothing, and is waited
for."""
TRIES: Final = 3
"""How often a batch that is aside has to fail, each time after another batch has gone through,
before it is halved, or dropped if it has a single sample."""

_TOO_MANY_REQUESTS = 429


class SetAsideError(RecoverableError):
    """The server has failed at a batch that is aside now; the next one can be sent at once."""


class SettingAside:
    """Decides which batch is sent next, and what becomes of one that fails.

    Args:
        batches: has the batches.
        clock: the monotonic clock.
        drop: drops the batch under way because of an error.
    """

    def __init__(
        self, batches: BatchQueue, clock: Clock, drop: Callable[[str, RecoverableError], None]
    ) -> None:
        self._batches = batches
        self._clock = clock
        self._drop = drop
        self._failing_key: str | None = None
        self._failing_since = 0.0
        # How often each batch that is aside has failed since then, by its key.
        self._failures: dict[str, int] = {}
        self._another_went_through = False

    @property
    def is_due(self) -> bool:
        """Whether a batch is aside, and another one has gone through since the last try."""
        return self._another_went_through and self._batches.set_aside_count > 0

    def bring_back_if_due(self) -> None:
        """Take a batch that is aside next, if another one has gone through since the last try."""
        if self.is_due and self._batches.bring_back():
            self._another_went_through = False

    def note_sent(self, batch: Batch) -> None:
        """Note that the server has taken a batch."""
        self._failures.pop(batch.key, None)
        self._another_went_through = True

    def note_failure(
        self, batch: Batch, error: RecoverableError, takes_an_empty_batch: Callable[[], bool]
    ) -> None:
        """Note that the server has failed at a batch, and set the batch aside if it is time.

        Args:
            batch: the batch under way.
            error: what happened.
            takes_an_empty_batch: asks the server for something that it can do if it works at all.

        Raises:
            SetAsideError: the batch is aside, or dropped.
        """
        if self._batches.was_aside:
            self._note_repeated_failure(batch, error)
        elif not self._is_time(batch, error) or not takes_an_empty_batch():
            return
        else:
            _logger.warning(
                "the server has failed for %g s at a batch of %d samples, and takes others; "
                "those overtake it: %s",
                SET_ASIDE_SECONDS, len(batch.items), error,
            )  # fmt: skip
        self._batches.set_aside()
        self._another_went_through = False
        raise SetAsideError(str(error), error.status) from error

    def _is_time(self, batch: Batch, error: RecoverableError) -> bool:
        if error.status in {None, _TOO_MANY_REQUESTS} or error.retry_after is not None:
            return False  # it says nothing about the batch
        now = self._clock.monotonic()
        if batch.key != self._failing_key:
            self._failing_key, self._failing_since = batch.key, now
        if now - self._failing_since < SET_ASIDE_SECONDS:
            return False
        self._failing_since = now  # the server is asked once in that time
        return self._batches.set_aside_count < SET_ASIDE_MAX

    def _note_repeated_failure(self, batch: Batch, error: RecoverableError) -> None:
        failures = self._failures.get(batch.key, 0) + 1
        if failures < TRIES:
            self._failures[batch.key] = failures
            return
        self._failures.pop(batch.key, None)
        if not self._batches.split():
            self._drop("batch_failed", error)

"""A batch that is set aside, so that later ones overtake it."""

from __future__ import annotations

from collections import deque  # noqa: TC003 - the batch queue is compiled, and reads these notes
from typing import NamedTuple

from noetl_metrics_sdk.queue.spool import SpooledBatch  # noqa: TC001
from noetl_metrics_sdk.queue.spool_file import Part  # noqa: TC001


class SetAsideBatch(NamedTuple):
    """The parts that are left of a batch, and the batch on disk; None if it is in memory only."""

    parts: deque[Part]
    spooled: SpooledBatch | None

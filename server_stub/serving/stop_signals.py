"""The signals that stop the server, and the moments in which they have to wait.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class StopSignals:
    """SIGTERM, Ctrl-C and a closed terminal: they end the process in order, with exit code 0.

    Uvicorn takes them while it serves, and raises them again when it has ended. At other times they
    raise `SystemExit` here, except while this class holds them back.
    """

    def __init__(self) -> None:
        self._held = False
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        # Under nohup SIGHUP is ignored, and stays so. Otherwise it is raised again as a SIGTERM,
        # because uvicorn does not take SIGHUP while it serves.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self._pass_on)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.raise_signal(signal.SIGTERM)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        already_requested, self.requested = self.requested, True
        if not self._held and not already_requested:
            raise SystemExit(0)

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold signals back until the block ends: half a start of PostgreSQL is hard to stop."""
        self._held = True
        yield
        self._held = False
        if self.requested:
            raise SystemExit(0)

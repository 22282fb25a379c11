"""The signals that stop the server, and the moments in which they have to wait."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class StopSignals:
    """SIGTERM, Ctrl-C and a closed terminal: they end the process in order, with exit code 0.

    Uvicorn takes them while it serves, and raises them again when it has ended; otherwise they
    raise `SystemExit` here, except while they are held back.
    """

    def __init__(self) -> None:
        self._held = False
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        # Under nohup it is ignored, and stays so. Raised again as a SIGTERM, because uvicorn,
        # while it serves, takes only that.
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
        """Let the block run to its end first: half a start of PostgreSQL is hard to stop."""
        self._held = True
        yield
        self._held = False
        if self.requested:
            raise SystemExit(0)

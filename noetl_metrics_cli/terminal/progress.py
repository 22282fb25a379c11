"""How far long work is: a bar in a terminal, or a line now and then, always on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from noetl_metrics_cli.terminal.output import print_note

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LINE_SECONDS = 10.0
"""How often a line is written where there is no terminal."""


class WorkProgress:
    """The progress of work on samples, shown while the block runs.

    Args:
        name: what is done.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._began_at = self._line_at = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task(name, total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, samples: int, share: float | None) -> None:
        """Show how far the work is.

        Args:
            samples: how many samples are done.
            share: which part of the whole that is, from 0 to 1, or None if it is not known.
        """
        now = time.monotonic()
        seconds = now - self._began_at
        rate = samples / seconds if seconds > 0 else 0.0
        said = f"{self._name} {samples:,} samples, {rate:,.0f}/s"
        if self._bar is not None:
            total = None if share is None else 1.0
            self._bar.update(self._task, description=said, total=total, completed=share or 0.0)
        elif now - self._line_at >= LINE_SECONDS:
            self._line_at = now
            print_note(said if share is None else f"{said}, {share:.0%}")

    def say(self, text: str) -> None:
        """Show a message beside the progress."""
        print_note(text)

    def summary(self, samples: int) -> str:
        """Return how long the work took, and how fast it was."""
        seconds = max(time.monotonic() - self._began_at, 1e-3)
        return f"in {seconds:.1f} s, {samples / seconds:,.0f}/s"

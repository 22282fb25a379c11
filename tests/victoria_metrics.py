"""The real VictoriaMetrics, from Debian's package `victoria-metrics`."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.peer_program import PeerProgram
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

PROGRAM = shutil.which("victoria-metrics")
needs_victoria_metrics = pytest.mark.skipif(
    PROGRAM is None, reason="victoria-metrics is not installed: Debian has a package of this name"
)


class VictoriaMetrics(PeerProgram):
    """A VictoriaMetrics with a folder and a port of its own."""

    health_path = "/health"
    # Whether `increase()` extrapolates to the ends of its range.
    extrapolates = False
    # VictoriaMetrics keeps the values of a block of samples as whole numbers with one common
    # exponent, and no NaN: https://docs.victoriametrics.com/faq/ on the precision of stored values.
    relative_precision = 1e-9
    extreme_values = (0.1, 1234.5, -0.25)

    @property
    def write_url(self) -> str:
        """Return the address that takes remote write."""
        return f"{self.url}/api/v1/write"

    def show_what_was_written(self) -> None:
        """Have queries find new series at once; otherwise an empty answer is repeated for ten
        seconds."""
        self.get("/internal/force_flush")

    def export(self, selector: str) -> list[dict[str, Any]]:
        """Return the raw samples of series: `metric`, `values` and `timestamps` in ms."""
        self.show_what_was_written()
        lines = self.get("/api/v1/export", params={"match[]": selector}).text.splitlines()
        return [self.parse(line) for line in lines]


@contextmanager
def running_victoria_metrics(
    folder: Path, *, extra_flags: Sequence[str] = ()
) -> Generator[VictoriaMetrics]:
    """Run a VictoriaMetrics while the block runs, unless a test kills it meanwhile."""
    assert PROGRAM is not None
    port = free_port()
    command = [
        PROGRAM,
        f"-storageDataPath={folder / 'victoria-metrics'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=10y",
        # Of samples with the same series and time, one counts.
        "-dedup.minScrapeInterval=1ms",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=256MB",
        *extra_flags,
    ]
    program = VictoriaMetrics(command, port, folder / "victoria-metrics.log")
    program.start()
    try:
        yield program
    finally:
        program.stop()

"""What it costs to deliver 10,000 series, and how long it keeps other threads waiting.

Usage: ./scripts/bench flush [--rounds N] [--series N] [--json FILE]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import is_installed
from exporters import GZIP, MAKERS, MODULES, PLAIN
from rounds import medians
from tables import LIMIT, OURS, Report, arguments, introduce, publish

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent


class Process:
    """A program of this folder that answers each line with a line.

    Args:
        stack: ends the program.
        program: its name.
        arguments: its command-line arguments.
    """

    def __init__(self, stack: ExitStack, program: str, *arguments: str) -> None:
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, FOLDER / program, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        stack.callback(self._input.close)

    def read(self) -> str:
        """Return the next line that the program prints.

        Raises:
            RuntimeError: the program has ended.
        """
        line = self._output.readline()
        if not line:
            raise RuntimeError("a contender has ended: its error is above")
        return line

    def measure(self, measurement: str) -> list[float]:
        """Return the figures of a measurement."""
        self._input.write(f"{measurement}\n")
        self._input.flush()
        figures: list[float] = json.loads(self.read())
        return figures


def main() -> None:
    """Measure and publish the tables."""
    chosen = arguments(__doc__, rounds=15, series=10_000)
    introduce()
    with ExitStack() as stack:
        server = Process(stack, "answering_server.py")
        url = f"http://127.0.0.1:{int(server.read())}"
        contenders = {
            (name, kind): Process(
                stack, "exporting_process.py", name, kind, url, str(chosen.series)
            )
            for name, kind in MAKERS
            if name == OURS or is_installed(MODULES[name])
        }
        cpu = Report(f"A flush of {chosen.series:,} series", "ms of CPU time")
        for row, measurement in (("all", "changed"), ("none", "unchanged")):
            add_rows(cpu, f"{row} changed", contenders, measurement, chosen.rounds)
        waits = Report("The longest wait of another thread meanwhile", "ms")
        for (name, kind), contender in contenders.items():
            if name != LIMIT:
                found = [contender.measure("waits") for _ in range(chosen.rounds)]
                add_waits(waits, f"{name}, {kind}", found)
    publish([cpu], chosen.json, others=[waits])
    show_waits(waits)


def add_rows(
    report: Report,
    row: str,
    contenders: dict[tuple[str, str], Process],
    measurement: str,
    rounds: int,
) -> None:
    """Measure in interleaved rounds; add a row for plain bodies and one for compressed bodies."""

    def measurer(contender: Process) -> Callable[[], float]:
        return lambda: contender.measure(measurement)[0]

    figures = medians({key: measurer(one) for key, one in contenders.items()}, rounds)
    for kind in (PLAIN, GZIP):
        report.add(
            f"{row}, {kind}",
            {
                name if of_kind == kind else f"{name} {of_kind}": figure
                for (name, of_kind), figure in figures.items()
                if of_kind == kind or of_kind not in (PLAIN, GZIP)
            },
        )


def add_waits(report: Report, row: str, found: list[list[float]]) -> None:
    """Add the median and the greatest of the longest waits, with and without a flush."""
    during, without = zip(*found, strict=True)
    report.add(
        row,
        {
            "median": statistics.median(during),
            "greatest": max(during),
            "median without a flush": statistics.median(without),
            "greatest without a flush": max(without),
        },
    )


def show_waits(report: Report) -> None:
    """Print the waits, in a table of their own: its columns are no contenders."""
    print(f"\n{report.title}, {report.unit}")
    print(f"{'':34}{'median':>10}{'greatest':>10}{'idle: median':>16}{'greatest':>10}")
    for row, figures in report.rows.items():
        during, greatest, idle, greatest_idle = figures.values()
        print(f"{row:34}{during:>10.2f}{greatest:>10.2f}{idle:>16.2f}{greatest_idle:>10.2f}")


if __name__ == "__main__":
    main()

"""What the suite did to the samples, and what became of them, as tables."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.chaos.comparison import Comparison


FIGURES_END = 8
"""The column after the last one of figures."""


@dataclass
class Row:
    """The line of one scenario.

    Args:
        scenario: what the test did.
        times: how often it did so.
        compared: the ledgers compared with the table.
        dropped: how many samples the workers say that they have dropped, by reason.
    """

    scenario: str
    times: int
    compared: Comparison
    dropped: Mapping[str, int]


@dataclass
class Report:
    """The lines of a run.

    Args:
        seed: starts another run with the same random faults.
        length: `long` or `short`.
    """

    seed: str
    length: str
    rows: list[Row] = field(default_factory=list)
    faults: Tally[str] = field(default_factory=Tally)

    def lines(self) -> list[str]:
        """Return the tables, and the seed."""
        head: tuple[str, ...] = (
            "scenario",
            "times",
            "recorded",
            "promised",
            "in table",
            "missing",
            "twice",
            "torn",
        )
        head += ("dropped",)
        table = [head, *(self._cells(row) for row in self.rows), self._totals()]
        occurred = sorted(self.faults.items())
        return [
            *_aligned(table),
            "",
            *_aligned([("fault on the network", "times"), *((f, f"{n:,}") for f, n in occurred)]),
            "",
            f"{self.length} form; again with the same random faults: NOETL_CHAOS_SEED={self.seed}",
        ]

    def _cells(self, row: Row) -> tuple[str, ...]:
        figures = row.compared
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(row.dropped.items()))
        return (
            row.scenario,
            *(
                f"{figure:,}"
                for figure in (
                    row.times, figures.recorded, figures.promised, figures.in_table,
                    figures.missing, figures.twice, figures.torn + figures.unrecorded,
                )
            ),
            dropped or "0",
        )  # fmt: skip

    def _totals(self) -> tuple[str, ...]:
        def total(figures: Iterable[int]) -> str:
            return f"{sum(figures):,}"

        compared = [row.compared for row in self.rows]
        return (
            "in all",
            total(row.times for row in self.rows),
            total(each.recorded for each in compared),
            total(each.promised for each in compared),
            total(each.in_table for each in compared),
            total(each.missing for each in compared),
            total(each.twice for each in compared),
            total(each.torn + each.unrecorded for each in compared),
            total(sum(row.dropped.values()) for row in self.rows),
        )


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if 0 < position < FIGURES_END else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]

"""The sketch behind the Summary beside the `ddsketch` package: cost and accuracy.

Usage: ./scripts/bench sketch [--rounds N] [--values N] [--json FILE]
"""

from __future__ import annotations

import math
import random
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from ddsketch import DDSketch, LogCollapsingLowestDenseDDSketch
from rounds import medians
from tables import OURS, Report, arguments, introduce, publish

from noetl_metrics_sdk.instruments.sketch import QuantileSketch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Sketch = QuantileSketch | DDSketch | LogCollapsingLowestDenseDDSketch

RELATIVE_ERROR = 0.01
BINS = 2_048
QUANTILES = (0.5, 0.9, 0.95, 0.99)
MAKERS: dict[str, Callable[[], Sketch]] = {
    OURS: lambda: QuantileSketch(RELATIVE_ERROR),
    "DDSketch": lambda: DDSketch(RELATIVE_ERROR),
    "LogCollapsingLowestDense": lambda: LogCollapsingLowestDenseDDSketch(RELATIVE_ERROR, BINS),
}


def main() -> None:
    """Measure and publish the tables."""
    chosen = arguments(__doc__, rounds=7, values=100_000)
    introduce()
    chance = random.Random(20240229)
    values = [chance.lognormvariate(-3, 1.5) for _ in range(chosen.values)]
    filled = {name: make() for name, make in MAKERS.items()}
    for sketch in filled.values():
        fill(sketch, values)

    adding = Report(f"One of {len(values):,} log-normal values", "ns")
    makers = {name: partial(fill_new, make, values) for name, make in MAKERS.items()}
    adding.add("add(value)", medians(makers, chosen.rounds))

    asking = Report("Four quantiles", "µs")
    askers = {name: partial(ask, sketch) for name, sketch in filled.items()}
    asking.add("quantiles", medians(askers, chosen.rounds))

    errors = Report(f"The largest error, of {RELATIVE_ERROR} that is allowed", "of the true value")
    errors.add("largest", {name: error(sketch, values) for name, sketch in filled.items()})
    publish([adding, asking, errors], chosen.json)


def fill(sketch: Sketch, values: Sequence[float]) -> None:
    """Count all values."""
    add = sketch.add
    for value in values:
        add(value)


def fill_new(make: Callable[[], Sketch], values: Sequence[float]) -> float:
    """Count all values in a new sketch; return the time for each value in ns."""
    sketch = make()
    started_at = perf_counter()
    fill(sketch, values)
    return (perf_counter() - started_at) / len(values) * 1e9


def ask(sketch: Sketch) -> float:
    """Ask for the quantiles; return the time in µs."""
    started_at = perf_counter()
    quantiles_of(sketch)
    return (perf_counter() - started_at) * 1e6


def error(sketch: Sketch, values: Sequence[float]) -> float:
    """Return the largest relative error of the quantiles."""
    ordered = sorted(values)
    exact = [ordered[math.floor(quantile * (len(values) - 1))] for quantile in QUANTILES]
    found = zip(quantiles_of(sketch), exact, strict=True)
    return max(abs(estimate - true) / true for estimate, true in found)


def quantiles_of(sketch: Sketch) -> list[float]:
    """Return the quantiles of either kind of sketch."""
    if isinstance(sketch, QuantileSketch):
        return sketch.quantiles(QUANTILES)
    return [sketch.get_quantile_value(quantile) or math.nan for quantile in QUANTILES]


if __name__ == "__main__":
    main()

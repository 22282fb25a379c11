"""The sketch behind the Summary beside the `ddsketch` package: cost and accuracy, in one run.

Usage: python benchmarks/sketch.py
"""

from __future__ import annotations

import math
import random
import statistics
from time import perf_counter
from typing import TYPE_CHECKING

from ddsketch import DDSketch, LogCollapsingLowestDenseDDSketch

from noetl_metrics_sdk.sketch import QuantileSketch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Sketch = QuantileSketch | DDSketch | LogCollapsingLowestDenseDDSketch

RELATIVE_ERROR = 0.01
BINS = 2_048
VALUES = 100_000
ROUNDS = 7
QUANTILES = (0.5, 0.9, 0.95, 0.99)


def main() -> None:
    """Print a table of nanoseconds a value, microseconds a query, and the largest error."""
    chance = random.Random(20240229)
    values = [chance.lognormvariate(-3, 1.5) for _ in range(VALUES)]
    ordered = sorted(values)
    exact = [ordered[math.floor(quantile * (VALUES - 1))] for quantile in QUANTILES]
    print(f"{VALUES} log-normal values, relative error {RELATIVE_ERROR}, {ROUNDS} rounds, medians")
    print(f"{'sketch':<40} {'add, ns':>8} {'4 quantiles, µs':>16} {'largest error':>14}")
    sketches: dict[str, Callable[[], Sketch]] = {
        "noetl_metrics_sdk.sketch": lambda: QuantileSketch(RELATIVE_ERROR),
        "ddsketch.DDSketch": lambda: DDSketch(RELATIVE_ERROR),
        "ddsketch.LogCollapsingLowestDenseDDSketch": lambda: LogCollapsingLowestDenseDDSketch(
            RELATIVE_ERROR, BINS
        ),
    }
    for name, make in sketches.items():
        add_ns, query_us, error = measure(make, values, exact)
        print(f"{name:<40} {add_ns:>8.0f} {query_us:>16.0f} {error:>14.4f}")


def measure(
    make: Callable[[], Sketch], values: Sequence[float], exact: Sequence[float]
) -> tuple[float, float, float]:
    """Return the cost of a value in ns, of a query in µs, and the largest relative error."""
    add_seconds: list[float] = []
    query_seconds: list[float] = []
    error = 0.0
    for _ in range(ROUNDS):
        sketch = make()
        add = sketch.add
        started_at = perf_counter()
        for value in values:
            add(value)
        add_seconds.append(perf_counter() - started_at)
        started_at = perf_counter()
        estimates = quantiles_of(sketch)
        query_seconds.append(perf_counter() - started_at)
        error = max(
            abs(estimate - true) / true for estimate, true in zip(estimates, exact, strict=True)
        )
    return (
        statistics.median(add_seconds) / len(values) * 1e9,
        statistics.median(query_seconds) * 1e6,
        error,
    )


def quantiles_of(sketch: Sketch) -> list[float]:
    """Ask either kind of sketch."""
    if isinstance(sketch, QuantileSketch):
        return sketch.quantiles(QUANTILES)
    return [sketch.get_quantile_value(quantile) or math.nan for quantile in QUANTILES]


if __name__ == "__main__":
    main()

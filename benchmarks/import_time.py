"""How long it takes to start an interpreter and import the package.

Usage: ./scripts/bench import [--rounds N] [--json FILE]
"""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING

from contenders import is_installed
from rounds import medians
from tables import LIMIT, OURS, Report, arguments, introduce, publish

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = {
    OURS: "noetl_metrics_sdk",
    "prometheus_client": "prometheus_client",
    "opentelemetry": "opentelemetry.sdk.metrics",
    "datadog": "datadog",
}
# -P: the interpreter imports the installed package, and not the folder in which it runs.
INTERPRETER = (sys.executable, "-P", "-c")


def main() -> None:
    """Measure and publish the tables."""
    chosen = arguments(__doc__, rounds=41)
    introduce()
    statements = {
        name: f"import {module}" for name, module in MODULES.items() if is_installed(module)
    }
    statements[LIMIT] = "pass"
    timers = {name: timer(statement) for name, statement in statements.items()}
    found = medians(timers, chosen.rounds)
    times = Report("An interpreter that starts, imports and ends", "ms")
    times.add("in all", found)
    bare = found.pop(LIMIT)
    times.add("without the bare interpreter", {name: ms - bare for name, ms in found.items()})
    modules = Report("What is loaded by it", "modules")
    modules.add("sys.modules", {name: loaded(text) for name, text in statements.items()})
    publish([times, modules], chosen.json)


def timer(statement: str) -> Callable[[], float]:
    """Return a function that runs a statement in a new interpreter and returns the ms it took."""

    def measure() -> float:
        started_at = perf_counter()
        subprocess.run([*INTERPRETER, statement], check=True)
        return (perf_counter() - started_at) * 1e3

    return measure


def loaded(statement: str) -> int:
    """Return how many modules are loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(len(sys.modules))"
    answer = subprocess.run([*INTERPRETER, program], check=True, capture_output=True, text=True)
    return int(answer.stdout)


if __name__ == "__main__":
    main()

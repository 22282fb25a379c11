"""Tables for people and JSON for programs, with the machine on which the figures were measured."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OURS = "noetl_metrics_sdk"
LIMIT = "limit"
PACKAGES = {
    OURS: "noetl-metrics-sdk",
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-sdk",
    "datadog": "datadog",
}


class Report:
    """Collects rows and shows them: our figure beside every other one, with the ratio to it.

    Args:
        title: what is measured.
        unit: the unit of all figures.
        smaller_is_better: False for throughputs.
    """

    def __init__(self, title: str, unit: str, *, smaller_is_better: bool = True) -> None:
        self.title = title
        self.unit = unit
        self._smaller_is_better = smaller_is_better
        self.rows: dict[str, dict[str, float]] = {}

    def add(self, row: str, figures: Mapping[str, float]) -> None:
        """Add a row: a figure for each contender that has one."""
        self.rows[row] = dict(figures)

    def show(self) -> None:
        """Print the table."""
        # In order of appearance, with the limit last.
        others = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        others.sort(key=lambda name: name == LIMIT)
        others.remove(OURS)
        print(f"\n{self.title}, {self.unit}; behind each other figure, how many times ours it is")
        print(f"{'':34}{OURS:>20}" + "".join(f"{name:>26}" for name in others))
        for row, figures in self.rows.items():
            cells = "".join(f"{self._cell(row, name):>26}" for name in others)
            print(f"{row:34}{figures[OURS]:>20,.4g}{cells}")

    def ratios(self, row: str) -> dict[str, float]:
        """Return how many times ours each other figure of a row is; inverted for throughputs."""
        figures = self.rows[row]
        ours = figures.get(OURS)
        if ours is None:
            return {}
        return {
            name: other / ours if self._smaller_is_better else ours / other
            for name, other in figures.items()
            if name != OURS
        }

    def _cell(self, row: str, name: str) -> str:
        if name not in self.rows[row]:
            return "-"
        return f"{self.rows[row][name]:,.4g} ({self.ratios(row)[name]:,.2f})"


def arguments(description: str | None, **defaults: int) -> argparse.Namespace:
    """Read the command line: a flag for each default, and `--json`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="where the figures are written as JSON, too")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def introduce() -> None:
    """Print what is measured, and on which machine."""
    found = machine()
    build = "compiled" if found["compiled"] else "interpreted"
    print(f"{OURS} ({build}) on Python {found['python']}, {found['cpu']}, {found['cpus']} CPUs")
    print(", ".join(f"{name} {number}" for name, number in installed().items()))


def publish(reports: list[Report], path: Path | None, others: Sequence[Report] = ()) -> None:
    """Print the tables, and write them, and others, as JSON if a path is given."""
    for report in reports:
        report.show()
    if path is not None:
        content = {
            "machine": machine(),
            "versions": installed(),
            "tables": [
                {
                    "title": report.title,
                    "unit": report.unit,
                    "rows": report.rows,
                    "ratios": {row: report.ratios(row) for row in report.rows},
                }
                for report in [*reports, *others]
            ],
        }
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"\nwritten to {path}")


def installed() -> dict[str, str]:
    """Return the version of each contender that is installed."""
    found: dict[str, str] = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            print(f"{name} is not installed, and left out")
    return found


def machine() -> dict[str, object]:
    """Return the facts about the machine on which the figures depend."""
    # process.py imports no contender before it has measured all.
    import noetl_metrics_sdk  # noqa: PLC0415

    return {
        "compiled": noetl_metrics_sdk.COMPILED,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "executable": Path(sys.executable).name,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()

"""How many bytes a labelled series takes, before and after the first flush.

Each figure comes from a process of its own, by tracemalloc; the label values are made before it
begins to count, as they belong to the program that is measured.

Usage: ./scripts/bench memory [--series N] [--json FILE]
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

from contenders import is_installed
from tables import OURS, Report, arguments, introduce, publish

import noetl_metrics_sdk as sdk
from noetl_metrics_sdk.transport.protocol import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.queue.wire import Batch
    from noetl_metrics_sdk.transport.protocol import Registration

VALUES = (0.003, 0.04, 0.3, 2.0, 20.0)
MODULES = {
    OURS: "noetl_metrics_sdk",
    "prometheus_client": "prometheus_client",
    "opentelemetry": "opentelemetry.sdk.metrics",
}


class Nowhere:
    """A transport that keeps nothing."""

    def register(self, registration: Registration, timeout: float) -> str:  # noqa: ARG002
        """Return an id."""
        return "1"

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Do nothing."""

    def goodbye(self, registration: Registration, timeout: float) -> None:
        """Do nothing."""

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:  # noqa: ARG002
        """Acknowledge the whole batch."""
        return Receipt(len(batch.items), 0, (), duplicate=False)

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Measure each contender in a process of its own; in such a process, measure one contender."""
    if sys.argv[1:2] == ["measure"]:
        name, kind, series = sys.argv[2:]
        print(json.dumps(measure(name, kind, int(series))))
        return
    chosen = arguments(__doc__, series=10_000)
    introduce()
    report = Report("One labelled series", "bytes")
    for kind in ("counter", "histogram"):
        found = {
            name: measured_apart(name, kind, chosen.series)
            for name, module in MODULES.items()
            if is_installed(module)
        }
        for moment in ("made and used", "after the first flush"):
            report.add(f"{kind}, {moment}", {name: both[moment] for name, both in found.items()})
    publish([report], chosen.json)


def measured_apart(name: str, kind: str, series: int) -> dict[str, float]:
    """Measure one contender in a process of its own."""
    command = [sys.executable, __file__, "measure", name, kind, str(series)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def measure(name: str, kind: str, series: int) -> dict[str, float]:
    """Make series and use each; return the bytes that one takes."""
    label_values = [(f"method {number}", f"/orders/{number}") for number in range(series)]
    use, flush = {
        OURS: make_ours,
        "prometheus_client": make_prometheus,
        "opentelemetry": make_opentelemetry,
    }[name](kind, series)
    gc.collect()
    tracemalloc.start()
    for values in label_values:
        use(*values)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    flush()
    gc.collect()
    flushed, _ = tracemalloc.get_traced_memory()
    return {"made and used": used / series, "after the first flush": flushed / series}


def make_ours(kind: str, series: int) -> tuple[Callable[[str, str], None], Callable[[], object]]:
    """Return a function that uses a series of this project, and a function that flushes."""
    registry = sdk.Registry()
    client = sdk.MetricsClient(
        component_name="benchmark", registry=registry, transport=Nowhere(), system_metrics=(),
        flush_interval=3600, heartbeat_interval=3600, buffer_samples_max=20 * series,
    ).start()  # fmt: skip
    made: Any
    if kind == "counter":
        made = sdk.Counter("jobs", "d", ["a", "b"], registry=registry, max_series=series)
    else:
        made = sdk.Histogram("jobs", "d", ["a", "b"], registry=registry, max_series=series)
    return user(made, kind), client.flush


def make_prometheus(
    kind: str, series: int
) -> tuple[Callable[[str, str], None], Callable[[], object]]:
    """Return the same functions for prometheus_client."""
    import prometheus_client as client  # noqa: PLC0415 - each peer only where it is measured

    del series
    registry = client.CollectorRegistry()
    type_of = client.Counter if kind == "counter" else client.Histogram
    made = type_of("jobs", "d", ["a", "b"], registry=registry)
    return user(made, kind), lambda: client.generate_latest(registry)


def make_opentelemetry(
    kind: str, series: int
) -> tuple[Callable[[str, str], None], Callable[[], object]]:
    """Return the same functions for the OpenTelemetry SDK."""
    from opentelemetry.sdk import metrics  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415

    reader = InMemoryMetricReader()
    limits = reader._instrument_class_cardinality_limit  # noqa: SLF001 - it has no argument for it
    limits.update(dict.fromkeys(limits, series + 1))
    meter = metrics.MeterProvider([reader]).get_meter("benchmark")
    if kind == "counter":
        counter = meter.create_counter("jobs")
        return lambda a, b: counter.add(1, {"a": a, "b": b}), reader.get_metrics_data
    histogram = meter.create_histogram("jobs")

    def record(a: str, b: str) -> None:
        for value in VALUES:
            histogram.record(value, {"a": a, "b": b})

    return record, reader.get_metrics_data


def user(made: Any, kind: str) -> Callable[[str, str], None]:
    """Return a function that increments a series once, or observes a few values in it."""
    if kind == "counter":
        return lambda a, b: made.labels(a, b).inc()

    def observe(a: str, b: str) -> None:
        child = made.labels(a, b)
        for value in VALUES:
            child.observe(value)

    return observe


if __name__ == "__main__":
    main()

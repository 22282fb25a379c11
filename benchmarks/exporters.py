"""10,000 labelled counters of each contender, and their delivery to a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tables import LIMIT, OURS

import noetl_metrics_sdk as sdk

if TYPE_CHECKING:
    from collections.abc import Callable

HELP = "Requests that the worker has served"


class Exporter(NamedTuple):
    """One contender: a function that changes every series, and one that delivers."""

    change: Callable[[], None]
    flush: Callable[[], None]
    close: Callable[[], object]


def label_values(series: int) -> list[tuple[str, str]]:
    """Return the label sets, the same for every contender."""
    return [("GET", f"/orders/{number}") for number in range(series)]


def incrementing(children: list[Any]) -> Callable[[], None]:
    """Return a function that increments each child once."""

    def change() -> None:
        for child in children:
            child.inc()

    return change


def ours(url: str, series: int) -> Exporter:
    """Return this project's exporter."""
    registry = sdk.Registry()
    counter = sdk.Counter(
        "worker_requests", HELP, ["method", "path"], unit="requests", registry=registry,
        max_series=series,
    )  # fmt: skip
    children = [counter.labels(*values) for values in label_values(series)]
    client = sdk.MetricsClient(
        url, "benchmark", registry=registry, system_metrics=(), flush_interval=3600,
        heartbeat_interval=3600,
    ).start()  # fmt: skip

    def flush() -> None:
        result = client.flush()
        if result.pending or result.dropped or result.timed_out:
            raise RuntimeError(f"the flush failed: {result}, {client.stats().last_error}")

    return Exporter(incrementing(children), flush, client.shutdown)


def prometheus(url: str, series: int, *, push: bool) -> Exporter:
    """Return prometheus_client's exporter: it pushes to a gateway, or only collects."""
    import prometheus_client  # noqa: PLC0415 - each peer only where it is measured

    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter(
        "worker_requests", HELP, ["method", "path"], registry=registry
    )
    children = [counter.labels(*values) for values in label_values(series)]

    def flush() -> None:
        if push:
            prometheus_client.push_to_gateway(url, "benchmark", registry)
        else:
            list(registry.collect())

    return Exporter(incrementing(children), flush, lambda: None)


def opentelemetry(url: str, series: int, *, compresses: bool) -> Exporter:
    """Return the OpenTelemetry SDK's exporter, over OTLP and HTTP; by default without gzip."""
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import Counter, MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(
            f"{url}/v1/metrics",
            compression=Compression.Gzip if compresses else Compression.NoCompression,
        ),
        export_interval_millis=3_600_000,
        # Without this limit, all series beyond 2,000 become one.
        cardinality_limits={Counter: series + 1},
    )
    provider = MeterProvider([reader])
    counter = provider.get_meter("benchmark").create_counter("worker_requests", "requests", HELP)
    attributes = [{"method": method, "path": path} for method, path in label_values(series)]

    def change() -> None:
        for one in attributes:
            counter.add(1, one)

    def flush() -> None:
        if not provider.force_flush():
            raise RuntimeError("the flush failed")

    return Exporter(change, flush, provider.shutdown)


def serialized_only(_url: str, series: int, *, compresses: bool) -> Exporter:
    """Return the limit: the same samples as dictionaries, through orjson, and gzip if asked for."""
    import gzip  # noqa: PLC0415

    import orjson  # noqa: PLC0415

    samples: list[dict[str, Any]] = [
        {
            "metric_name": "worker_requests_total",
            "metric_type": "counter",
            "help_text": HELP,
            "unit": "requests",
            "labels": {"worker_id": "benchmark-1", "method": method, "path": path},
            "metric_value": 1.0,
            "timestamp": 1_700_000_000.25,
        }
        for method, path in label_values(series)
    ]

    def change() -> None:
        for sample in samples:
            sample["metric_value"] += 1.0

    def flush() -> None:
        body = orjson.dumps({"runtime_id": "1", "metrics": samples})
        if compresses:
            gzip.compress(body, 1)

    return Exporter(change, flush, lambda: None)


PLAIN, GZIP = "plain", "gzip"

# prometheus_client compresses nothing. The cost of a scrape begins with its collect().
MAKERS: dict[tuple[str, str], Callable[[str, int], Exporter]] = {
    (OURS, PLAIN): lambda url, series: ours(f"{url}/plain", series),
    (OURS, GZIP): ours,
    ("prometheus_client", "push"): partial(prometheus, push=True),
    ("prometheus_client", "collect()"): partial(prometheus, push=False),
    ("opentelemetry", PLAIN): partial(opentelemetry, compresses=False),
    ("opentelemetry", GZIP): partial(opentelemetry, compresses=True),
    (LIMIT, PLAIN): partial(serialized_only, compresses=False),
    (LIMIT, GZIP): partial(serialized_only, compresses=True),
}
MODULES = {
    "prometheus_client": "prometheus_client",
    "opentelemetry": "opentelemetry.exporter.otlp.proto.http",
    LIMIT: "orjson",
}

"""A worker that is instrumented with OpenTelemetry and sends its metrics to a NoETL server.

Install `noetl-metrics-sdk[otel]`, start a server with `python -m server_stub`, then
`python examples/opentelemetry_worker.py`.
"""

from __future__ import annotations

import os
import time

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from noetl_metrics_sdk import MetricsClient
from noetl_metrics_sdk.otel import NoetlMetricExporter

METER = metrics.get_meter("example.orders", "1.0")
ORDERS = METER.create_counter("example.orders.imported", "{order}", "Orders that were imported")
QUEUE = METER.create_up_down_counter("example.orders.waiting", "{order}", "Orders that wait")
DURATION = METER.create_histogram("example.import.duration", "s", "How long an import took")


def import_orders(count: int) -> None:
    """Do one job: import some orders."""
    started_at = time.perf_counter()
    for _ in range(count):
        ORDERS.add(1, {"http.method": "GET"})
        QUEUE.add(-1)
    DURATION.record(time.perf_counter() - started_at)


def main() -> None:
    """Import a hundred orders, and report them."""
    server_url = os.environ.get("NOETL_SERVER_URL", "http://localhost:8082")
    with MetricsClient(server_url, "example-opentelemetry") as client:
        exporter = NoetlMetricExporter(client, resource_labels=["service.name"])
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=10_000)
        resource = Resource.create({"service.name": "shop"})
        provider = MeterProvider([reader], resource)
        metrics.set_meter_provider(provider)
        QUEUE.add(100)
        for _ in range(10):
            import_orders(10)
        provider.shutdown()  # exports a last time, and waits until the client has delivered
        print(f"10 jobs done; {client.stats().samples}")


if __name__ == "__main__":
    main()

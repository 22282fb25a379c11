"""A worker that is instrumented with prometheus_client and sends its metrics to a NoETL server too.

Install `noetl-metrics-sdk` and `prometheus-client`, start a server with `python -m server_stub`,
then `python examples/prometheus_client_worker.py`.
"""

from __future__ import annotations

import os
import time

import prometheus_client

from noetl_metrics_sdk import REGISTRY, MetricsClient

# These instruments stay as they were, and a Prometheus that scrapes the worker goes on doing so.
ORDERS = prometheus_client.Counter("example_orders", "Orders that were imported", ["kind"])
WAITING = prometheus_client.Gauge("example_orders_waiting", "Orders that wait")
DURATION = prometheus_client.Histogram("example_import_seconds", "How long an import took")
SIZE = prometheus_client.Summary("example_order_bytes", "How large an order was")
BUILD = prometheus_client.Info("example_build", "What is running")
STATE = prometheus_client.Enum("example_state", "What it does", states=["starting", "working"])

# This one line is enough: a registry of prometheus_client is a collector of this SDK.
REGISTRY.register(prometheus_client.REGISTRY)
# The start times of the series (`example_orders_created`) have no use here, and would be rows too.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no notes


@DURATION.time()
def import_orders(count: int) -> None:
    """Do one job: import some orders."""
    for number in range(count):
        ORDERS.labels("new" if number % 2 else "old").inc()
        WAITING.dec()
        SIZE.observe(100)
    time.sleep(0.001)


def main() -> None:
    """Import a hundred orders, and report them."""
    server_url = os.environ.get("NOETL_SERVER_URL", "http://localhost:8082")
    BUILD.info({"version": "1.0"})
    STATE.state("working")
    WAITING.set(100)
    # prometheus_client reports the process itself already, under the same names as this SDK. So
    # the group "process" is left out.
    groups = ["cpu", "memory", "disk", "network"]
    with MetricsClient(server_url, "example-prometheus", system_metrics=groups) as client:
        for _ in range(10):
            import_orders(10)
        result = client.flush()
    print(f"10 jobs done; {result}")


if __name__ == "__main__":
    main()

"""The same four instruments of this project and of its peers, ready to be called."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from typing import Any, NamedTuple

import noetl_metrics_sdk as sdk

# Stay open for as long as the benchmark runs.
_receivers: list[socket.socket] = []


class Instruments(NamedTuple):
    """One contender's instruments; None where it has no such instrument."""

    counter: Any
    gauge: Any
    labelled: Any
    histogram: Any
    summary: Any


def ours() -> Instruments:
    """Return this project's instruments."""
    registry = sdk.Registry()
    return Instruments(
        sdk.Counter("jobs", "d", registry=registry),
        sdk.Gauge("running", "d", registry=registry),
        sdk.Counter("requests", "d", ["method", "status"], registry=registry),
        sdk.Histogram("seconds", "d", registry=registry),
        sdk.Summary("sizes", "d", registry=registry),
    )


def prometheus() -> Instruments:
    """Return prometheus_client's instruments; its Summary has no quantiles."""
    import prometheus_client as client  # noqa: PLC0415 - each peer only where it is measured

    registry = client.CollectorRegistry()
    return Instruments(
        client.Counter("jobs", "d", registry=registry),
        client.Gauge("running", "d", registry=registry),
        client.Counter("requests", "d", ["method", "status"], registry=registry),
        client.Histogram("seconds", "d", registry=registry),
        client.Summary("sizes", "d", registry=registry),
    )


def opentelemetry() -> Instruments:
    """Return the OpenTelemetry SDK's instruments, with a reader that collects on demand."""
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415

    meter = MeterProvider([InMemoryMetricReader()]).get_meter("benchmark")
    counter = meter.create_counter("jobs")
    return Instruments(
        counter, meter.create_gauge("running"), counter, meter.create_histogram("seconds"), None
    )


def datadog() -> Instruments:
    """Return datadog's instruments, with aggregation; they send to a socket that is never read."""
    from datadog.dogstatsd.base import DogStatsd  # noqa: PLC0415

    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    client = DogStatsd(
        host="127.0.0.1",
        port=receiver.getsockname()[1],
        disable_telemetry=True,
        disable_aggregation=False,
        flush_interval=3600,
    )
    _receivers.append(receiver)
    return Instruments(client, client, client, client, None)


def is_installed(module: str) -> bool:
    """Return whether a peer can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def all_instruments() -> dict[str, Instruments]:
    """Return the instruments of every contender that is installed."""
    makers = {
        "noetl_metrics_sdk": ("noetl_metrics_sdk", ours),
        "prometheus_client": ("prometheus_client", prometheus),
        "opentelemetry": ("opentelemetry.sdk.metrics", opentelemetry),
        "datadog": ("datadog", datadog),
    }
    return {name: make() for name, (module, make) in makers.items() if is_installed(module)}

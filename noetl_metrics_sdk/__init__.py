"""Worker-side metrics for NoETL: instruments that cost nothing, delivered exactly once.

    from noetl_metrics_sdk import Counter, MetricsClient, track_job

    JOBS = Counter("rows_read", "Rows that jobs have read", ["source"])

    with MetricsClient("http://localhost:8082", "cpu-pool"):
        with track_job(job_type="sql"):
            JOBS.labels("orders").inc(42)

A program that only makes instruments loads neither httpx nor pydantic, psutil or tenacity. The
client loads them, when a program first asks for it.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.errors import (
    ConfigurationError,
    DeliveryError,
    DuplicateMetricError,
    InvalidMetricError,
    MetricsError,
    PayloadTooLargeError,
    RecoverableError,
    RejectedError,
    StartError,
    UnauthorizedError,
    UnknownRuntimeError,
)
from noetl_metrics_sdk.instruments.counter import Counter
from noetl_metrics_sdk.instruments.gauge import Gauge
from noetl_metrics_sdk.instruments.histogram import Histogram
from noetl_metrics_sdk.instruments.locking import COMPILED
from noetl_metrics_sdk.instruments.summary import Summary
from noetl_metrics_sdk.jobs.tracking import track_job
from noetl_metrics_sdk.model.metric import MetricFamily, MetricType, Sample, Series
from noetl_metrics_sdk.process.log_guard import guard_logger
from noetl_metrics_sdk.registry import REGISTRY, Collector, Registry

if TYPE_CHECKING:
    from noetl_metrics_sdk.client.client import MetricsClient
    from noetl_metrics_sdk.client.config import Config
    from noetl_metrics_sdk.client.process_client import aclose, aflush, flush, init, shutdown
    from noetl_metrics_sdk.client.statistics import ClientStats, FlushResult
    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.exposition.apps import make_asgi_app, make_wsgi_app
    from noetl_metrics_sdk.exposition.http_server import (
        CONTENT_TYPE_LATEST,
        generate_latest,
        start_http_server,
    )
    from noetl_metrics_sdk.instruments.texts import Enum, Info
    from noetl_metrics_sdk.queue.wire import Batch
    from noetl_metrics_sdk.transport.protocol import Receipt, Registration, Transport

__all__ = [
    "COMPILED",
    "CONTENT_TYPE_LATEST",
    "REGISTRY",
    "Batch",
    "ClientStats",
    "Clock",
    "Collector",
    "CollectorRegistry",
    "Config",
    "ConfigurationError",
    "Counter",
    "DeliveryError",
    "DuplicateMetricError",
    "Enum",
    "FlushResult",
    "Gauge",
    "Histogram",
    "Info",
    "InvalidMetricError",
    "MetricFamily",
    "MetricType",
    "MetricsClient",
    "MetricsError",
    "PayloadTooLargeError",
    "Receipt",
    "RecoverableError",
    "Registration",
    "Registry",
    "RejectedError",
    "Sample",
    "Series",
    "StartError",
    "Summary",
    "Transport",
    "UnauthorizedError",
    "UnknownRuntimeError",
    "aclose",
    "aflush",
    "flush",
    "generate_latest",
    "init",
    "make_asgi_app",
    "make_wsgi_app",
    "shutdown",
    "start_http_server",
    "track_job",
]

CollectorRegistry = Registry
"""The name that prometheus_client has for it."""

_LOADED_ON_DEMAND = {
    "Batch": "queue.wire",
    "ClientStats": "client.statistics",
    "CONTENT_TYPE_LATEST": "exposition.http_server",
    "Clock": "clock",
    "Config": "client.config",
    "Enum": "instruments.texts",
    "FlushResult": "client.statistics",
    "Info": "instruments.texts",
    "MetricsClient": "client.client",
    "Receipt": "transport.protocol",
    "Registration": "transport.protocol",
    "Transport": "transport.protocol",
    "aclose": "client.process_client",
    "aflush": "client.process_client",
    "flush": "client.process_client",
    "generate_latest": "exposition.http_server",
    "init": "client.process_client",
    "make_asgi_app": "exposition.apps",
    "make_wsgi_app": "exposition.apps",
    "shutdown": "client.process_client",
    "start_http_server": "exposition.http_server",
}

guard_logger()


def __getattr__(name: str) -> Any:
    module = _LOADED_ON_DEMAND.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{module}"), name)
    except AttributeError as error:
        # In its place Python would say that there is no such name, and nothing of the cause.
        found = getattr(error.obj, "__file__", None)
        place = f" (which is {found})" if found else ""
        raise ImportError(f"{__name__}.{name} cannot be loaded: {error}{place}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_LOADED_ON_DEMAND])

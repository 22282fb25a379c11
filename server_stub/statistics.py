"""What the server counts of itself.

| metric | meaning |
|---|---|
| `noetl_api_requests_total` | requests by route template, method and status |
| `noetl_api_request_duration_seconds` | how long they took, by route template and method |
| `noetl_api_samples_inserted_total` | samples committed |
| `noetl_api_samples_rejected_total` | samples that could not be stored, named in the answer |
| `noetl_api_batches_duplicate_total` | batches that were there already |
| `noetl_api_partitions_created_total`, `noetl_api_partitions_dropped_total` | partitions |
| `noetl_api_partitions_rebuilt_total` | partitions with only the rows left that live longer |
| `noetl_api_maintenance_failures_total` | maintenance that failed and is tried again |
| `noetl_api_database_requests_waiting` | requests that wait for a connection now |
| `noetl_api_exposition_series_omitted_total` | series left out of pages for Prometheus |
| `noetl_api_ingest_bytes` | bytes of batches in memory now, up to `--ingest-bytes-max` |

What is counted of the export is in `export_statistics.py`.
"""

from __future__ import annotations

from noetl_metrics_sdk import Counter, Gauge, Histogram, Registry
from server_stub.export_statistics import ExportStatistics

DURATION_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


class Statistics:
    """The server's instruments, in a registry of their own: one server, one set of counts."""

    def __init__(self) -> None:
        self.registry = Registry()
        registry = self.registry
        self.requests = Counter(
            "noetl_api_requests",
            "API requests by route template, method and status",
            ["endpoint", "method", "status"],
            unit="requests",
            registry=registry,
        )
        self.request_duration = Histogram(
            "noetl_api_request_duration_seconds",
            "How long API requests took",
            ["endpoint", "method"],
            unit="seconds",
            buckets=DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self.samples_inserted = Counter(
            "noetl_api_samples_inserted", "Samples committed", unit="samples", registry=registry
        )
        self.samples_rejected = Counter(
            "noetl_api_samples_rejected",
            "Samples that could not be stored",
            unit="samples",
            registry=registry,
        )
        self.batches_duplicate = Counter(
            "noetl_api_batches_duplicate",
            "Batches that were stored already",
            unit="batches",
            registry=registry,
        )
        self.partitions_created = Counter(
            "noetl_api_partitions_created",
            "Partitions made",
            unit="partitions",
            registry=registry,
        )
        self.partitions_dropped = Counter(
            "noetl_api_partitions_dropped",
            "Expired partitions dropped",
            unit="partitions",
            registry=registry,
        )
        self.partitions_rebuilt = Counter(
            "noetl_api_partitions_rebuilt",
            "Partitions of which only the rows that live longer were left",
            unit="partitions",
            registry=registry,
        )
        self.maintenance_failures = Counter(
            "noetl_api_maintenance_failures",
            "Maintenance that failed and is tried again",
            unit="failures",
            registry=registry,
        )
        self.export = ExportStatistics(registry)
        self.database_requests_waiting = Gauge(
            "noetl_api_database_requests_waiting",
            "Requests that wait for a connection to the database",
            unit="requests",
            registry=registry,
        )
        self.exposition_series_omitted = Counter(
            "noetl_api_exposition_series_omitted",
            "Series left out of pages for Prometheus, not whole or of names that are not valid",
            unit="series",
            registry=registry,
        )
        self.ingest_bytes = Gauge(
            "noetl_api_ingest_bytes",
            "Bytes of batches that are in memory now",
            unit="bytes",
            registry=registry,
        )

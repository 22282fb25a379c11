"""What the server counts of itself.

| metric | meaning |
|---|---|
| `noetl_api_requests_total` | requests by route template, method and status |
| `noetl_api_request_duration_seconds` | how long they took, by route template and method |
| `noetl_api_samples_inserted_total` | samples committed |
| `noetl_api_samples_rejected_total` | samples that could not be stored, by reason |
| `noetl_api_batches_duplicate_total` | batches that were there already |
| `noetl_api_partitions_created_total`, `noetl_api_partitions_dropped_total` | partitions |
| `noetl_api_partitions_rebuilt_total` | partitions with only the rows left that live longer |
| `noetl_api_maintenance_failures_total` | maintenance that failed and is tried again |
| `noetl_api_database_requests_waiting` | requests that wait for a connection now |
| `noetl_api_database_connections_in_use` | connections to the database in use now, by purpose |
| `noetl_api_database_connections_open` | connections to the database that are open now |
| `noetl_api_database_connections_max` | how many there may be, by purpose |
| `noetl_api_http_connections` | clients' connections now |
| `noetl_api_http_connections_max` | how many there may be, of all workers: `--connections-max` |
| `noetl_api_exposition_series_omitted_total` | series left out of pages for Prometheus |
| `noetl_api_rows_omitted_total` | rows, and series of charts, whose labels are no object |
| `noetl_api_rows_unreadable` | rows whose time is infinite, or not of the years 1 to 9999 |
| `noetl_api_ingest_bytes` | bytes of batches in memory now |
| `noetl_api_ingest_bytes_max` | how many there may be: a worker's part of `--ingest-bytes-max` |
| `noetl_api_process_series_ratio` | the fullest process's part of `--series-per-process-max` |
| `noetl_api_components` | registered components, by state |
| `noetl_api_processes` | processes behind them that are on record, by state |
| `noetl_api_processes_lost_total` | processes that became silent without a goodbye |
| `noetl_api_processes_unrecorded_total` | heartbeats of processes for which there is no room |

Every server counts all components and processes of the database. The server that notices a lost
process counts it, once.

The export has these:

| metric | meaning |
|---|---|
| `noetl_api_export_samples_total` | samples that the receiver has acknowledged |
| `noetl_api_export_samples_dropped_total` | samples that it will never have, by reason |
| `noetl_api_export_samples_repeated_total` | samples sent again: the receiver may have lost them |
| `noetl_api_export_out_of_bounds_total` | refusals of samples that came in time: alarm on this |
| `noetl_api_export_failures_total` | attempts that failed and are repeated |
| `noetl_api_export_lag_seconds` | how long the oldest sample has waited to be exported |
| `noetl_api_export_loss_in_seconds` | how long until it is dropped unexported: alarm on this |

These are the reasons for dropping a sample:

- `out_of_order` and `refused`: the receiver refuses it.
- `ahead`: its time is further ahead of its arrival than `--sample-ahead-seconds-max`.
- `invalid`: the protocol does not have its name, its labels or its time.
- `same_millisecond`: its series has a later sample in the same millisecond.
- `expired`: it expired before the receiver took it.

This server sets the last two metrics in each of its turns. With several servers the worst value
counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noetl_metrics_sdk import Counter, Gauge, Histogram, Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

DURATION_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip


class ExportStatistics:
    """The counters of the export.

    Args:
        registry: the server's registry.
    """

    def __init__(self, registry: Registry) -> None:
        self.samples = Counter(
            "noetl_api_export_samples",
            "Samples that the receiver has acknowledged",
            unit="samples",
            registry=registry,
        )
        self.samples_dropped = Counter(
            "noetl_api_export_samples_dropped",
            "Samples that the receiver will never have",
            ["reason"],
            unit="samples",
            registry=registry,
        )
        self.samples_repeated = Counter(
            "noetl_api_export_samples_repeated",
            "Samples that were sent again, because the receiver may have lost them",
            unit="samples",
            registry=registry,
        )
        self.out_of_bounds = Counter(
            "noetl_api_export_out_of_bounds",
            "Samples that came in time, and that the receiver refuses as out of bounds until it is "
            "mended",
            unit="samples",
            registry=registry,
        )
        self.failures = Counter(
            "noetl_api_export_failures",
            "Attempts to export that failed and are repeated",
            unit="failures",
            registry=registry,
        )


class ExportGauges:
    """The gauges of the export.

    Only a server that exports makes them, because without values they would raise alarms.

    Args:
        registry: the server's registry.
    """

    def __init__(self, registry: Registry) -> None:
        self.lag = Gauge(
            "noetl_api_export_lag_seconds",
            "How long the oldest sample has waited to be exported",
            unit="seconds",
            registry=registry,
        )
        self.loss_in = Gauge(
            "noetl_api_export_loss_in_seconds",
            "How long it is until a sample is dropped that was not exported",
            unit="seconds",
            registry=registry,
        )


class ComponentStatistics:
    """The counts of the components and of their processes.

    Args:
        registry: the server's registry.
    """

    def __init__(self, registry: Registry) -> None:
        self.components = Gauge(
            "noetl_api_components",
            "Registered components by state",
            ["state"],
            unit="components",
            registry=registry,
        )
        self.processes = Gauge(
            "noetl_api_processes",
            "Processes of components that are on record by state",
            ["state"],
            unit="processes",
            registry=registry,
        )
        self.processes_lost = Counter(
            "noetl_api_processes_lost",
            "Processes that became silent without a goodbye",
            unit="processes",
            registry=registry,
        )
        self.processes_unrecorded = Counter(
            "noetl_api_processes_unrecorded",
            "Heartbeats of processes for which their component has no room",
            unit="heartbeats",
            registry=registry,
        )


class DatabaseConnectionGauges:
    """The gauges of the connections to the database.

    The purpose is `queries` of clients, or `others`: batches, registrations and upkeep. Queries may
    have a part of the connections only, and the others all.

    Args:
        registry: the server's registry.
    """

    def __init__(self, registry: Registry) -> None:
        self.in_use = Gauge(
            "noetl_api_database_connections_in_use",
            "Connections to the database that are in use",
            ["purpose"],
            unit="connections",
            registry=registry,
        )
        self.open = Gauge(
            "noetl_api_database_connections_open",
            "Connections to the database that are open",
            unit="connections",
            registry=registry,
        )
        self.max = Gauge(
            "noetl_api_database_connections_max",
            "Connections to the database that there may be",
            ["purpose"],
            unit="connections",
            registry=registry,
        )
        self.requests_waiting = Gauge(
            "noetl_api_database_requests_waiting",
            "Requests that wait for a connection to the database",
            unit="requests",
            registry=registry,
        )


class HttpConnectionGauges:
    """The gauges of the clients' connections.

    Only a process that listens makes them.

    Args:
        registry: the server's registry.
    """

    def __init__(self, registry: Registry) -> None:
        self.now = Gauge(
            "noetl_api_http_connections",
            "Connections of clients",
            unit="connections",
            registry=registry,
        )
        self.max = Gauge(
            "noetl_api_http_connections_max",
            "Connections of clients that all workers together may have",
            unit="connections",
            registry=registry,
        )


class Statistics:
    """The server's instruments, in a registry of their own: one server, one set of counts."""

    def __init__(self) -> None:
        self.registry = Registry()
        registry = self.registry
        self.export = ExportStatistics(registry)
        self.components = ComponentStatistics(registry)
        self.database_connections = DatabaseConnectionGauges(registry)
        self.requests = self._counter(
            "requests",
            "requests",
            "API requests by route template, method and status",
            ["endpoint", "method", "status"],
        )
        self.request_duration = Histogram(
            "noetl_api_request_duration_seconds",
            "How long API requests took",
            ["endpoint", "method"],
            unit="seconds",
            buckets=DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self.ingest_bytes = self._gauge(
            "ingest_bytes", "bytes", "Bytes of batches that are in memory now"
        )
        self.ingest_bytes_max = self._gauge(
            "ingest_bytes_max", "bytes", "Bytes of batches that may be in memory"
        )
        self.rows_unreadable = self._gauge(
            "rows_unreadable",
            "rows",
            "Rows that no page and no chart shows, as their time is not of the years 1 to 9999",
        )
        self.process_series_ratio = self._gauge(
            "process_series_ratio",
            "ratio",
            "What part of its limit the process has that has the most series alive",
        )
        self.samples_inserted = self._counter("samples_inserted", "samples", "Samples committed")
        self.samples_rejected = self._counter(
            "samples_rejected", "samples", "Samples that could not be stored", ["reason"]
        )
        self.batches_duplicate = self._counter(
            "batches_duplicate", "batches", "Batches that were stored already"
        )
        self.partitions_created = self._counter(
            "partitions_created", "partitions", "Partitions made"
        )
        self.partitions_dropped = self._counter(
            "partitions_dropped", "partitions", "Expired partitions dropped"
        )
        self.partitions_rebuilt = self._counter(
            "partitions_rebuilt",
            "partitions",
            "Partitions of which only the rows that live longer were left",
        )
        self.maintenance_failures = self._counter(
            "maintenance_failures", "failures", "Maintenance that failed and is tried again"
        )
        self.exposition_series_omitted = self._counter(
            "exposition_series_omitted",
            "series",
            "Series left out of pages for Prometheus, not whole or of names that are not valid",
        )
        self.rows_omitted = self._counter(
            "rows_omitted",
            "rows",
            "Rows left out of pages, and series left out of charts: their labels are no object",
        )

    def _counter(
        self, name: str, unit: str, documentation: str, labels: Sequence[str] = ()
    ) -> Counter:
        return Counter(
            f"noetl_api_{name}", documentation, labels, unit=unit, registry=self.registry
        )

    def _gauge(self, name: str, unit: str, documentation: str) -> Gauge:
        return Gauge(f"noetl_api_{name}", documentation, unit=unit, registry=self.registry)

"""The way in from OpenTelemetry: a client delivers the data that OpenTelemetry's SDK collects.

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    client = MetricsClient("http://localhost:8082", "cpu-pool")
    reader = PeriodicExportingMetricReader(NoetlMetricExporter(client))
    provider = MeterProvider(metric_readers=[reader])

docs/ecosystem.md has a table of OpenTelemetry's data points and the metrics that they become.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

try:
    from opentelemetry.sdk.metrics import (
        Counter,
        Histogram,
        ObservableCounter,
        ObservableGauge,
        ObservableUpDownCounter,
        UpDownCounter,
    )
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        MetricExporter,
        MetricExportResult,
    )
except ImportError as error:
    raise ImportError(
        f"noetl_metrics_sdk.otel needs the SDK of OpenTelemetry ({error}): "
        'pip install "noetl-metrics-sdk[otel]"'
    ) from error

from noetl_metrics_sdk.client import process_client
from noetl_metrics_sdk.otel.points import Conversion
from noetl_metrics_sdk.process.fork import reset_store_after_fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.metrics.view import Aggregation

    from noetl_metrics_sdk.client.client import MetricsClient

_logger = logging.getLogger("noetl_metrics_sdk")

# Without gauges: their values are neither cumulative nor deltas.
_INSTRUMENTS_WITH_TEMPORALITY: tuple[type, ...] = (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
MILLISECONDS = 1_000


class NoetlMetricExporter(MetricExporter):
    """Gives the metrics that OpenTelemetry's SDK has collected to a client of this SDK.

    A program gives the exporter to a `PeriodicExportingMetricReader`. An export only fills the
    client's buffer, and takes no longer than that. The client's thread then delivers, with its
    retries, its spool and its ledger. Each data point keeps its own time. A data point that cannot
    be a row is left out. The client counts it as an invalid sample (`stats().invalid_samples`), and
    logs each such metric once.

    Args:
        client: the client that delivers. The exporter starts it if it is not started. The caller
            shuts it down: `shutdown()` of this exporter delivers, and leaves the client running.
            Without a client, the exporter makes the client of the process from the environment (see
            `init()`), and shuts it down itself.
        resource_labels: the keys of the resource's attributes that become labels, like
            `("service.name",)`.
        preferred_aggregation: how measurements are aggregated, by class of instrument, as for every
            `MetricExporter`.

    Raises:
        ConfigurationError: the client has been shut down, or the environment lacks a setting, or
            the process has a client already.
    """

    def __init__(
        self,
        client: MetricsClient | None = None,
        *,
        resource_labels: Sequence[str] = (),
        preferred_aggregation: dict[type, Aggregation] | None = None,
    ) -> None:
        cumulative = AggregationTemporality.CUMULATIVE
        super().__init__(
            preferred_temporality=dict.fromkeys(_INSTRUMENTS_WITH_TEMPORALITY, cumulative),
            preferred_aggregation=preferred_aggregation,
        )
        self._resource_labels = tuple(resource_labels)
        self._owns_client = client is None
        # The client starts before the program makes the MeterProvider. So at the end of the process
        # the provider collects a last time before the client ends.
        self._client = process_client.init() if client is None else client.start()
        self._has_shut_down = False
        self._has_refused = False
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        # In the child OpenTelemetry starts the reader's thread again, also of a reader that was
        # shut down. It then exports once more what the parent has delivered: nothing is missing.
        self._has_refused = self._is_over()

    def _is_over(self) -> bool:
        return self._has_shut_down or self._client.has_ended

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,
    ) -> MetricExportResult:
        """Put every data point into the client's buffer.

        Args:
            metrics_data: the data that the reader has collected.
            timeout_millis: not used, as an export does not wait for the server.
            kwargs: not used.

        Returns:
            SUCCESS if every data point is in the buffer, or is the same as the sample that was last
            sent of its series a short time ago. FAILURE if one had to be left out, or after the
            shutdown.
        """
        del timeout_millis, kwargs
        if self._is_over():
            if not self._has_refused:
                self._has_refused = True
                _logger.warning("an export after the shutdown is refused; its metrics are missing")
            return MetricExportResult.FAILURE
        conversion = Conversion(metrics_data, self._resource_labels)
        all_taken = self._client.offer(conversion.families, conversion.refusals)
        if all_taken and not conversion.refusals:
            return MetricExportResult.SUCCESS
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Wait until everything that was exported so far is delivered.

        Args:
            timeout_millis: how long to wait at most, in milliseconds.

        Returns:
            Whether everything was delivered in time, and nothing was dropped meanwhile.
        """
        result = self._client.flush(max(0.0, timeout_millis) / MILLISECONDS)
        is_running = not self._client.has_ended
        return not result.timed_out and not result.dropped and (is_running or not result.pending)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Deliver everything that was exported, and refuse later exports.

        Args:
            timeout_millis: how long the shutdown may take, in milliseconds.
            kwargs: may have `timeout`, the name under which `PeriodicExportingMetricReader` gives
                the milliseconds.
        """
        if self._has_shut_down:
            return
        self._has_shut_down = True
        seconds = max(0.0, kwargs.get("timeout", timeout_millis)) / MILLISECONDS
        if self._owns_client:
            process_client.shutdown(seconds)
            return
        result = self._client.flush(seconds)
        if result.timed_out:
            _logger.warning(
                "the exporter's shutdown has %d samples left, which the client goes on to deliver",
                result.pending,
            )

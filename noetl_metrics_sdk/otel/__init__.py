"""Another way in: OpenTelemetry's data points become families, by `NoetlMetricExporter`."""

from noetl_metrics_sdk.otel.exporter import NoetlMetricExporter

__all__ = ["NoetlMetricExporter"]

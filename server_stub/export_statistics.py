"""What the server counts of its export.

| metric | meaning |
|---|---|
| `noetl_api_export_samples_total` | samples that the receiver has acknowledged |
| `noetl_api_export_samples_dropped_total` | samples that it will never have, by reason |
| `noetl_api_export_samples_repeated_total` | samples that were sent again, perhaps lost there |
| `noetl_api_export_failures_total` | attempts that failed and are repeated |
| `noetl_api_export_lag_seconds` | how long the oldest sample has waited to be exported |
| `noetl_api_export_loss_in_seconds` | how long it is until it is dropped without: alarm on this |

Reasons are `out_of_order` and `refused` (both by the receiver), `invalid` (a name that the protocol
does not have), `same_millisecond` (as a later sample of the series) and `expired` (before the
receiver took it). The last two metrics are as of the latest turn of this server: of several, the
worst counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noetl_metrics_sdk import Counter, Gauge

if TYPE_CHECKING:
    from noetl_metrics_sdk import Registry


class ExportStatistics:
    """The counters of the export.

    Args:
        registry: the server's.
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
        self.failures = Counter(
            "noetl_api_export_failures",
            "Attempts to export that failed and are repeated",
            unit="failures",
            registry=registry,
        )


class ExportGauges:
    """What only a server has that exports: without values they would raise alarms.

    Args:
        registry: the server's.
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

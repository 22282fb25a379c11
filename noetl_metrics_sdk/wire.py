"""A batch of samples as the bytes of `POST /api/metrics`.

What never changes about a series (name, type, labels, help, unit) is encoded once and kept;
a sample then costs its two numbers. The body's form is `docs/protocol.md`.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noetl_metrics_sdk.model import MetricType, Sample, Series

SERIES_CACHED_MAX = 100_000
"""How many encoded series are kept; beyond it the cache starts afresh."""

ENVELOPE_BYTES = 64
"""What a body has around its samples: braces, the runtime id, the key of the array."""


class EncodedSample(NamedTuple):
    """One sample and its JSON."""

    sample: Sample
    json: bytes


class Batch(NamedTuple):
    """Samples that travel together and are accepted together.

    `key` names the batch for ever: `boot id:sequence`, the `Idempotency-Key` of the request.
    """

    key: str
    items: Sequence[EncodedSample]

    def body(self, runtime_id: str) -> bytes:
        """Return the request body that reports these samples for a runtime."""
        samples = b",".join([item.json for item in self.items])
        return b'{"runtime_id":%b,"metrics":[%b]}' % (json.dumps(runtime_id).encode(), samples)


class SampleEncoder:
    """Encodes samples, remembering what it said of each series.

    Args:
        constant_labels: labels that every sample gets. A label of the series itself wins over
            a constant one of the same name.
        identity_labels: labels that tell this process from others, and win over the series'
            own, which become `exported_…`, as Prometheus names them: totals of two processes
            must never mix.
    """

    def __init__(
        self,
        constant_labels: Mapping[str, str],
        identity_labels: Mapping[str, str] | None = None,
    ) -> None:
        self._constant_labels = dict(constant_labels)
        self._identity_labels = dict(identity_labels or {})
        self._encoded: dict[tuple[Series, tuple[MetricType, str, str]], bytes] = {}

    def encode(self, sample: Sample) -> EncodedSample:
        """Return the sample with its JSON; its timestamp must be set."""
        key = (sample.series, sample.series.description())
        head = self._encoded.get(key)
        if head is None:
            if len(self._encoded) >= SERIES_CACHED_MAX:
                self._encoded.clear()
            head = self._encode_series(sample.series)
            self._encoded[key] = head
        tail = f'"metric_value":{json_number(sample.value)},"timestamp":{sample.timestamp!r}}}'
        return EncodedSample(sample, head + tail.encode())

    def _encode_series(self, series: Series) -> bytes:
        fields = {
            "metric_name": series.name,
            "metric_type": series.type.value,
            "labels": self._all_labels(series.labels),
            "help_text": series.help_text,
            "unit": series.unit,
        }
        head = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return head[:-1].encode() + b","

    def _all_labels(self, own: Mapping[str, str]) -> dict[str, str]:
        labels = {**self._constant_labels, **own}
        for name, value in self._identity_labels.items():
            if name in labels:
                labels[f"exported_{name}"] = labels[name]
            labels[name] = value
        return labels


def json_number(value: float) -> str:
    """Return a value as JSON: a number, or the string that stands for what JSON has none for."""
    if math.isfinite(value):
        return float.__repr__(float(value))
    if math.isnan(value):
        return '"NaN"'
    return '"+Inf"' if value > 0 else '"-Inf"'

"""Translate OpenTelemetry's names, units and attributes into those of Prometheus.

It follows "Prometheus and OpenMetrics Compatibility" of OpenTelemetry's specification, "OTLP Metric
points to Prometheus":
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.model.names import converted_label_name, converted_metric_name

if TYPE_CHECKING:
    from collections.abc import Mapping

RATIO = "ratio"

_NOT_OF_A_UNIT = re.compile("[^a-zA-Z0-9:]+")
# https://ucum.org/ucum#para-6: a text in braces says which things are counted, and is no unit.
_ANNOTATION = re.compile(r"\{[^{}]*\}")

# Units as codes of https://ucum.org/ucum, and the words of Prometheus for them.
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tebibytes", "kBy": "kilobytes", "KBy": "kilobytes", "MBy": "megabytes",
    "GBy": "gigabytes", "TBy": "terabytes", "bit": "bits",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "%": "percent",
}  # fmt: skip
_UNITS_BELOW_A_STROKE = {
    "s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month",
    "a": "year",
}  # fmt: skip


def unit_word(unit: str, *, is_gauge: bool) -> str:
    """Return a unit as Prometheus writes it: `s` is `seconds`, `By/s` is `bytes_per_second`.

    Args:
        unit: the instrument's unit.
        is_gauge: whether the instrument is a gauge. For a gauge the unit `1` means a ratio. A
            counter often has it only because it has no other unit.
    """
    bare = _ANNOTATION.sub("", unit).strip()
    if bare == "1":
        return RATIO if is_gauge else ""
    above, stroke, below = bare.partition("/")
    word = _UNITS.get(above, _cleaned(above))
    if stroke and below:
        per = _UNITS_BELOW_A_STROKE.get(below, _cleaned(below))
        # "1/s" and "{packet}/s" are both "per second".
        word = "_".join(filter(None, [word if above != "1" else "", "per", per]))
    return word


def metric_name(name: str, unit: str, *, is_counter: bool) -> str:
    """Return a metric's name with its unit at the end, and without the `_total` of a counter.

    Args:
        name: the instrument's name.
        unit: the instrument's unit, as `unit_word()` writes it.
        is_counter: whether the instrument is a counter, whose `_total` comes after the unit.
    """
    cleaned = converted_metric_name(name).rstrip("_")
    if is_counter:
        cleaned = cleaned.removesuffix("_total")
    if unit and f"_{unit}_" not in f"_{cleaned}_":
        cleaned = f"{cleaned}_{unit}"
    return cleaned


def label_name(key: str) -> str:
    """Return an attribute's key as a label name: `http.route` is `http_route`."""
    return converted_label_name(key)


def labels_of(attributes: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return attributes as labels.

    If several attributes get the same label name, their values are joined by `;`, in the order of
    their keys.

    Args:
        attributes: values of any type by key.
        prefix: the text before each key.
    """
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        name = label_name(prefix + key)
        text = attribute_text(attributes[key])
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels


def attribute_text(value: Any) -> str:
    """Return an attribute's value as text.

    A string is itself, bytes are in base64, and every other value is JSON. "Common specification
    concepts" says so for protocols other than OTLP:
    https://opentelemetry.io/docs/specs/otel/common/#attribute
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _cleaned(unit: str) -> str:
    return _NOT_OF_A_UNIT.sub("_", unit).strip("_")

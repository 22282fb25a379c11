"""Check samples of other libraries' collectors, and convert them to samples of this package.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import (
    MetricType,
    Sample,
    Series,
    counts_from_zero,
    without_empty,
)
from noetl_metrics_sdk.model.names import (
    check_label_name,
    check_metric_name,
    check_text,
    converted_label_name,
    converted_metric_name,
    is_label_name,
    is_metric_name,
)

# The types of the table, and those that only prometheus_client has, which become gauges.
_TYPES = {
    **{str(metric_type): metric_type for metric_type in MetricType},
    "unknown": MetricType.GAUGE,
    "untyped": MetricType.GAUGE,
    "info": MetricType.GAUGE,
    "stateset": MetricType.GAUGE,
    "gaugehistogram": MetricType.GAUGE,
}


Beginnings = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""When series were 0, in seconds since the epoch, by the family's name and the series' labels
without those of a bucket or a quantile."""

_CREATED = "_created"
_OWN_LABELS = ("le", "quantile")


def adopt(family: Any, sample: Any, now: float, beginnings: Beginnings | None = None) -> Sample:
    """Return a sample of the shape of prometheus_client's as a sample of this package.

    Args:
        family: the sample's family, with its `type`, `documentation` and `unit`.
        sample: the sample, with a `name`, `labels`, a `value` and a `timestamp`.
        now: the time for a sample that has none, in seconds since the epoch.
        beginnings: when the family's series were 0, from `told_beginnings`.

    Raises:
        InvalidMetricError: the sample cannot be a row of the table.
        TypeError, ValueError, AttributeError, ArithmeticError: the sample or its family does not
            have this shape.
    """
    series = adopt_series(family, sample)
    created_at = None
    if beginnings and counts_from_zero(series.type, series.labels):
        created_at = beginnings.get(_key(family.name, sample.labels))
    return Sample(series, float(sample.value), checked_time(sample.timestamp, now), created_at)


def told_beginnings(samples: Iterable[Any]) -> Beginnings:
    """Return when the series of a family were 0, as its samples with the suffix `_created` say it.

    prometheus_client's counters, histograms and summaries have such samples, and OpenMetrics says
    what they mean: https://prometheus.io/docs/specs/om/open_metrics_spec/ ("Counter").

    Args:
        samples: all samples of the family. Of one without the right shape there is no beginning.
    """
    beginnings: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for sample in samples:
        name = getattr(sample, "name", None)
        if type(name) is str and name.endswith(_CREATED):
            with suppress(TypeError, ValueError, AttributeError):
                key = _key(name.removesuffix(_CREATED), sample.labels)
                beginnings[key] = float(sample.value)
    return beginnings


def shared_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that all samples of a label set share: without a bound or a quantile."""
    return {name: text for name, text in without_empty(labels).items() if name not in _OWN_LABELS}


def _key(name: str, labels: Mapping[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(shared_labels(labels).items())


def adopt_series(family: Any, sample: Any) -> Series:
    """Return the series of a sample of the shape of prometheus_client's; raise as `adopt` does.

    prometheus_client takes names of any characters. They are converted as OpenTelemetry's are.
    """
    metric_type = _TYPES.get(family.type)
    if metric_type is None:
        raise InvalidMetricError(f"type {family.type!r}: expected one of {', '.join(_TYPES)}")
    if str(sample.name).endswith(_CREATED):
        # The time at which a series began is a gauge of its own, as in the text format.
        metric_type = MetricType.GAUGE
    name = sample.name
    if isinstance(name, str) and not is_metric_name(name):
        name = converted_metric_name(name)
    series = Series(
        name, metric_type, _converted_labels(sample.labels), family.documentation, family.unit or ""
    )
    check_series(series)
    return series


def _converted_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels under names that are valid; the values of a name are joined by `;`.

    That is what OpenTelemetry's specification says of attributes, in the order of their own names.
    """
    if all(isinstance(name, str) and is_label_name(name) for name in labels):
        return dict(labels)
    converted: dict[str, str] = {}
    for label_name in sorted(labels):
        name = label_name if is_label_name(label_name) else converted_label_name(label_name)
        value = labels[label_name]
        converted[name] = f"{converted[name]};{value}" if name in converted else value
    return converted


def check_series(series: Series) -> None:
    """Check a series that a collector has built by itself.

    Raises:
        InvalidMetricError: the table cannot store its name, its type, a label or a text.
    """
    check_metric_name(series.name)
    if not isinstance(series.type, MetricType):
        raise InvalidMetricError(
            f"type {series.type!r} of {series.name}: give a MetricType, like MetricType.GAUGE"
        )
    for label_name, value in series.labels.items():
        check_label_name(label_name)
        check_text("label value", value)
    check_text("documentation", series.help_text)
    check_text("unit", series.unit)


def checked_time(timestamp: Any, now: float) -> float:
    """Return a sample's time, or `now` if it has none.

    Raises:
        InvalidMetricError: the time is NaN or infinite.
    """
    if timestamp is None:
        return now
    seconds = float(timestamp)
    if not math.isfinite(seconds):
        raise InvalidMetricError(f"timestamp {timestamp}: give seconds since the epoch")
    return seconds

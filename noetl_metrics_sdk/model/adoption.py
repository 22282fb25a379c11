"""Check samples of other libraries' collectors, and convert them to samples of this package.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import math
from typing import Any

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import MetricType, Sample, Series
from noetl_metrics_sdk.model.names import check_label_name, check_metric_name, check_text

# The types of the table, and those that only prometheus_client has, which become gauges.
_TYPES = {
    **{str(metric_type): metric_type for metric_type in MetricType},
    "unknown": MetricType.GAUGE,
    "untyped": MetricType.GAUGE,
    "info": MetricType.GAUGE,
    "stateset": MetricType.GAUGE,
    "gaugehistogram": MetricType.GAUGE,
}


def adopt(family: Any, sample: Any, now: float) -> Sample:
    """Return a sample of the shape of prometheus_client's as a sample of this package.

    Args:
        family: the sample's family, with its `type`, `documentation` and `unit`.
        sample: the sample, with a `name`, `labels`, a `value` and a `timestamp`.
        now: the time for a sample that has none, in seconds since the epoch.

    Raises:
        InvalidMetricError: the sample cannot be a row of the table.
        TypeError, ValueError, AttributeError, ArithmeticError: the sample or its family does not
            have this shape.
    """
    series = adopt_series(family, sample)
    return Sample(series, float(sample.value), checked_time(sample.timestamp, now))


def adopt_series(family: Any, sample: Any) -> Series:
    """Return the series of a sample of the shape of prometheus_client's; raise as `adopt` does."""
    metric_type = _TYPES.get(family.type)
    if metric_type is None:
        raise InvalidMetricError(f"type {family.type!r}: expected one of {', '.join(_TYPES)}")
    if str(sample.name).endswith("_created"):
        # The time at which a series began is a gauge of its own, as in the text format.
        metric_type = MetricType.GAUGE
    series = Series(
        sample.name, metric_type, dict(sample.labels), family.documentation, family.unit or ""
    )
    check_series(series)
    return series


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

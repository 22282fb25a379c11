"""Check a sample that the worker records itself, at the call that records it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import MetricType, without_empty
from noetl_metrics_sdk.model.names import check_label_name, check_metric_name, check_text
from noetl_metrics_sdk.model.stamped_sample import LabelSet, SampleForm, StampedSample

if TYPE_CHECKING:
    from collections.abc import Mapping


def recorded_sample(
    name: str,
    value: float,
    metric_type: MetricType | str,
    labels: Mapping[str, str] | None,
    timestamp: float,
    help_text: str,
    unit: str,
) -> StampedSample:
    """Return the sample if every part of it is valid.

    Raises:
        InvalidMetricError: a part is not valid; the message says what a valid one looks like.
        TypeError: the value or the time is no number.
    """
    try:
        checked_type = MetricType(metric_type)
    except ValueError:
        raise InvalidMetricError(
            f"metric_type {metric_type!r} is not one of {', '.join(MetricType)}"
        ) from None
    if checked_type is MetricType.COUNTER and not check_metric_name(name).endswith("_total"):
        raise InvalidMetricError(f"counter name {name!r} must end in '_total': {name + '_total'!r}")
    checked_labels = dict(labels or {})
    for label_name, label_value in checked_labels.items():
        check_label_name(label_name)
        check_text("label value", label_value)
    checked_labels = dict(without_empty(checked_labels))
    form = SampleForm(
        check_metric_name(name),
        checked_type,
        check_text("help_text", help_text),
        check_text("unit", unit),
        tuple(checked_labels),
    )
    taken_at = _number("timestamp", timestamp)
    if not math.isfinite(taken_at):
        raise InvalidMetricError(f"timestamp {timestamp!r}: give seconds since the epoch")
    label_set = LabelSet(tuple(checked_labels.values()))
    return StampedSample(form, label_set, _number("value", value), taken_at)


def _number(what: str, value: float) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"{what} {value!r} is a {type(value).__name__}: give a number, like 1 or 0.25")

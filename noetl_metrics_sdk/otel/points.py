"""Convert OpenTelemetry's data points to metric families of this package.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    NumberDataPoint,
    Sum,
)

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.metric import MetricFamily, MetricType, Sample, Series
from noetl_metrics_sdk.model.numbers import format_bound
from noetl_metrics_sdk.otel.names import (
    attribute_text,
    label_name,
    labels_of,
    metric_name,
    unit_word,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

NANOSECONDS = 1_000_000_000
_DOUBLE_EXPONENT_MAX = 1024
_HistogramPoint = HistogramDataPoint | ExponentialHistogramDataPoint


class Refusal(NamedTuple):
    """The name of a metric with a data point that is left out, and the reason."""

    name: str
    error: Exception


class Conversion:
    """The families that the data of one export become, and the refusals.

    Args:
        data: the data that OpenTelemetry's SDK has collected.
        resource_labels: the keys of the resource's attributes that become labels.
    """

    def __init__(self, data: MetricsData, resource_labels: Sequence[str]) -> None:
        self.families: list[MetricFamily] = []
        self.refusals: list[Refusal] = []
        self._types: dict[str, str] = {}
        self._series: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        for resource_metrics in data.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                origin = (resource_metrics.resource, scope_metrics.scope)
                for metric in scope_metrics.metrics:
                    try:
                        self._add(metric, _labels_of_origin(*origin, resource_labels))
                    except Exception as error:  # noqa: BLE001 - one metric must not cost the others
                        self.refusals.append(Refusal(metric.name, error))

    def _add(self, metric: Metric, origin: Mapping[str, str]) -> None:
        metric_type = _type_of(metric)
        unit = unit_word(metric.unit or "", is_gauge=isinstance(metric.data, Gauge))
        name = metric_name(metric.name, unit, is_counter=metric_type is MetricType.COUNTER)
        family = MetricFamily(name, metric.description or "", metric_type, unit)
        self.families.append(family)
        for point in metric.data.data_points:
            try:
                _check_temporality(metric)
                labels = _labels_of_point(point, metric_type, origin)
                self._claim(family, labels)
                self._add_point(family, point, labels)
            except InvalidMetricError as error:
                self.refusals.append(Refusal(metric.name, error))

    def _claim(self, family: MetricFamily, labels: Mapping[str, str]) -> None:
        if self._types.setdefault(family.name, family.type) is not family.type:
            raise InvalidMetricError(
                f"{family.name!r} is a {self._types[family.name]} already, of another instrument: "
                f"give the {family.type} another name, by a View if it is not yours"
            )
        series = (family.name, frozenset(labels.items()))
        if series in self._series:
            raise InvalidMetricError(
                f"another instrument has the series {family.name!r} with these labels too: "
                "give one of them another name, by a View if it is not yours"
            )
        self._series.add(series)

    def _add_point(self, family: MetricFamily, point: Any, labels: dict[str, str]) -> None:
        timestamp = point.time_unix_nano / NANOSECONDS
        # OpenTelemetry's data model, "Resets and Gaps": the value of a cumulative point was 0 at
        # its start time; 0 stands for a time that is not known.
        started_at = (point.start_time_unix_nano or 0) / NANOSECONDS or None

        def add(suffix: str, value: float, more: Mapping[str, str] | None = None) -> None:
            series = Series(
                family.name + suffix, MetricType(family.type), {**labels, **(more or {})},
                family.documentation, family.unit,
            )  # fmt: skip
            family.samples.append(Sample(series, float(value), timestamp, started_at))

        if isinstance(point, NumberDataPoint):
            is_counter = family.type is MetricType.COUNTER
            if is_counter and math.isnan(point.value):
                raise InvalidMetricError("its value is NaN: an amount that was added is NaN")
            add("_total" if is_counter else "", point.value)
            return
        for bound, count in _cumulative_buckets(point):
            add("_bucket", count, {"le": format_bound(bound)})
        add("_count", point.count)
        if math.isnan(point.sum):
            raise InvalidMetricError("its sum is NaN and is left out: an observation is NaN")
        # A sum of values that may be negative can go down, and would then look like a restart.
        if not point.count or point.min >= 0:
            add("_sum", point.sum)


def _type_of(metric: Metric) -> MetricType:
    if isinstance(metric.data, Sum):
        return MetricType.COUNTER if metric.data.is_monotonic else MetricType.GAUGE
    if isinstance(metric.data, Gauge):
        return MetricType.GAUGE
    if isinstance(metric.data, (Histogram, ExponentialHistogram)):
        return MetricType.HISTOGRAM
    raise InvalidMetricError(
        f"its data is a {type(metric.data).__name__}: it must be a Sum, a Gauge, a Histogram or an "
        "ExponentialHistogram"
    )


def _check_temporality(metric: Metric) -> None:
    if isinstance(metric.data, Gauge):
        return
    if metric.data.aggregation_temporality is not AggregationTemporality.CUMULATIVE:
        raise InvalidMetricError(
            f"its temporality is {metric.data.aggregation_temporality.name}, and what is stored is "
            "cumulative: have its reader prefer AggregationTemporality.CUMULATIVE, which is the "
            "default"
        )


def _labels_of_origin(
    resource: Resource, scope: InstrumentationScope, resource_labels: Sequence[str]
) -> dict[str, str]:
    labels = {
        label_name(key): attribute_text(resource.attributes[key])
        for key in resource_labels
        if key in resource.attributes
    }
    labels.update(labels_of(scope.attributes or {}, "otel.scope."))
    own = {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
    labels.update({name: text for name, text in own.items() if text})
    return labels


def _labels_of_point(
    point: NumberDataPoint | _HistogramPoint, metric_type: MetricType, origin: Mapping[str, str]
) -> dict[str, str]:
    own = labels_of(point.attributes or {})
    taken = {*origin, "le"} if metric_type is MetricType.HISTOGRAM else origin.keys()
    labels = dict(origin)
    for name, text in own.items():
        shown = name
        while shown in taken or (shown != name and shown in own):
            shown = f"exported_{shown}"
        labels[shown] = text
    return labels


def _cumulative_buckets(point: _HistogramPoint) -> Iterator[tuple[float, int]]:
    """Yield each upper bound and how many observations are not above it; infinity comes last."""
    if isinstance(point, ExponentialHistogramDataPoint):
        yield from sorted(_exponential_buckets(point).items())
    else:
        below = 0
        for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False):
            below += count
            if bound != math.inf:
                yield float(bound), below
    yield math.inf, point.count


def _exponential_buckets(point: ExponentialHistogramDataPoint) -> dict[float, int]:
    """Return how many observations are not above each of the point's own boundaries.

    Bucket `i` lies between `base ** i` and `base ** (i + 1)`, and the base is
    `2 ** (2 ** -scale)`. When the scale falls, every other boundary stays what it was.
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    """
    buckets: dict[float, int] = {}
    below = 0
    counts = point.negative.bucket_counts
    if any(counts):
        top = point.negative.offset + len(counts)
        buckets[-_boundary(top, point.scale)] = 0
        for index, count in enumerate(reversed(counts), 1):
            below += count
            buckets[-_boundary(top - index, point.scale)] = below
    if point.zero_count or below:
        below += point.zero_count
        buckets[0.0] = below
    counts = point.positive.bucket_counts
    if any(counts):
        buckets[_boundary(point.positive.offset, point.scale)] = below
        for index, count in enumerate(counts, point.positive.offset + 1):
            below += count
            buckets[_boundary(index, point.scale)] = below
    return {bound: count for bound, count in buckets.items() if math.isfinite(bound)}


def _boundary(index: int, scale: int) -> float:
    exponent = math.ldexp(index, -scale)
    return 2.0**exponent if exponent < _DOUBLE_EXPONENT_MAX else math.inf

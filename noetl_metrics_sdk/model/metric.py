"""The words for metrics: the type, the series, the sample, and the family.

A *series* is a name and a label set. A *sample* is one value of one series at one time. A *metric
family* has all samples that one instrument reports under one name. `MetricFamily` and `Sample` have
the shapes of prometheus_client's classes, so a collector that is written for one of the two
packages works with both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class MetricType(StrEnum):
    """The four types of the table `noetl.metric`."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


INFO = "info"
STATE_SET = "stateset"
"""Types that OpenMetrics has besides. A family may have one of them; its series are gauges."""


def counts_from_zero(metric_type: MetricType, label_names: Iterable[str]) -> bool:
    """Return whether the values of a series are zero at first, and then only go up.

    That is so for counters, and for the buckets, sums and counts of histograms and summaries. The
    quantiles of a summary do not count.

    Args:
        metric_type: the type of the series' family.
        label_names: the names of all labels of the series.
    """
    if metric_type is MetricType.SUMMARY:
        return "quantile" not in label_names
    return metric_type is not MetricType.GAUGE


def without_empty(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels without those that have an empty value: such a label is no label."""
    if "" not in labels.values():
        return labels
    return {name: value for name, value in labels.items() if value}


class Series:
    """One time series: everything that stays the same from sample to sample.

    Two series are equal if their names and their labels are equal. A label with an empty value is
    no label, as in Prometheus. Type, help text and unit only describe a series.

    Args:
        name: the name of its samples, with its suffix (`jobs_total`, `job_seconds_bucket`).
        type: the type of its family.
        labels: label values by label name; the caller must not change them afterwards.
        help_text: what the metric measures.
        unit: the unit of the values, `bytes` or `seconds` for example.
    """

    __slots__ = ("_hash", "help_text", "labels", "name", "type", "unit")

    def __init__(
        self,
        name: str,
        type: MetricType,  # noqa: A002 - the field's word, as prometheus_client has it
        labels: Mapping[str, str],
        help_text: str = "",
        unit: str = "",
    ) -> None:
        self.name = name
        self.type = type
        self.labels = without_empty(labels)
        self.help_text = help_text
        self.unit = unit
        self._hash = hash((name, frozenset(self.labels.items())))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Series):
            return NotImplemented
        return self.name == other.name and self.labels == other.labels

    def description(self) -> tuple[MetricType, str, str]:
        """Return the type, the help text and the unit, in which two equal series may differ."""
        return self.type, self.help_text, self.unit

    def __repr__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}"


class Sample(NamedTuple):
    """One value of one series at one time.

    `timestamp` is in seconds since the epoch, or None until the collection stamps the sample.
    `created_at` says when a value that only counts up was zero, in seconds since the epoch: when
    the counting began. It is None if that is not known, and for values that do not count.
    """

    series: Series
    value: float
    timestamp: float | None = None
    created_at: float | None = None

    @property
    def name(self) -> str:
        """The series' name, where a sample of prometheus_client has it."""
        return self.series.name

    @property
    def labels(self) -> Mapping[str, str]:
        """The series' labels, where a sample of prometheus_client has them."""
        return self.series.labels

    @property
    def exemplar(self) -> None:
        """None; prometheus_client's OpenMetrics writer reads this attribute of every sample."""

    @property
    def native_histogram(self) -> None:
        """None; it is here for the same reason as `exemplar`."""


class MetricFamily:
    """All samples of one instrument, with their description.

    Args:
        name: the family's name, without the suffixes of the samples.
        documentation: what the metric measures.
        type: a `MetricType`, `INFO` or `STATE_SET`.
        unit: the unit of the values.
        samples: the samples.
    """

    __slots__ = ("documentation", "name", "samples", "type", "unit")

    def __init__(
        self,
        name: str,
        documentation: str,
        type: str,  # noqa: A002 - as above
        unit: str = "",
        samples: Iterable[Sample] = (),
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.type = type
        self.unit = unit
        self.samples = list(samples)

    def __repr__(self) -> str:
        return f"MetricFamily({self.name!r}, {self.type}, {len(self.samples)} samples)"

    def add(
        self,
        suffix: str,
        labels: Mapping[str, str],
        value: float,
        created_at: float | None = None,
    ) -> None:
        """Append a sample of the series `name + suffix` with these labels.

        Args:
            suffix: the suffix of the sample's name.
            labels: the labels.
            value: the value.
            created_at: when a value that counts up was zero, in seconds since the epoch. A chart
                then has what was counted before the first report, too.
        """
        is_gauge = self.type in {INFO, STATE_SET}
        kind = MetricType.GAUGE if is_gauge else MetricType(self.type)
        series = Series(self.name + suffix, kind, labels, self.documentation, self.unit)
        self.samples.append(Sample(series, value, created_at=created_at))

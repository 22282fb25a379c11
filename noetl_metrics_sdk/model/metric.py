"""What a metric is: its type, its series, and a sample of it.

A *series* is a name and a label set; a *sample* is one value of one series at one time; a
*metric family* is what one instrument reports: all samples under one name. The shapes of
`MetricFamily` and `Sample` are those of prometheus_client, so that collectors written for
either work with both.
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


class Series:
    """One time series: what stays the same from sample to sample.

    Two series are equal when their name and their labels are; type, help text and unit
    describe them. An instrument makes the series of a label set once and keeps it.

    Args:
        name: the sample's name, with its suffix (`jobs_total`, `job_seconds_bucket`).
        type: the type of its family.
        labels: label name to label value; must not change afterwards.
        help_text: what it measures.
        unit: the unit of its values, `bytes` or `seconds` for example.
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
        self.labels = labels
        self.help_text = help_text
        self.unit = unit
        self._hash = hash((name, frozenset(labels.items())))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Series):
            return NotImplemented
        return self.name == other.name and self.labels == other.labels

    def description(self) -> tuple[MetricType, str, str]:
        """Return what two equal series may differ in: type, help text and unit."""
        return self.type, self.help_text, self.unit

    def __repr__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}"


class Sample(NamedTuple):
    """One value of one series at one time.

    `timestamp` is in seconds since the epoch, or None before the collection has stamped it.
    """

    series: Series
    value: float
    timestamp: float | None = None

    @property
    def name(self) -> str:
        """The series' name, as on a prometheus_client sample."""
        return self.series.name

    @property
    def labels(self) -> Mapping[str, str]:
        """The series' labels, as on a prometheus_client sample."""
        return self.series.labels

    @property
    def exemplar(self) -> None:
        """None: prometheus_client's OpenMetrics writer asks every sample for one."""

    @property
    def native_histogram(self) -> None:
        """None, as for `exemplar`."""


class MetricFamily:
    """All samples of one instrument, with what describes them.

    Args:
        name: the family's name, without the samples' suffixes.
        documentation: what it measures.
        type: its type.
        unit: the unit of its values.
        samples: its samples.
    """

    __slots__ = ("documentation", "name", "samples", "type", "unit")

    def __init__(
        self,
        name: str,
        documentation: str,
        type: MetricType,  # noqa: A002 - as above
        unit: str = "",
        samples: Iterable[Sample] = (),
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.type = type
        self.unit = unit
        self.samples = list(samples)

    def __repr__(self) -> str:
        return f"MetricFamily({self.name!r}, {self.type.value}, {len(self.samples)} samples)"

    def add(self, suffix: str, labels: Mapping[str, str], value: float) -> None:
        """Append a sample of the series `name + suffix` with these labels."""
        series = Series(self.name + suffix, self.type, labels, self.documentation, self.unit)
        self.samples.append(Sample(series, value))

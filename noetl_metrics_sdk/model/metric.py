"""What a metric is: its type, its series, a sample of it, and which names are valid.

A *series* is a name and a label set; a *sample* is one value of one series at one time; a
*metric family* is what one instrument reports: all samples under one name. The shapes of
`MetricFamily` and `Sample` are those of prometheus_client, so that collectors written for
either work with both.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import InvalidMetricError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME_LENGTH_MAX = 255
"""A name is part of a B-tree key in PostgreSQL, which holds at most 2,704 bytes."""

# https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# What PostgreSQL's text and jsonb cannot hold: NUL, and halves of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


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


def check_metric_name(name: str) -> str:
    """Return `name` if it is a valid metric name.

    Raises:
        InvalidMetricError: it is not; the message says what a valid one looks like.
    """
    return _check_name("metric name", name, _METRIC_NAME, "letters, digits, '_' and ':'")


def check_label_name(name: str, reserved: tuple[str, ...] = ()) -> str:
    """Return `name` if it is a valid label name.

    Args:
        name: the label name.
        reserved: names that the instrument needs for itself (`le`, `quantile`).

    Raises:
        InvalidMetricError: it is not valid, begins with `__`, or is reserved.
    """
    _check_name("label name", name, _LABEL_NAME, "letters, digits and '_'", reserved)
    if name.startswith("__"):
        raise InvalidMetricError(
            f"label name {name!r} begins with '__', which is reserved: "
            f"use {_valid_name_like(name, reserved)!r}"
        )
    if name in reserved:
        raise InvalidMetricError(
            f"label name {name!r} is what this type of metric labels its own samples with: "
            "choose another"
        )
    return name


def check_text(what: str, text: str) -> str:
    """Return `text` if PostgreSQL can hold it.

    Args:
        what: what the text is, for the message: "label value", "unit".
        text: any string.

    Raises:
        InvalidMetricError: it is no string, or has a NUL or half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise InvalidMetricError(f"{what} {text!r} is a {type(text).__name__}: it must be a string")
    found = _UNSTORABLE.search(text)
    if found:
        raise InvalidMetricError(
            f"{what} {text!r} has {found.group()!r} at position {found.start()}: "
            "any text will do but NUL and lone surrogates, which PostgreSQL cannot store"
        )
    return text


def _check_name(
    what: str, name: str, pattern: re.Pattern[str], allowed: str, reserved: tuple[str, ...] = ()
) -> str:
    if not isinstance(name, str):
        raise InvalidMetricError(f"{what} {name!r} is a {type(name).__name__}: it must be a string")
    if not pattern.fullmatch(name):
        raise InvalidMetricError(
            f"{what} {name!r} is not valid: use {allowed}, not beginning with a digit, "
            f"like {_valid_name_like(name, reserved)!r}"
        )
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidMetricError(
            f"{what} {name[:40] + '…'!r} has {len(name)} characters: "
            f"at most {NAME_LENGTH_MAX} are allowed"
        )
    return name


def _valid_name_like(name: str, reserved: tuple[str, ...]) -> str:
    # Beginning with a letter it is good for a metric and for a label.
    like = re.sub("[^a-zA-Z0-9_]", "_", name).lstrip("0123456789_")[:NAME_LENGTH_MAX]
    return f"my_{like}" if like in reserved else like or "jobs"

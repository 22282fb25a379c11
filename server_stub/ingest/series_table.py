"""The series that each component has reported: checked and encoded once, and bounded. Pure.

A series comes with every batch, so the server keeps the part of its rows that never changes. A
sample then costs the server a look-up and two numbers. The limit on series goes by this table, and
each server process has a table of its own.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.model.names import check_label_name, check_metric_name, check_text
from server_stub.ingest.copy_format import row_tail

if TYPE_CHECKING:
    from datetime import date

SERIES_CACHED_MAX = 300_000
"""How many series the server keeps for all components, at some 600 bytes each. Beyond that it
forgets the component that has been silent for longest, and counts it anew when it comes back."""

_TYPES = frozenset(metric_type.value for metric_type in MetricType)
_labels_decoder = msgspec.json.Decoder(dict[str, str])
_encode_json = msgspec.json.Encoder().encode

SeriesKey = tuple[str, str, bytes, str | None, str | None]
"""Name, type, labels as the client wrote them, help text and unit."""


class SeriesLimits(NamedTuple):
    """How large a series may be, and how many a component may have.

    A series has at most `labels_max` labels. The value of a label, the help text and the unit have
    at most `text_length_max` characters each. A component has at most `series_max` series in one
    UTC day.
    """

    labels_max: int
    text_length_max: int
    series_max: int


class ComponentSeries:
    """The series of one component in one UTC day; `tails` has the end of the rows of each."""

    __slots__ = ("day", "tails")

    def __init__(self, day: date) -> None:
        self.day = day
        self.tails: dict[SeriesKey, bytes] = {}


class SeriesTable:
    """The series of every component.

    Args:
        limits: how large a series may be, and how many a component may have.
        cached_max: how many series the table keeps.
    """

    def __init__(self, limits: SeriesLimits, cached_max: int = SERIES_CACHED_MAX) -> None:
        self._limits = limits
        self._cached_max = cached_max
        self._cached = 0
        # The component that has reported last comes last.
        self._by_component: dict[int, ComponentSeries] = {}

    def of(self, runtime_id: int, day: date) -> ComponentSeries:
        """Return the series of a component in a UTC day."""
        found = self._by_component.pop(runtime_id, None)
        if found is None or found.day != day:
            if found is not None:
                self._cached -= len(found.tails)
            found = ComponentSeries(day)
        self._by_component[runtime_id] = found
        return found

    def add(self, runtime_id: int, day: date, key: SeriesKey) -> bytes:
        """Check a new series; return the end of its rows, which `tails` keeps from now on.

        Raises:
            ValueError: the series cannot be stored, or is one too many; the message says what is
                right.
        """
        tails = self.of(runtime_id, day).tails
        if len(tails) >= self._limits.series_max:
            raise ValueError(
                f"the runtime has reported {self._limits.series_max} series today, and no more are "
                "allowed: use fewer label values, or raise the server's --series-per-runtime-max"
            )
        tail = _encode_series(key, self._limits)
        tails[key] = tail
        self._cached += 1
        while self._cached > self._cached_max and len(self._by_component) > 1:
            silent_longest = next(iter(self._by_component))
            self._cached -= len(self._by_component.pop(silent_longest).tails)
        return tail


def _encode_series(key: SeriesKey, limits: SeriesLimits) -> bytes:
    metric_name, metric_type, labels_json, help_text, unit = key
    check_metric_name(metric_name)
    if metric_type not in _TYPES:
        raise ValueError(
            f"metric_type {metric_type[:60]!r} is not valid: use one of {', '.join(MetricType)}"
        )
    labels = {} if labels_json in {b"", b"null"} else _labels_decoder.decode(labels_json)
    if len(labels) > limits.labels_max:
        raise ValueError(
            f"the sample has {len(labels)} labels: at most {limits.labels_max} are allowed"
        )
    for name, value in labels.items():
        check_label_name(name)
        _check_length(f"label {name!r}", value, limits)
    for what, text in (("help_text", help_text), ("unit", unit)):
        if text is not None:
            _check_length(what, text, limits)
    return row_tail(metric_name, metric_type, _encode_json(labels), help_text, unit)


def _check_length(what: str, text: str, limits: SeriesLimits) -> None:
    check_text(what, text)
    if len(text) > limits.text_length_max:
        raise ValueError(
            f"{what} has {len(text)} characters, beginning with {text[:40]!r}: "
            f"at most {limits.text_length_max} are allowed"
        )

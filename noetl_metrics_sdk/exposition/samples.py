"""The parts of a page for Prometheus: its formats, its labels as text, its samples. Pure."""

from __future__ import annotations

import math
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.model.metric import without_empty
from noetl_metrics_sdk.model.numbers import format_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class PageFormat(StrEnum):
    """The formats of a page, by their content types.

    https://prometheus.io/docs/instrumenting/exposition_formats/ and OpenMetrics 1.0,
    https://prometheus.io/docs/specs/om/open_metrics_spec/
    """

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class ExposedLabels:
    """The labels of one series, as a page shows them; each text and key of them is made only once.

    Args:
        labels: label values by name, in the order in which the page shows them. A label with an
            empty value is no label, and the page does not show it.
    """

    __slots__ = ("_canonical", "_key", "_labels", "_without", "text")

    def __init__(self, labels: Mapping[str, str]) -> None:
        labels = without_empty(labels)
        self._labels = labels
        # A server keeps tens of thousands of these objects, and collections of garbage go through
        # every tuple and dictionary in them. So there are few. Threads read and set them.
        self._key: tuple[str, ...] | None = None
        self._without: tuple[str, tuple[str, ...]] | None = None
        self._canonical: tuple[str, str] | None = None
        self.text = _text(labels)
        """The labels as text, in braces; empty if there are no labels."""

    def get(self, name: str) -> str | None:
        """Return the value of a label, or None if there is no such label."""
        return self._labels.get(name)

    def bound(self, name: str) -> float | None:
        """Return the value of a label as a number; None if it is missing, no number, or NaN."""
        text = self._labels.get(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            return None
        return None if math.isnan(number) else number

    def sorted_pairs(self) -> list[tuple[str, str]]:
        """Return the names and values of the labels, sorted by the names."""
        labels = self._labels
        # Sorting names is several times faster than sorting pairs.
        return [(name, labels[name]) for name in sorted(labels)]

    def canonical_text(self, name: str) -> str:
        """Return the labels as text, with one label's number in OpenMetrics' canonical form.

        Args:
            name: the name of a label whose value is a number.
        """
        canonical = self._canonical
        if canonical is None or canonical[0] != name:
            number = format_bound(float(self._labels[name]))
            canonical = self._canonical = (name, _text({**self._labels, name: number}))
        return canonical[1]

    def key(self) -> tuple[str, ...]:
        """Return the labels as a key of the series: names and values, sorted by the names."""
        key = self._key
        if key is None:
            key = self._key = tuple(chain.from_iterable(self.sorted_pairs()))
        return key

    def key_without(self, name: str) -> tuple[str, ...]:
        """Return the key without one of the labels, which tells a part of a histogram from others.

        Args:
            name: the name of the label.
        """
        if name not in self._labels:
            return self.key()
        without = self._without
        if without is None or without[0] != name:
            pairs = [pair for pair in self.sorted_pairs() if pair[0] != name]
            without = self._without = (name, tuple(chain.from_iterable(pairs)))
        return without[1]


class ExposedSample(NamedTuple):
    """One sample of a page; its name and the names of its labels are valid."""

    name: str
    type: str
    """One of the four values of `MetricType`, `INFO` or `STATE_SET`."""
    value: float
    labels: ExposedLabels
    help_text: str | None = None
    unit: str | None = None
    taken_at: float | None = None
    """Seconds since the epoch, if the samples of one series may be of several moments."""


def _text(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    text = ",".join([f'{name}="{value}"' for name, value in labels.items()])
    # Few values need an escape. It is many times faster to check the whole text at once.
    if text.count('"') != 2 * len(labels) or "\\" in text or "\n" in text:
        text = ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()])
    return f"{{{text}}}"

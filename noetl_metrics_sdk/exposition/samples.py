"""The parts of a page for Prometheus: its formats, its labels as text, its samples. Pure."""

from __future__ import annotations

import math
from enum import StrEnum
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

    __slots__ = ("_canonical_texts", "_keys", "_labels", "text")

    def __init__(self, labels: Mapping[str, str]) -> None:
        labels = without_empty(labels)
        self._labels = labels
        # Both have few entries, and a server keeps tens of thousands of these objects: collections
        # of garbage pass over tuples of texts, and go through dictionaries.
        self._keys: tuple[tuple[str | None, tuple[tuple[str, str], ...]], ...] = ()
        self._canonical_texts: tuple[tuple[str, str], ...] = ()
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

    def canonical_text(self, name: str) -> str:
        """Return the labels as text, with one label's number in OpenMetrics' canonical form.

        Args:
            name: the name of a label whose value is a number.
        """
        for canonical_name, text in self._canonical_texts:
            if canonical_name == name:
                return text
        text = _text({**self._labels, name: format_bound(float(self._labels[name]))})
        self._canonical_texts += ((name, text),)
        return text

    def key_without(self, name: str | None) -> tuple[tuple[str, str], ...]:
        """Return the labels without one of them, as a key of the series in a stable order."""
        for without, key in self._keys:
            if without == name:
                return key
        labels = self._labels
        # Sorting names is several times faster than sorting pairs.
        key = tuple([(label, labels[label]) for label in sorted(labels) if label != name])
        self._keys += ((name, key),)
        return key


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

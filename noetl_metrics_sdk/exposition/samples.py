"""What a page for Prometheus is made of: formats, labels as they are shown, samples. Pure."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

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
    """The labels of one series, as a page shows them; what is made of them is made once.

    Args:
        labels: name to value, in the order in which they are shown.
    """

    __slots__ = ("_canonical_texts", "_keys", "_labels", "text")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._keys: dict[str | None, tuple[tuple[str, str], ...]] = {}
        self._canonical_texts: dict[str, str] = {}
        self.text = _text(labels)
        """With the braces around them; empty if there are none."""

    def bound(self, name: str) -> float | None:
        """Return the number that a label says, or None where it says none."""
        text = self._labels.get(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            return None
        return None if math.isnan(number) else number

    def canonical_text(self, name: str) -> str:
        """Return the text with a label that is a number in OpenMetrics' canonical form.

        Args:
            name: a label that has a `bound`.
        """
        text = self._canonical_texts.get(name)
        if text is None:
            canonical = {**self._labels, name: format_bound(float(self._labels[name]))}
            text = self._canonical_texts[name] = _text(canonical)
        return text

    def key_without(self, name: str | None) -> tuple[tuple[str, str], ...]:
        """Return what tells the series from others, apart from one label, in a stable order."""
        key = self._keys.get(name)
        if key is None:
            labels = self._labels
            # Names are sorted several times faster than pairs.
            key = tuple([(label, labels[label]) for label in sorted(labels) if label != name])
            self._keys[name] = key
        return key


class ExposedSample(NamedTuple):
    """One sample of a page, whose names are valid."""

    name: str
    type: str
    """One of the four of `MetricType`."""
    value: float
    labels: ExposedLabels
    help_text: str | None = None
    unit: str | None = None
    taken_at: float | None = None
    """Seconds since the epoch, where samples of one series may be of several moments."""


def _text(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    text = ",".join([f'{name}="{value}"' for name, value in labels.items()])
    # Few values have anything to escape, and to see that of all at once is many times faster.
    if text.count('"') != 2 * len(labels) or "\\" in text or "\n" in text:
        text = ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()])
    return f"{{{text}}}"

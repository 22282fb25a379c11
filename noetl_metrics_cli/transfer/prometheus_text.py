"""Lines of Prometheus' text format, and of OpenMetrics, become samples. Pure.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from noetl_metrics_sdk.model.numbers import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = 'a line like jobs_total{status="ok"} 12 1769860800000'

_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*"
    r'(?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?\s*'
    r"(?P<value>[^\s{}]+)(?:\s+(?P<time>[0-9.eE+-]+))?\s*(?:#.*)?"
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_DECLARATION = re.compile(r"#\s*(TYPE|HELP|UNIT)\s+([a-zA-Z_:][a-zA-Z0-9_:]*)\s?(.*)")

_SUFFIXES = ("_bucket", "_count", "_sum", "_total")
_TYPES = frozenset({"counter", "gauge", "histogram", "summary"})
_MILLISECONDS_MIN = 1e11
"""A time of this size is in milliseconds, as Prometheus writes it; OpenMetrics writes seconds. As
seconds it would lie in the year 5138, and as milliseconds in 1973."""


class TextSample(NamedTuple):
    """A sample of a page: its time in seconds since the epoch, or None if it has none."""

    name: str
    labels: dict[str, str]
    value: float | str
    seconds: float | None


class PrometheusText:
    """Reads the lines of a page, and remembers what they declare of metrics."""

    def __init__(self) -> None:
        self._declared: dict[str, dict[str, str]] = {"TYPE": {}, "HELP": {}, "UNIT": {}}

    def read(self, line: str) -> TextSample | None:
        """Return the sample of a line, or None if it has none.

        Raises:
            ValueError: it is neither a sample nor a comment.
        """
        line = line.strip()
        if line.startswith("#"):
            self._declare(line)
            return None
        return parse_sample(line) if line else None

    def described(self, name: str) -> Mapping[str, Any]:
        """Return the type, the help text and the unit of a sample's name, as the API has them."""
        family = self._family_of(name)
        declared = self._declared["TYPE"].get(family, "")
        # A family of counters has the times of its creation in it, which do not count.
        metric_type = declared if declared in _TYPES and not name.endswith("_created") else "gauge"
        described = {"metric_type": metric_type}
        for kind, field in (("HELP", "help_text"), ("UNIT", "unit")):
            text = self._declared[kind].get(family)
            if text:
                described[field] = text
        return described

    def _declare(self, line: str) -> None:
        found = _DECLARATION.fullmatch(line)
        if found is not None:
            kind, family, text = found.groups()
            self._declared[kind][family] = _unescaped(text) if kind == "HELP" else text.strip()

    def _family_of(self, name: str) -> str:
        families = self._declared["TYPE"]
        if name in families:
            return name
        for suffix in _SUFFIXES:
            if name.endswith(suffix) and name.removesuffix(suffix) in families:
                return name.removesuffix(suffix)
        return name


def parse_sample(line: str) -> TextSample:
    """Return the sample of a line.

    Raises:
        ValueError: the line is no sample; the message says what one looks like.
    """
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(f"{line[:80]!r} is no sample: it must be {FORM}")
    try:
        value = float(found["value"])
        time = None if found["time"] is None else float(found["time"])
    except ValueError:
        raise ValueError(
            f"{line[:80]!r} has no number as its value or time: it must be {FORM}"
        ) from None
    if time is not None and abs(time) >= _MILLISECONDS_MIN:
        time /= 1000
    shown = value if math.isfinite(value) else format_value(value)
    return TextSample(found["name"], _labels(found["labels"] or "", line), shown, time)


def _labels(text: str, line: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    text = text.strip()
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            raise ValueError(f"{line[:80]!r} has labels that are not valid: it must be {FORM}")
        labels[found[1]] = _unescaped(found[2])
        at = found.end()
    return labels


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), text)

"""Lines of a file become samples as the API takes them, each with the component that it is of."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol, cast

from noetl_metrics_cli.transfer.prometheus_text import PrometheusText

FIELDS = (
    "metric_name", "metric_type", "metric_value", "labels", "help_text", "unit", "timestamp",
)  # fmt: skip
"""What of an exported sample is inserted; the server gives it ids and the time of its insertion."""

_KIND_DEFAULT = "worker_pool"
_NO_COMPONENT = "it names no component: give --component NAME"


class Component(NamedTuple):
    """A component by its kind and its name."""

    kind: str
    name: str


class ReadSample(NamedTuple):
    """A sample as the API takes it, without its `runtime_id`, and the component that it is of."""

    component: Component
    body: dict[str, Any]


class LineReader(Protocol):
    """Reads the lines of a format."""

    def read(self, line: bytes) -> ReadSample | None:
        """Return the sample of a line, or None if it has none.

        Raises:
            ValueError: the line is not valid; the message says what is right.
        """
        ...


class JsonLineReader:
    """Reads samples that `noetl-metrics export` or `query --json` wrote.

    Args:
        component: the component of all samples, or None for their own.
    """

    def __init__(self, component: Component | None) -> None:
        self._component = component

    def read(self, line: bytes) -> ReadSample | None:
        """Return the sample of a line of JSON."""
        if not line.strip():
            return None
        try:
            document = json.loads(line)
        except ValueError as error:
            raise ValueError(f"it is no JSON ({error})") from None
        if not isinstance(document, dict):
            raise ValueError("it must be an object, as noetl-metrics export writes it")  # noqa: TRY004
        sample = cast("dict[str, Any]", document)
        body = {name: sample[name] for name in FIELDS if sample.get(name) is not None}
        return ReadSample(self._component or _component_of(sample), body)


class PrometheusLineReader:
    """Reads a page of Prometheus' text format, or of OpenMetrics.

    Args:
        component: the component of all samples. None if the page names it in each sample, as the
            server's own pages do.
        default_seconds: the time of samples that have none, in seconds since the epoch.
    """

    def __init__(self, component: Component | None, default_seconds: float) -> None:
        self._component = component
        self._default_seconds = default_seconds
        self._text = PrometheusText()

    def read(self, line: bytes) -> ReadSample | None:
        """Return the sample of a line of the page."""
        sample = self._text.read(line.decode())
        if sample is None:
            return None
        labels = dict(sample.labels)
        component = self._component or _component_in(labels)
        return ReadSample(
            component,
            {
                "metric_name": sample.name,
                "metric_value": sample.value,
                "labels": labels,
                "timestamp": self._default_seconds if sample.seconds is None else sample.seconds,
                **self._text.described(sample.name),
            },
        )


def _component_of(sample: dict[str, Any]) -> Component:
    name = sample.get("component_name")
    if not isinstance(name, str) or not name:
        raise ValueError(_NO_COMPONENT)
    return Component(str(sample.get("component_type") or _KIND_DEFAULT), name)


def _component_in(labels: dict[str, str]) -> Component:
    """Take the labels by which a page of the server names a sample's component."""
    if "component" not in labels or "component_type" not in labels:
        raise ValueError(_NO_COMPONENT)
    labels.pop("runtime_id", None)
    return Component(labels.pop("component_type"), labels.pop("component"))

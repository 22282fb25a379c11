"""Metrics over time, as the server answers them for charts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_cli.api.connection import Connection


class Curve(NamedTuple):
    """A group of series over time: pairs of a time, in seconds since the epoch, and a value.

    What is no finite number is left out.
    """

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


class Chart(NamedTuple):
    """An answer of the server: the range in seconds since the epoch, the step, and the curves."""

    start: float
    end: float
    step: float
    curves: list[Curve]
    notes: list[str]


def read_chart(server: Connection, parameters: Mapping[str, object]) -> Chart:
    """Return a metric over time.

    Args:
        server: the server.
        parameters: those of `GET /api/metrics/series`.

    Raises:
        CommandError: the server does not answer, or answers with an error.
    """
    return chart_of(server.get("/api/metrics/series", **parameters))


def chart_of(answer: Mapping[str, Any]) -> Chart:
    """Return what an answer of `GET /api/metrics/series` says."""
    return Chart(
        datetime.fromisoformat(answer["start_time"]).timestamp(),
        datetime.fromisoformat(answer["end_time"]).timestamp(),
        answer["step_seconds"],
        [Curve(one["labels"], _finite(one["points"])) for one in answer["series"]],
        answer["notes"],
    )


def _finite(points: list[tuple[float, float | str]]) -> list[tuple[float, float]]:
    return [(time, float(value)) for time, value in points if not isinstance(value, str)]

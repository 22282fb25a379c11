"""Questions about a metric over time, and the samples behind the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.server.application import sample

if TYPE_CHECKING:
    from tests.server.application import Api

T = 1_699_999_200
"""A multiple of ten minutes; samples and questions are at offsets from it."""

NAN, INF = "NaN", "+Inf"


def at(second: float, value: Any, name: str = "load", **labels: str) -> dict[str, Any]:
    """Return a sample of a gauge at an offset from T."""
    return sample(
        metric_name=name,
        metric_type="gauge",
        metric_value=value,
        timestamp=T + second,
        labels=labels,
    )


def ask(api: Api, **parameters: Any) -> dict[str, Any]:
    """Ask about the ten minutes from T on, unless the parameters say otherwise."""
    known = {"metric_name": "load", "start_time": T, "end_time": T + 600, "step": 60}
    answer = api.get("/api/metrics/series", params=known | parameters)
    assert 200 == answer.status_code, answer.text
    found: dict[str, Any] = answer.json()
    return found


def curve(api: Api, aggregation: str, **parameters: Any) -> list[list[Any]]:
    """Return the points of the only series of an answer, at offsets from T."""
    series = ask(api, aggregation=aggregation, **parameters)["series"]
    if not series:
        return []
    (one,) = series
    assert {} == one["labels"]
    return [[time - T, value] for time, value in one["points"]]

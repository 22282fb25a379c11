"""One metric over time, for charts.

Why so: docs/decisions/queries.md.
"""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from noetl_metrics_sdk.model.names import check_label_name
from noetl_metrics_sdk.model.numbers import format_value
from server_stub.errors import ParameterInvalidError
from server_stub.query.parameters import parse_filters
from server_stub.query.quantiles import BUCKET_LABEL, bucket_metric_name, quantile_curves
from server_stub.query.series import FILTERS, Chart, Curve
from server_stub.query.time_buckets import TimeBuckets, cover, parse_step
from server_stub.routes.notes import notes_on_chart
from server_stub.routes.resources import Resources, Server
from server_stub.timestamps import format_timestamp
from server_stub.web.responses import Source, json_response, problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

router = APIRouter(tags=["metrics"])

GROUP_BY_MAX = 16
"""The most labels that series are grouped by."""

Aggregation = Literal["avg", "min", "max", "sum", "last", "count", "rate", "increase", "quantile"]


class SeriesOfPoints(BaseModel):
    """One group of series over time."""

    labels: dict[str, str] = Field(description="What it is grouped by, without what is empty")
    points: list[tuple[float, float | Literal["NaN", "+Inf", "-Inf"]]] = Field(
        description="The start of a bucket, in seconds since the epoch, and its value"
    )


class SeriesAnswer(BaseModel):
    """A metric by bucket and group."""

    metric_name: str
    aggregation: Aggregation
    start_time: str = Field(description="The start of the first bucket, in UTC")
    end_time: str = Field(description="The end of the last bucket, in UTC")
    step_seconds: float
    series: list[SeriesOfPoints]
    sources: list[Source]
    notes: list[str] = Field(description="Why it is empty, or what has no meaning")


class SeriesQuery(BaseModel):
    """The parameters of a chart."""

    # A misspelt filter must not choose everything.
    model_config = ConfigDict(extra="forbid")

    metric_name: str = Field(description="The metric; for quantile, with or without _bucket")
    aggregation: Aggregation = Field(
        "avg", description="How the samples of a bucket and group become one value"
    )
    quantile: float | None = Field(
        None, ge=0, le=1, description="Which quantile, for aggregation=quantile: 0.99"
    )
    start_time: str | None = Field(
        None,
        description="ISO 8601 with an offset, or epoch seconds; an hour before the end by default",
    )
    end_time: str | None = Field(None, description="Where the range ends; now by default")
    step: str = Field("60", description="The length of a bucket, in seconds")
    group_by: str | None = Field(
        None,
        description="Label names, by commas; runtime_id, component_name, component_type as well",
    )
    runtime_id: str | None = Field(None, description="Of this component")
    component_name: str | None = Field(None, description="Of the components of this name")
    metric_type: Literal["counter", "gauge", "histogram", "summary"] | None = None
    labels: str | None = Field(None, description='With these labels, as JSON: {"status": "ok"}')


@router.get(
    "/api/metrics/series",
    summary="One metric over time",
    response_model=SeriesAnswer,
    responses=problems(HTTPStatus.BAD_REQUEST),
)
async def query_series(server: Server, query: Annotated[SeriesQuery, Query()]) -> Response:
    """Return a metric by buckets of time and groups of labels; docs/queries.md has the semantics.

    Buckets are multiples of `step` since the epoch, and the range is widened to whole ones. A
    bucket without samples has no point.
    """
    now = datetime.now(UTC)
    filters = parse_filters(query.model_dump())
    group_by = _parse_group_by(query)
    _check_quantile(query)
    buckets = cover(
        filters.get("start_time"),
        filters.get("end_time"),
        parse_step(query.step),
        now,
    )
    chosen = {name: filters[name] for name in FILTERS if name in filters}
    chart = await _chart(server, query, buckets, group_by, chosen, now)
    server.statistics.rows_omitted.inc(chart.omitted)
    notes = await notes_on_chart(
        server.descriptions, query.metric_name, query.aggregation, group_by, chart.curves
    )
    return await asyncio.to_thread(_answer, query, buckets, group_by, chart, notes)


def _parse_group_by(query: SeriesQuery) -> list[str]:
    names = [name.strip() for name in (query.group_by or "").split(",")]
    group_by = list(dict.fromkeys(name for name in names if name))
    try:
        for name in group_by:
            check_label_name(name)
    except ValueError as error:
        raise ParameterInvalidError(f"query parameter group_by: {error}"[:500]) from None
    if len(group_by) > GROUP_BY_MAX:
        raise ParameterInvalidError(
            f"query parameter group_by: it has {len(group_by)} labels, at most {GROUP_BY_MAX} are "
            "allowed"
        )
    if query.aggregation == "quantile" and BUCKET_LABEL in group_by:
        raise ParameterInvalidError(
            "query parameter group_by: a quantile is made of series that differ in le: leave le out"
        )
    return group_by


def _check_quantile(query: SeriesQuery) -> None:
    if (query.quantile is None) == (query.aggregation == "quantile"):
        raise ParameterInvalidError(
            "query parameter quantile: give a number from 0 to 1, like 0.99, with "
            "aggregation=quantile, and with no other aggregation"
        )


async def _chart(
    server: Resources,
    query: SeriesQuery,
    buckets: TimeBuckets,
    group_by: Sequence[str],
    filters: Mapping[str, Any],
    now: datetime,
) -> Chart:
    name = query.metric_name
    select = server.series.select_series
    match query.aggregation:
        case "quantile":
            assert query.quantile is not None
            grouped = [*group_by, BUCKET_LABEL]
            counts = await select(
                bucket_metric_name(name), "increase", buckets, grouped, filters, now
            )
            curves = await asyncio.to_thread(quantile_curves, query.quantile, counts.curves)
            return counts._replace(curves=curves)
        case "rate":
            increases = await select(name, "increase", buckets, group_by, filters, now)
            curves = [_per_second(curve, buckets.step_seconds) for curve in increases.curves]
            return increases._replace(curves=curves)
        case aggregation:
            return await select(name, aggregation, buckets, group_by, filters, now)


def _per_second(curve: Curve, step_seconds: float) -> Curve:
    return curve._replace(values=[value / step_seconds for value in curve.values])


def _answer(
    query: SeriesQuery,
    buckets: TimeBuckets,
    group_by: Sequence[str],
    chart: Chart,
    notes: Sequence[str],
) -> Response:
    return json_response(
        {
            "metric_name": query.metric_name,
            "aggregation": query.aggregation,
            "start_time": format_timestamp(buckets.start_time),
            "end_time": format_timestamp(buckets.end_time),
            "step_seconds": _shortest(buckets.step_seconds),
            "series": [
                msgspec.Raw(msgspec.json.encode(_series(group_by, curve))) for curve in chart.curves
            ],
            "sources": chart.sources,
            "notes": notes,
        }
    )


def _series(group_by: Sequence[str], curve: Curve) -> dict[str, Any]:
    # Encoded by itself: no other thread runs meanwhile, and the points are not there twice.
    return {
        "labels": {
            name: value for name, value in zip(group_by, curve.group_values, strict=True) if value
        },
        "points": [
            (_shortest(time), _shown(value))
            for time, value in zip(curve.times, curve.values, strict=True)
        ],
    }


def _shortest(seconds: float) -> float:
    return int(seconds) if seconds.is_integer() else seconds


def _shown(value: float) -> float | str:
    # JSON has no number for some values.
    return value if math.isfinite(value) else format_value(value)

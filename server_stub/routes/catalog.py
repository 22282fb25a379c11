"""What there is to ask for: the names of metrics, and the labels of one with their values."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.names import check_label_name, check_text
from server_stub.catalog.labels import VALUES_OF_A_LABEL_MAX
from server_stub.errors import ParameterInvalidError
from server_stub.query.parameters import parse_filters
from server_stub.routes.notes import notes_on_labels
from server_stub.routes.resources import Server
from server_stub.web.responses import json_response, problems

router = APIRouter(tags=["metrics"])

NAMES_MAX = 1_000
VALUES_MAX = 10_000

LABEL_NAME_PATTERN = "^(_|_?[a-zA-Z][a-zA-Z0-9_]{0,250}|_[0-9][a-zA-Z0-9_]{0,250})$"
"""What `check_label_name` takes as a regular expression, for OpenAPI."""


class MetricName(BaseModel):
    """A metric, under the name that `GET /api/metrics/series` and its quantiles take."""

    metric_name: str
    metric_type: Literal["counter", "gauge", "histogram", "summary"]
    help_text: str | None
    unit: str | None


class NameList(BaseModel):
    """Metrics, sorted by name."""

    status: Literal["ok"]
    names: list[MetricName]
    truncated: bool = Field(description="Whether there may be others")


class LabelOfMetric(BaseModel):
    """A label that a chart of the metric can be grouped by."""

    name: str
    value_count: int = Field(description="How many values were found")
    values: list[str] = Field(description=f"The first {VALUES_OF_A_LABEL_MAX} of them, sorted")
    truncated: bool = Field(description="Whether there may be values that are not shown")


class LabelList(BaseModel):
    """The labels of a metric, sorted by name."""

    status: Literal["ok"]
    metric_name: str
    labels: list[LabelOfMetric]
    truncated: bool = Field(description="Whether not every sample of the range was looked at")
    notes: list[str] = Field(description="Why it is empty")


class ValueList(BaseModel):
    """The values of a label, sorted."""

    status: Literal["ok"]
    values: list[str]
    truncated: bool = Field(description="Whether there may be others")


class NameQuery(BaseModel):
    """Which metrics are meant."""

    # A misspelt parameter must not choose everything.
    model_config = ConfigDict(extra="forbid")

    search: str = Field("", max_length=200, description="A part of the name, in any case")
    limit: int = Field(100, ge=1, le=NAMES_MAX, description="The most names")


class LabelQuery(BaseModel):
    """The samples whose labels are meant; all filters given must hold."""

    model_config = ConfigDict(extra="forbid")

    metric_name: str = Field(description="The metric", examples=["noetl_api_requests_total"])
    runtime_id: str | None = Field(None, description="Of this component")
    component_name: str | None = Field(None, description="Of the components of this name")
    start_time: str | None = Field(
        None,
        description="Taken at or after: ISO 8601 with an offset, or epoch seconds; the retention "
        "by default",
    )
    end_time: str | None = Field(None, description="Taken before this time")


class ValueQuery(LabelQuery):
    """The samples whose values of a label are meant, and which values."""

    search: str = Field("", max_length=4096, description="A part of the value, in any case")
    limit: int = Field(100, ge=1, le=VALUES_MAX, description="The most values")


@router.get(
    "/api/metrics/names",
    summary="Which metrics there are",
    response_model=NameList,
    responses=problems(HTTPStatus.BAD_REQUEST),
)
async def find_names(server: Server, query: Annotated[NameQuery, Query()]) -> Response:
    """Return the metrics of the last 32 days within the retention, and those of the history.

    The rows of a histogram or summary, `_bucket`, `_sum` and `_count`, are one metric. Type, help
    text and unit are those of its latest sample.
    """
    _check("search", query.search)
    found = await server.metric_names.find(query.search, query.limit)
    return json_response(
        {
            "status": "ok",
            "names": [family._asdict() for family in found.families],
            "truncated": found.is_cut,
        }
    )


@router.get(
    "/api/metrics/labels",
    summary="The labels of a metric",
    response_model=LabelList,
    responses=problems(HTTPStatus.BAD_REQUEST),
)
async def find_labels(server: Server, query: Annotated[LabelQuery, Query()]) -> Response:
    """Return what a chart of a metric can be grouped by: labels, and names of the component.

    Of a histogram or summary these are the labels that its parts have in common. The server looks
    at samples until it has looked at enough, or for two seconds; `truncated` says so.
    """
    found = await server.labels.find(query.metric_name, _filters(query))
    notes = [] if found.labels else await notes_on_labels(server.descriptions, query.metric_name)
    return json_response(
        {
            "status": "ok",
            "metric_name": query.metric_name,
            "labels": [
                {
                    **label._asdict(),
                    "truncated": found.is_cut or label.value_count > len(label.values),
                }
                for label in found.labels
            ],
            "truncated": found.is_cut,
            "notes": notes,
        }
    )


@router.get(
    "/api/metrics/labels/{label_name}/values",
    summary="The values of a label",
    response_model=ValueList,
    responses=problems(HTTPStatus.BAD_REQUEST),
)
async def find_values(
    label_name: Annotated[
        str,
        Path(
            description="As answered by `GET /api/metrics/labels`",
            examples=["endpoint"],
            json_schema_extra={"pattern": LABEL_NAME_PATTERN},
        ),
    ],
    server: Server,
    query: Annotated[ValueQuery, Query()],
) -> Response:
    """Return the values that a label of a metric has, or `component_name` and the like."""
    try:
        check_label_name(label_name)
    except InvalidMetricError as error:
        raise ParameterInvalidError(str(error)[:500]) from None
    _check("search", query.search)
    found = await server.labels.find_values(
        query.metric_name, label_name, query.search, query.limit, _filters(query)
    )
    return json_response({"status": "ok", "values": found.values, "truncated": found.is_cut})


def _filters(query: LabelQuery) -> dict[str, Any]:
    filters = parse_filters(query.model_dump())
    del filters["metric_name"]
    start, end = filters.get("start_time"), filters.get("end_time")
    if start is not None and end is not None and not start < end:
        raise ParameterInvalidError(
            f"start_time {start.isoformat()} is not before end_time {end.isoformat()}: "
            "give an earlier start_time or a later end_time"
        )
    return filters


def _check(name: str, text: str) -> None:
    try:
        check_text("the value", text)
    except ValueError as error:
        raise ParameterInvalidError(f"query parameter {name}: {error}"[:500]) from None

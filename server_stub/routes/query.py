"""Reading metrics: by filters, in pages."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001, TC002

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from noetl_metrics_sdk.model.numbers import format_value
from server_stub.components.runtime_id import parse_runtime_id
from server_stub.errors import ComponentNotFoundError, ParameterInvalidError
from server_stub.query.cursor import decode_cursor, encode_cursor
from server_stub.query.pages import Page
from server_stub.query.parameters import parse_filters
from server_stub.routes.notes import notes_on_name
from server_stub.routes.resources import Resources, Server
from server_stub.web.responses import Source, json_response, problems

router = APIRouter(tags=["metrics"])

LIMIT_MAX = 10_000


class Metric(BaseModel):
    """One stored sample."""

    metric_id: str | None = Field(description="null where it is read from the history")
    runtime_id: str
    component_name: str
    component_type: str
    metric_name: str
    metric_type: Literal["counter", "gauge", "histogram", "summary"]
    metric_value: float | Literal["NaN", "+Inf", "-Inf"]
    labels: dict[str, Any]
    help_text: str | None
    unit: str | None
    timestamp: str = Field(description="When the sample was taken, in UTC")
    created_at: str | None = Field(
        description="When it was inserted, in UTC; null where it is read from the history"
    )


class MetricPage(BaseModel):
    """A page of metrics."""

    metrics: list[Metric]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page")
    sources: list[Source]
    notes: list[str] = Field(description="Why it is empty")


class ComponentQuery(BaseModel):
    """The parameters of a query of one component; all filters given must hold."""

    # A misspelt filter must not choose everything.
    model_config = ConfigDict(extra="forbid")

    metric_name: str | None = Field(None, description="Of this name")
    metric_type: Literal["counter", "gauge", "histogram", "summary"] | None = None
    start_time: str | None = Field(
        None, description="Taken at or after: ISO 8601 with an offset, or epoch seconds"
    )
    end_time: str | None = Field(None, description="Taken before this time")
    labels: str | None = Field(None, description='With these labels, as JSON: {"status": "ok"}')
    order: Literal["asc", "desc"] = Field(
        "desc", description="By the time at which they were taken: newest or oldest first"
    )
    limit: int = Field(100, ge=1, le=LIMIT_MAX, description="The most metrics of a page")
    cursor: str | None = Field(None, description="The next_cursor of the page before")


class MetricQuery(ComponentQuery):
    """The parameters of a query; all filters given must hold."""

    runtime_id: str | None = Field(None, description="Of this component")
    component_name: str | None = Field(None, description="Of the components of this name")


_PROBLEMS = problems(HTTPStatus.BAD_REQUEST)


@router.get("/api/metrics", summary="Query samples", response_model=MetricPage, responses=_PROBLEMS)
@router.get("/api/metrics/query", include_in_schema=False)
async def query_metrics(server: Server, query: Annotated[MetricQuery, Query()]) -> Response:
    """Return the samples within the retention that match every filter, newest first.

    Every sample that was there when the client asked for the first page is on exactly one page,
    whatever arrives meanwhile. A sample that arrives is on a later page if its time is still to
    come.
    """
    return await _page(server, query, parse_filters(query.model_dump()))


@router.get(
    "/api/runtime/{runtime_id}/metrics",
    summary="Query the samples of one component",
    response_model=MetricPage,
    responses=problems(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
async def query_component_metrics(
    runtime_id: Annotated[str, Path(description="As answered by the registration")],
    server: Server,
    query: Annotated[ComponentQuery, Query()],
) -> Response:
    """Return the samples of one component, as `GET /api/metrics` does."""
    try:
        number = parse_runtime_id(runtime_id)
    except ValueError as error:
        raise ParameterInvalidError(str(error)) from None
    filters = parse_filters(query.model_dump()) | {"runtime_id": number}
    if not await server.components.find_registered([number]):
        raise ComponentNotFoundError(
            f"no runtime {number} is registered: GET /api/runtime lists those that are"
        )
    return await _page(server, query, filters)


async def _page(server: Resources, query: ComponentQuery, filters: dict[str, Any]) -> Response:
    # The cursor belongs to the filters and the order of the rows.
    identity = {name: str(value) for name, value in filters.items()} | {"order": query.order}
    if query.cursor is not None:
        filters = filters | {"position": decode_cursor(query.cursor, identity)}
    page = await server.pages.read(filters, query.order, query.limit, datetime.now(UTC))
    server.statistics.rows_omitted.inc(page.omitted)
    position = page.next_position
    cursor = None if position is None else encode_cursor(position, identity)
    notes: list[str] = []
    if not page.rows and query.cursor is None and query.metric_name is not None:
        notes = await notes_on_name(server.descriptions, query.metric_name)
    if page.is_small:
        return _answer(page, cursor, notes)
    # Ten thousand rows take longer than other requests should have to wait.
    return await asyncio.to_thread(_answer, page, cursor, notes)


def _answer(page: Page, next_cursor: str | None, notes: list[str]) -> Response:
    return json_response(
        {
            "metrics": [_metric(row) for row in page.rows],
            "next_cursor": next_cursor,
            "sources": page.sources,
            "notes": notes,
        }
    )


def _metric(row: dict[str, Any]) -> dict[str, Any]:
    # JSON has no number for some values, and JavaScript none for some ids.
    value = row["metric_value"]
    row["metric_value"] = value if math.isfinite(value) else format_value(value)
    row["metric_id"] = None if row["metric_id"] is None else str(row["metric_id"])
    row["runtime_id"] = str(row["runtime_id"])
    row["labels"] = row["labels"] or {}
    return row

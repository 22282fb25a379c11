"""The latest samples as a page for Prometheus."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from noetl_metrics_sdk.exposition.negotiation import choose_format, encoded
from noetl_metrics_sdk.exposition.samples import PageFormat
from server_stub.exposition import page
from server_stub.exposition.known_pages import let_go
from server_stub.query.parameters import parse_filters
from server_stub.routes.resources import Server
from server_stub.web.responses import problems

if TYPE_CHECKING:
    from server_stub.exposition.known_pages import KnownPage
    from server_stub.query.latest import LatestPage

router = APIRouter(tags=["metrics"])

_logger = logging.getLogger(__name__)


class ExpositionQuery(BaseModel):
    """Which components are on the page; all filters given must hold."""

    # A misspelt filter must not choose everything.
    model_config = ConfigDict(extra="forbid")

    runtime_id: str | None = Field(None, description="Of this component")
    component_name: str | None = Field(None, description="Of the components of this name")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The page, as gzip if `Accept-Encoding` says so",
        "content": {str(page_format): {"schema": {"type": "string"}} for page_format in PageFormat},
    },
    **problems(HTTPStatus.BAD_REQUEST),
}


@router.get(
    "/metrics",
    summary="The latest samples for Prometheus",
    response_class=Response,
    responses=_RESPONSES,
)
@router.get("/api/metrics/prometheus", include_in_schema=False)
async def expose_metrics(
    server: Server,
    query: Annotated[ExpositionQuery, Query()],
    accept: Annotated[list[str] | None, Header(include_in_schema=False)] = None,
    accept_encoding: Annotated[list[str] | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Return the latest sample of each series that has a recent one.

    In the text format 0.0.4, or in OpenMetrics 1.0 where `Accept` prefers it.
    """
    filters = parse_filters(query.model_dump())
    latest = await server.latest_samples.read(filters)
    page_format = choose_format(",".join(accept or ()))
    # Ten thousand series take longer than other requests should have to wait.
    body, headers, omitted_count, known = await asyncio.to_thread(
        _page, latest, page_format, server.known_pages.get(filters), ",".join(accept_encoding or ())
    )
    forgotten = server.known_pages.keep(filters, known)
    del known
    if latest.omitted_count:
        _logger.warning(
            "%d series do not fit on a page for Prometheus: scrape components by themselves, with "
            "?component_name=, or raise --exposition-bytes-max",
            latest.omitted_count,
        )
    server.statistics.exposition_series_omitted.inc(omitted_count + latest.omitted_count)
    # A thread frees what is forgotten, after the answer.
    after = BackgroundTask(let_go, forgotten) if forgotten else None
    return Response(body, media_type=page_format, headers=headers, background=after)


def _page(
    latest: LatestPage, page_format: PageFormat, before: KnownPage, accept_encoding: str
) -> tuple[bytes, dict[str, str], int, KnownPage]:
    made, known = page.render(latest, page_format, before)
    return *encoded(made.text, accept_encoding), made.omitted_count, known

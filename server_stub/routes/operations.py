"""For operators: partitions, liveness, readiness."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001, TC002

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel

from server_stub.routes.resources import Server
from server_stub.web.responses import json_response, problems

router = APIRouter(tags=["operations"])

DAYS_AHEAD_MAX = 366


class CleanupAnswer(BaseModel):
    """The partitions that were dropped."""

    status: Literal["ok"]
    dropped_partitions: list[str]
    dropped_count: int
    message: str


class CreationAnswer(BaseModel):
    """The partitions that were made."""

    status: Literal["ok"]
    created_partitions: list[str]
    created_count: int
    days_ahead: int
    message: str


class Health(BaseModel):
    """That the server is there."""

    status: Literal["ok"]


@router.post(
    "/api/metrics/cleanup",
    summary="Drop expired partitions",
    response_model=CleanupAnswer,
    responses=problems(),
)
async def clean_up(server: Server) -> Response:
    """Drop every partition of which all rows are past the retention.

    If some rows of a partition live longer because of their names, only these rows stay. The
    message names such partitions, and those that could not be dropped.
    """
    dropped, rebuilt, skipped = await server.maintenance.clean_up_partitions()
    message = f"Dropped {len(dropped)} expired partitions"
    if rebuilt:
        message += f", removed what has expired from {len(rebuilt)}: {', '.join(rebuilt)}"
    if skipped:
        message += f", skipped {len(skipped)}, the log says why: {', '.join(skipped)}"
    return json_response(
        {
            "status": "ok",
            "dropped_partitions": dropped,
            "dropped_count": len(dropped),
            "message": message,
        }
    )


@router.post(
    "/api/metrics/partitions/create",
    summary="Make partitions ahead",
    response_model=CreationAnswer,
    responses=problems(),
)
async def create_partitions(
    server: Server, days_ahead: Annotated[int, Query(ge=1, le=DAYS_AHEAD_MAX)] = 7
) -> Response:
    """Make the partitions from tomorrow up to `days_ahead` days ahead."""
    created = await server.partitions.create_partitions_ahead(days_ahead)
    server.statistics.partitions_created.inc(len(created))
    return json_response(
        {
            "status": "ok",
            "created_partitions": created,
            "created_count": len(created),
            "days_ahead": days_ahead,
            "message": f"Created {len(created)} partitions",
        }
    )


@router.get("/healthz", summary="Is the server alive?", response_model=Health)
async def healthz() -> Response:
    """Answer without asking the database."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    summary="Can the server take metrics?",
    response_model=Health,
    responses=problems(),
)
async def readyz(server: Server) -> Response:
    """Say whether the database takes writes, and has today's and tomorrow's partitions.

    The server asks the database once a second at most, however many ask the server.
    """
    await server.readiness.check()
    return json_response({"status": "ok"})

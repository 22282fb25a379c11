"""For operators: what is stored, what is exported, and which version this is."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001, TC002

from __future__ import annotations

import platform
from datetime import datetime
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from noetl_metrics_sdk import COMPILED
from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.database import scalars_in
from server_stub.routes.resources import Server
from server_stub.timestamps import format_timestamp
from server_stub.web.responses import json_response, problems

router = APIRouter(tags=["operations"])

_DISTRIBUTION = "noetl-metrics-sdk"


class Partition(BaseModel):
    """A partition of `noetl.metric`; times are in UTC."""

    name: str
    from_: str | None = Field(alias="from", description="null if it has no lower bound")
    until: str | None = Field(description="null if it has no upper bound")
    rows_estimated: int | None = Field(
        description="By PostgreSQL's statistics; null while it has none"
    )
    bytes: int | None = Field(
        description="With its indexes; of older days as PostgreSQL has noted it"
    )
    drops_at: str | None = Field(description="When its rows of the common retention have expired")
    drops_at_latest: str | None = Field(
        description="When the rows that live longest have expired, and the export is not waited for"
    )


class PartitionList(BaseModel):
    """The partitions by time, and how long metrics are kept."""

    status: Literal["ok"]
    retention_seconds: float
    retentions: dict[str, float] = Field(
        description="The seconds of metrics that are kept longer, by name or beginning and *"
    )
    days_ahead: int = Field(description="How many days ahead partitions are made")
    partitions: list[Partition]
    bytes: int
    rows_estimated: int
    missing: list[str] = Field(description="Today's and tomorrow's, if they are not there")
    detaching: list[str] = Field(description="Those whose detachment has not ended")


class ExportAnswer(BaseModel):
    """How the export is doing. Ids are of rows; all but they are as this process has seen it."""

    status: Literal["ok"]
    configured: bool = Field(description="Whether this server exports")
    position: str | None = Field(
        description="The receiver has the rows up to this id; null without an export"
    )
    settled: str | None = Field(description="It has those up to this id on disk")
    last_id: str = Field(description="The last id that a row got")
    rows_waiting: int | None = Field(description="How many ids are behind the position")
    hold_seconds: float | None = Field(
        description="How long partitions wait for the export beyond the retention"
    )
    lag_seconds: float | None = Field(description="How long the oldest row has waited")
    loss_in_seconds: float | None = Field(description="How long until it is dropped unexported")
    looked_at: str | None = Field(description="When lag and loss were seen")
    failing: bool = Field(description="Whether the last attempt failed")
    last_error: str | None
    last_error_at: str | None


class Version(BaseModel):
    """The versions of what runs."""

    version: str = Field(description="Of this package")
    compiled: bool = Field(description="Whether the SDK's hot path is compiled")
    python: str
    postgresql: str | None = Field(description="null while the database does not answer")


@router.get(
    "/api/metrics/partitions",
    summary="List the partitions",
    response_model=PartitionList,
    responses=problems(),
)
async def list_partitions(server: Server) -> Response:
    """Return the partitions with their sizes, and when they go. No row is counted."""
    stored = await server.stored_days.read()
    return json_response(
        {
            "status": "ok",
            **stored._asdict(),
            "days_ahead": server.settings.partitions_days_ahead,
            "bytes": sum(one["bytes"] or 0 for one in stored.partitions),
            "rows_estimated": sum(one["rows_estimated"] or 0 for one in stored.partitions),
        }
    )


@router.get(
    "/api/metrics/export",
    summary="How the export is doing",
    response_model=ExportAnswer,
    responses=problems(),
)
async def describe_export(server: Server) -> Response:
    """Return how far the export to the time-series database has come, and what holds it up."""
    state = await server.export_state.read()
    shown = {
        name: format_timestamp(value) if isinstance(value, datetime) else value
        for name, value in state.items()
    }
    return json_response({"status": "ok", **shown})


@router.get("/api/version", summary="Which version is this?", response_model=Version)
async def describe_version(server: Server) -> Response:
    """Return the versions of this package, of Python and of PostgreSQL."""
    try:
        async with server.database.query() as connection:
            (postgresql,) = await scalars_in(connection, "schema_state/server_version.sql")
    except StoreUnavailableError:
        postgresql = None
    return json_response(
        {
            "version": version(_DISTRIBUTION),
            "compiled": COMPILED,
            "python": platform.python_version(),
            "postgresql": postgresql,
        }
    )
